"""Exports: attempts as a page, a run as an archive, the adapter and the merged model as files.

Knows nothing of servers.
"""

from __future__ import annotations

from pathlib import Path

from workbench.credit import TokenCredit
from workbench.errors import CreditError
from workbench.heatmap import Theme, render_page
from workbench.policy import adapter, merging
from workbench.runs import archive as archives
from workbench.session.core import OpenRun, SessionCore
from workbench.session.scoring import credits

MOST_SHARED = 64  # attempts on one page


def share(session: OpenRun, path: str | Path | None = None, *, theme: Theme = "auto") -> str:
    """Render this run's newest scored attempts as one self-contained HTML page; also written to `path`.

    Each attempt appears once, with its newest credit, at most 64 of them. Raises CreditError where none was scored.
    """
    with session.lock:
        newest: dict[str, TokenCredit] = {}
        for stored in credits(session):
            newest.pop(stored.credit.attempt_id, None)
            newest[stored.credit.attempt_id] = stored.credit
        if not newest:
            raise CreditError("No attempt of this run was scored yet, so there is nothing to share; score one.")
        shared = list(newest.values())[-MOST_SHARED:]
        page = render_page(*(credit.payload(_title(session, credit.attempt_id)) for credit in shared), theme=theme)
    if path is not None:
        Path(path).write_text(page, encoding="utf-8", newline="\n")
    return page


def export_run(session: OpenRun, path: str | Path) -> Path:
    """Write the run as one archive."""
    with session.lock:
        return archives.export_run(session.run, Path(path))


def _title(session: OpenRun, attempt_id: str) -> str:
    attempt = session.attempts_by_id[attempt_id]
    verdict = "passed" if attempt.passed else "failed"
    return f"{attempt.task_id}: {verdict}, reward {attempt.reward:.2g}, under {attempt.update_id}"


def export_adapter(session: SessionCore, path: str | Path) -> Path:
    """Write the adapter as a directory that plain PEFT loads. Raises PolicyError where it cannot be written."""
    with session.lock:
        return adapter.export_adapter(session.policy.model, Path(path))


def export_merged(session: SessionCore, path: str | Path) -> Path:
    """Write base and adapter as one unquantised model. Raises PolicyError where it cannot be written."""
    with session.lock:
        return merging.export_merged(session.policy, session.config, Path(path))


def import_run(archive: str | Path, directory: str | Path) -> Path:
    """Make a run directory from an archive; open it with `Workbench.open`. Raises RunError for a bad archive."""
    return archives.import_run(Path(archive), Path(directory))
