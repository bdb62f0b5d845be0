"""Count of the processors that can run programs side by side."""

from __future__ import annotations

import os


def processors() -> int:
    """Processors that this process may use; all of them, where a system does not say."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1
