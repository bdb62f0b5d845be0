"""Environments that compare an attempt's text with a text: `exact` and `contains`."""

from __future__ import annotations

from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.environment import Environment
from workbench.tasks.reading.text import brief, comparable, without_frame
from workbench.tasks.sandbox import SandboxResult


class Exact(Environment):
    """The whole answer, apart from surrounding whitespace and an answer tag around it."""

    name = "exact"
    label = "exact text"
    needs = 'text: the whole answer, as {"text": ...}'
    answer_field = "text"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass exactly this text."""
        right, given = comparable(task.answer["text"]).strip(), comparable(text).strip()
        passed = right in (given, without_frame(given).strip())
        feedback = [
            FeedbackPart("outcome", "The answer is not the expected one."),
            FeedbackPart("answer", f"The expected answer is {right!r}."),
        ]
        return self.judgement(passed, feedback, read_as=brief(given))


class Contains(Environment):
    """A text that must occur in the answer."""

    name = "contains"
    label = "contains a text"
    needs = 'text: what must occur, as {"text": ...}'
    answer_field = "text"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass an answer that contains the text; upper and lower case differ."""
        required = comparable(task.answer["text"])
        feedback = [
            FeedbackPart("outcome", "The answer does not contain the expected text."),
            FeedbackPart("answer", f"The answer should contain {required!r}."),
        ]
        return self.judgement(required in comparable(text), feedback, read_as=brief(text))
