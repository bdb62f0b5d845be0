"""Commands on a stored run: undo, redo, events, verify, export, import. None of them loads a model."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.output import DEFAULT_RUN, JsonOption, Output, RunOption
from workbench.errors import RunError
from workbench.runs import Run
from workbench.runs import verify as verify_run
from workbench.runs.archive import export_run, import_run


def undo(run: RunOption = DEFAULT_RUN, as_json: JsonOption = False) -> None:
    """Go back to the state before the last update; it is loaded when the run is next opened."""
    _move(run, Output(as_json), "undo")


def redo(run: RunOption = DEFAULT_RUN, as_json: JsonOption = False) -> None:
    """Go forward to the update last undone."""
    _move(run, Output(as_json), "redo")


def _move(path: Path, output: Output, direction: str) -> None:
    _must_exist(path)
    with Run.open(path) as run:
        run.add_listener(output.event)
        head = run.undo() if direction == "undo" else run.redo()
    output.say(f"The policy is now at {head}.")
    output.summary({"head": head})


def events(
    run: RunOption = DEFAULT_RUN,
    data: Annotated[bool, typer.Option("--data", help="Also print the data of each event.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List a run's log, oldest first, also while another process holds the run."""
    output = Output(as_json)
    with Run.open(run, read_only=True) as stored:
        log, head, set_aside = stored.events(), stored.head, stored.set_aside
    for event in log:
        line = {"event": event.id, "kind": event.kind, "created": event.created, "blobs": event.blobs}
        output.listed(line | ({"data": event.data} if data else {}))
    rows = [(e.id, e.kind, e.created, *([str(dict(e.data))] if data else [])) for e in log]
    output.table(f"Events of {run}", ("event", "kind", "created", *(["data"] if data else [])), rows)
    for _, reason in set_aside:
        output.say(f"Set aside: {reason}.")
    kinds = Counter(event.kind for event in log)
    output.summary({"events": len(log), "kinds": kinds, "head": head, "set_aside": [reason for _, reason in set_aside]})


def export(
    target: Annotated[Path, typer.Argument(help="The archive to write.")],
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Write a run to one file."""
    output = Output(as_json)
    with Run.open(run, read_only=True) as stored:
        written = export_run(stored, target)
    output.say(f"The run is in {written} ({written.stat().st_size / 2**20:.1f} MiB).")
    output.summary({"export": str(written), "bytes": written.stat().st_size})


def import_(
    archive: Annotated[Path, typer.Argument(help="A file that 'export' wrote.")],
    target: Annotated[Path, typer.Argument(help="The run directory to create.")],
    as_json: JsonOption = False,
) -> None:
    """Create a run directory from an exported run."""
    output = Output(as_json)
    directory = import_run(archive, target)
    output.say(f"The run is in {directory}.")
    output.summary({"import": str(directory)})


def verify(run: RunOption = DEFAULT_RUN, as_json: JsonOption = False) -> int:
    """Check every blob's hash and every event of a run, also while another process holds it; 2 if anything is wrong."""
    output = Output(as_json)
    checked = verify_run(run)
    for problem in checked.problems:
        print(problem, file=sys.stderr)
    if checked.sound:
        output.say(f"{run} is sound: {checked.events} events, {checked.blobs} blobs, the head is {checked.head}.")
    output.summary(asdict(checked))
    return 0 if checked.sound else 2


def _must_exist(path: Path) -> None:
    if not (path / "run.sqlite").exists():
        raise RunError(f"There is no run in {path}; check --run, or start one with the command 'attempt'.")
