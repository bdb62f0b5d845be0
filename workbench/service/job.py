"""A job of the queue: one piece of work, who asked for it, and its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from workbench import Workbench

R = TypeVar("R")

PERSON, SHOWN, AHEAD = 0, 1, 2  # priorities: a person asked for it; it is needed on screen now; it is needed soon
ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="")  # the tab or program that acts; "" is the page itself


@dataclass(frozen=True, slots=True)
class Progress:
    """Work done so far, in units of its own."""

    done: float
    total: float
    unit: str  # what is counted: "tokens", "rounds"
    at_most: bool  # the total is a limit, not a goal


@dataclass(order=True)
class Job(Generic[R]):
    """One piece of work for the worker thread; `future` holds its result or its exception."""

    priority: int
    number: int  # its id
    kind: str = field(compare=False)  # "sample", "update", ...: jobs of one kind take time in proportion to `size`
    label: str = field(compare=False)  # for people: "Sampling 8 attempts"
    run: Callable[[Workbench, Job[R]], R] = field(compare=False)
    arguments: Mapping[str, Any] = field(compare=False, default_factory=dict)  # of the action that it carries out
    key: Hashable = field(compare=False, default=None)  # jobs with the same key are one job
    size: float = field(compare=False, default=1.0)  # amount of work, in any unit that fits its kind
    gives_way: bool = field(compare=False, default=False)  # it is stopped as soon as a person asks for something else
    stop: threading.Event = field(compare=False, default_factory=threading.Event)
    future: Future[Any] = field(compare=False, default_factory=Future)
    by: str = field(compare=False, default_factory=ASKED_BY.get)  # who asked for it
    started: float = field(compare=False, default=0.0)  # time.monotonic()
    expected_s: float | None = field(compare=False, default=None)  # by the last job of its kind
    progress: Progress | None = field(compare=False, default=None)

    def result(self, timeout_s: float | None = None) -> R:
        """Wait for the result. Raises whatever the job raised."""
        result: R = self.future.result(timeout_s)
        return result

    def report(self, done: float, total: float, unit: str, *, at_most: bool = False) -> None:
        """Publish progress; `at_most`: the job may end before it reaches `total`."""
        self.progress = Progress(done, total, unit, at_most)

    def seconds(self) -> float:
        """Running time so far."""
        return time.monotonic() - self.started if self.started else 0.0

    def left_s(self) -> float | None:
        """Estimated seconds left: by its own progress, else by the last job of its kind; None if neither is known."""
        if self.progress is not None:
            done = self.progress.done
            return self.seconds() * (self.progress.total - done) / done if done else None
        return None if self.expected_s is None else max(0.0, self.expected_s - self.seconds())
