"""The runs beside a session's own. Knows nothing of models and servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.errors import RunError
from workbench.runs import Run
from workbench.runs.run import LOG_NAME
from workbench.session import run_comparison
from workbench.session.core import OpenRun
from workbench.session.run_comparison import RunComparison


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts of a run, read without its model."""

    name: str  # of its directory
    model: str
    attempts: int
    updates: int
    changed: str  # UTC, ISO 8601, of its newest event
    problem: str  # why it cannot be read; "" where it can


def runs(session: OpenRun) -> list[RunFacts]:
    """The runs in the directory of this one, by name; also those that another process holds."""
    directory = Path(session.run.path).absolute().parent
    return [_facts(path.parent) for path in sorted(directory.glob(f"*/{LOG_NAME}"))]


def runs_beside(session: OpenRun) -> list[str]:
    """The names of the other runs in this run's directory's parent."""
    return run_comparison.runs_beside(session.run.path)


def compare_runs(session: OpenRun, other: str) -> RunComparison:
    """This run beside another one of `runs_beside`, from what is on disk. Raises RunError where there is none."""
    if other not in runs_beside(session):
        named = ", ".join(runs_beside(session)) or "none"
        raise RunError(f"There is no run {other!r} beside this one; there are: {named}.")
    return run_comparison.compare_runs(session.run.path, session.run.path.absolute().parent / other)


def _facts(path: Path) -> RunFacts:
    try:
        with Run.open(path, read_only=True) as run:
            state, events = run.state(), run.events()
    except RunError as error:
        return RunFacts(path.name, "", 0, 0, "", str(error))
    opened = {} if state.opened is None else dict(state.opened.get("config", {}))
    changed = events[-1].created if events else ""
    return RunFacts(path.name, str(opened.get("model", "")), len(state.attempts), len(state.reports), changed, "")
