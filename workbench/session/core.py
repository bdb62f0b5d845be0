"""The state that every step of a session works on: a run as held in memory, and its policy.

The steps themselves are plain functions in the modules beside this one; each takes this state first and holds its
lock while it works. `Session` and `Replay` bind them as their methods, and are this state. Knows nothing of pages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Self

from workbench.config import PolicyConfig
from workbench.errors import FeedbackError, StoppedError, TaskError
from workbench.policy import Policy
from workbench.policy.judge import ModelJudge
from workbench.probe import Probe
from workbench.records import Attempt, Task, UpdateReport, pack_of
from workbench.runs import Run
from workbench.session.credit_store import stored_bases
from workbench.tasks import find_pack
from workbench.tasks.drawing import check_split
from workbench.tasks.house_rules.pack import DEFAULT_HOUSE, PACK
from workbench.tasks.pack import rate_name


class OpenRun:
    """An open run, with or without its model; the tasks, attempts and updates of its log, by id."""

    def __init__(self, run: Run) -> None:
        state = run.state()
        self.run = run
        self.lock = threading.RLock()  # held by every step; calls from several threads wait for each other
        self.tasks_by_id: dict[str, Task] = dict(state.tasks)
        self.attempts_by_id: dict[str, Attempt] = dict(state.attempts)
        self.reports_by_id: dict[str, UpdateReport] = dict(state.reports)

    @property
    def head(self) -> str:
        """The id of the update in force; "root" before the first."""
        return self.run.head

    @property
    def pack(self) -> str:
        """The pack that this run works in, as `held_out_rates` names it: that of its newest attempt, else of its
        newest task, of which a held-out rate can be measured. A task of a house belongs to that house.
        """
        attempted = (self.tasks_by_id.get(attempt.task_id) for attempt in reversed(self.attempts_by_id.values()))
        refused: set[str] = set()
        for task in chain(attempted, reversed(self.tasks_by_id.values())):
            if task is None or (name := pack_of(task.id)) in refused:
                continue
            if task.environment == PACK:
                return f"{PACK}@{task.answer['house']}"
            try:
                pack = find_pack(name, self.tasks_by_id.values())
                check_split(pack)
                return rate_name(pack)
            except TaskError:
                refused.add(name)
        return f"{PACK}@{DEFAULT_HOUSE}"

    def current(self, attempt: Attempt) -> Attempt:
        """Find an attempt with the feedback in force. Raises FeedbackError where this run has no such attempt."""
        if attempt.id not in self.attempts_by_id:
            raise FeedbackError.no_attempt(attempt.id)
        return self.attempts_by_id[attempt.id]

    def group_of(self, attempt: Attempt) -> list[Attempt]:
        """List the attempts of an attempt's group, itself included."""
        return [other for other in self.attempts_by_id.values() if other.group_id == attempt.group_id]

    @contextmanager
    def stoppable(self, stop: threading.Event | None) -> Iterator[None]:
        """Inside the block, setting `stop` ends whatever is read with the model, within a layer, by StoppedError.

        Without a model there is nothing to stop.
        """
        yield

    def close(self) -> None:
        """Close the run; a second call does nothing."""
        with self.lock:
            self.run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SessionCore(OpenRun):
    """An open run together with its policy."""

    def __init__(self, run: Run, policy: Policy, config: PolicyConfig) -> None:
        super().__init__(run)
        self.policy, self.config = policy, config
        self.judges_by_name: dict[str, ModelJudge] = {}  # other models that tasks name as their judges
        self.credit_blobs = stored_bases(run)  # what each stored credit rests on -> SHA-256 of its blob
        self.probe: Probe | None = None  # made before the first update

    @contextmanager
    def stoppable(self, stop: threading.Event | None) -> Iterator[None]:
        """Inside the block, setting `stop` ends whatever is read with the model, within a layer, by StoppedError."""
        error = StoppedError("This was stopped before its end; nothing was recorded.")
        with self.lock, self.policy.stopping(stop.is_set if stop else None, error):
            yield
