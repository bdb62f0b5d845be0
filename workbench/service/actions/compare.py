"""The actions that compare: one attempt read in several ways, and this run beside another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from workbench.errors import RunError
from workbench.service.action import JobContext, action
from workbench.service.checks import DEFAULT_CONFIG, AttemptId, Config, chosen, text

if TYPE_CHECKING:
    from workbench.credit.comparison import Comparison
    from workbench.session.run_comparison import RunComparison


def _payload(comparison: Comparison | RunComparison) -> dict[str, Any]:
    return dict(comparison.payload())


@action("Compare", job="Comparing {by}", reply=_payload)
def compare(
    context: JobContext,
    attempt: AttemptId,
    by: str = "estimators",
    config: Config = DEFAULT_CONFIG,
    view: str = "raw",
    feedback: Annotated[str, text("The feedback")] = "",
    demonstration: Annotated[str, text("The demonstration")] = "",
) -> Comparison:
    """Compare an attempt under several estimators, teachers or feedbacks, on one scale, with rank correlations."""
    return context.workbench.compare(
        context.attempt(attempt),
        by,  # type: ignore[arg-type]  # it checks itself
        config=config,
        view=view,
        feedback=feedback,
        demonstration=demonstration,
    )


@action("Compare runs", job="Comparing runs", kind="compare", reply=_payload)
def compare_runs(
    context: JobContext,
    other: Annotated[str, chosen("Choose the other run; it must be in the same directory as this one.", RunError)],
) -> RunComparison:
    """Compare this run with another in the same directory: pass rates, learning curves, settings that differ."""
    return context.workbench.compare_runs(other)


@action("Other runs", job="Listing runs", kind="runs", endpoint=False)
def runs_beside(context: JobContext) -> list[str]:
    """The names of the other runs in the same directory."""
    return context.workbench.runs_beside()
