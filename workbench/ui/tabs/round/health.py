"""The health strip: what became of the policy along the path to the head, and the alarms about the newest update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.records import UpdateReport
from workbench.service.actions.round import Studio
from workbench.service.snapshot import Moment
from workbench.ui.panel import QUIET, Panel, Then, polite


class HealthPanel(Panel):
    """One row of small curves; an alarm brings its own undo button."""

    def __init__(self, studio: Studio) -> None:
        super().__init__()
        self.studio = studio
        self.strip = self.draw("health", lambda moment: health(moment.path, moment.held_out, _alarms(moment)))

    def connect(self, then: Then) -> None:
        """The button beside an alarm takes the newest update back."""
        then(self.strip.select(polite(self.on_undo), None, None, **QUIET))

    def on_undo(self, event: gr.EventData) -> None:
        """Take the newest update back."""
        self.studio.move("undo")


def _alarms(moment: Moment) -> Sequence[str]:
    found: Sequence[str] = moment.facts.get("alarms", ())
    return found


def health(
    path: Sequence[Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]], alarms: Sequence[str]
) -> dict[str, Any]:
    """Curves from the root to the head; `path`: nodes of the timeline, `measured`: held-out rates by update id."""
    nodes = [node for node in path if node.get("report") is not None]
    if not nodes:
        return {"empty": True, "alarms": list(alarms)}
    reports: list[UpdateReport] = [node["report"] for node in nodes]
    effects = [report.side_effects for report in reports]
    curves: list[tuple[str, str, list[float | None]]] = [
        ("entropy", "nats per token", [one.entropy_after for one in effects]),
        ("KL to base", "nats per token", [one.kl_to_base for one in effects]),
        ("length", "tokens", [_mean_length(report) for report in reports]),
        ("gradient norm", "", [report.grad_norm for report in reports]),
        ("sign agreement", "", [report.agreement for report in reports]),
        ("held-out", "pass rate", [measured.get(node["update_id"], {}).get("rate") for node in nodes]),
    ]
    kept = [
        {"name": name, "unit": unit, "values": values}
        for name, unit, values in curves
        if any(value is not None for value in values)
    ]
    return {"curves": kept, "alarms": list(alarms), "updates": len(nodes)}


def _mean_length(report: UpdateReport) -> float | None:
    lengths = [len(changes) for changes in report.realised.values()]
    return sum(lengths) / len(lengths) if lengths else None
