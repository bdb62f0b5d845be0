"""The project's own tasks of the paper's domains, as files of rows in the published formats."""

from __future__ import annotations

import json
from functools import cached_property
from importlib.resources import files

from workbench.records import Task
from workbench.tasks.pack import PackFacts
from workbench.tasks.published import own_row
from workbench.tasks.task_pack import TaskPack


class OwnPack:
    """A pack whose rows are a file beside this module; read when it is first asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def tasks(self, grading: str = "sound") -> list[Task]:
        """Read all tasks, in the order of the file. Raises TaskError for an unknown grading."""
        text = (files(__name__) / f"{self.name}.jsonl").read_text(encoding="utf-8")
        rows = [own_row(json.loads(line), grading) for line in text.splitlines()]
        fields = ("prompt", "environment", "answer", "system")
        return [Task(f"{self.name}/{row['name']}", *(row[field] for field in fields)) for row in rows]

    def train(self, count: int, seed: int = 0) -> list[Task]:
        """Give tasks to learn from, as every pack does."""
        return self._pack.train(count, seed)

    def held_out(self, count: int) -> list[Task]:
        """Give held-out tasks, as every pack does."""
        return self._pack.held_out(count)

    def describe(self) -> PackFacts:
        """Describe the pack, as every pack does."""
        return self._pack.describe()

    @cached_property
    def _pack(self) -> TaskPack:
        return TaskPack(self.name, self.tasks())


OWN_PACKS = (OwnPack("science"), OwnPack("tools"), OwnPack("programs"))
