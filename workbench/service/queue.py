"""The job queue: one worker thread owns the workbench, does one job after another, and publishes the run's state.

A job runs to its end whether or not the page that asked for it is still open. Pages read the published state and never
call the workbench themselves. The context variable `ASKED_BY` says on whose behalf a call acts: errors are shown only
in the tab that asked.
"""

from __future__ import annotations

import bisect
import itertools
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.allocator import trim
from workbench.errors import RunError, WorkbenchError
from workbench.service.job import AHEAD, ASKED_BY, PERSON, SHOWN, Job
from workbench.service.state import PublishedState

if TYPE_CHECKING:
    from workbench import Workbench

R = TypeVar("R")

GRACE_S = 1.0  # after a person's job, pages may ask for what they show before work that is only needed soon begins
LONGEST_QUEUE = 64  # a person's jobs that may wait
KEPT = 128  # results that stay in memory: twice the largest group in colour, each some 4 KiB a token
TRIMMED_S = 10.0  # how often unused memory is given back, which takes a few milliseconds


class JobQueue:
    """Opens the workbench in the background and does one job after another.

    `opener` is called in the worker's thread, once per opening; `on_open(workbench, queue)` may then publish state, and
    so may `on_done(workbench, queue)` after every job. Should the thread end for any reason but `close`, the run is
    released, all waiting jobs fail with the reason, and `reopen` starts again from what the run has on disk.
    """

    def __init__(
        self,
        opener: Callable[[], Workbench],
        on_open: Callable[[Workbench, JobQueue], None] | None = None,
        on_done: Callable[[Workbench, JobQueue], None] | None = None,
    ) -> None:
        self._opener, self._on_open, self._on_done = opener, on_open, on_done
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._line: list[Job[Any]] = []  # waiting jobs, in the order in which they will run
        self._keyed: dict[Hashable, Job[Any]] = {}
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._pace: dict[str, float] = {}  # seconds per unit of size, of the last job of a kind that ran to its end
        self._trimmed = time.monotonic()
        self._quiet_until = 0.0
        self.current: Job[Any] | None = None
        # Changes whenever anything that is published or queued may have changed; begins at the clock, so that a page
        # that outlives a restart of the server sees a change.
        self.version = int(1000 * time.time())
        self._watchers: list[Callable[[], None]] = []
        self.state = PublishedState()
        self.status = "loading"  # "loading", "ready", "failed", "closed"
        self.problem = ""  # one sentence: why the last job that a person asked for failed
        self.problem_for = ""  # who asked for it; "" where it concerns everyone
        self.failure: BaseException | None = None  # why the workbench could not be opened, or stopped
        self.settled = threading.Event()  # set once the first opening has succeeded or failed
        self._workbench: Workbench | None = None
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._work, name="workbench-worker", daemon=True)

    @property
    def workbench(self) -> Workbench:
        """The open workbench, for the worker's thread and for tests."""
        assert self._workbench is not None, "the workbench is not open"
        return self._workbench

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after every change of `version`, in any thread; it must not wait, since a lock is held."""
        self._watchers.append(watcher)

    def start(self) -> JobQueue:
        """Start the thread; returns at once."""
        self._thread.start()
        return self

    def reopen(self) -> None:
        """Open the run again, where its log ends, after a failure; returns at once. RunError where nothing failed."""
        with self._turn:
            if self.status != "failed":
                raise RunError("The run has not failed; only a failed one can be reopened.")
            self.status, self.failure = "loading", None
            self._report("")
            self._results.clear()
            self._changed()
            self._thread = self._new_thread()
            self._thread.start()

    def submit(
        self,
        kind: str,
        label: str,
        run: Callable[[Workbench, Job[R]], R],
        *,
        priority: int = PERSON,
        key: Hashable = None,
        size: float = 1.0,
        arguments: Mapping[str, Any] = MappingProxyType({}),
        gives_way: bool = False,
    ) -> Job[R]:
        """Put a job in the queue. Where one with the same key waits or runs, that one is returned, its priority raised.

        `size`: amount of work relative to other jobs of its kind, for an estimate of its time. `gives_way`: it is asked
        to stop as soon as a person asks for anything else; a page that still needs it asks for it again.

        Raises:
            RunError: when the workbench could not be opened, is closed, or too much is waiting already.
        """
        with self._turn:
            if self.status in ("failed", "closed"):
                raise RunError(self.problem or "The workbench is closed; start it again.")
            if key is not None and key in self._keyed:
                return self._promoted(self._keyed[key], priority)
            waiting = self._people_waiting()
            if priority == PERSON and waiting >= LONGEST_QUEUE:
                raise RunError(f"{waiting} jobs are waiting already; let some of them finish first.")
            job = Job(priority, next(self._numbers), kind, label, run, arguments, key, size, gives_way)
            job.future.set_running_or_notify_cancel()  # a caller that loses interest cannot cancel it: `stop` does
            if key is not None:
                self._keyed[key] = job
            bisect.insort(self._line, job)
            if priority == PERSON and self.current is not None and self.current.gives_way:
                self.current.stop.set()
            self._changed()
            self._turn.notify()
            return job

    def _promoted(self, job: Job[Any], priority: int) -> Job[Any]:
        """The job at this priority or a higher one, moved forward if it still waits."""
        if job in self._line and priority < job.priority:
            self._line.remove(job)
            job.priority = priority
            bisect.insort(self._line, job)
            self._changed()
        job.gives_way = job.gives_way and priority != PERSON
        return job

    def known(self, key: Hashable) -> Any:
        """The result kept under `key`: a value, an exception, or None where there is none yet."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def want(
        self,
        key: Hashable,
        kind: str,
        label: str,
        run: Callable[[Workbench, Job[R]], R],
        *,
        priority: int = SHOWN,
        gives_way: bool = False,
    ) -> Any:
        """The result kept under `key`; where there is none yet, a job for it is queued unless the queue is closed."""
        result = self.known(key)
        if result is None:
            with suppress(RunError):  # nobody asked for it: the page shows why the queue is closed
                self.submit(kind, label, run, priority=priority, key=key, gives_way=gives_way)
        return result

    def publish(self, **changes: Any) -> None:
        """Replace fields of the published state; readers see all of the changes or none."""
        with self._lock:
            self.state = replace(self.state, **changes)
            self._changed()

    def stop(self, number: int | None = None) -> bool:
        """Stop a job by its number (None: the running one); False where there is no such job.

        A running job is asked to stop at its next safe point. A waiting job leaves the queue and fails with RunError;
        if someone else stopped it, the tab that asked for it is informed.
        """
        with self._lock:
            if self.current is not None and number in (None, self.current.number):
                self.current.stop.set()
                return True
            waiting = next((job for job in self._line if job.number == number), None)
            if waiting is None:
                return False
            self._line.remove(waiting)
            self._forget(waiting)
            if waiting.by and waiting.by != ASKED_BY.get():
                self._report(f"{waiting.label}: this was stopped elsewhere before it began.", waiting.by)
            self._changed()
        waiting.stop.set()
        waiting.future.set_exception(RunError("This was stopped before it began; start it again if you still need it."))
        return True

    def line(self) -> list[Job[Any]]:
        """People's jobs in the order in which they will be done, the running one first."""
        with self._lock:
            jobs = [*([] if self.current is None else [self.current]), *self._line]
            return [job for job in jobs if job.priority == PERSON]

    def waiting(self) -> int:
        """Number of people's jobs that are waiting or running."""
        return len(self.line())

    def take(self, workbench: Workbench) -> None:
        """Switch to another workbench, from within a job; the former one is closed."""
        former, self._workbench = self.workbench, workbench
        with self._lock:
            self._results.clear()
        if self._on_open is not None:
            self._on_open(workbench, self)
        former.close()

    def close(self, timeout_s: float = 30.0) -> None:
        """Finish the running job, drop the rest, close the workbench."""
        self.stop()
        with self._turn:
            self.status = "closed" if self.status != "failed" else "failed"
            self._turn.notify()
        self._fail_waiting(RunError("The workbench was closed; start it again."))
        if self._thread.ident is not None:  # a queue that was never started has nothing to wait for
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            self._workbench = self._opener()
            if self._on_open is not None:
                self._on_open(self.workbench, self)
            with self._lock:
                self.status = "ready" if self.status == "loading" else self.status
                self._changed()
            self.settled.set()
            while (job := self._next()) is not None:
                self._do(job)
                self._trim()
        except BaseException as error:  # whatever it is, nobody may wait for a thread that is gone
            opened = self._workbench is not None
            self._release()
            self._fail(error, opened)
        else:
            self._release()
        self.settled.set()

    def _release(self) -> None:
        """Release the run, so that it can be opened again."""
        workbench, self._workbench = self._workbench, None
        try:
            if workbench is not None:
                workbench.close()
        except Exception as error:  # it is released when the process ends
            traceback.print_exception(error)

    def _next(self) -> Job[Any] | None:
        """The next job, made the current one; None once the queue is closed."""
        with self._turn:
            while self.status != "closed" and (wait_s := self._pause()) != 0:
                self._turn.wait(wait_s)
            if self.status == "closed":
                return None
            self.current = self._line.pop(0)
            self.current.started = time.monotonic()
            pace = self._pace.get(self.current.kind)
            self.current.expected_s = None if pace is None else pace * self.current.size
            self._changed()
            return self.current

    def _pause(self) -> float | None:
        """Seconds until the first job may begin; None where none waits."""
        if not self._line:
            return None
        return max(0.0, self._quiet_until - time.monotonic()) if self._line[0].priority >= AHEAD else 0.0

    def _do(self, job: Job[Any]) -> None:
        try:
            result: Any = job.run(self.workbench, job)
        except Exception as error:
            result = error
        if self._on_done is not None:
            self._on_done(self.workbench, self)
        with self._lock:
            self._forget(job)
            if job.key is not None and not job.stop.is_set():
                self._results[job.key] = result
                while len(self._results) > KEPT:
                    self._results.popitem(last=False)
            if job.priority == PERSON:
                self._quiet_until = time.monotonic() + GRACE_S
                self._report(error_sentence(result) if isinstance(result, Exception) else "", job.by)
            if not isinstance(result, Exception) and not job.stop.is_set():
                self._pace[job.kind] = job.seconds() / job.size
            self.current = None
            self._changed()
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

    def _trim(self) -> None:
        """Hold no more memory after many jobs than after a few."""
        if time.monotonic() >= self._trimmed + TRIMMED_S:
            trim()
            self._trimmed = time.monotonic()

    def _changed(self) -> None:
        self.version += 1
        for watcher in self._watchers:
            watcher()

    def _people_waiting(self) -> int:
        running = self.current is not None and self.current.priority == PERSON
        return running + sum(job.priority == PERSON for job in self._line)

    def _report(self, problem: str, asked_by: str = "") -> None:
        self.problem, self.problem_for = problem, asked_by

    def _forget(self, job: Job[Any]) -> None:
        if job.key is not None:
            self._keyed.pop(job.key, None)

    def _fail(self, error: BaseException, opened: bool) -> None:
        """Record that the thread is ending without having been asked to; `opened`: the workbench was open."""
        reason = error_sentence(error)
        with self._lock:
            job, self.current = self.current, None
            if job is not None:
                self._forget(job)
            self.failure = error
            stop = f"The worker stopped: {reason} Reopen the run; everything that was shown is on disk."
            self._report(stop if opened else reason)
            self.status = "failed"
            self._changed()
        stopped = RunError(self.problem)
        if job is not None:
            job.future.set_exception(stopped)
        self._fail_waiting(error if not opened and isinstance(error, Exception) else stopped)

    def _fail_waiting(self, error: Exception) -> None:
        with self._lock:
            jobs, self._line = self._line, []
            for job in jobs:
                self._forget(job)
        for job in jobs:
            job.future.set_exception(error)


def error_sentence(error: BaseException) -> str:
    """Describe an error to people in one sentence; the traceback of a bug goes to the terminal."""
    if isinstance(error, WorkbenchError):
        return str(error)
    traceback.print_exception(error)
    return f"Internal error ({type(error).__name__}: {error}); see the terminal for details."
