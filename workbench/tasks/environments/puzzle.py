"""The environment `puzzle`: answers to puzzles, verified by their rules, which also word the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.environment import Environment
from workbench.tasks.fields import AnswerField
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
    fields = (
        AnswerField("puzzle", "Puzzle", "choice", needed=True, options=tuple(VERIFIERS)),
        AnswerField(
            "fields",
            "Its fields",
            "json",
            needed=True,
            info='A JSON object. Of countdown: {"numbers": [2, 3, 4], "target": 10}; any that are missing are named.',
        ),
    )

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Put the puzzle's name among its fields."""
        answer = super().filled(values)
        if not isinstance(answer["fields"], dict):
            raise TaskError('The field “Its fields” is no JSON object; write it as {"numbers": [1, 2], "target": 3}.')
        return {**answer["fields"], "puzzle": answer["puzzle"]}

    def check(self, task: Task) -> None:
        """Require a known puzzle whose fields its verifier can read."""
        name = str(task.answer.get("puzzle"))
        self.require(name in VERIFIERS)
        missing = [field for field in FIELDS[name] if field not in task.answer]
        if missing:
            raise TaskError(
                f"The puzzle {name!r} lacks {', '.join(missing)}; it needs the fields {', '.join(FIELDS[name])}."
            )
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
