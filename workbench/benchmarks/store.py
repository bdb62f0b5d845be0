"""A run of thousands of attempts: what an append costs, how long the run takes to open and to read, what it holds.

The attempts are synthetic but whole (100 tokens each, judged), in groups of 8 with the blob of the random state that a
real group has. No model is loaded.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.benchmarks.measure import resident_bytes, slope
from workbench.records import Attempt, to_json
from workbench.runs import Run

GROUP = 8
TOKENS = 100
TEXT = "def f(xs):\n    xs = sorted(xs, reverse=True)\n    return xs[:3]\n" * 3


def bench_store(attempts: int) -> dict[str, Any]:
    """Appends `attempts` one by one and opens the run again; seconds and bytes."""
    import torch

    appends: list[float] = []
    resident: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with Run.open(path) as run:
            run.commit_root(run.blobs.put({"w": torch.zeros(100_000)}))
            for number in range(attempts):
                last = number % GROUP == GROUP - 1
                blobs = (
                    (run.blobs.put({"random": torch.full((5056,), number % 251, dtype=torch.uint8)}),) if last else ()
                )
                data = to_json(_attempt(number))
                appends.append(_seconds(lambda data=data, blobs=blobs: run.append("attempt", data, blobs)))  # type: ignore[misc]
                if number % 100 == 0:
                    resident.append(resident_bytes(os.getpid()))
        opened = statistics.median(_seconds(lambda: Run.open(path).close()) for _ in range(7))
        with Run.open(path, read_only=True) as run:
            paged = _seconds(lambda: _page_through(run))
            state = _seconds(run.state)
        stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    later = [size / 1024 for size in resident[len(resident) // 5 :]]
    return {
        "attempts": attempts,
        "append_s": {
            "median": statistics.median(appends),
            "p99": statistics.quantiles(appends, n=100)[98],
            "median of the last thousand": statistics.median(appends[-1000:]),
        },
        "open_s": opened,
        "page_through_s": paged,
        "reconstruct_s": state,
        "resident_kib_per_hundred_attempts": slope(range(len(later)), later),
        "stored_bytes": stored,
    }


def _page_through(run: Run) -> int:
    """Every attempt once, as a page reads them."""
    return sum(len(event.data["text"]) for event in run.events("attempt"))


def _attempt(number: int) -> Attempt:
    return Attempt(
        id=f"a-{number}",
        task_id="house-rules/sort-take-1",
        group_id=f"g-{number // GROUP}",
        update_id="root",
        prompt_ids=tuple(range(40)),
        token_ids=tuple((number + place) % 2000 for place in range(TOKENS)),
        text=TEXT,
        sampling_logps=tuple(-0.001 * (place + 1) for place in range(TOKENS)),
        finished=True,
        temperature=1.0,
        reward=0.0,
        passed=False,
        feedback="f([3, 3, 7, 4, 0, 6]) returned [7, 6, 4], expected [0, 3, 3]",
        details={"tier": "bubblewrap", "examples": [{"args": [[3, 1, 2]], "got": [3, 2, 1], "expected": [1, 2, 3]}]},
    )


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
