"""The panel of the timeline: every update a node of a tree; undo, redo, branch, go anywhere, compare two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.ui import charts
from workbench.ui.forms import LONGEST_NAME, make_config
from workbench.ui.moment import Moment, pick
from workbench.ui.panel import QUIET, Panel, Selection, Then, chosen_id, numbered, part, polite
from workbench.ui.rewards import EMPTY
from workbench.ui.studio import Studio


class TimelinePanel(Panel):
    """The tree of updates, the held-out pass rate along each of its branches, the rewards along that of the head."""

    def __init__(self, studio: Studio, selection: Selection) -> None:
        super().__init__()
        self.studio, self.selection = studio, selection
        with gr.Column(scale=6, min_width=300):
            self.tree = self.draw("timeline", lambda moment: timeline(_nodes(moment), _head(moment)))
            with gr.Row():
                self.undo = gr.Button("Undo", size="sm", min_width=70, elem_id="do-undo")
                self.redo = gr.Button("Redo", size="sm", min_width=70, elem_id="do-redo")
                self.measure = gr.Button("Measure held-out tasks", size="sm", min_width=160, elem_id="do-measure")
            with gr.Row(elem_classes="wb-sample"):
                self.name = gr.Textbox(
                    label="Name of a new branch", max_length=LONGEST_NAME, min_width=140, elem_id="branch-name"
                )
                self.branch = gr.Button("Branch here", size="sm", min_width=100, elem_id="do-branch")
            rewards = gr.Plot(show_label=False, container=False, elem_id="rewards", visible=False)
            self.follow("rewards", rewards, lambda m: (m.rewards, len(m.path) - 1), _rewards)
            none = gr.Markdown(EMPTY, elem_id="no-rewards", elem_classes="wb-hint", visible=False)
            self.follow("no rewards", none, lambda m: not m.rewards, lambda empty: gr.Markdown(visible=empty))
        with gr.Column(scale=5, min_width=300):
            curve = gr.Plot(show_label=False, container=False, elem_id="curve", visible=False)
            self.follow("curve", curve, _curve, lambda drawn: gr.Plot(drawn, visible=drawn is not None))
            with gr.Accordion("Compare two updates", open=False, visible=False, elem_id="comparing") as comparing:
                with gr.Row(elem_classes="wb-sample"):
                    self.first = gr.Dropdown([], label="From", min_width=120, elem_id="compare-first")
                    self.second = gr.Dropdown([], label="To", min_width=120, elem_id="compare-second")
                    self.compare = gr.Button("Compare", size="sm", scale=0, min_width=90, elem_id="do-compare-nodes")
                self.compared = part("nodes")
            self.follow("comparing", comparing, lambda m: len(_nodes(m)) > 1, lambda many: gr.Accordion(visible=many))
            self.follow("from", self.first, lambda m: (_labels(m), _before(m)), _choices)
            self.follow("to", self.second, lambda m: (_labels(m), _head(m)), _choices)

    def connect(self, then: Then) -> None:
        """The head moves by the buttons, and to a node that is pressed."""
        then(self.undo.click(polite(lambda: self._move("undo")), None, None, **QUIET))
        then(self.redo.click(polite(lambda: self._move("redo")), None, None, **QUIET))
        then(self.tree.select(polite(self.on_node), None, None, **QUIET))
        then(self.measure.click(polite(self.on_measure), None, None, **QUIET))
        gr.on([self.branch.click, self.name.submit], polite(self.on_branch), [self.name], [self.name], **QUIET)
        selection = self.selection
        asked = [self.first, self.second, selection.task_id, selection.chosen, selection.config]
        self.compare.click(polite(self.on_compare), asked, [self.compared], **QUIET)

    def _move(self, verb: str) -> None:
        self.studio.move(verb)

    def on_node(self, event: gr.EventData) -> None:
        """A node of the timeline was chosen: the head goes there."""
        self.studio.move("checkout", chosen_id(event))

    def on_measure(self) -> None:
        """Measure the held-out pass rate of the head."""
        self.studio.held_out()

    def on_branch(self, name: str) -> str:
        """Updates from the head on carry this name; the field is empty again."""
        self.studio.branch(name or "").future.result()
        return ""

    def on_compare(self, first: str, second: str, task_id: str, chosen: str, config: dict[str, Any]) -> str:
        """Two nodes side by side, with the chosen attempt re-scored under both."""
        attempt = pick(self.studio.group(task_id), chosen)
        made = make_config(SDPOConfig, config)
        found = self.studio.compare_nodes(first, second, attempt.id if attempt else None, made).future.result()
        return numbered(found)


def _nodes(moment: Moment) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = moment.facts.get("timeline", ())
    return found


def _head(moment: Moment) -> str:
    return str(moment.facts.get("head", ""))


def _before(moment: Moment) -> str:
    """The node before the head: what one compares it with first."""
    return str(moment.path[-2]["update_id"]) if len(moment.path) > 1 else _head(moment)


def _labels(moment: Moment) -> list[tuple[str, str]]:
    return [(label(node), node["update_id"]) for node in _nodes(moment)]


def _choices(value: tuple[list[tuple[str, str]], str]) -> gr.Dropdown:
    return gr.Dropdown(value[0], value=value[1] or None)


def _curve(moment: Moment) -> Any:
    title = f"held-out pass rate,<br>{moment.facts.get('pack')}"
    return charts.learning_curves(branches(_nodes(moment), _head(moment)), moment.held_out, title)


def _rewards(value: tuple[list[dict[str, Any]], int]) -> gr.Plot:
    drawn = charts.reward_histograms(*value)
    return gr.Plot(drawn, visible=drawn is not None)


def label(node: Mapping[str, Any]) -> str:
    """A node as people find it in a list: its branch, and its id."""
    return "start" if node.get("parent_id") is None else f"{node.get('name') or ''} · {node['update_id']}"


def branches(nodes: Sequence[Mapping[str, Any]], head: str) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Every path from the root to a last update, with the name of its branch; that through the head comes first."""
    known = {node["update_id"]: node for node in nodes}
    parents = {node.get("parent_id") for node in nodes}
    paths = []
    for leaf in (node for node in nodes if node["update_id"] not in parents):
        path = [leaf]
        while path[-1].get("parent_id") in known:
            path.append(known[path[-1]["parent_id"]])
        paths.append((str(leaf.get("name") or ""), path[::-1]))
    return sorted(paths, key=lambda one: not any(node["update_id"] == head for node in one[1]))


