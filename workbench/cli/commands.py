"""The table of commands, and the handling of their errors."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli import app, bench, credit, discovery, doctor, evaluate, learning, reports, rounds, runs, studies
from workbench.errors import WorkbenchError

# The error that a wrong option raises; some versions of typer take it from click, others bring their own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_COMMANDS = (
    app.app,
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
    table = typer.Typer(add_completion=False)
    table.callback()(_program)
    for command in _COMMANDS:
        table.command(name=command.__name__.rstrip("_"))(command)
    table.add_typer(bench.build(), name="bench")
    table.add_typer(studies.build(), name="study")
    return table


def _show_version(requested: bool) -> None:
    if requested:
        print(f"sdpo-workbench {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See, apply, test and undo reinforcement learning, token by token."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (None: the process's arguments) and return its exit status; unexpected exceptions propagate."""
    options = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or a pipe of an older encoding has no "≤"
    command = typer.main.get_command(build_app())
    try:
        status = command.main(args=options, standalone_mode=False)
    except WorkbenchError as error:
        return _mistake(str(error))
    except _UsageError as error:
        return _mistake(f"{error.format_message().rstrip('.')}; see --help.")  # type: ignore[attr-defined]
    return status if isinstance(status, int) else 0  # 130 after Ctrl-C


def _mistake(sentence: str) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return 2
