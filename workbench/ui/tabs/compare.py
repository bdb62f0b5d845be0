"""The tab "Compare": the chosen attempt under estimators, teachers or feedbacks; this run beside another."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.credit.views import VIEWS
from workbench.errors import FeedbackError
from workbench.service.actions.compare import compare, compare_runs, runs_beside
from workbench.service.checks import make_config
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot, pick
from workbench.ui import charts
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, finished, numbered, part, polite

KINDS = {
    "estimators": "Every estimator of this attempt's credit: which tokens does each one stress?",
    "teachers": "The same feedback, read by different weights: what does the choice of the self-teacher change?",
    "feedbacks": "The same attempt with other feedback or none: how much of the credit is due to the words?",
    "runs": "This run beside another: pass rates, learning curves, and the settings that differ.",
}


class ComparePanel(Panel):
    """Choice of a comparison, and its result. The attempt is the one chosen in the tab "Round"."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        self.draw("compared", _compared)
        self.kind = gr.Radio(
            list(KINDS), value="estimators", label="Compare by", info=KINDS["estimators"], elem_id="compare-kind"
        )
        with gr.Row(elem_classes="wb-compare-with"):
            self.view = gr.Dropdown(
                [(view.title, name) for name, view in VIEWS.items()],
                value="raw",
                label="View",
                visible=False,
                elem_id="compare-view",
            )
            self.feedback = gr.Textbox(
                label="Your own feedback (optional)", lines=2, visible=False, elem_id="compare-feedback"
            )
            self.demonstration = gr.Textbox(
                label="Demonstration (empty: a passed attempt of the group)",
                lines=2,
                visible=False,
                elem_id="compare-demonstration",
            )
            self.other = gr.Dropdown([], label="Other run", visible=False, elem_id="compare-run")
        with gr.Row():
            self.button = gr.Button(compare.title, variant="primary", scale=0, min_width=160, elem_id="do-compare")
        self.result = part("compare")
        self.chart = gr.Plot(show_label=False, container=False, visible=False, elem_id="compare-chart")

    def connect(self, then: Then) -> None:
        """Connect the choice of a comparison to the fields that it needs, and the button to comparing."""
        offered = [self.view, self.feedback, self.demonstration, self.other]
        self.kind.input(polite(self.on_kind), [self.kind], [self.kind, *offered], **NEWEST)
        inputs = [self.selection.task_id, self.selection.chosen, self.selection.config, self.kind, *offered]
        shown = [self.result, self.chart]
        self.button.click(polite(self.on_compare), inputs, shown, **{**QUIET, "show_progress": "minimal"})

    async def on_kind(self, kind: str) -> list[Any]:
        """Show the fields that a comparison needs, with a fresh list of runs."""
        names = await finished(runs_beside(self.queue)) if kind == "runs" else []
        return [
            gr.Radio(info=KINDS.get(kind, "")),
            gr.Dropdown(visible=kind in ("teachers", "feedbacks")),
            gr.Textbox(visible=kind == "feedbacks"),
            gr.Textbox(visible=kind == "feedbacks"),
            gr.Dropdown(names, value=names[0] if names else None, visible=kind == "runs"),
        ]

    async def on_compare(
        self,
        task_id: str,
        chosen: str,
        config: dict[str, Any],
        kind: str,
        view: str,
        feedback: str,
        demonstration: str,
        other: str | None,
    ) -> tuple[str, Any]:
        """Make a comparison and draw it."""
        if kind == "runs":
            runs = compare_runs.reply(await finished(compare_runs(self.queue, other or "")))
            curves = charts.learning_curves(*_curves(runs))
            return numbered({"runs": runs}), gr.Plot(curves, visible=curves is not None)
        attempt = pick(self.queue.state.group(task_id), chosen)
        if attempt is None:
            raise FeedbackError("There is no attempt to compare yet; sample some in the tab Round first.")
        settings = make_config(SDPOConfig, config)
        job = compare(self.queue, attempt.id, kind, settings, view, feedback or "", demonstration or "")
        rows = compare.reply(await finished(job))
        matrix = charts.rank_correlations([row["title"] for row in rows["views"]], rows["correlations"])
        return numbered({"rows": rows}), gr.Plot(matrix, visible=matrix is not None)


def _compared(snapshot: Snapshot) -> dict[str, Any]:
    """The attempt that is compared, in words."""
    number, total = snapshot.place
    if snapshot.attempt is None:
        return {"attempt": ""}
    verdict = "passed" if snapshot.attempt.passed else "failed"
    return {"attempt": f"Attempt {number} of {total} at {snapshot.task_id}, which {verdict}"}


def _curves(runs: dict[str, Any]) -> tuple[list[tuple[str, list[charts.Place]]], dict[str, dict[str, Any]]]:
    """Convert two runs to the branches of `charts.learning_curves`; updates of both may carry the same ids."""
    branches, measured = [], {}
    for number, run in enumerate(runs["runs"]):
        nodes = [charts.Place(f"{number} {updates}") for updates in range(run["updates"] + 1)]
        branches.append((f"{run['name']}, {run['pack']}", nodes))
        measured.update({f"{number} {point['updates']}": point for point in run["curve"]})
    return branches, measured
