"""The tree of updates, undo, redo, checkout and branches, against a model that only knows the history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from workbench.errors import RunError
from workbench.runs import timeline as tl
from workbench.runs.store import Event

settings.register_profile("runs", deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Log:
    """A log in memory: every event goes through `check`, as it does in a run."""

    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.append("root", {"state": "s-root"})

    @property
    def timeline(self) -> tl.Timeline:
        return tl.build(self.events)

    def append(self, kind: str, data: dict[str, Any]) -> None:
        tl.check(self.timeline, kind, data)
        self.events.append(Event(len(self.events) + 1, kind, f"time {len(self.events)}", data))

    def update(self, update_id: str, parent_id: str | None = None) -> None:
        parent_id = parent_id or self.timeline.head
        self.append("update", {"update_id": update_id, "parent_id": parent_id, "state": f"s-{update_id}"})

    def undo(self) -> None:
        self.append("head", {"to": tl.undo_target(self.timeline), "why": "undo"})

    def redo(self) -> None:
        self.append("head", {"to": tl.redo_target(self.timeline), "why": "redo"})

    def checkout(self, name: str) -> None:
        to, branch = tl.checkout_target(self.timeline, name)
        self.append("head", {"to": to, "why": "checkout", "branch": branch})


class TimelineMachine(RuleBasedStateMachine):
    """Random rounds. The model answers every question by searching the plain list of what was done."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.incremental = self.log.timeline
        self.done: list[tuple[str, str, str]] = []  # (what, from, to)
        self.head = "root"
        self.parents: dict[str, str] = {}
        self.branch = "main"
        self.names = {"root": "main"}
        self.tips = {"main": "root"}

    @rule()
    def update(self) -> None:
        new = f"u{len(self.parents) + 1}"
        self.log.update(new)
        self.done.append(("update", self.head, new))
        self.parents[new], self.names[new], self.tips[self.branch], self.head = self.head, self.branch, new, new

    @rule()
    def undo(self) -> None:
        if self.head == "root":
            with pytest.raises(RunError, match="nothing to undo"):
                self.log.undo()
            return
        self.log.undo()
        self.done.append(("undo", self.head, self.parents[self.head]))
        self.head = self.parents[self.head]

    @rule()
    def redo(self) -> None:
        target = None
        for what, start, end in self.done:  # the latest of: undone to here, updated from here
            if what == "undo" and end == self.head:
                target = start
            elif what == "update" and start == self.head:
                target = end
        if target is None:
            with pytest.raises(RunError, match="nothing to redo"):
                self.log.redo()
            return
        self.log.redo()
        self.head = target

    @rule(data=st.data())
    def checkout(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["root", *self.parents, *self.tips]))
        self.log.checkout(name)
        if name in self.names:
            self.head, self.branch = name, self.names[name]
        else:
            self.head, self.branch = self.tips[name], name

    @rule()
    def start_branch(self) -> None:
        name = f"try {len(self.tips)}"
        self.log.append("branch", {"name": name})
        self.tips[name], self.branch = self.head, name

    @invariant()
    def agrees(self) -> None:
        found = self.log.timeline
        new = [event for event in self.log.events if event.id > self.incremental.last_event]
        self.incremental = tl.build(new, base=self.incremental)
        assert self.incremental == found
        assert (found.head, found.position, found.branch) == (self.head, self.head, self.branch)
        assert dict(found.branches) == self.tips
        assert {node.id: node.parent for node in found.nodes.values()} == {"root": None, **self.parents}
        assert {node.id: node.name for node in found.nodes.values()} == self.names
        for node in found.nodes.values():
            assert list(node.children) == [child for child, parent in self.parents.items() if parent == node.id]
            assert node.state == f"s-{node.id}"
        path = [self.head]
        while path[-1] != "root":
            path.append(self.parents[path[-1]])
        assert tl.path_to_root(found, self.head) == tuple(path)


TestTimelineMachine = TimelineMachine.TestCase
TestTimelineMachine.settings = settings(
    settings.get_profile("runs"), max_examples=80, stateful_step_count=30, derandomize=True
)


