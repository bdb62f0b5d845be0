"""Environments that compare an attempt's text with a text: `exact` and `contains`."""

from __future__ import annotations

from workbench.records import Judgement, Task
from workbench.tasks.environment import Environment
from workbench.tasks.sandbox import SandboxResult


class Exact(Environment):
    """The whole answer, apart from surrounding whitespace."""

    name = "exact"
    label = "exact text"
    needs = 'text: the whole answer, as {"text": ...}'
    answer_field = "text"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass exactly this text."""
        return self.judgement(text.strip() == task.answer["text"].strip(), "The answer is not the expected one.")


class Contains(Environment):
    """A text that must occur in the answer."""

    name = "contains"
    label = "contains a text"
    needs = 'text: what must occur, as {"text": ...}'
    answer_field = "text"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass an answer that contains the text; upper and lower case differ."""
        required = task.answer["text"]
        return self.judgement(required in text, f"The answer does not contain {required!r}.")
