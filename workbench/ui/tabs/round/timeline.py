"""The panel of the timeline: a tree with a node for every update; undo, redo, branch, go anywhere, compare two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.service.actions.round import held_out
from workbench.service.actions.timeline import branch, checkout, compare_nodes, redo, undo
from workbench.service.checks import LONGEST_NAME, make_config
from workbench.service.queue import JobQueue
from workbench.service.rewards import EMPTY
from workbench.service.snapshot import Snapshot, pick
from workbench.service.state import path_to
from workbench.ui import charts
from workbench.ui.panel import QUIET, Panel, Selection, Then, chosen_id, numbered, part, polite

if TYPE_CHECKING:
    from workbench.session.history import TimelineNode


class TimelinePanel(Panel):
    """The tree of updates, the held-out pass rate along each branch, and the rewards along the head's branch."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Column(scale=6, min_width=300):
            self.tree = self.draw("timeline", lambda m: timeline(m.state.timeline, m.state.head))
            with gr.Row():
                self.undo = gr.Button(undo.title, size="sm", min_width=70, elem_id="do-undo")
                self.redo = gr.Button(redo.title, size="sm", min_width=70, elem_id="do-redo")
                self.measure = gr.Button(held_out.title, size="sm", min_width=160, elem_id="do-measure")
            with gr.Row(elem_classes="wb-sample"):
                self.name = gr.Textbox(
                    label="Name of a new branch", max_length=LONGEST_NAME, min_width=140, elem_id="branch-name"
                )
                self.branch = gr.Button(branch.title, size="sm", min_width=100, elem_id="do-branch")
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
                    self.compare = gr.Button(
                        compare_nodes.title, size="sm", scale=0, min_width=90, elem_id="do-compare-nodes"
                    )
                self.compared = part("nodes")
            self.follow(
                "comparing", comparing, lambda m: len(m.state.timeline) > 1, lambda many: gr.Accordion(visible=many)
            )
            self.follow("from", self.first, lambda m: (_labels(m), _before(m)), _choices)
            self.follow("to", self.second, lambda m: (_labels(m), m.state.head), _choices)

    def connect(self, then: Then) -> None:
        """Connect the buttons and the nodes, which move the head."""
        then(self.undo.click(polite(self.on_undo), None, None, **QUIET))
        then(self.redo.click(polite(self.on_redo), None, None, **QUIET))
        then(self.tree.select(polite(self.on_node), None, None, **QUIET))
        then(self.measure.click(polite(self.on_measure), None, None, **QUIET))
        gr.on([self.branch.click, self.name.submit], polite(self.on_branch), [self.name], [self.name], **QUIET)
        selection = self.selection
        inputs = [self.first, self.second, selection.task_id, selection.chosen, selection.config]
        self.compare.click(polite(self.on_compare), inputs, [self.compared], **QUIET)

    def on_undo(self) -> None:
        """Undo the newest update."""
        undo(self.queue)

    def on_redo(self) -> None:
        """Redo the update that was undone last."""
        redo(self.queue)

    def on_node(self, event: gr.EventData) -> None:
        """Move the head to the node that was pressed."""
        checkout(self.queue, chosen_id(event))

    def on_measure(self) -> None:
        """Measure the held-out pass rate of the head."""
        held_out(self.queue)

    def on_branch(self, name: str) -> str:
        """Start a branch with this name; the field is then empty again."""
        branch(self.queue, name or "").result()
        return ""

    def on_compare(self, first: str, second: str, task_id: str, chosen: str, config: dict[str, Any]) -> str:
        """Compare two nodes, with the chosen attempt re-scored under both."""
        attempt = pick(self.queue.state.group(task_id), chosen)
        settings = make_config(SDPOConfig, config)
        job = compare_nodes(self.queue, first, second, attempt.id if attempt else "", settings)
        return numbered(compare_nodes.reply(job.result()))


def _before(snapshot: Snapshot) -> str:
    """The node before the head, the default to compare it with."""
    return snapshot.path[-2].update_id if len(snapshot.path) > 1 else snapshot.state.head


def _labels(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(label(node), node.update_id) for node in snapshot.state.timeline]


def _choices(value: tuple[list[tuple[str, str]], str]) -> gr.Dropdown:
    return gr.Dropdown(value[0], value=value[1] or None)


def _curve(snapshot: Snapshot) -> Any:
    title = f"held-out pass rate,<br>{snapshot.state.pack}"
    return charts.learning_curves(branches(snapshot.state.timeline, snapshot.state.head), snapshot.held_out, title)


def _rewards(value: tuple[list[dict[str, Any]], int]) -> gr.Plot:
    drawn = charts.reward_histograms(*value)
    return gr.Plot(drawn, visible=drawn is not None)


def label(node: TimelineNode) -> str:
    """Label a node in a list: its branch, and its id."""
    return "start" if node.parent_id is None else f"{node.name} · {node.update_id}"


def branches(nodes: Sequence[TimelineNode], head: str) -> list[tuple[str, list[TimelineNode]]]:
    """Every path from the root to a leaf, with a name of its own; the one through the head comes first.

    A path that was left by an undo has the branch of the one that took its place: it is called "main, earlier".
    """
    parents = {node.parent_id for node in nodes}
    paths = [(leaf.name, path_to(nodes, leaf.update_id)) for leaf in nodes if leaf.update_id not in parents]
    paths = sorted(paths, key=lambda branch: not any(node.update_id == head for node in branch[1]))
    seen: Counter[str] = Counter()
    named = []
    for name, path in paths:
        seen[name] += 1
        earlier = {1: "", 2: ", earlier"}.get(seen[name], f", earlier {seen[name] - 1}")
        named.append((f"{name}{earlier}", path))
    return named


def timeline(nodes: Sequence[TimelineNode], head: str) -> dict[str, Any]:
    """Lay out the tree of updates: `x` is the depth, `y` the lane; a first child continues its parent's lane."""
    children: dict[str | None, list[TimelineNode]] = {}
    for node in nodes:
        children.setdefault(node.parent_id, []).append(node)
    names = {node.update_id: node.name for node in nodes}
    placed: list[dict[str, Any]] = []
    lanes = 0
    pending = [(node, 0, -1) for node in reversed(children.get(None, []))]
    while pending:
        node, depth, lane = pending.pop()
        if lane < 0:
            lane, lanes = lanes, lanes + 1
        report, parent = node.report, node.parent_id
        placed.append(
            {
                "id": node.update_id,
                "parent": parent,
                "x": depth,
                "y": lane,
                "name": node.name,
                "begins": parent is not None and node.name != names.get(parent),
                "head": node.update_id == head,
                "loss": None if report is None else [report.loss_before, report.loss],
            }
        )
        below = children.get(node.update_id, [])
        pending += [(child, depth + 1, lane if i == 0 else -1) for i, child in reversed(list(enumerate(below)))]
    return {"nodes": placed, "empty": "" if len(placed) > 1 else "No updates yet: every update will be a node here."}
