"""A job of the desk: a function of the workbench, for whom it is done, how far it is. Knows nothing of Gradio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

PERSON, SHOWN, AHEAD = 0, 1, 2  # priorities: asked for by a person; needed on screen now; needed soon
ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="")  # the tab or program that acts; "" is the page itself


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    done: float
    total: float
    unit: str  # what is counted: "tokens", "rounds"
    at_most: bool  # the total is a limit, not a goal


@dataclass(order=True)
class Job:
    """One piece of work for the workbench's thread; `future` holds its result or its exception."""

    priority: int
    number: int  # its id
    kind: str = field(compare=False)  # "sample", "update", ...
    label: str = field(compare=False)  # for people: "Sampling 8 attempts"
    run: Callable[[Any, Job], Any] = field(compare=False)
    key: Hashable = field(compare=False, default=None)  # jobs with one key are one job
    size: float = field(compare=False, default=1.0)  # how much work it is, in any unit that fits its kind
    stop: threading.Event = field(compare=False, default_factory=threading.Event)
    future: Future[Any] = field(compare=False, default_factory=Future)
    by: str = field(compare=False, default_factory=ASKED_BY.get)  # who asked for it
    started: float = field(compare=False, default=0.0)  # time.monotonic()
    expected_s: float | None = field(compare=False, default=None)  # by the last job of its kind
    progress: Progress | None = field(compare=False, default=None)

    def report(self, done: float, total: float, unit: str, *, at_most: bool = False) -> None:
        """Say how far it is, for everyone who looks; `at_most`: it may well end before all of `total`."""
        self.progress = Progress(done, total, unit, at_most)

    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started if self.started else 0.0

    def left_s(self) -> float | None:
        """Seconds until it ends: by its own report, else by the last job of its kind; None where neither tells."""
        if self.progress is not None:
            done = self.progress.done
            return self.seconds() * (self.progress.total - done) / done if done else None
        return None if self.expected_s is None else max(0.0, self.expected_s - self.seconds())
