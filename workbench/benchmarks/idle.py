"""Processor time of the real server's process while nothing happens: nobody looks, then one tab of Chromium is open.

Other work on the machine does not change it, unlike elapsed time. Linux only: /proc counts it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.benchmarks.browser import chromium, running
from workbench.benchmarks.load import wait_until_ready
from workbench.errors import ConfigError

SETTLES_S = 20.0  # after the policy is loaded, and after the tab has drawn itself
PATIENCE_MS = 420_000


def measure_idle(seconds: float) -> dict[str, Any]:
    """Measure the share of a core over `seconds` with nobody looking, and with one idle tab.

    Returns {"nobody": {"core_share", "wakes_per_s"}, "one_tab": {the same, "requests_per_s"}}. Raises ConfigError
    where the system does not count.
    """
    if not Path("/proc/self/task").is_dir():
        raise ConfigError("Only Linux counts how often the threads of a process wake; run this measurement there.")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "run") as app, chromium() as browser:
        wait_until_ready(app.address)
        time.sleep(SETTLES_S)
        nobody = spent(app.process.pid, seconds, time.sleep)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.goto(app.address)
        page.wait_for_selector("#do-sample:not([disabled])")
        page.wait_for_timeout(1000 * SETTLES_S)
        urls.clear()
        one_tab = spent(app.process.pid, seconds, lambda s: page.wait_for_timeout(1000 * s))  # which counts requests
        one_tab["requests_per_s"] = len(urls) / seconds
    return {"nobody": nobody, "one_tab": one_tab, "seconds": seconds}


def spent(pid: int, seconds: float, wait: Callable[[float], object]) -> dict[str, float]:
    """Measure a process while `wait(seconds)` runs: {"core_share", "wakes_per_s"}, of all its threads together."""
    began, processor_s, wakes = time.monotonic(), _processor_s(pid), _wakes(pid)
    wait(seconds)
    passed = time.monotonic() - began
    woke = sum(count - wakes.get(thread, 0) for thread, count in _wakes(pid).items())  # of those that live at the end
    return {"core_share": (_processor_s(pid) - processor_s) / passed, "wakes_per_s": woke / passed}


def _processor_s(pid: int) -> float:
    """User and system time so far, in ticks of 10 ms. Raises OSError when the process is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wakes(pid: int) -> dict[str, int]:
    """Voluntary context switches so far, by thread."""
    counts = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            lines = (thread / "status").read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:  # it ended meanwhile
            continue
        counts[thread.name] = sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return counts
