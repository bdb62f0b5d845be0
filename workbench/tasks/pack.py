"""`Pack`: tasks to learn from, and tasks that are held out, under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from workbench.records import Task


@dataclass(frozen=True, slots=True)
class PackFacts:
    """A pack, described: plain data."""

    summary: str  # one sentence for people
    train: int | None  # different tasks to learn from; None: any number
    held_out: int | None
    environments: tuple[str, ...]  # of its tasks, by name
    digest: str = ""  # of the tasks, where they could change under the same name: a resumed experiment needs the same


class Pack(Protocol):
    """Tasks with a split, under a name. The same arguments always give the same tasks."""

    @property
    def name(self) -> str:
        """Letters, digits, "-", "_", "."; the ids of its tasks are "NAME/..."."""
        ...

    def train(self, count: int, seed: int = 0) -> list[Task]:
        """Give at most `count` different tasks to learn from, in an order that the seed decides."""
        ...

    def held_out(self, count: int) -> list[Task]:
        """Give at most `count` different tasks that nobody trains on."""
        ...

    def describe(self) -> PackFacts:
        """Describe the pack."""
        ...


def rate_name(pack: Pack) -> str:
    """Name under which held-out rates of a pack are kept, whatever kind of feedback its tasks give."""
    return str(getattr(pack, "rate_name", pack.name))
