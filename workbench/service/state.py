"""Published state of the open run, which pages and programs read without waiting: one frozen value, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.experiments.journal import Record
    from workbench.records import Attempt, Pace, Task, UpdateReport
    from workbench.session.credit_test import CreditTest
    from workbench.session.history import TimelineNode
    from workbench.session.library import RunFacts
    from workbench.statistics import HeldOut
    from workbench.tasks.files.imports import PackSource


@dataclass(frozen=True, slots=True)
class LiveGroup:
    """A group of attempts while it is sampled."""

    task_id: str
    texts: tuple[str, ...]  # of each attempt, so far


@dataclass(frozen=True, slots=True)
class PublishedState:
    """The open run as it is now. Published by the worker; a new value for every change, so that readers never lock."""

    run: str = ""  # name of its directory
    read_only: bool = False  # a replay: there is no model
    policy: Mapping[str, Any] = field(default_factory=dict)  # facts of the policy: model, parameters, device, ...
    judges: tuple[Mapping[str, Any], ...] = ()  # other models in memory: "model", "memory_bytes"
    tasks: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)  # by pack
    pack_sources: Mapping[str, PackSource] = field(default_factory=dict)  # by pack, the newest import last
    attempts: dict[str, tuple[Attempt, ...]] = field(default_factory=dict)  # by task id; the newest task comes last
    rewards: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)  # by task id, then update id
    live: LiveGroup | None = None
    timeline: tuple[TimelineNode, ...] = ()  # oldest first
    head: str = ""  # id of the update in force
    alarms: tuple[str, ...] = ()  # about that update, a sentence each
    damage: str = ""  # which part of the run on disk cannot be used, in words
    held_out: Mapping[str, Mapping[str, HeldOut]] = field(default_factory=dict)  # by pack, then update id
    pack: str = ""  # the current one: its held-out rate is measured
    pace: float | None = None  # seconds per token read, in the last update
    writing: Pace | None = None  # as measured when the policy was loaded, corrected by every group that is sampled
    experiments: Mapping[str, Record] = field(default_factory=dict)  # by name, oldest first
    experiment: str = ""  # name of the one that runs
    tests: Mapping[str, tuple[CreditTest, ...]] = field(default_factory=dict)  # of credit, by attempt id
    runs: tuple[RunFacts, ...] | None = None  # in the same directory, as last listed

    def task(self, task_id: str) -> Task | None:
        """The task with this id, or None."""
        return next((task for tasks in self.tasks.values() for task in tasks if task.id == task_id), None)

    def group(self, task_id: str) -> tuple[Attempt, ...]:
        """The group of attempts at a task that was sampled last."""
        attempts = self.attempts.get(task_id, ())
        newest = next(reversed(dict.fromkeys(attempt.group_id for attempt in attempts)), None)
        return tuple(attempt for attempt in attempts if attempt.group_id == newest)

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The attempt with this id, or None."""
        newest_first = (attempt for attempts in reversed(self.attempts.values()) for attempt in reversed(attempts))
        return next((attempt for attempt in newest_first if attempt.id == attempt_id), None)

    def with_group(self, attempt_id: str) -> tuple[Attempt, ...]:
        """The attempts that were sampled together with this one, including itself; () where it is unknown."""
        attempt = self.attempt(attempt_id)
        same_task = () if attempt is None else self.attempts[attempt.task_id]
        return tuple(other for other in same_task if attempt is not None and other.group_id == attempt.group_id)

    def path(self) -> list[TimelineNode]:
        """The nodes of the timeline from the root to the head."""
        return path_to(self.timeline, self.head)

    def report(self, attempt: Attempt) -> UpdateReport | None:
        """The report of the newest update on the path to the head that used this attempt, or None."""
        reports = (node.report for node in reversed(self.path()))
        return next((report for report in reports if report is not None and attempt.id in report.realised), None)


def path_to(nodes: Sequence[TimelineNode], update_id: str) -> list[TimelineNode]:
    """The nodes from the root to an update."""
    by_id = {node.update_id: node for node in nodes}
    path = []
    node = by_id.get(update_id)
    while node is not None:
        path.append(node)
        node = by_id.get(node.parent_id or "")
    return path[::-1]
