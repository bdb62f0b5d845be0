"""The tiers of the sandbox side by side: the time of a verdict, how much slower programs are, and equal verdicts.

The attempts are the embedded policy's own, sampled at fresh house-rules tasks; tiers take turns on the same ones.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from workbench.records import Attempt, Judgement, Task
from workbench.tasks import judge_many
from workbench.tasks.sandbox import Limits, Tier, choose_tier, use_tier
from workbench.tasks.sandbox.run import run_in_tier
from workbench.tasks.sandbox.tiers import BOUNDARIES, why_not
from workbench.workbench import Workbench

GROUP = 8
_PATIENT = Limits(wall_s=600.0, cpu_s=60)  # for a machine that is busy with something else
_SHOWN = 5  # differences that are listed whole, for each pair of tiers
# Bodies of `f()` that take some tenths of a second, each busy with something else.
LOADS = {
    "an arithmetic loop": "s = 0\nfor i in range(10 ** 6): s += i * i % 7\nreturn s",
    "a while loop": "i = 0\nwhile i < 2 * 10 ** 6: i += 1\nreturn i",
    "recursion": "def g(n): return n if n < 2 else g(n - 1) + g(n - 2)\nreturn g(26)",
    "a dictionary": "d = {}\nfor i in range(5 * 10 ** 5): d[i] = d.get(i // 2, 0) + 1\nreturn len(d)",
    "methods": "class P:\n    v = 0\n    def up(self): self.v += 1\n"
    "p = P()\nfor _ in range(10 ** 6): p.up()\nreturn p.v",
    "sorting": "xs = [i * 7919 % 100003 for i in range(2 * 10 ** 5)]\nfor _ in range(3): ys = sorted(xs)\nreturn ys[0]",
    "text": "return len(''.join(f'{i},' for i in range(4 * 10 ** 5)).split(','))",
    "regular expressions": "import re\nreturn len(re.findall(r'(\\w+)@(\\w+)', 'ab@cd ' * 60000))",
    "large integers": "return (3 ** 400000) % 1000007",
    "floating point": "import math\nreturn sum(math.sin(i) / i for i in range(1, 6 * 10 ** 5))",
}


def bench_sandbox(count: int, repetitions: int, note: Callable[[str], object]) -> dict[str, Any]:
    """Sample `count` attempts and have each tier judge them; time `repetitions` groups in each.

    Returns seconds, ratios and differences by tier; tiers that do not hold here are named with the reason.
    """
    tiers, absent = _tiers()
    note(f"Sampling {count} attempts of the embedded policy.")
    groups = _groups(-(-count // GROUP))
    judged = {}
    for tier in tiers:
        note(f"Judging them in {tier}.")
        use_tier(tier)
        judged[tier] = judge_many([(task, attempt.text) for task, group in groups for attempt in group])
    note(f"Timing {repetitions} groups.")
    times, helpers_s = _judging_times(tiers, groups[:repetitions])
    loads = {name: {tier: _load_s(tier, body) for tier in tiers} for name, body in LOADS.items()}
    use_tier("auto")
    flat = [(task, attempt) for task, group in groups for attempt in group]
    return {
        "attempts": len(flat),
        "passed": sum(judgement.passed for judgement in judged[tiers[0]]),
        "distinct_programs_in_a_group": statistics.fmean(len({a.text for a in group}) for _, group in groups),
        "tiers": list(tiers),
        "absent": absent,
        "judging_8_attempts_s": {tier: _summary(seconds) for tier, seconds in times.items()},
        "judging_8_attempts_processor_s_of_the_helpers": _summary(helpers_s) if helpers_s else None,
        "one_call_s": {tier: _call_s(tier) for tier in tiers},
        "loads_s": loads,
        "differences_to_" + tiers[0]: {tier: _differences(flat, judged[tiers[0]], judged[tier]) for tier in tiers[1:]},
        "python": {tier: _python(tier) for tier in tiers},
    }


def _tiers() -> tuple[list[Tier], dict[str, str]]:
    """The tiers that hold here, and why each of the others does not."""
    held: list[Tier] = []
    absent: dict[str, str] = {tier: reason for tier in BOUNDARIES if (reason := why_not(tier))}
    for tier in BOUNDARIES:
        if tier not in absent:
            use_tier(tier)
            try:
                held.append(choose_tier())
            except RuntimeError as error:
                absent[tier] = str(error)
    return held, absent


def _groups(number: int) -> list[tuple[Task, list[Attempt]]]:
    from workbench.tasks.house_rules.pack import house_tasks

    tasks = house_tasks("house-rules@77", number, held_out=False)
    with tempfile.TemporaryDirectory() as folder, Workbench.open(Path(folder) / "run") as workbench:
        attempts = workbench.attempt_many(tasks, GROUP)  # in one batch
    return [
        (task, attempts[place : place + GROUP])
        for task, place in zip(tasks, range(0, len(attempts), GROUP), strict=True)
    ]


def _judging_times(
    tiers: list[Tier], groups: list[tuple[Task, list[Attempt]]]
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each group in each tier, and processor time of the helpers, which other work hardly changes."""
    times: dict[str, list[float]] = {tier: [] for tier in tiers}
    helpers_s: list[float] = []
    for task, group in [groups[0], *groups]:  # the first one is a warm-up
        for tier in tiers:
            use_tier(tier)
            choose_tier()
            before, started = _helpers_s(), time.perf_counter()
            judge_many([(task, attempt.text) for attempt in group])
            times[tier].append(time.perf_counter() - started)
            if tier == "wasm":
                helpers_s.append(_helpers_s() - before)
    return {tier: seconds[1:] for tier, seconds in times.items()}, helpers_s[1:]