@settings(settings.get_profile("runs"), max_examples=100, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=15))
def test_the_head_falls_back_to_the_nearest_intact_ancestor(grown: list[tuple[int, bool]]) -> None:
    log, damaged = Log(), set()
    for number, (parent, broken) in enumerate(grown):
        log.update(f"u{number}", ["root", *(f"u{n}" for n in range(number))][parent % (number + 1)])
        if broken:
            damaged.add(len(log.events))
    found = tl.build(log.events, damaged=damaged)
    path = tl.path_to_root(found, found.position)
    assert found.head == next((step for step in path if found.nodes[step].event_id not in damaged), "root")
    assert found.position == f"u{len(grown) - 1}"
    with pytest.raises(RunError) if found.head == "root" else _nothing():
        target = tl.undo_target(found)
        assert found.nodes[target].intact and target in tl.path_to_root(found, found.head)[1:]


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_undo_and_redo_step_over_a_damaged_update() -> None:
    log = Log()
    for name in ("a", "b", "c"):
        log.update(name)
    damaged = {log.events[2].id}  # b
    found = tl.build(log.events, damaged=damaged)
    assert found.head == "c" and tl.undo_target(found) == "a"
    log.append("head", {"to": "a", "why": "undo"})
    assert tl.redo_target(tl.build(log.events, damaged=damaged)) == "c"
    with pytest.raises(RunError, match="'b' is missing or damaged"):
        tl.checkout_target(tl.build(log.events, damaged=damaged), "b")


def test_an_update_on_another_parent_is_a_fork() -> None:
    log = Log()
    log.update("a")
    log.update("b")
    log.update("c", parent_id="a")
    assert log.timeline.nodes["a"].children == ("b", "c")
    log.undo()
    log.checkout("b")
    log.undo()
    assert tl.redo_target(log.timeline) == "b"


def test_a_new_update_is_what_redo_leads_to() -> None:
    log = Log()
    log.update("a")
    log.undo()
    log.update("b")
    log.checkout("root")
    assert tl.redo_target(log.timeline) == "b"
    log.checkout("a")
    log.undo()
    assert tl.redo_target(log.timeline) == "a"


def test_undoing_the_first_update_of_a_branch_stays_on_it() -> None:
    log = Log()
    log.update("a")
    log.append("branch", {"name": "try JSD"})
    log.update("b")
    log.undo()
    log.update("c")
    assert log.timeline.nodes["c"].name == "try JSD" and log.timeline.nodes["a"].name == "main"
    log.checkout("main")
    assert (log.timeline.head, log.timeline.branch) == ("a", "main")
    log.checkout("try JSD")
    assert (log.timeline.head, log.timeline.branch) == ("c", "try JSD")


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        ("root", {"state": "x"}, "already has a root state"),
        ("update", {"update_id": "a", "parent_id": "root", "state": "x"}, "is already an update 'a'"),
        ("update", {"update_id": "root", "parent_id": "root", "state": "x"}, "is already an update 'root'"),
        ("update", {"update_id": "", "parent_id": "root", "state": "x"}, "needs an 'update_id'"),
        ("update", {"parent_id": "root", "state": "x"}, "needs an 'update_id'"),
        ("update", {"update_id": "b", "parent_id": "nowhere", "state": "x"}, "no update 'nowhere'"),
        ("update", {"update_id": "b", "state": "x"}, "no update 'None'"),
        ("head", {"to": "nowhere", "why": "undo"}, "no update 'nowhere'"),
        ("head", {"to": "root", "why": "because"}, "cannot move by 'because'"),
        ("head", {"to": "root", "why": "checkout", "branch": "nowhere"}, "no branch 'nowhere'"),
        ("branch", {"name": " "}, "needs a name"),
        ("branch", {}, "needs a name"),
        ("branch", {"name": "main"}, "is already a branch 'main'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(kind: str, data: dict[str, Any], sentence: str) -> None:
    log = Log()
    log.update("a")
    with pytest.raises(RunError, match=sentence):
        log.append(kind, data)


def test_an_update_needs_a_root_to_return_to() -> None:
    with pytest.raises(RunError, match="no root state yet"):
        tl.check(tl.Timeline(), "update", {"update_id": "a", "parent_id": "root", "state": "x"})


def test_a_log_that_names_the_unknown_is_one_sentence() -> None:
    with pytest.raises(RunError, match=r"Event 7 \(update\).*'nowhere'"):
        tl.build([Event(7, "update", "now", {"update_id": "a", "parent_id": "nowhere", "state": "x"})])
