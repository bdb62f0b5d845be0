"""The real programs (`python -m workbench ...`) as processes that start cheaply, so that many can be killed.

Each is forked from one parent that has imported the libraries and nothing more, then runs the program's own main
module as Python would. Its output goes to a file, which survives it. Knows nothing of what programs do.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, WorkbenchError

PRELOADED = (
    *("torch", "transformers", "peft", "safetensors.torch", "plotly.graph_objects", "gradio"),
    *("workbench.cli", "workbench.ui", "workbench.workbench"),
)
PATIENCE_S = 600.0


@lru_cache(maxsize=1)
def processes() -> Any:
    """Processes that are forked from one that has imported the libraries. Raises ConfigError where there are none."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise ConfigError("This measurement forks processes, which Windows cannot; run it on Linux or macOS.")
    forked = multiprocessing.get_context("forkserver")
    forked.set_forkserver_preload([*PRELOADED, __name__])
    return forked


class Program:
    """One running program; `prepare` (a plain function of a module) is called in its process before it begins."""

    def __init__(self, arguments: Sequence[str], output: Path, prepare: Callable[[], None] | None = None) -> None:
        """`arguments`: as after `python`, "-m" and a module or a script first; `output`: the file for its output."""
        self.output = output
        self.started = time.monotonic()
        self._process = processes().Process(target=_run, args=(list(arguments), output, prepare), daemon=True)
        self._process.start()

    def lines(self) -> list[str]:
        """The complete lines that it has printed so far."""
        text = self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""
        return text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]

    def wait_until(self, done: Callable[[], Any]) -> bool:
        """Wait until `done` is true; False where the program ended first. Raises WorkbenchError when time runs out."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if not self._process.is_alive():
                return bool(done())
            if time.monotonic() > deadline:
                raise WorkbenchError(f"The program prints nothing more; its last lines were {self.lines()[-3:]}.")
            time.sleep(0.005)
        return True

    def end(self, within_s: float | None = PATIENCE_S) -> int | None:
        """Wait for its end; return its exit status (negative: the signal that ended it), or None after `within_s`."""
        self._process.join(within_s)
        return self._process.exitcode

    def kill(self) -> bool:
        """Send SIGKILL; False when it had already ended."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode == -9


def _run(arguments: list[str], output: Path, prepare: Callable[[], None] | None) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(Path(__file__).resolve().parents[2])  # where the package lies
    os.environ["TMPDIR"] = str(output.parent)  # a killed program's leftovers go with the benchmark's folder
    tempfile.tempdir = None
    if prepare is not None:
        prepare()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
