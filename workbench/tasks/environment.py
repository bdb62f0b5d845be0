"""`Environment`: the judge of one kind of task. Subclass it for a kind of your own (docs/extending.md).

Code of an attempt, and patterns of a task, run in the sandbox; verdicts are reached here, where expected values stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from workbench.errors import TaskError
from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.sandbox import SandboxResult

Program = tuple[str, list[dict[str, Any]]]  # code, and the calls to make on it, as `sandbox.run_python` takes them
NO_FEEDBACK = "none"  # the reward is all that is given
_JOIN = "+"  # between kinds of feedback that are given together


class Environment:
    """The judge of one kind of task: an attempt's text in, a reward and feedback out.

    A subclass sets `name` and `needs`, and defines `verdict`; where code has to run, `program` as well. It holds no
    state of an attempt: calls may come from several threads.
    """

    name: ClassVar[str] = ""  # as tasks name it: letters, digits, "-", "_", "."
    label: ClassVar[str] = ""  # for people, in lists of ways of judging; "" = the name
    needs: ClassVar[str] = "nothing"  # the fields of a task's `answer`, for people: 'text: ..., as {"text": ...}'
    # The kinds of feedback that it can give, each available alone. A task's answer may name one, {"feedback": "error"},
    # several, "error+examples", or "none". Empty: there is nothing to choose.
    feedback_kinds: ClassVar[tuple[str, ...]] = ()
    answer_field: ClassVar[str] = ""  # the field of a task's answer that a person types; "" = the answer as JSON
    judged_by: ClassVar[Literal["environment", "person", "judge"]] = "environment"  # judge: another model

    def check(self, task: Task) -> None:
        """Raise TaskError where a task cannot be judged; see `require`. Here: where `answer_field` is no text.

        Any other exception means that the answer lacks what is needed.
        """
        if self.answer_field:
            self.require(is_text(task.answer, self.answer_field))

    def reads_reasoning(self, task: Task) -> bool:
        """True where an attempt's reasoning is judged with its answer; else both methods below see the answer alone.

        Here: where a task asks to be graded as the paper's graders do, which read everything.
        """
        return task.answer.get("grading") == "paper"

    def program(self, task: Task, text: str) -> Program | None:
        """Give the code that the sandbox runs for an attempt, and the calls to make on it; None where nothing is run.

        Neither may contain expected values: an attempt's code can read both.
        """
        return None

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Judge an attempt's text; `result`: the outcome of its program, where there is one."""
        raise NotImplementedError

    def typed_answer(self, text: str) -> dict[str, Any]:
        """Turn what a person typed for a task into its `answer`. Raises TaskError for what cannot be read."""
        if self.answer_field:
            return {self.answer_field: text}
        if not text.strip():
            return {}
        answer = self.parse_json(text)
        if not isinstance(answer, dict):
            raise TaskError(f"The answer must be a JSON object; {self.name!r} needs {self.needs}.")
        return answer

    # For subclasses -----------------------------------------------------------------------------------------------
    def require(self, fits: bool) -> None:
        """Raise TaskError, naming what is needed, unless an answer fits."""
        if not fits:
            raise TaskError(f"Judging by {self.name!r} needs {self.needs}.")

    def parse_json(self, text: str) -> Any:
        """Parse typed JSON. Raises TaskError, naming what is needed."""
        try:
            return json.loads(text)
        except ValueError as error:  # RecursionError of deep nesting is a bug's, not a person's
            raise TaskError(f"The answer is not JSON ({error}); {self.name!r} needs {self.needs}.") from None

    def judgement(self, passed: bool, feedback: str | Sequence[FeedbackPart] = "", **details: Any) -> Judgement:
        """Make a verdict with reward 1 or 0; a pass has no feedback. A part that discloses the answer stays a part."""
        parts = () if isinstance(feedback, str) or passed else tuple(feedback)
        shown = (part.text for part in parts if part.kind != "answer")
        text = feedback if isinstance(feedback, str) else "\n".join(shown)
        return Judgement(float(passed), passed, "" if passed else text, details, parts)

    def feedback(self, task: Task, **texts: str) -> str:
        """Join those of the texts (kind of feedback = text) that the task asks for, one below the other."""
        kinds = self.wanted_feedback(task)
        return "\n".join(text for kind, text in texts.items() if text and kind in kinds)

    def wanted_feedback(self, task: Task) -> tuple[str, ...]:
        """List the kinds of feedback that a task asks for; all of them where it does not say.

        Raises TaskError for an unknown kind.
        """
        setting = task.answer.get("feedback") if self.feedback_kinds else None
        if setting is None:
            return self.feedback_kinds
        kinds = () if setting == NO_FEEDBACK else tuple(str(setting).split(_JOIN))
        for kind in kinds:
            if kind not in self.feedback_kinds:
                known = ", ".join((*self.feedback_kinds, NO_FEEDBACK))
                raise TaskError(f"{self.name!r} has no feedback {kind!r}; it has {known}.")
        return kinds

    def with_feedback(self, task: Task, kind: str) -> Task:
        """Copy a task so that this kind of feedback is given.

        Raises TaskError for an unknown kind, and where the environment has none to choose from.
        """
        if not self.feedback_kinds:
            raise TaskError(
                f"{self.name!r} has no kinds of feedback to choose from; use tasks of another environment, or leave "
                "out the kind of feedback."
            )
        changed = replace(task, answer={**task.answer, "feedback": kind})
        self.wanted_feedback(changed)
        return changed


def is_text(answer: Mapping[str, Any], key: str) -> bool:
    """True where a field of an answer is text that is not empty."""
    return isinstance(answer.get(key), str) and bool(answer[key])


def is_list(value: object) -> bool:
    """True where a value is a list in JSON; in a stored task it is a tuple."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
