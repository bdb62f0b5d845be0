"""House rules as a `Pack`: any number of tasks of one house, on both sides of the corpus's split."""

from __future__ import annotations

from workbench.records import Task
from workbench.tasks.house_rules.pack import PACK, check_kind, house_tasks, pack_name, parse_house
from workbench.tasks.pack import PackFacts

DIFFERENT_TASKS = 240  # a longer run sees them again: there are not many more short specifications


class HouseRules:
    """The tasks of one house, `house-rules[@SEED][:KIND]`."""

    def __init__(self, name: str) -> None:
        """Raise TaskError for a name of another form."""
        self.name = name
        self._house, _ = parse_house(name)
        self.rate_name = f"{PACK}@{self._house.seed}"

    def train(self, count: int, seed: int = 0) -> list[Task]:
        """Draw tasks of one to three stages in turn."""
        return house_tasks(self.name, count, held_out=False, seed=seed)

    def held_out(self, count: int) -> list[Task]:
        """Draw tasks whose specifications the embedded policy's corpus never shows."""
        return house_tasks(self.name, count, held_out=True)

    def describe(self) -> PackFacts:
        """Describe the pack: any number of tasks."""
        summary = f"Specifications that house {self._house.seed} reads in its own way; any number of tasks."
        return PackFacts(summary, DIFFERENT_TASKS, None, (PACK,))

    def with_feedback(self, kind: str) -> HouseRules:
        """The same house with another kind of feedback. Raises TaskError for an unknown kind."""
        check_kind(kind)
        return HouseRules(pack_name(self._house, kind))
