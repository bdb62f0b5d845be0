"""The real programs (`python -m workbench ...`, `app.py`) as processes that start cheaply, so that many can be killed.

Each is forked from one parent that has imported the libraries and nothing more, then runs the program's own main
module as Python would. What it prints goes to a file, which survives it. Knows nothing of what programs do.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    "torch",
    "transformers",
    "peft",
    "safetensors.torch",
    "plotly.graph_objects",
    "gradio",
    "workbench.cli",
    "workbench.ui",
    "workbench.workbench",
)
PATIENCE_S = 600.0

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([*PRELOADED, __name__])


class Program:
    """One running program; `prepare` (a plain function of a module) is called in its process before it begins."""

    def __init__(self, arguments: Sequence[str], said: Path, prepare: Callable[[], None] | None = None) -> None:
        """`arguments`: as after `python`, the first being "-m" or a file; `said`: where its output goes."""
        self.said = said
        self.started = time.monotonic()
        self._process = processes.Process(target=_run, args=(list(arguments), said, prepare), daemon=True)
        self._process.start()

    def lines(self) -> list[str]:
        """The whole lines that it has printed so far."""
        text = self.said.read_text(encoding="utf-8", errors="replace") if self.said.exists() else ""
        return text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]

    def wait_until(self, done: Callable[[], Any]) -> bool:
        """Whether `done` came true before the program ended. Raises WorkbenchError when neither happens in time."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if not self._process.is_alive():
                return bool(done())
            if time.monotonic() > deadline:
                raise WorkbenchError(f"The program says nothing more; its last words were {self.lines()[-3:]}.")
            time.sleep(0.005)
        return True

    def end(self, within_s: float | None = PATIENCE_S) -> int | None:
        """Wait for its end; its exit status (negative: the signal that ended it), or None when the time is over."""
        self._process.join(within_s)
        return self._process.exitcode

    def kill(self) -> bool:
        """SIGKILL; False when it had ended by itself."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode == -9


def _run(arguments: list[str], said: Path, prepare: Callable[[], None] | None) -> None:
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(ROOT)
    os.environ["TMPDIR"] = str(said.parent)  # what a killed program leaves behind goes with the benchmark's folder
    tempfile.tempdir = None
    if prepare is not None:
        prepare()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")
