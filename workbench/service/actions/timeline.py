"""The actions on the tree of updates: move the head, name a branch, compare two nodes, read the reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from workbench.errors import RunError
from workbench.records import UpdateReport, to_json
from workbench.service.action import JobContext, action, immediate
from workbench.service.actions.tasks import find_task
from workbench.service.checks import DEFAULT_CONFIG, LONGEST_NAME, Config, TaskId, chosen, is_text
from workbench.service.publish import publish_timeline
from workbench.service.queue import JobQueue
from workbench.service.rewards import by_policy

if TYPE_CHECKING:
    from workbench.session.node_comparison import NodeComparison

PER_TOKEN = ("predicted", "realised")  # fields of a report that the timeline leaves out
NodeId = Annotated[str, chosen("Choose two updates of the timeline to compare.", RunError)]


def _head(update_id: str) -> dict[str, str]:
    return {"head": update_id}


@action("Undo", job="Undoing", reply=_head)
def undo(context: JobContext) -> str:
    """Undo the newest update; the policy is bit for bit what it was before."""
    return _moved(context, context.workbench.undo)


@action("Redo", job="Redoing", reply=_head)
def redo(context: JobContext) -> str:
    """Redo the update that was undone last."""
    return _moved(context, context.workbench.redo)


@action("Go there", job="Moving the head", reply=_head)
def checkout(
    context: JobContext, update_id: Annotated[str, chosen("Choose an update of the timeline first.", RunError)]
) -> str:
    """Move the head to any node of the timeline."""
    return _moved(context, lambda: context.workbench.checkout(update_id))


def _moved(context: JobContext, move: Callable[[], str]) -> str:
    head = move()
    publish_timeline(context.workbench, context.queue)
    return head


def _branch_name(value: object) -> str:
    if not isinstance(value, str) or not is_text(value) or not 0 < len(value.strip()) <= LONGEST_NAME:
        raise RunError(f"A branch needs a name of at most {LONGEST_NAME} characters; say what you try on it.")
    return value.strip()


@action("Branch here", job="Starting a branch", reply=lambda name: {"branch": name})
def branch(context: JobContext, name: Annotated[str, _branch_name]) -> str:
    """Start a branch: updates from here on carry this name."""
    context.workbench.branch(name)
    publish_timeline(context.workbench, context.queue)
    return name


def compared_nodes(comparison: NodeComparison) -> dict[str, Any]:
    """Two nodes side by side as JSON data, with the heatmap's payload of the attempt."""
    sides = [
        {
            "id": node.update_id,
            "held_out": node.held_out and node.held_out.to_json(),
            "written": node.written,
            "passed": node.passed,
        }
        for node in (comparison.first, comparison.second)
    ]
    heat, attempt = comparison.payload(), comparison.attempt_id or ""
    return {"nodes": sides, "distance": comparison.distance, "attempt": attempt, "heat": heat}


@action("Compare", job="Comparing two updates", kind="compare", reply=compared_nodes)
def compare_nodes(
    context: JobContext, first: NodeId, second: NodeId, attempt: str = "", config: Config = DEFAULT_CONFIG
) -> NodeComparison:
    """Compare two updates: pass rates, distance of the adapters, and an attempt re-scored under both."""
    rescored = context.attempt(attempt) if attempt else None
    return context.workbench.compare_nodes(first, second, rescored, config)


@immediate("Timeline")
def timeline(queue: JobQueue) -> dict[str, Any]:
    """The tree of updates, each with its report and its held-out pass rate on the current pack."""
    state = queue.state
    rates = state.held_out.get(state.pack, {})
    nodes = [
        {
            "update_id": node.update_id,
            "parent_id": node.parent_id,
            "name": node.name,
            "created": node.created,
            "report": node.report and _in_short(node.report),
            "held_out": rates[node.update_id].to_json() if node.update_id in rates else None,
        }
        for node in state.timeline
    ]
    return {"head": state.head, "pack": state.pack, "nodes": nodes}


def _in_short(report: UpdateReport) -> dict[str, Any]:
    return {name: value for name, value in to_json(report).items() if name not in PER_TOKEN}


@immediate("Update report", python="timeline")
def update_report(queue: JobQueue, update_id: str) -> UpdateReport:
    """Full report of an update, including the logit push and the realised change of every token."""
    reports = (node.report for node in queue.state.timeline if node.update_id == update_id)
    report = next(reports, None)
    if report is None:
        raise RunError(f"There is no update {update_id!r} in this run; see its timeline.")
    return report


@immediate("Alarms", reply=lambda sentences: {"alarms": list(sentences)})
def alarms(queue: JobQueue) -> tuple[str, ...]:
    """Alarms about the update in force, a sentence each."""
    return queue.state.alarms


@immediate("Rewards")
def rewards(queue: JobQueue, task: TaskId) -> list[dict[str, Any]]:
    """Rewards of the attempts at a task, policy by policy from the start to the head."""
    state = queue.state
    return by_policy(state.rewards.get(find_task(state, task).id, {}), state.path())
