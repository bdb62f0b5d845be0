"""The desk: one thread that owns the workbench, a queue of jobs, and a board that everyone may read.

Knows nothing of Gradio. A job is a plain function of the workbench; it runs to its end whether or not the page that
asked for it is still open. Pages read the board (what is true now) and never call the workbench themselves.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import RunError, WorkbenchError

PERSON, SHOWN, AHEAD = 0, 1, 2  # priorities: asked for by a person; needed on screen now; needed soon
LONGEST_QUEUE = 64  # a person's jobs that may wait
KEPT = 256  # results of SHOWN and AHEAD jobs that stay in memory


@dataclass(order=True)
class Job:
    """One piece of work for the workbench's thread; `future` holds its result or its exception."""

    priority: int
    number: int
    kind: str = field(compare=False)  # "sample", "update", ...
    label: str = field(compare=False)  # for people: "Sampling 8 attempts"
    run: Callable[[Any, Job], Any] = field(compare=False)
    key: Hashable = field(compare=False, default=None)  # jobs with one key are one job
    stop: threading.Event = field(compare=False, default_factory=threading.Event)
    future: Future[Any] = field(compare=False, default_factory=Future)
    progress: dict[str, Any] = field(compare=False, default_factory=dict)  # what pages may see of it while it runs
    started: float = field(compare=False, default=0.0)  # time.monotonic()


class Desk:
    """Opens the workbench in the background and does one job after the other.

    `opener` is called once, in the desk's own thread; `on_open(workbench)` may fill the board's `facts`.
    """

    def __init__(self, opener: Callable[[], Any], on_open: Callable[[Any, Desk], None] | None = None) -> None:
        self._opener, self._on_open = opener, on_open
        self._queue: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._keyed: dict[Hashable, Job] = {}
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._waiting = 0
        self.current: Job | None = None
        self.version = 0  # changes whenever anything on the board may have changed
        self.facts: dict[str, Any] = {}  # published state; values are replaced, never changed in place
        self.state = "loading"  # "loading", "ready", "failed", "closed"
        self.problem = ""  # one sentence: why the last thing a person asked for failed
        self.failure: Exception | None = None  # why the workbench could not be opened
        self.settled = threading.Event()  # set once opening has succeeded or failed
        self.workbench: Any = None  # for the desk's thread and for tests
        self._thread = threading.Thread(target=self._work, name="workbench-desk", daemon=True)

    def start(self) -> Desk:
        """Start the thread; returns at once."""
        self._thread.start()
        return self

    def submit(
        self,
        kind: str,
        label: str,
        run: Callable[[Any, Job], Any],
        *,
        priority: int = PERSON,
        key: Hashable = None,
    ) -> Job:
        """Put a job in the queue; a job with the same key that waits or runs is returned instead of a second one.

        Raises:
            RunError: when the workbench could not be opened, is closed, or too much is waiting already.
        """
        with self._lock:
            if self.state in ("failed", "closed"):
                raise RunError(self.problem or "The workbench is closed; start it again.")
            if key is not None and key in self._keyed:
                return self._keyed[key]
            if priority == PERSON and self._waiting >= LONGEST_QUEUE:
                raise RunError(f"{self._waiting} jobs are waiting already; let some of them finish first.")
            job = Job(priority, next(self._numbers), kind, label, run, key)
            if key is not None:
                self._keyed[key] = job
            self._waiting += priority == PERSON
            self._queue.put(job)
            self.version += 1
            return job

    def known(self, key: Hashable) -> Any:
        """The result kept under `key`: a value, an exception, or None where nothing is known yet."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def publish(self, **facts: Any) -> None:
        """Replace published facts; pages see all of them or none."""
        with self._lock:
            self.facts = {**self.facts, **facts}
            self.version += 1

    def stop(self) -> bool:
        """Ask the running job to stop at its next safe point; False when nothing runs."""
        job = self.current
        if job is None:
            return False
        job.stop.set()
        return True

    def waiting(self) -> int:
        """How many jobs that people asked for are waiting."""
        return self._waiting

    def close(self, timeout_s: float = 30.0) -> None:
        """Finish the running job, drop the rest, close the workbench."""
        self.stop()
        with self._lock:
            self.state = "closed" if self.state != "failed" else "failed"
        self._queue.put(Job(-1, -1, "close", "", lambda workbench, job: None))
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            self.workbench = self._opener()
            if self._on_open is not None:
                self._on_open(self.workbench, self)
        except Exception as error:
            self.problem, self.state, self.failure = sentence(error), "failed", error
            self._fail_waiting(error)
            self.settled.set()
            return
        with self._lock:
            self.state = "ready" if self.state == "loading" else self.state
            self.version += 1
        self.settled.set()
        while self.state != "closed":
            job = self._queue.get()
            if job.kind != "close":
                self._do(job)
        self._fail_waiting(RunError("The workbench was closed; start it again."))
        self.workbench.close()

    def _do(self, job: Job) -> None:
        job.started = time.monotonic()
        self.current = job
        self.version += 1
        try:
            result: Any = job.run(self.workbench, job)
        except Exception as error:
            result = error
        with self._lock:
            self._forget(job)
            if job.key is not None and not job.stop.is_set():
                self._results[job.key] = result
                while len(self._results) > KEPT:
                    self._results.popitem(last=False)
            if job.priority == PERSON:
                self.problem = sentence(result) if isinstance(result, Exception) else ""
            self.current = None
            self.version += 1
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

    def _forget(self, job: Job) -> None:
        self._waiting -= job.priority == PERSON
        if job.key is not None:
            self._keyed.pop(job.key, None)

    def _fail_waiting(self, error: Exception) -> None:
        while True:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return
            if job.kind != "close":
                with self._lock:
                    self._forget(job)
                job.future.set_exception(error)


def sentence(error: BaseException) -> str:
    """What to tell a person about an error; the traceback of a bug goes to the terminal."""
    if isinstance(error, WorkbenchError):
        return str(error)
    traceback.print_exception(error)
    return f"Something went wrong inside ({type(error).__name__}: {error}); the terminal has the details."
