"""Programs of the workbench, forked from a process that has imported the libraries: they start at once.

`test_app.py`, `test_server.py` and `test_cli.py` start them as people do, in a fresh interpreter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from workbench.benchmarks.browser import free_port, listens
from workbench.benchmarks.programs import Program
from workbench.errors import WorkbenchError
from workbench.experiments import credit_study
from workbench.experiments.settings import LEARN_DEFAULTS


@contextmanager
def serving(run: Path, flags: Sequence[str] = (), prepare: Callable[[], None] | None = None) -> Iterator[str]:
    """The address of the command `app` on this run, once it listens; it is killed with the block.

    `prepare` as in `Program`.

    Raises WorkbenchError, with what it printed, when it ends before it listens.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="app-") as folder:
        printed = Path(folder) / "printed"
        arguments = ["-m", "workbench", "app", "--run", str(run), "--port", str(port), *flags]
        program = Program(arguments, printed, prepare)
        try:
            if not program.wait_until(lambda: listens(port)):
                raise WorkbenchError(f"The page did not start; it printed: {printed.read_text(encoding='utf-8')}")
            yield f"http://127.0.0.1:{port}/"
        finally:
            program.kill()


def quick_rounds() -> None:
    """In the program's process: a round of learning in the study of credit has 2 questions, not 16."""
    credit_study.LEARN_DEFAULTS = replace(LEARN_DEFAULTS, questions=2)
