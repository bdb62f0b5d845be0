"""Snapshot of one browser session: its selection plus the published state.

Taken once per refresh and shared by all panels, so that they never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.config import SamplingConfig, SDPOConfig
from workbench.records import Attempt, SignalReport, Task, UpdateReport
from workbench.service.actions.lift import wanted_lift
from workbench.service.actions.round import AttemptDetail, credit, ledger
from workbench.service.checks import Spans
from workbench.service.job import AHEAD, PERSON, SHOWN
from workbench.service.queue import JobQueue
from workbench.service.rewards import by_policy
from workbench.service.state import PublishedState

if TYPE_CHECKING:
    from workbench.session.history import TimelineNode
    from workbench.session.lift import TeacherLift


class Snapshot:
    """A selection over the published state. Reading a result that is not known yet puts a job for it in the queue."""

    def __init__(
        self,
        queue: JobQueue,
        task_id: str,
        chosen: str,
        config: SDPOConfig,
        sampling: SamplingConfig,
        spans: Spans | None = None,
        token: Mapping[str, Any] | None = None,
        experiments: Mapping[str, str] | None = None,
        tab: str = "",
    ) -> None:
        self.queue, self.config, self.sampling = queue, config, sampling
        self.spans = spans or {}
        self.token = token or {}
        self.experiments = experiments or {}
        self.tab = tab  # name of the browser tab, as jobs record it
        self.version = queue.version  # read before the state, which is as new or newer
        self.state: PublishedState = queue.state
        self.task_id = task_id or self._first_task()
        self.group = self.state.group(self.task_id)
        self.attempt = pick(self.group, chosen)
        live = self.state.live
        # The group that is being sampled at this task, or None.
        self.live = live if live is not None and live.task_id == self.task_id else None
        self.working = queue.current is not None and queue.current.priority == PERSON

    def _first_task(self) -> str:
        """The task that a new page shows: the one being sampled, else that of the newest attempts, else the first."""
        state = self.state
        if state.live is not None:
            return state.live.task_id
        tasks = [task.id for listed in state.tasks.values() for task in listed]
        return ([*state.attempts][-1:] or tasks[:1] or [""])[0]

    @property
    def held_out(self) -> dict[str, dict[str, float]]:
        """Held-out pass rates by update, as JSON data, on the current pack."""
        rates = self.state.held_out.get(self.state.pack, {})
        return {update_id: rate.to_json() for update_id, rate in rates.items()}

    @property
    def task(self) -> Task | None:
        """The chosen task, or None."""
        return self.state.task(self.task_id)

    @property
    def place(self) -> tuple[int, int]:
        """Number of the chosen attempt in its group, from 1, and the size of the group."""
        return (self.group.index(self.attempt) + 1, len(self.group)) if self.attempt else (0, 0)

    @cached_property
    def credits(self) -> dict[str, AttemptDetail | Exception | None]:
        """The credit of each attempt of the group, None while it is being scored; {} while a new group is sampled."""
        return {} if self.live is not None else {attempt.id: self._credit(attempt) for attempt in self.group}

    def _credit(self, attempt: Attempt) -> AttemptDetail | Exception | None:
        return wanted_credit(self.queue, attempt, self.config, shown=attempt is self.attempt)

    @property
    def details(self) -> list[AttemptDetail | None]:
        """The credits in the order of the group; None for those that are missing or failed."""
        scored = [self.credits.get(attempt.id) for attempt in self.group]
        return [credit if isinstance(credit, AttemptDetail) else None for credit in scored]

    @property
    def detail(self) -> AttemptDetail | Exception | None:
        """The credit of the chosen attempt."""
        return self.credits.get(self.attempt.id) if self.attempt else None

    @cached_property
    def ledger(self) -> tuple[SignalReport, ...] | Exception | None:
        """Signal reports of the group's attempts, or None while they are being made."""
        if self.live is not None or not self.group:
            return None
        ids = [attempt.id for attempt in self.group]
        spans = {attempt: span for attempt, span in self.spans.items() if attempt in ids}
        return ledger.want(self.queue, ids, self.config, spans)

    @cached_property
    def lift(self) -> TeacherLift | Exception | None:
        """The teacher lift of the group; measured by itself where that is quick, else once someone asks for it."""
        if not isinstance(self.ledger, tuple) or not any(entry.used for entry in self.ledger):
            return None
        return wanted_lift(self.queue, self.group, self.config, ready=all(self.details))

    @property
    def marked(self) -> tuple[int, int] | None:
        """The marked tokens of the chosen attempt, from 0, end excluded."""
        span = self.spans.get(self.attempt.id) if self.attempt else None
        return (span[0], span[1]) if span else None

    @cached_property
    def report(self) -> UpdateReport | None:
        """The newest update on the path to the head that used the chosen attempt."""
        return self.state.report(self.attempt) if self.attempt else None

    @cached_property
    def path(self) -> list[TimelineNode]:
        """The nodes of the timeline from the root to the head."""
        return self.state.path()

    @cached_property
    def rewards(self) -> list[dict[str, Any]]:
        """The rewards of the attempts at the chosen task, policy by policy on that path."""
        return by_policy(self.state.rewards.get(self.task_id, {}), self.path)


def wanted_credit(
    queue: JobQueue, attempt: Attempt, config: SDPOConfig, *, shown: bool
) -> AttemptDetail | Exception | None:
    """The attempt's credit if it is known; otherwise None, with a job that scores it in the queue.

    The first colours come from the cheap contexts. The attempt that is shown then gets all contexts, behind everything
    else, and with them the remaining views.
    """
    first = credit.want(queue, attempt.id, config, None, priority=SHOWN if shown else AHEAD)
    if not (shown and isinstance(first, AttemptDetail)):
        return first
    complete = credit.want(queue, attempt.id, config, ["all"], priority=AHEAD)
    return complete if isinstance(complete, AttemptDetail) else first


def pick(group: Sequence[Attempt], chosen: str | None) -> Attempt | None:
    """Pick the chosen attempt; else the first failed one with feedback, else the first failed, else the first."""
    tests: tuple[Callable[[Attempt], Any], ...] = (
        lambda attempt: attempt.id == chosen,
        lambda attempt: not attempt.passed and attempt.feedback,
        lambda attempt: not attempt.passed,
    )
    for test in tests:
        for attempt in group:
            if test(attempt):
                return attempt
    return group[0] if group else None
