"""From the command `app` to a page that a person can use, and to the first attempt in colour with one click.

Each start is a new process on a new run, seen by a real Chromium that is running already.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.benchmarks.browser import chromium, serving

PATIENCE_MS = 420_000
PHASES = ("listens", "page usable", "policy ready", "click to first colours")


def time_starts(repetitions: int) -> list[dict[str, float]]:
    """Seconds of each of `PHASES`, the first three from the start of the process; one start goes first as a warm-up."""
    with chromium() as browser:
        return [_start(browser) for _ in range(1 + repetitions)][1:]


def _start(browser: Any) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        with serving(Path(folder) / "run") as address:
            times = {"listens": time.monotonic() - started}
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            page.wait_for_selector("#do-sample:not([disabled])")
            times["page usable"] = time.monotonic() - started
            page.wait_for_selector(".wb-state[data-state='ready']")
            times["policy ready"] = time.monotonic() - started
            clicked = time.monotonic()
            page.click("#do-sample")
            page.wait_for_selector(".hm-t")
            times["click to first colours"] = time.monotonic() - clicked
            page.close()
    return times
