"""Time of judging a group of attempts at a programming task, beside the bare runs that no judge can do without.

The peer starts `python program < input` once for each test of each attempt, on as many processors, without any
confinement, and compares nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.records import Task
from workbench.tasks import judge_many, sandbox
from workbench.tasks.sandbox.processors import processors

ATTEMPTS, TESTS = 8, 60
TEST_S = 0.05  # processor time of one test's own work
# The number of the attempt makes programs differ: of equal ones only one is run.
_PROGRAM = (
    "import time\n"
    "attempt = {attempt}\n"
    "n = int(input())\n"
    "start = time.process_time()\n"
    "while time.process_time() - start < {seconds}:\n"
    "    pass\n"
    "print(n + 1)\n"
)


def time_judging(repetitions: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time both in turns, after one warm-up of each: seconds by name, and facts of the machine.

    Raises WorkbenchError where a verdict is wrong.
    """
    inputs = [f"{number}\n" for number in range(TESTS)]
    tests = [{"stdin": text, "expected": f"{int(text) + 1}\n"} for text in inputs]
    task = Task("bench/increment", "Print n + 1.", "python", {"tests": tests})
    programs = [_PROGRAM.format(attempt=attempt, seconds=TEST_S) for attempt in range(ATTEMPTS)]
    times: dict[str, list[float]] = {"workbench": [], "python program < input": []}
    for _ in range(1 + repetitions):
        started = time.perf_counter()
        verdicts = judge_many([(task, program) for program in programs])
        times["workbench"].append(time.perf_counter() - started)
        if not all(verdict.passed for verdict in verdicts):
            raise WorkbenchError(f"A right program did not pass: {verdicts[0].feedback}; the times mean nothing.")
        started = time.perf_counter()
        _run_bare(programs, inputs)
        times["python program < input"].append(time.perf_counter() - started)
    facts = {
        "attempts": ATTEMPTS,
        "tests": TESTS,
        "test_s": TEST_S,
        "processors": processors(),
        "tier": sandbox.choose_tier(),
        "python": sys.version.split()[0],
    }
    return {name: seconds[1:] for name, seconds in times.items()}, facts


def _run_bare(programs: list[str], inputs: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processors()) as pool:
        paths = [Path(folder) / f"program{number}.py" for number in range(len(programs))]
        for path, program in zip(paths, programs, strict=True):
            path.write_text(program, encoding="utf-8")

        def run(path: Path, text: str) -> None:
            subprocess.run([sys.executable, str(path)], input=text, capture_output=True, text=True, check=True)

        list(pool.map(lambda pair: run(*pair), [(path, text) for path in paths for text in inputs]))
