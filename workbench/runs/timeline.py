"""The tree of updates and the head, as pure functions over events. Knows nothing of files or models.

Four kinds of event shape it; all others are ignored:
    root    {"state": sha256}                                            the policy before any update, id "root"
    update  {"update_id", "parent_id", "state": sha256, "report": {...}, "config": {...}, "branch"?}
            a new node; the head moves to it; with a branch, it alone carries that name
    head    {"to": update id, "why": "undo"|"redo"|"checkout", "branch"?} the head moves, nothing is lost
    branch  {"name"}                                                     updates from here on carry this name
The current branch changes by `branch` and `checkout` only: undoing the first update of a branch stays on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from workbench.errors import RunError
from workbench.runs.store import Event

ROOT = "root"
MAIN = "main"
TREE_KINDS = ("root", "update", "head", "branch")
WHYS = ("undo", "redo", "checkout")


@dataclass(frozen=True, slots=True)
class Node:
    """One state of the policy."""

    id: str
    parent: str | None  # None for the root
    children: tuple[str, ...] = ()  # oldest first
    name: str = MAIN  # the branch on which it was committed
    created: str = ""  # UTC, ISO 8601; "" for a root that is not committed yet
    event_id: int = 0
    state: str | None = None  # SHA-256 of its state's blob
    intact: bool = True  # False: a blob of its event is missing or damaged, the head cannot rest here


@dataclass(frozen=True, slots=True)
class Timeline:
    """The tree after some prefix of the log."""

    nodes: Mapping[str, Node] = field(default_factory=lambda: {ROOT: Node(ROOT, None)})
    position: str = ROOT  # where the log says the head is
    head: str = ROOT  # the same; where that state was lost, its nearest intact ancestor (the root if there is none)
    branch: str = MAIN
    branches: Mapping[str, str] = field(default_factory=lambda: {MAIN: ROOT})  # name -> newest update, or its start
    left: Mapping[str, str] = field(default_factory=dict)  # update -> where undo last left from to reach it
    last_event: int = 0


def build(events: Iterable[Event], *, damaged: Collection[int] = frozenset(), base: Timeline | None = None) -> Timeline:
    """The timeline after `events` (oldest first), continued from `base` where given.

    `damaged` holds the ids of events whose blobs cannot be used. Raises RunError where an event names an update
    that does not exist, which `check` rules out for events that were appended through a run.
    """
    base = base or Timeline()
    nodes, branches, left = dict(base.nodes), dict(base.branches), dict(base.left)
    position, head, branch, last_event = base.position, base.head, base.branch, base.last_event
    for event in events:
        data, last_event = event.data, event.id
        try:
            if event.kind == "root":
                nodes[ROOT] = _node(event, ROOT, None, MAIN, damaged, children=nodes[ROOT].children)
            elif event.kind == "update":
                position, parent = data["update_id"], nodes[data["parent_id"]]
                name = data.get("branch", branch)
                nodes[position] = _node(event, position, parent.id, name, damaged)
                nodes[parent.id] = replace(parent, children=(*parent.children, position))
                branches[name] = position
                head = _nearest_intact(nodes, position)
                left.pop(parent.id, None)  # a new update is what redo leads to, until something else is undone
            elif event.kind == "head":
                to = nodes[data["to"]]
                if data["why"] == "undo":
                    left[to.id] = position
                elif data["why"] == "checkout":
                    branch = data.get("branch", to.name)
                position = to.id
                head = _nearest_intact(nodes, position)
            elif event.kind == "branch":
                branch = data["name"]
                branches[branch] = head
        except KeyError as error:
            raise RunError(
                f"Event {event.id} ({event.kind}) names something unknown ({error}); restore the log from a copy."
            ) from error
    return Timeline(
        nodes=MappingProxyType(nodes),
        position=position,
        head=head,
        branch=branch,
        branches=MappingProxyType(branches),
        left=MappingProxyType(left),
        last_event=last_event,
    )


def damage(timeline: Timeline, events: Collection[int]) -> Timeline:
    """The same timeline with the blobs of exactly these events marked unusable. The head stays where it is."""
    nodes = {name: replace(node, intact=node.event_id not in events) for name, node in timeline.nodes.items()}
    return replace(timeline, nodes=MappingProxyType(nodes))


def check(timeline: Timeline, kind: str, data: Mapping[str, Any]) -> None:
    """Raise RunError, in one sentence, if an event that is about to be appended does not fit the tree."""
    if kind == "root":
        if timeline.nodes[ROOT].event_id:
            raise RunError("This run already has a root state; open it instead of starting it again.")
    elif kind == "update":
        if not timeline.nodes[ROOT].event_id:
            raise RunError(
                "This run has no root state yet; commit it before the first update, so that undo can return."
            )
        update_id = data.get("update_id")
        if not isinstance(update_id, str) or not update_id:
            raise RunError("An update needs an 'update_id'; give it a new one that is not empty.")
        if update_id in timeline.nodes:
            raise RunError(f"There is already an update {update_id!r}; give the new one another id.")
        node(timeline, str(data.get("parent_id")))
    elif kind == "head":
        _usable(timeline, str(data.get("to")))
        if data.get("why") not in WHYS:
            raise RunError(f"The head cannot move by {data.get('why')!r}; use one of {', '.join(WHYS)}.")
        if data.get("branch", timeline.branch) not in timeline.branches:
            raise RunError(f"There is no branch {data['branch']!r}; create it first.")
    elif kind == "branch":
        name = data.get("name")
        if not isinstance(name, str) or not name.strip():
            raise RunError("A branch needs a name; describe what you try on it.")
        if name in timeline.branches:
            raise RunError(f"There is already a branch {name!r}; check it out, or choose another name.")


def node(timeline: Timeline, update_id: str) -> Node:
    """One node of the tree. Raises RunError for an unknown id."""
    if update_id not in timeline.nodes:
        raise RunError(f"There is no update {update_id!r} in this run; choose one from its timeline.")
    return timeline.nodes[update_id]


def path_to_root(timeline: Timeline, update_id: str) -> tuple[str, ...]:
    """The ids from an update (first) to the root (last). Raises RunError for an unknown id."""
    path = [node(timeline, update_id)]
    while path[-1].parent is not None:
        path.append(timeline.nodes[path[-1].parent])
    return tuple(step.id for step in path)


def undo_target(timeline: Timeline) -> str:
    """Target of undo: the head's parent, or the nearest intact ancestor. Raises RunError at the root."""
    if timeline.head == ROOT:
        raise RunError("There is nothing to undo; the policy is in its initial state.")
    return _usable(timeline, _nearest_intact(timeline.nodes, timeline.nodes[timeline.head].parent or ROOT)).id


