"""Jobs of the tab "Compare": one attempt read in several ways, and this run beside another. Knows nothing of Gradio."""

from __future__ import annotations

from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import RunError
from workbench.service.checks import checked_text
from workbench.service.job import Job
from workbench.service.state import Board, find


def compare(
    board: Board,
    attempt_id: str,
    by: str,
    config: SDPOConfig,
    *,
    view: str = "raw",
    feedback: str = "",
    demonstration: str = "",
) -> Job:
    """As `Workbench.compare`; the job's result is the comparison's payload. Raises TaskError for what is no text."""
    checked_text(feedback, "The feedback")
    checked_text(demonstration, "The demonstration")

    def run(workbench: Any, job: Job) -> dict[str, Any]:
        found = workbench.compare(
            find(workbench, attempt_id), by, config=config, view=view, feedback=feedback, demonstration=demonstration
        )
        return dict(found.payload())

    return board.desk.submit("compare", f"Comparing {by}", run)


def compare_runs(board: Board, other: str) -> Job:
    """This run beside another one; the job's result is plain data."""
    if not isinstance(other, str) or not other:
        raise RunError("Choose the other run; it must lie in the same directory as this one.")
    return board.desk.submit(
        "compare", "Comparing runs", lambda workbench, job: workbench.compare_runs(other).payload()
    )


def runs_beside(board: Board) -> Job:
    """The names of the other runs in the same directory; the job's result is the list of them."""
    return board.desk.submit("runs", "Looking for runs", lambda workbench, job: workbench.runs_beside())
