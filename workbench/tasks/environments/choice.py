"""The environment `choice`: one letter of several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks import paper
from workbench.tasks.blocks import Block, options_block, question_blocks
from workbench.tasks.environment import Environment, is_list
from workbench.tasks.fields import AnswerField
from workbench.tasks.reading.letters import options_in, read_letter
from workbench.tasks.sandbox import SandboxResult

_LONGEST_READ = 200  # characters of what was read, where it is shown
_USUAL = "ABCDEFGHIJ"  # where a task does not say how many there are


class Choice(Environment):
    """An option, chosen by its letter or by its text. docs/graders.md says what is read as the choice."""

    name = "choice"
    label = "choice (a letter)"
    needs = (
        'choice: the right letter, as {"choice": "B"}; and, where the prompt does not list them from A on, '
        'options: their texts or their number, as {"choice": "B", "options": ["red", "blue"]}'
    )
    answer_field = "choice"
    fields = (
        AnswerField(
            "choice", "Right letter", "choice", needed=True, options=tuple(_USUAL), info="Of the options in the prompt."
        ),
        AnswerField("options", "Options", "lines", info="One a line, from A on, where the prompt does not list them."),
    )

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read each line as an option."""
        answer = super().filled(values)
        lines = [line.strip() for line in answer.pop("options", "").splitlines() if line.strip()]
        return {**answer, "options": lines} if lines else answer

    def check(self, task: Task) -> None:
        """Require a letter, among those of the options where they are given."""
        paper.check_grading(task.answer.get("grading", "sound"))
        options = task.answer.get("options")
        fits = options is None or (type(options) is int and 2 <= options <= 26)
        if is_list(options):
            texts = task.answer["options"]
            fits = 2 <= len(texts) <= 26 and all(isinstance(text, str) for text in texts)
        elif isinstance(options, Mapping):
            fits = all(re.fullmatch("[A-Z]", str(key)) and isinstance(text, str) for key, text in options.items())
        self.require(fits and str(task.answer.get("choice")) in _options(task))

    def show(self, task: Task) -> Sequence[Block]:
        """Show the question, and the options as a list."""
        blocks = question_blocks(task.prompt)
        named = {letter: text for letter, text in _options(task).items() if text}
        listed = any(block["kind"] == "options" for block in blocks)
        return blocks if listed or not named else [*blocks, options_block(named)]

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass the right letter."""
        if paper.is_paper(task.answer):
            letter = paper.read_choice(text)
            return self.judgement(letter == task.answer["choice"], read_as=letter[:_LONGEST_READ])
        right, options = task.answer["choice"], _options(task)
        choice = read_letter(text, options)
        if choice.letter == right:
            return self.judgement(True, read_as=choice.shown)
        if not choice.shown:
            feedback = FeedbackPart("format", "No choice was found; answer with one letter.")
        elif not choice.letter:
            feedback = FeedbackPart("format", f"{choice.shown} is more than one choice; answer with one letter.")
        else:
            feedback = FeedbackPart("outcome", f"{choice.letter} is not the right choice.")
        answer = FeedbackPart("answer", f"The right choice is {right}.")
        return self.judgement(False, [feedback, answer], read_as=choice.shown)


def _options(task: Task) -> dict[str, str]:
    """Letters that may be chosen, with their texts where they are known."""
    given = task.answer.get("options")
    if isinstance(given, Mapping):
        return {str(letter): str(text) for letter, text in given.items()}
    if is_list(given):
        return {chr(ord("A") + place): str(text) for place, text in enumerate(task.answer["options"])}
    if given is not None:
        return {chr(ord("A") + place): "" for place in range(int(given))}
    listed = options_in(task.prompt)
    return listed if task.answer.get("choice") in listed else dict.fromkeys(_USUAL, "")