def timeline(nodes: Sequence[Mapping[str, Any]], head: str) -> dict[str, Any]:
    """The tree of updates laid out: `x` is the depth, `y` the lane; a first child continues its parent's lane."""
    children: dict[str | None, list[Mapping[str, Any]]] = {}
    for node in nodes:
        children.setdefault(node.get("parent_id"), []).append(node)
    names = {node["update_id"]: node.get("name") for node in nodes}
    placed: list[dict[str, Any]] = []
    lanes = 0
    pending = [(node, 0, -1) for node in reversed(children.get(None, []))]
    while pending:
        node, depth, lane = pending.pop()
        if lane < 0:
            lane, lanes = lanes, lanes + 1
        report, parent = node.get("report"), node.get("parent_id")
        placed.append(
            {
                "id": node["update_id"],
                "parent": parent,
                "x": depth,
                "y": lane,
                "name": node.get("name") or "",
                "begins": parent is not None and node.get("name") != names.get(parent),
                "head": node["update_id"] == head,
                "loss": None if report is None else [report.loss_before, report.loss],
            }
        )
        below = children.get(node["update_id"], [])
        pending += [(child, depth + 1, lane if i == 0 else -1) for i, child in reversed(list(enumerate(below)))]
    return {"nodes": placed, "empty": "" if len(placed) > 1 else "No updates yet: every update will be a node here."}
