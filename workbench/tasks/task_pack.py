"""`TaskPack`: a list of tasks, from a file or typed by people, some of them held out.

Where no task names its side, a fifth of the prompts is held out: those whose hashes come first. So the split
depends on nothing but the prompts and the pack's own seed, and adding a row moves at most one other row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from workbench.records import Task
from workbench.tasks.pack import PackFacts

HELD_OUT_SHARE = 0.2


class TaskPack:
    """Tasks under one name. Those with equal prompts are on the same side."""

    def __init__(self, name: str, tasks: Sequence[Task], *, split_seed: int = 0) -> None:
        self.name, self.tasks = name, list(tasks)
        self._declared = any(task.split is not None for task in tasks)
        held_out = self._held_out_prompts(split_seed)
        ordered = sorted(tasks, key=lambda task: (_hash(split_seed, _prompt(task)), task.id))
        self._held_out = [task for task in ordered if _prompt(task) in held_out and task.split != "train"]
        self._train = [task for task in tasks if _prompt(task) not in held_out]

    def _held_out_prompts(self, split_seed: int) -> set[str]:
        if self._declared:
            return {_prompt(task) for task in self.tasks if task.split == "held_out"}
        prompts = sorted({_prompt(task) for task in self.tasks}, key=lambda prompt: _hash(split_seed, prompt))
        count = max(1, round(HELD_OUT_SHARE * len(prompts))) if len(prompts) > 1 else 0
        return set(prompts[:count])

    def train(self, count: int, seed: int = 0) -> list[Task]:
        """Give at most `count` of the tasks to learn from, ordered by a hash with the seed."""
        return sorted(self._train, key=lambda task: _hash(seed, task.id))[:count]

    def held_out(self, count: int) -> list[Task]:
        """Give at most `count` of the held-out tasks, always the same first ones."""
        return self._held_out[:count]

    def describe(self) -> PackFacts:
        """Describe the pack: how many tasks are on each side, and why."""
        train, held_out = len(self._train), len(self._held_out)
        why = "as its rows say" if self._declared else "a fifth of the prompts, chosen by a hash"
        summary = f"{len(self.tasks)} tasks: {train} to learn from, {held_out} held out ({why})."
        left_out = len(self.tasks) - train - held_out
        if left_out:
            summary += f" Left out: {left_out} marked as training tasks although their prompts are held out."
        environments = tuple(dict.fromkeys(task.environment for task in self.tasks))
        return PackFacts(summary, train, held_out, environments, self._digest())

    def _digest(self) -> str:
        rows = [
            [task.id, task.prompt, task.environment, dict(task.answer), task.system, task.split] for task in self.tasks
        ]
        text = json.dumps(sorted(rows, key=lambda row: row[0]), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prompt(task: Task) -> str:
    """Normalise the spacing of a prompt."""
    return " ".join(task.prompt.split())


def _hash(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed} {text}".encode()).digest()
