"""Time and peak memory of contenders that take turns. Knows nothing of what they do."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from workbench.allocator import trim

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory of one contender."""

    median_s: float
    peak_bytes: int | None  # most memory above what was held before, over the repetitions; None: not measurable here


def compare(contenders: Mapping[str, Callable[[], object]], repetitions: int, device: torch.device) -> dict[str, Cost]:
    """Run every contender once as a warm-up, then in turns, so that other load on the machine affects all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    peaks: dict[str, list[int | None]] = {name: [] for name in contenders}
    gc.collect()  # once: it takes longer than some contenders, and none of them leaves cycles behind
    for _ in range(1 + repetitions):
        for name, work in contenders.items():
            seconds, peak = _run(work, device)
            times[name].append(seconds)
            peaks[name].append(peak)
    return {
        name: Cost(statistics.median(times[name][1:]), max((p for p in peaks[name][1:] if p is not None), default=None))
        for name in contenders
    }


def _run(work: Callable[[], object], device: torch.device) -> tuple[float, int | None]:
    cuda = device.type == "cuda"
    held = _start_on_cuda(device) if cuda else _reset_resident_peak()
    started = time.perf_counter()
    result = work()
    if cuda:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    del result
    if held is None:
        return seconds, None
    peak = torch.cuda.max_memory_allocated(device) if cuda else _resident("VmHWM")
    return seconds, None if peak is None else max(0, peak - held)


def _start_on_cuda(device: torch.device) -> int:
    """Reset PyTorch's peak; return the bytes allocated now."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _reset_resident_peak() -> int | None:
    """Reset Linux's peak of resident memory; return the bytes resident now, or None where it cannot be reset."""
    trim()  # what the allocator keeps for later would hide the next contender's use
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return None
    return _resident("VmRSS")


def _resident(field: str) -> int | None:
    """A line of /proc/self/status, in bytes."""
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(values[0]) * 1024 if values else None


def resident_bytes(pid: int) -> int:
    """Memory that a process holds now. Raises OSError when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error as error:
        raise OSError(f"The memory of process {pid} cannot be read ({error}).") from error


def open_handles() -> int:
    """Files, sockets and the like that this process has open: descriptors, or handles on Windows."""
    process = psutil.Process()
    return int(process.num_handles() if psutil.WINDOWS else process.num_fds())


def slope(xs: Sequence[float], ys: Sequence[float], blocks: int = 20) -> dict[str, float]:
    """The least-squares slope of y over x with its 95 % interval (Student's t), as {"estimate", "low", "high"}.

    Over the means of at most `blocks` stretches: neighbouring measurements are alike, and taking each for a new one
    would make the interval too narrow. NaN where there are fewer than three, or all at one x.
    """
    size = max(1, -(-len(xs) // blocks))
    points = [
        (statistics.fmean(xs[at : at + size]), statistics.fmean(ys[at : at + size])) for at in range(0, len(xs), size)
    ]
    if len(points) < 3 or len({x for x, _ in points}) < 2:
        return dict.fromkeys(("estimate", "low", "high"), math.nan)
    if len({y for _, y in points}) == 1:  # nothing moved: scipy would divide by the spread
        return dict.fromkeys(("estimate", "low", "high"), 0.0)
    from scipy import stats

    fit = stats.linregress(*zip(*points, strict=True))
    half = float(stats.t.ppf(0.975, len(points) - 2) * fit.stderr)
    return {"estimate": float(fit.slope), "low": float(fit.slope) - half, "high": float(fit.slope) + half}
