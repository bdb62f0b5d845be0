"""The pack `code-style`: small functions that are to be written in one way of several that are right."""

from __future__ import annotations

import random

from workbench.records import Task
from workbench.tasks import PackFacts

NUMBERS = range(1, 8)
SPECIFICATIONS = [
    *(f"Write f(xs): sort, then take {n}." for n in NUMBERS),
    *(f"Write f(xs): sort, then drop {n}." for n in NUMBERS),
]
HELD_OUT = SPECIFICATIONS[2::5]  # every fifth
WORDS = {"uses": ["sorted", "reverse=True"]}


class CodeStyle:
    """Sorting functions, which must sort from the largest down."""

    name = "code-style"

    def train(self, count: int, seed: int = 0) -> list[Task]:
        """Tasks to learn from, shuffled by the seed."""
        chosen = [text for text in SPECIFICATIONS if text not in HELD_OUT]
        random.Random(seed).shuffle(chosen)
        return [self._task(text) for text in chosen[:count]]

    def held_out(self, count: int) -> list[Task]:
        """Tasks that are never trained on."""
        return [self._task(text) for text in HELD_OUT[:count]]

    def describe(self) -> PackFacts:
        """Count the tasks on each side."""
        train = len(SPECIFICATIONS) - len(HELD_OUT)
        return PackFacts("Functions that sort from the largest down.", train, len(HELD_OUT), ("style",))

    def _task(self, text: str) -> Task:
        return Task(f"{self.name}/{SPECIFICATIONS.index(text)}", text, "style", WORDS)
