"""A run as its log has it: everything of a session that needs no model. Knows nothing of policies and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from workbench import evidence
from workbench.config import SDPOConfig
from workbench.credit import DEFAULT_CONTEXTS, VIEWS
from workbench.credit.contexts import chosen
from workbench.errors import ConfigError, FeedbackError, RunError, TaskError
from workbench.records import Attempt, Ledger, Task, UpdateReport
from workbench.runs import Event, Run, Verification, verify
from workbench.runs.timeline import path_to_root
from workbench.session import credit_store
from workbench.session.credit_test import CreditTest, tests_in
from workbench.session.health import Alarm, alarms
from workbench.session.held_out_rates import HELD_OUT, held_out_rates
from workbench.session.run_comparison import RunComparison, compare_runs, runs_beside
from workbench.session.selection import Spans, selected
from workbench.session.tasks import TaskBook
from workbench.statistics import HeldOut
from workbench.tasks import find_pack
from workbench.tasks.house_rules.pack import DEFAULT_HOUSE, PACK
from workbench.tasks.pack import check_split, rate_name


@dataclass(frozen=True, slots=True)
class TimelineNode:
    """One state of the policy in the tree of updates."""

    update_id: str
    parent_id: str | None
    name: str  # the branch
    created: str  # UTC, ISO 8601
    is_head: bool
    report: UpdateReport | None  # None for the root


class RunBook(TaskBook):
    """A run: its tasks, attempts, credits and updates; the middle of a session."""

    def __init__(self, run: Run) -> None:
        state = run.state()
        super().__init__(run, state.tasks)
        self._attempts: dict[str, Attempt] = dict(state.attempts)
        self._reports: dict[str, UpdateReport] = dict(state.reports)

    @property
    def pack(self) -> str:
        """The pack that this run works in, as `held_out_rates` names it: that of its newest attempt, else of its
        newest task, of which a held-out rate can be measured. A task of a house belongs to that house.
        """
        attempted = (self._tasks.get(attempt.task_id) for attempt in reversed(self._attempts.values()))
        refused: set[str] = set()
        for task in chain(attempted, reversed(self._tasks.values())):
            if task is None or (name := task.id.rpartition("/")[0]) in refused:
                continue
            if task.environment == PACK:
                return f"{PACK}@{task.answer['house']}"
            try:
                pack = find_pack(name, self._tasks.values())
                check_split(pack)
                return rate_name(pack)
            except TaskError:
                refused.add(name)
        return f"{PACK}@{DEFAULT_HOUSE}"

    def close(self) -> None:
        """Give the run back; a second call does nothing."""
        with self._lock:
            self.run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def credit_tests(self) -> list[CreditTest]:
        """What testing credits found out in this run, oldest first; tests of the same two tokens add up."""
        with self._lock:
            return tests_in(self.run)

    def held_out_rates(self) -> dict[str, dict[str, HeldOut]]:
        """Name of the pack -> update id -> the held-out pass rate measured there last."""
        with self._lock:
            return held_out_rates(self.run.events(HELD_OUT))

    # Other runs --------------------------------------------------------------------------------------------------
    def runs_beside(self) -> list[str]:
        """The names of the other runs in this run's directory's parent."""
        return runs_beside(self.run.path)

    def compare_runs(self, other: str) -> RunComparison:
        """This run beside another one of `runs_beside`, from what is on disk. Raises RunError where there is none."""
        if other not in self.runs_beside():
            named = ", ".join(self.runs_beside()) or "none"
            raise RunError(f"There is no run {other!r} beside this one; there are: {named}.")
        return compare_runs(self.run.path, self.run.path.absolute().parent / other)

    # Attempts ----------------------------------------------------------------------------------------------------
    def attempts(self, task: Task | None = None) -> list[Attempt]:
        """All attempts with the feedback in force, or those at one task; the newest last."""
        with self._lock:
            return [a for a in self._attempts.values() if task is None or a.task_id == task.id]

    def rewards(self, task: Task | None = None) -> dict[str, dict[str, list[float]]]:
        """Task id -> update id -> the rewards in force (0 to 1) of that policy's attempts at the task, oldest first.

        Of all tasks, or of one. Only samples of the policy's own: not attempts with a forced token, nor those that
        multi-turn made after others (theirs are the longer prompts).
        """
        found: dict[str, dict[str, list[float]]] = {}
        with self._lock:
            own = [one for one in self.attempts(task) if one.parent_id is None]
        lengths: dict[str, int] = {}
        for one in own:
            lengths[one.task_id] = min(len(one.prompt_ids), lengths.get(one.task_id, len(one.prompt_ids)))
        for one in own:
            if len(one.prompt_ids) == lengths[one.task_id]:
                found.setdefault(one.task_id, {}).setdefault(one.update_id, []).append(one.reward)
        return found

    def _known(self, attempt: Attempt) -> Attempt:
        if attempt.id not in self._attempts:
            raise FeedbackError(f"There is no attempt {attempt.id!r} in this run; sample or choose another.")
        return self._attempts[attempt.id]

    def _group(self, attempt: Attempt) -> list[Attempt]:
        return [other for other in self._attempts.values() if other.group_id == attempt.group_id]

    def shown_to_teacher(self, attempt: Attempt, config: SDPOConfig | None = None) -> evidence.Evidence:
        """What the self-teacher of an attempt is shown beside the question. Raises FeedbackError."""
        with self._lock:
            return self._evidence(self._known(attempt), config or SDPOConfig())

    def _evidence(self, attempt: Attempt, config: SDPOConfig) -> evidence.Evidence:
        chosen = self._attempts.get(attempt.demonstration_id or "")
        group = self._group(attempt)
        return evidence.gather(attempt, group if chosen is None or chosen in group else [*group, chosen], config)

    # Credit ------------------------------------------------------------------------------------------------------
    @staticmethod
    def contexts_of(view: str) -> tuple[str, ...]:
        """The contexts to ask `credit` for so that it can be read as this view. Raises ConfigError for another name."""
        if view not in VIEWS:
            raise ConfigError(f"There is no view named {view!r}; there are {', '.join(VIEWS)}.")
        return chosen({*DEFAULT_CONTEXTS, *VIEWS[view].needs})

    def credits(self, attempt: Attempt | None = None) -> list[credit_store.StoredCredit]:
        """Every credit of this run (or of one attempt) with what it was computed from, oldest first."""
        with self._lock:
            return credit_store.stored(self.run, None if attempt is None else self._known(attempt).id)

    def ledger(
        self, attempts: Sequence[Attempt], config: SDPOConfig | None = None, *, spans: Spans | None = None
    ) -> tuple[Ledger, ...]:
        """Which attempts give signal to an update, and why not the others; `spans` as in `update`."""
        config = config or SDPOConfig()
        with self._lock:
            known = [self._known(attempt) for attempt in attempts]
            chosen = selected(spans, known)
            return tuple(
                evidence.explain(one, self._evidence(one, config), known, config, chosen.get(one.id)) for one in known
            )

    # Timeline ----------------------------------------------------------------------------------------------------
    @property
    def head(self) -> str:
        """The id of the update in force; "root" before the first."""
        return self.run.head

    def events(self) -> list[Event]:
        """The log, oldest first."""
        return self.run.events()

    def timeline(self) -> list[TimelineNode]:
        """The tree of updates, oldest first."""
        with self._lock:
            timeline = self.run.timeline
            return [
                TimelineNode(
                    node.id, node.parent, node.name, node.created, node.id == timeline.head, self._reports.get(node.id)
                )
                for node in timeline.nodes.values()
            ]

    def alarms(self, update_id: str | None = None) -> list[Alarm]:
        """What is worrying about an update (None: the head's), given those before it; nothing for the root.

        Raises RunError when it is unknown.
        """
        with self._lock:
            path = path_to_root(self.run.timeline, self.head if update_id is None else update_id)
            reports = [self._reports[step] for step in reversed(path) if step in self._reports]
            return alarms(reports[-1], reports[:-1]) if path[0] in self._reports else []

    def verify(self) -> Verification:
        """Check every blob and every event of the run as it lies on disk."""
        return verify(self.run.path)