def redo_target(timeline: Timeline) -> str:
    """Target of redo: the update that undo last left, or else the newest intact child of the head.

    Raises RunError when the head has no such child.
    """
    undone = timeline.left.get(timeline.head)
    if undone is not None and timeline.nodes[undone].intact and undone != timeline.head:
        return undone
    for child in reversed(timeline.nodes[timeline.head].children):
        if timeline.nodes[child].intact:
            return child
    raise RunError("There is nothing to redo; the policy is at the end of this branch.")


def checkout_target(timeline: Timeline, name: str) -> tuple[str, str]:
    """(update id, branch) for an update's id or a branch's name; an id wins over a name.

    Raises RunError when there is neither, or the update is damaged.
    """
    if name in timeline.nodes:
        target = _usable(timeline, name)
        return target.id, target.name
    if name in timeline.branches:
        return _usable(timeline, timeline.branches[name]).id, name
    raise RunError(f"There is no update or branch {name!r} in this run; choose one from its timeline.")


def _usable(timeline: Timeline, update_id: str) -> Node:
    target = node(timeline, update_id)
    if not target.intact:
        raise RunError(
            f"The state of update {update_id!r} is missing or damaged; choose another, or restore its blob and reopen."
        )
    return target


def _node(
    event: Event, id: str, parent: str | None, name: str, damaged: Collection[int], children: tuple[str, ...] = ()
) -> Node:
    return Node(id, parent, children, name, event.created, event.id, event.data["state"], event.id not in damaged)


def _nearest_intact(nodes: Mapping[str, Node], update_id: str) -> str:
    current = nodes[update_id]
    while not current.intact and current.parent is not None:
        current = nodes[current.parent]
    return current.id
