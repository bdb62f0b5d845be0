"""The health strip: the policy's health along the path to the head, and the alarms about the newest update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.records import UpdateReport
from workbench.service.actions.timeline import undo
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui.panel import QUIET, Panel, Then, polite

if TYPE_CHECKING:
    from workbench.session.history import TimelineNode


class HealthPanel(Panel):
    """A row of small curves; an alarm has its own undo button."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self.queue = queue
        self.strip = self.draw("health", _health)

    def connect(self, then: Then) -> None:
        """Connect the button beside an alarm, which undoes the newest update."""
        then(self.strip.select(polite(self.on_undo), None, None, **QUIET))

    def on_undo(self, event: gr.EventData) -> None:
        """Undo the newest update."""
        undo(self.queue)


def _health(snapshot: Snapshot) -> dict[str, Any]:
    return health(snapshot.path, snapshot.held_out, snapshot.state.alarms)


def health(
    path: Sequence[TimelineNode], measured: Mapping[str, Mapping[str, Any]], alarms: Sequence[str]
) -> dict[str, Any]:
    """Curves from the root to the head; `path`: nodes of the timeline, `measured`: held-out rates by update id."""
    reports = [node.report for node in path if node.report is not None]
    if not reports:
        return {"empty": True, "alarms": list(alarms)}
    effects = [report.side_effects for report in reports]
    curves: list[tuple[str, str, list[float | None]]] = [
        ("entropy", "nats per token", [effect.entropy_after for effect in effects]),
        ("KL to reference", "nats per token", [effect.kl_to_base for effect in effects]),
        ("length", "tokens", [_mean_length(report) for report in reports]),
        ("gradient norm", "", [report.grad_norm for report in reports]),
        ("sign agreement", "", [report.agreement for report in reports]),
        ("held-out", "pass rate", [measured.get(report.update_id, {}).get("rate") for report in reports]),
    ]
    shown = [
        {"name": name, "unit": unit, "values": values}
        for name, unit, values in curves
        if any(value is not None for value in values)
    ]
    return {"curves": shown, "alarms": list(alarms), "updates": len(reports)}


def _mean_length(report: UpdateReport) -> float | None:
    lengths = [len(changes) for changes in report.realised.values()]
    return sum(lengths) / len(lengths) if lengths else None
