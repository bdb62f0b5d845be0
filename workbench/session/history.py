"""The timeline of a run, and moving its head: the policy follows, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.records import UpdateReport
from workbench.runs import Event, Verification
from workbench.runs import verify as verify_run
from workbench.runs.timeline import checkout_target, path_to_root, redo_target, undo_target
from workbench.session import health
from workbench.session.core import OpenRun, SessionCore
from workbench.session.health import Alarm
from workbench.session.resuming import load_update
from workbench.session.transaction import transaction


@dataclass(frozen=True, slots=True)
class TimelineNode:
    """One state of the policy in the tree of updates."""

    update_id: str
    parent_id: str | None
    name: str  # the branch
    created: str  # UTC, ISO 8601
    is_head: bool
    report: UpdateReport | None  # None for the root


def events(session: OpenRun) -> list[Event]:
    """The log, oldest first."""
    return session.run.events()


def timeline(session: OpenRun) -> list[TimelineNode]:
    """The tree of updates, oldest first."""
    with session.lock:
        timeline = session.run.timeline
        return [
            TimelineNode(
                node.id,
                node.parent,
                node.name,
                node.created,
                node.id == timeline.head,
                session.reports_by_id.get(node.id),
            )
            for node in timeline.nodes.values()
        ]


def alarms(session: OpenRun, update_id: str | None = None) -> list[Alarm]:
    """Alarms about an update (None: the head's), given those before it; none for the root.

    Raises RunError when it is unknown.
    """
    with session.lock:
        path = path_to_root(session.run.timeline, session.head if update_id is None else update_id)
        reports = [session.reports_by_id[step] for step in reversed(path) if step in session.reports_by_id]
        return health.alarms(reports[-1], reports[:-1]) if path[0] in session.reports_by_id else []


def verify(session: OpenRun) -> Verification:
    """Check every blob and every event of the run as it lies on disk."""
    return verify_run(session.run.path)


def undo(session: SessionCore) -> str:
    """Go back to the state before the last update, bit for bit; returns the new head. Raises RunError at the root."""
    with session.lock:
        return _move(session, undo_target(session.run.timeline), session.run.undo, undone=session.head)


def redo(session: SessionCore) -> str:
    """Go forward to the update last undone; returns the new head. Raises RunError when there is none."""
    with session.lock:
        return _move(session, redo_target(session.run.timeline), session.run.redo)


def checkout(session: SessionCore, update_id: str) -> str:
    """Go to any update (or branch) of the timeline; returns the new head. Raises RunError when it is unknown."""
    with session.lock:
        target, _ = checkout_target(session.run.timeline, update_id)
        return _move(session, target, lambda: session.run.checkout(update_id))


def _move(session: SessionCore, target: str, move: Callable[[], str], *, undone: str | None = None) -> str:
    """Move the head. The state is loaded before the log is written: one that cannot be loaded changes nothing."""
    with transaction(session.policy, session.run):
        load_update(session.policy, session.run, target, undone=undone)
        return move()


def branch(session: SessionCore, name: str) -> None:
    """Begin a branch: updates from here on carry this name. Raises RunError when the name is empty or taken."""
    with session.lock:
        session.run.branch(name)