def _helpers_s() -> float:
    """Processor time of the processes that this one has started and that still run."""
    return sum(child.cpu_times().user + child.cpu_times().system for child in psutil.Process().children())


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "largest": max(seconds), "mean": statistics.fmean(seconds)}


def _call_s(tier: Tier) -> float:
    """Seconds that one more call of a short program takes."""
    calls = [{"function": "f", "args": []}]

    def make(number: int) -> None:
        run_in_tier(tier, "def f(): return 1", calls * number, limits=_PATIENT)

    few, many = _best(lambda: make(1)), _best(lambda: make(21))
    return (many - few) / 20


def _load_s(tier: Tier, body: str) -> float:
    """Processor time that a program takes, so that other work on the machine hardly counts; the least of three."""
    lines = "\n".join("    " + line for line in body.splitlines())
    timed = "    import time\n    start = time.process_time()\n    load()\n    return time.process_time() - start\n"
    code = f"def load():\n{lines}\ndef f():\n{timed}"
    seconds = []
    for _ in range(3):
        before = _helpers_s()
        result = run_in_tier(tier, code, [{"function": "f", "args": []}], limits=_PATIENT)
        assert result.error is None, result.error
        # WebAssembly has no clock of its own for this, but all that its helper does is the program.
        seconds.append(_helpers_s() - before if tier == "wasm" else float(result.outputs[0]))
    return min(seconds)


def _best(work: Callable[[], object]) -> float:
    """The shortest of three: other work on the machine only makes it longer."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _python(tier: Tier) -> str:
    code = "import sys\ndef f(): return sys.version.split()[0] + ' on ' + sys.platform"
    return str(run_in_tier(tier, code, [{"function": "f", "args": []}], limits=_PATIENT).outputs[0])


def _differences(
    attempts: list[tuple[Task, Attempt]], ours: list[Judgement], theirs: list[Judgement]
) -> dict[str, Any]:
    """Attempts whose verdict, or whose feedback alone, differs between two tiers; the first ones whole."""
    differences: dict[str, Any] = {"verdicts": 0, "feedback": 0, "examples": []}
    for (task, attempt), first, other in zip(attempts, ours, theirs, strict=True):
        if (first.passed, first.feedback) == (other.passed, other.feedback):
            continue
        differences["verdicts" if first.passed != other.passed else "feedback"] += 1
        if len(differences["examples"]) < _SHOWN:
            differences["examples"].append(
                {"task": task.prompt, "text": attempt.text, "feedback": [first.feedback, other.feedback]}
            )
    return differences
