"""The environment `choice`: one letter of several."""

from __future__ import annotations

import re

from workbench.records import Judgement, Task
from workbench.tasks import paper
from workbench.tasks.environment import Environment
from workbench.tasks.sandbox import SandboxResult

_LONGEST_READ = 200  # characters of what was read, where it is shown


class Choice(Environment):
    """The last capital letter from A to J that stands by itself is the choice."""

    name = "choice"
    label = "choice (a letter)"
    needs = 'choice: the right letter from A to J, as {"choice": "B"}'
    answer_field = "choice"

    def check(self, task: Task) -> None:
        """Require a letter."""
        paper.check_grading(task.answer.get("grading", "sound"))
        self.require(re.fullmatch("[A-J]", str(task.answer.get("choice"))) is not None)

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass the right letter."""
        if paper.is_paper(task.answer):
            read = paper.read_choice(text)
            return self.judgement(read == task.answer["choice"], read_as=read[:_LONGEST_READ])
        letters = re.findall(r"\b([A-J])\b", text)
        if not letters:
            return self.judgement(False, "No choice was found; answer with one capital letter.")
        return self.judgement(letters[-1] == task.answer["choice"], f"{letters[-1]} is not the right choice.")
