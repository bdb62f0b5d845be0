"""The environment `puzzle`: answers to puzzles, verified by their rules, which also word the feedback."""

from __future__ import annotations

from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.environment import Environment
from workbench.tasks.puzzles import FIELDS, VERIFIERS
from workbench.tasks.puzzles.fault import answer_in
from workbench.tasks.sandbox import SandboxResult

LONGEST_SHOWN = 200  # characters of what was read


class Puzzle(Environment):
    """A puzzle with its own verifier in `workbench.tasks.puzzles`: the first rule that an answer breaks is named."""

    name = "puzzle"
    label = "puzzle (verified by its rules)"
    needs = (
        f"puzzle: one of {', '.join(VERIFIERS)}, with its fields, as "
        '{"puzzle": "countdown", "numbers": [1, 2], "target": 3}'
    )
    feedback_kinds = ("format", "outcome")

    def check(self, task: Task) -> None:
        """Require a known puzzle whose fields its verifier can read."""
        name = str(task.answer.get("puzzle"))
        self.require(name in VERIFIERS and all(field in task.answer for field in FIELDS[name]))
        # No puzzle is solved by this, and reading it takes every field that is not only compared: one of the wrong
        # type is an exception.
        self.require(VERIFIERS[name](task.answer, "0") is not None)

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass an answer that breaks no rule."""
        answer = answer_in(text)
        fault = VERIFIERS[task.answer["puzzle"]](task.answer, answer)
        read_as = answer if len(answer) <= LONGEST_SHOWN else f"{answer[:LONGEST_SHOWN]} …"
        if fault is None:
            return self.judgement(True, read_as=read_as)
        parts = [FeedbackPart(fault.kind, fault.sentence)] if fault.kind in self.wanted_feedback(task) else []
        return self.judgement(False, parts, read_as=read_as)
