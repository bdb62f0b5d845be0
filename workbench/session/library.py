"""The runs that lie beside a session's own; a run as an archive, its attempts as a page. Knows nothing of servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.credit import TokenCredit
from workbench.errors import CreditError, RunError
from workbench.heatmap import Theme, render_page
from workbench.runs import Run
from workbench.runs.archive import export_run
from workbench.session.run_book import RunBook

LOG_NAME = "run.sqlite"
MOST_SHARED = 64  # attempts on one page


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What one finds out about a run without a model."""

    name: str  # of its directory
    model: str
    attempts: int
    updates: int
    changed: str  # UTC, ISO 8601, of its newest event
    problem: str  # why it cannot be read; "" where it can


class Library(RunBook):
    """A run among others."""

    def runs(self) -> list[RunFacts]:
        """The runs in the directory of this one, by name; also those that another process holds."""
        directory = Path(self.run.path).absolute().parent
        return [_facts(path.parent) for path in sorted(directory.glob(f"*/{LOG_NAME}"))]

    def share(self, path: str | Path | None = None, *, theme: Theme = "auto") -> str:
        """One self-contained HTML page of this run's newest scored attempts in colour; also written to `path`.

        Each attempt appears once, with its newest credit, at most 64 of them. Raises CreditError where none was scored.
        """
        with self._lock:
            newest: dict[str, TokenCredit] = {}
            for stored in self.credits():
                newest.pop(stored.credit.attempt_id, None)
                newest[stored.credit.attempt_id] = stored.credit
            if not newest:
                raise CreditError("No attempt of this run was scored yet, so there is nothing to share; score one.")
            shared = list(newest.values())[-MOST_SHARED:]
            page = render_page(*(credit.payload(self._title(credit.attempt_id)) for credit in shared), theme=theme)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def export_run(self, path: str | Path) -> Path:
        """Write the run as one archive."""
        with self._lock:
            return export_run(self.run, Path(path))

    def _title(self, attempt_id: str) -> str:
        attempt = self._attempts[attempt_id]
        verdict = "passed" if attempt.passed else "failed"
        return f"{attempt.task_id}: {verdict}, reward {attempt.reward:.2g}, under {attempt.update_id}"


def _facts(path: Path) -> RunFacts:
    try:
        with Run.open(path, read_only=True) as run:
            state, events = run.state(), run.events()
    except RunError as error:
        return RunFacts(path.name, "", 0, 0, "", str(error))
    opened = {} if state.opened is None else dict(state.opened.get("config", {}))
    changed = events[-1].created if events else ""
    return RunFacts(path.name, str(opened.get("model", "")), len(state.attempts), len(state.reports), changed, "")
