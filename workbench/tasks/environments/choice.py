"""The environment `choice`: one letter of several."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks import paper
from workbench.tasks.environment import Environment, is_list
from workbench.tasks.reading.letters import options_in, read_letter
from workbench.tasks.sandbox import SandboxResult

_LONGEST_READ = 200  # characters of what the paper's grader reads, where it is shown
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

    def check(self, task: Task) -> None:
        """Require a letter, among those of the options where they are given."""
        paper.check_grading(task.answer.get("grading", "sound"))
        options = task.answer.get("options")
        fits = options is None or (type(options) is int and 2 <= options <= 26)
        if is_list(options):
            fits = 2 <= len(task.answer["options"]) <= 26 and all(isinstance(text, str) for text in options)
        elif isinstance(options, Mapping):
            fits = all(re.fullmatch("[A-Z]", str(key)) and isinstance(text, str) for key, text in options.items())
        self.require(fits and str(task.answer.get("choice")) in _options(task))

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass the right letter."""
        if paper.is_paper(task.answer):
            read = paper.read_choice(text)
            return self.judgement(read == task.answer["choice"], read_as=read[:_LONGEST_READ])
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
