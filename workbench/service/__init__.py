"""The service layer over an open workbench: a queue of jobs, published state, actions. Knows nothing of the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from workbench.service.publish import publish_judges, publish_opened
from workbench.service.queue import JobQueue

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.session.replay import Replay

__all__ = ["JobQueue", "make_queue"]


def make_queue(opener: Callable[[], Workbench | Replay]) -> JobQueue:
    """Make a queue, not started yet; `opener` returns the workbench and runs in the worker's thread."""
    # A replay answers every call of a workbench, some with a sentence why it cannot.
    return JobQueue(cast("Callable[[], Workbench]", opener), publish_opened, publish_judges)
