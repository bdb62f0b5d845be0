"""What is true for one session of the page at one moment: what it chose, and what the board says of that.

Read once per refresh and shared by all panels, so that they never disagree. Knows nothing of Gradio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from workbench.config import SamplingConfig, SDPOConfig
from workbench.records import Attempt, Ledger, Task, UpdateReport
from workbench.ui.job import PERSON
from workbench.ui.rewards import by_policy
from workbench.ui.studio import Detail, Spans, Studio


class Moment:
    """A selection over the board. Asking for something that is not known yet puts a job for it in the queue."""

    def __init__(
        self,
        studio: Studio,
        task_id: str,
        chosen: str,
        config: SDPOConfig,
        sampling: SamplingConfig,
        spans: Spans | None = None,
        token: Mapping[str, Any] | None = None,
        experiments: Mapping[str, str] | None = None,
        tab: str = "",
    ) -> None:
        self.studio, self.config, self.sampling = studio, config, sampling
        self.spans = spans or {}
        self.token = token or {}
        self.experiments = experiments or {}
        self.tab = tab  # the name of the tab that looks, as jobs remember it
        self.desk = studio.desk
        self.version = self.desk.version  # read before the facts, which are as new or newer
        self.facts = self.desk.facts
        self.task_id = task_id or self._first_task()
        self.group = studio.group(self.task_id)
        self.attempt = pick(self.group, chosen)
        live = self.facts.get("live")
        # The texts of the attempts that are being sampled at this task, or None.
        self.live = live if live is not None and live["task_id"] == self.task_id else None
        self.working = self.desk.current is not None and self.desk.current.priority == PERSON

    def _first_task(self) -> str:
        """Where a new page starts: where something is happening, else the newest attempts, else the first task."""
        live = self.facts.get("live")
        if live:
            return str(live["task_id"])
        groups = list(self.facts.get("groups", {}))
        tasks = [task.id for listed in self.facts.get("tasks", {}).values() for task in listed]
        return (groups[-1:] or tasks[:1] or [""])[0]

    @property
    def held_out(self) -> Mapping[str, Mapping[str, Any]]:
        """Held-out pass rates by update, of the house that is worked in."""
        measured: Mapping[str, Mapping[str, Any]] = self.facts.get("held_out", {}).get(self.facts.get("house"), {})
        return measured

    @property
    def task(self) -> Task | None:
        """The chosen task, or None."""
        return self.studio.task(self.task_id)

    @property
    def place(self) -> tuple[int, int]:
        """Number of the chosen attempt in its group, from 1, and the size of the group."""
        return (self.group.index(self.attempt) + 1, len(self.group)) if self.attempt else (0, 0)

    @cached_property
    def found(self) -> dict[str, Detail | Exception | None]:
        """What is known of each attempt of the group; nothing while a new one is being sampled."""
        if self.live is not None:
            return {}
        return {a.id: self.studio.want_detail(a, self.config, shown=a is self.attempt) for a in self.group}

    @property
    def details(self) -> list[Detail | None]:
        """The same in the order of the group, without errors."""
        return [
            known if isinstance(known, Detail) else None for known in map(self.found.get, (a.id for a in self.group))
        ]

    @property
    def known(self) -> Detail | Exception | None:
        """What is known of the chosen attempt."""
        return self.found.get(self.attempt.id) if self.attempt else None

    @cached_property
    def ledger(self) -> tuple[Ledger, ...] | Exception | None:
        """Which attempts give signal, or None while that is being found out."""
        return self.studio.want_ledger(self.group, self.config, self.spans) if self.live is None else None  # type: ignore[no-any-return]

    @property
    def marked(self) -> tuple[int, int] | None:
        """The marked tokens of the chosen attempt, from 0, end excluded."""
        span = self.spans.get(self.attempt.id) if self.attempt else None
        return (span[0], span[1]) if span else None

    @cached_property
    def report(self) -> UpdateReport | None:
        """The newest update on the path to the head that used the chosen attempt."""
        return self.studio.report(self.attempt) if self.attempt else None

    @cached_property
    def path(self) -> list[Mapping[str, Any]]:
        """The nodes of the timeline from the root to the head."""
        return path_to(self.facts.get("timeline", ()), self.facts.get("head", ""))

    @cached_property
    def rewards(self) -> list[dict[str, Any]]:
        """How the attempts at the chosen task were rewarded, policy by policy on that path."""
        return by_policy(self.facts.get("rewards", {}).get(self.task_id, {}), self.path)


def path_to(nodes: Sequence[Mapping[str, Any]], update_id: str) -> list[Mapping[str, Any]]:
    """The nodes from the root to an update."""
    known = {node["update_id"]: node for node in nodes}
    path = []
    here = known.get(update_id)
    while here is not None:
        path.append(here)
        here = known.get(here.get("parent_id") or "")
    return path[::-1]


def pick(group: Sequence[Attempt], chosen: str | None) -> Attempt | None:
    """The chosen attempt; else the first failed one that got feedback, else the first failed, else the first."""
    fits: tuple[Callable[[Attempt], Any], ...] = (
        lambda a: a.id == chosen,
        lambda a: not a.passed and a.feedback,
        lambda a: not a.passed,
    )
    for fit in fits:
        for attempt in group:
            if fit(attempt):
                return attempt
    return group[0] if group else None
