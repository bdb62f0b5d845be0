"""The panel of updates: what the next one will do, said before it is made, and what the newest one did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.records import Attempt, Ledger, UpdateReport
from workbench.ui.forms import make_config
from workbench.ui.moment import Moment
from workbench.ui.panel import QUIET, Panel, Selection, Then, polite
from workbench.ui.studio import Studio
from workbench.ui.worker import sentence


class UpdatePanel(Panel):
    """One button, with what it will do stated before."""

    def __init__(self, studio: Studio, selection: Selection) -> None:
        super().__init__()
        self.studio, self.selection = studio, selection
        with gr.Column(scale=8, min_width=300):
            self.draw("update", lambda moment: {"plan": _plan(moment), "outcome": outcome(moment.report)})
        with gr.Column(scale=1, min_width=140):
            self.button = gr.Button("Update", variant="primary", interactive=False, elem_id="do-update")
        ready = "can_update", self.button, lambda moment: bool(_plan(moment).get("used")) and not moment.working
        self.follow(*ready, lambda can: gr.Button(interactive=can))

    def connect(self, then: Then) -> None:
        """The button makes one update on the shown group."""
        inputs = [self.selection.task_id, self.selection.config]
        then(self.button.click(polite(self.on_update), inputs, None, **QUIET))

    def on_update(self, task_id: str, config: dict[str, Any]) -> None:
        """One update on the shown group."""
        ids = [attempt.id for attempt in self.studio.group(task_id)]
        self.studio.update(ids, make_config(SDPOConfig, config))


def _plan(moment: Moment) -> dict[str, Any]:
    seconds = moment.report.seconds_s if moment.report else None
    return plan(moment.group, moment.ledger, moment.config, seconds)


def plan(
    group: Sequence[Attempt],
    ledger: Sequence[Ledger] | Exception | None,
    config: SDPOConfig,
    seconds: float | None,
) -> dict[str, Any]:
    """What the update button will do, before it is pressed."""
    if not group:
        return {"empty": "An update needs attempts: sample some first."}
    if isinstance(ledger, Exception):
        return {"empty": sentence(ledger)}
    if ledger is None:
        return {"empty": "Counting which attempts give signal …"}
    numbers = {attempt.id: i + 1 for i, attempt in enumerate(group)}
    lengths = {attempt.id: len(attempt.token_ids) for attempt in group}
    used = [entry for entry in ledger if entry.used]
    return {
        "used": len(used),
        "total": len(group),
        "tokens": sum(lengths[entry.attempt_id] for entry in used),
        "rows": [{"number": numbers[e.attempt_id], "used": e.used, "reason": e.reason} for e in ledger],
        "method": config.method,
        "teacher": config.teacher.replace("_", " "),
        "learning_rate": config.learning_rate,
        "steps": config.steps,
        "seconds": seconds,
    }


def outcome(report: UpdateReport | None) -> dict[str, Any] | None:
    """The numbers of an update after it was made."""
    if report is None:
        return None
    side = report.side_effects
    return {
        "update": report.update_id,
        "loss": [report.loss_before, report.loss],
        "grad_norm": report.grad_norm,
        "agreement": report.agreement,
        "rank_correlation": report.rank_correlation,
        "kl": side.kl_to_before,
        "entropy": [side.entropy_before, side.entropy_after],
        "held_out": None if side.held_out_after is None else [side.held_out_before, side.held_out_after],
        "seconds": report.seconds_s,
        "teacher_error": report.teacher_error,
    }
