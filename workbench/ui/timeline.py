"""The panel of the timeline: every update a node of a tree; undo, redo, go anywhere; the learning curve beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.ui import charts
from workbench.ui.moment import Moment
from workbench.ui.panel import QUIET, Panel, Then, chosen_id, polite
from workbench.ui.studio import Studio


class TimelinePanel(Panel):
    """The tree of updates and the held-out pass rate along the path to the head."""

    def __init__(self, studio: Studio) -> None:
        super().__init__()
        self.studio = studio
        with gr.Column(scale=6, min_width=300):
            read = lambda moment: timeline(moment.facts.get("timeline", ()), moment.facts.get("head", ""))  # noqa: E731
            self.tree = self.draw("timeline", read)
            with gr.Row():
                self.undo = gr.Button("Undo", size="sm", min_width=80, elem_id="do-undo")
                self.redo = gr.Button("Redo", size="sm", min_width=80, elem_id="do-redo")
                self.measure = gr.Button("Measure held-out tasks", size="sm", min_width=160, elem_id="do-measure")
        with gr.Column(scale=5, min_width=300):
            curve = gr.Plot(show_label=False, container=False, elem_id="curve", visible=False)
            self.follow("curve", curve, _curve, lambda drawn: gr.Plot(drawn, visible=drawn is not None))

    def connect(self, then: Then) -> None:
        """The head moves by the buttons, and to a node that is pressed."""
        then(self.undo.click(polite(lambda: self._move("undo")), None, None, **QUIET))
        then(self.redo.click(polite(lambda: self._move("redo")), None, None, **QUIET))
        then(self.tree.select(polite(self.on_node), None, None, **QUIET))
        then(self.measure.click(polite(self.on_measure), None, None, **QUIET))

    def _move(self, verb: str) -> None:
        self.studio.move(verb)

    def on_node(self, event: gr.EventData) -> None:
        """A node of the timeline was chosen: the head goes there."""
        self.studio.move("checkout", chosen_id(event))

    def on_measure(self) -> None:
        """Measure the held-out pass rate of the head."""
        self.studio.held_out()


def _curve(moment: Moment) -> Any:
    return charts.learning_curve(moment.path, moment.facts.get("held_out", {}))


def timeline(nodes: Sequence[Mapping[str, Any]], head: str) -> dict[str, Any]:
    """The tree of updates laid out: `x` is the depth, `y` the lane; a first child continues its parent's lane."""
    children: dict[str | None, list[Mapping[str, Any]]] = {}
    for node in nodes:
        children.setdefault(node.get("parent_id"), []).append(node)
    placed: list[dict[str, Any]] = []
    lanes = 0
    pending = [(node, 0, -1) for node in reversed(children.get(None, []))]
    while pending:
        node, depth, lane = pending.pop()
        if lane < 0:
            lane, lanes = lanes, lanes + 1
        report = node.get("report")
        placed.append(
            {
                "id": node["update_id"],
                "parent": node.get("parent_id"),
                "x": depth,
                "y": lane,
                "name": node.get("name") or "",
                "head": node["update_id"] == head,
                "loss": None if report is None else [report.loss_before, report.loss],
            }
        )
        below = children.get(node["update_id"], [])
        pending += [(child, depth + 1, lane if i == 0 else -1) for i, child in reversed(list(enumerate(below)))]
    return {"nodes": placed, "empty": "" if len(placed) > 1 else "No updates yet: every update will be a node here."}
