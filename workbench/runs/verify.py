"""Integrity check of a run: each blob against its name, each event against those before it, the head derived anew.

Reads only, and needs no lock: a run that another process holds open can be checked. Repairs nothing; the sentence
for each problem says what can be done about it. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.errors import RunError
from workbench.runs import state, timeline
from workbench.runs.blobs import BlobStore
from workbench.runs.run import BLOBS_NAME, LOG_NAME, check_directory
from workbench.runs.store import Event, Store
from workbench.runs.timeline import TREE_KINDS, Timeline


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of checking a run."""

    events: int
    blobs: int  # that events name, each counted once
    unused: int  # files that no event names, left by work that was stopped before its commit; harmless
    head: str  # as derived from the log alone
    problems: tuple[str, ...]  # one sentence each, in the order of the log

    @property
    def sound(self) -> bool:
        """True where no problem was found."""
        return not self.problems


def verify(path: str | Path) -> Verification:
    """Check the run in a directory, as it is on disk at this moment.

    Raises RunError when its log cannot be read at all: no such run, a damaged or foreign file, another schema.
    """
    path = Path(path)
    check_directory(path, read_only=True)
    store = Store(path / LOG_NAME, read_only=True)
    try:
        problems = store.problems()
        events = store.events()
    finally:
        store.close()
    blobs = BlobStore(path / BLOBS_NAME, read_only=True)
    named = dict.fromkeys(sha256 for event in events for sha256 in event.blobs)
    broken = {sha256: problem for sha256 in named if (problem := blobs.problem(sha256)) is not None}
    tree = Timeline()
    attempts: set[str] = set()
    last = 0
    for event in events:
        if event.id != last + 1:
            problems.append(f"The log jumps from event {last} to {event.id}; restore the missing events from a copy.")
        last = event.id
        problems += _content(event, tree, attempts)
        problems += [
            f"Blob {sha256} of event {event.id} ({event.kind}) {broken[sha256]}; restore it from a copy."
            for sha256 in event.blobs
            if sha256 in broken
        ]
        if event.kind == "attempt":
            attempts.add(str(event.data.get("id")))
        if event.kind in TREE_KINDS:
            try:
                tree = timeline.build([event], base=tree)
            except (RunError, TypeError):
                continue  # reported by _content
    files = {file.stem for file in blobs.directory.glob("*.safetensors")}
    return Verification(len(events), len(named), len(files - named.keys()), tree.position, tuple(problems))


def _content(event: Event, tree: Timeline, attempts: set[str]) -> list[str]:
    """Problems of an event, given the tree and the attempts before it."""
    try:
        state.reconstruct([event])
        if event.kind in TREE_KINDS:
            timeline.check(tree, event.kind, event.data)
        if event.kind in ("root", "update") and event.data.get("state") not in event.blobs:
            raise RunError("its state is not among its blobs")
        if event.kind == "feedback":
            state.check_feedback(event.data.get("attempt_id") in attempts, event.data)
        if event.kind == "attempt" and event.data["update_id"] not in tree.nodes:
            raise RunError(f"it names an update {event.data['update_id']!r} that is not before it")
        if event.kind == "update" and event.data.get("report") is not None:
            _same_update(event)
    except (ValueError, RunError, TypeError, AttributeError) as error:
        return [f"Event {event.id} ({event.kind}) does not fit the run: {str(error).rstrip('.')}."]
    return []


def _same_update(event: Event) -> None:
    report = event.data["report"]
    for name in ("update_id", "parent_id"):
        if report[name] != event.data[name]:
            raise RunError(f"its report is of another {name}, {report[name]!r}")
