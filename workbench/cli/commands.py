"""The table of commands, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from workbench.cli import bench, credit, discovery, doctor, evaluate, learning, reports, rounds, runs, studies
from workbench.errors import WorkbenchError

# What a wrong option raises; some versions of typer take it from click, others bring their own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_COMMANDS = (
    rounds.tasks,
    rounds.attempt,
    rounds.feedback,
    credit.credit,
    rounds.update,
    runs.undo,
    runs.redo,
    runs.events,
    runs.verify,
    learning.learn,
    learning.ablate,
    discovery.discover,
    reports.report,
    evaluate.evaluate,
    runs.export,
    runs.import_,
    doctor.doctor,
)


def build_app() -> typer.Typer:
    """The commands under their names."""
    app = typer.Typer(add_completion=False, help="See, apply, test and undo reinforcement learning, token by token.")
    for command in _COMMANDS:
        app.command(name=command.__name__.rstrip("_"))(command)
    app.add_typer(bench.build(), name="bench")
    app.add_typer(studies.build(), name="study")
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (None: from the command line) and returns the exit status; a bug's exception passes through."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    command = typer.main.get_command(build_app())
    try:
        status = command.main(args=given, prog_name="python -m workbench", standalone_mode=False)
    except WorkbenchError as error:
        return _mistake(str(error))
    except _UsageError as error:
        return _mistake(f"{error.format_message().rstrip('.')}; see --help.")  # type: ignore[attr-defined]
    return status if isinstance(status, int) else 0  # 130 after Ctrl-C


def _mistake(sentence: str) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return 2
