"""Hundreds of updates in a row in one process: growth of memory, alarms, and the time to open the run.

Attempts are judged by a text that none of them contains, so that every update has a signal and no sandbox is measured.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.benchmarks.measure import open_handles, resident_bytes, slope
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import UpdateError
from workbench.runs import Run, verify
from workbench.workbench import Workbench

GROUP = 2
UPDATES_PER_GROUP = 5
SETTLED = 0.2  # share of the updates that go first, while caches fill
SHORT = SamplingConfig(max_new_tokens=24)
# Small steps, so that hundreds of updates on tasks that cannot be solved do not wear the policy out.
GENTLE = SDPOConfig(steps=1, learning_rate=1e-4)
RUINOUS = SDPOConfig(steps=8, learning_rate=5e-2, teacher="live", kl_limit=None)


def bench_soak(updates: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Make `updates`; then close, open and verify the run, and try a recipe that ruins a policy."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with Workbench.open(path, device="cpu") as workbench:
            samples = _updates(workbench, updates, progress)
            quiet = Counter(alarm.name for node in workbench.timeline() for alarm in workbench.alarms(node.update_id))
        opened = _seconds(lambda: Run.open(path).close())
        verified = _seconds(lambda: verify(path))
        sound = verify(path).sound
        stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        ruined = _ruin(Path(folder) / "ruined")
    settled = samples[int(SETTLED * len(samples)) :]
    return {
        "updates": updates,
        "attempts": len(samples) // UPDATES_PER_GROUP * GROUP,
        "per_update": {
            name: slope(range(len(settled)), [sample[name] for sample in settled])
            for name in ("resident_kib", "handles", "threads")
        },
        "first": samples[0],
        "last": samples[-1],
        "median_update_s": {
            "first tenth": statistics.median(sample["seconds"] for sample in samples[: max(1, updates // 10)]),
            "last tenth": statistics.median(sample["seconds"] for sample in samples[-max(1, updates // 10) :]),
        },
        "open_s": opened,
        "verify_s": verified,
        "sound": sound,
        "stored_bytes": stored,
        "alarms_on_gentle_updates": dict(quiet),
        "alarms_on_a_ruinous_recipe": ruined,
        "seconds": time.monotonic() - started,
    }


def _updates(workbench: Workbench, updates: int, progress: Callable[[str], None]) -> list[dict[str, float]]:
    samples: list[dict[str, float]] = []
    for number in range(updates):
        if number % UPDATES_PER_GROUP == 0:
            group = workbench.attempt(_task(workbench), GROUP, sampling=SHORT)
        seconds = _seconds(lambda group=group: workbench.update(group, GENTLE))  # type: ignore[misc]
        samples.append({"seconds": seconds, **_held()})
        if number % 50 == 49:
            progress(f"{number + 1} of {updates} updates: {samples[-1]}")
    return samples


def _ruin(path: Path) -> dict[str, Any]:
    """Names of the alarms after each of a few updates that ruin a policy, up to the first that is refused."""
    alarms: list[list[str]] = []
    with Workbench.open(path, device="cpu") as workbench:
        group = workbench.attempt(_task(workbench), GROUP, sampling=SHORT)
        for _ in range(3):
            try:
                workbench.update(group, RUINOUS)
            except UpdateError as error:  # it was taken back
                alarms.append(["refused", str(error)])
                break
            alarms.append(sorted(alarm.name for alarm in workbench.alarms()))
    return {"alarms_after_each_update": alarms}


def _task(workbench: Workbench) -> Any:
    return workbench.add_task(
        prompt="Write f(xs): sort, then take 3.",
        environment="contains",
        answer={"text": "what no attempt contains"},
        name="never-passed",
    )


def _held() -> dict[str, float]:
    """Resources that this process holds now."""
    return {
        "resident_kib": resident_bytes(os.getpid()) / 1024,
        "handles": open_handles(),
        "threads": threading.active_count(),
    }


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
