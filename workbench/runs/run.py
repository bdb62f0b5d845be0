"""A durable run: a directory with an append-only event log, its blobs, and one writer.

    run.sqlite                    events, oldest first, never changed (run.sqlite.v<N>.bak: before a schema change)
    blobs/<sha256>.safetensors    the tensors that events name, durable before the event is
    .lock                         flock; holds the writer's process id

Undo, redo, checkout and branches are events too: nothing that was acknowledged is ever taken away.
Knows nothing of models or pages.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from workbench.errors import RunError
from workbench.records import UpdateReport, to_json
from workbench.runs import state, timeline
from workbench.runs.blobs import BlobStore
from workbench.runs.failpoints import FailPoint, no_fail_point
from workbench.runs.files import disk_error, read_only_error, sync_directory
from workbench.runs.lock import RunLock
from workbench.runs.schema import check_header
from workbench.runs.store import Entry, Event, Listener, Store
from workbench.runs.timeline import TREE_KINDS, Timeline

LOG_NAME = "run.sqlite"
BLOBS_NAME = "blobs"
LOCK_NAME = ".lock"


class Run:
    """One run directory, open. Use `Run.open`, then `close()` or a `with` block. Safe to use from several threads."""

    def __init__(self, path: Path, store: Store, blobs: BlobStore, lock: RunLock | None) -> None:
        self.path = path
        self.blobs = blobs  # put tensors here first, then append the event that names them
        self._store = store
        self._lock = lock  # None: read-only
        self._lost: dict[str, str] = {}  # SHA-256 of each blob that was unusable when last checked, and why
        self._timeline = Timeline()
        self._naming: str | None = None  # branch name given to updates committed now; None: the current branch
        self._moves = threading.RLock()  # an event of the tree is checked against the tree that it joins

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, fail_point: FailPoint = no_fail_point) -> Self:
        """Open a run, or start one where there is none (not when read-only).

        Every blob must exist and the head's state must match its hash; events for which this does not hold are listed
        in `set_aside`, and the head falls back to the nearest intact ancestor. Other blobs are hashed when they are
        needed (see `usable`), all of them by `verify`. Jobs that were running are closed by an "interrupted" event.
        A read-only opening needs no lock and sees what another process commits meanwhile.

        Raises RunError, having changed nothing: a file instead of a directory, a damaged or foreign log, a newer
        schema, no write access, no such run (read-only), or a run that is open in another process.
        """
        path = Path(path)
        try:
            check_directory(path, read_only)
        except OSError as error:
            raise disk_error(path, error) from error
        lock = None if read_only else _claim(path, fail_point)
        try:
            store = Store(path / LOG_NAME, read_only=read_only, fail_point=fail_point)
            try:
                blobs = BlobStore(path / BLOBS_NAME, read_only=read_only, fail_point=fail_point)
                run = cls(path, store, blobs, lock)
                run._recover()
            except BaseException:
                store.close()
                raise
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return run

    @property
    def read_only(self) -> bool:
        """True where this opening must not change the run."""
        return self._lock is None

    @property
    def timeline(self) -> Timeline:
        """The tree of updates, the head and the branches, as of now."""
        with self._moves:
            news = self._store.events(kinds=TREE_KINDS, after=self._timeline.last_event)
            if news:
                self._timeline = timeline.build(news, damaged=self._damaged(), base=self._timeline)
            return self._timeline

    @property
    def head(self) -> str:
        """The id of the update that is in force, "root" before the first."""
        return self.timeline.head

    @property
    def set_aside(self) -> list[tuple[int, str]]:
        """(event id, reason) of each event with a blob known to be unusable; see `usable`."""
        reasons: dict[int, str] = {}
        lost = self._lost
        for event_id, kind, sha256 in self._store.references() if lost else ():
            if sha256 in lost:
                reasons.setdefault(event_id, f"blob {sha256} of event {event_id} ({kind}) {lost[sha256]}")
        return list(reasons.items())

    def events(self, kind: str | None = None) -> list[Event]:
        """The log, oldest first, events that were set aside included; of one kind only, where given."""
        return self._store.events(kinds=None if kind is None else (kind,))

    def state(self) -> state.RunState:
        """Tasks, attempts with the feedback in force, reports and jobs; without events that were set aside."""
        return state.reconstruct(self.events(), set_aside=self._damaged())

    def add_listener(self, listener: Listener) -> None:
        """Call `listener(event)` once per event committed from now on; see `Store` for what it may do."""
        self._store.add_listener(listener)

    def append(self, kind: str, data: Mapping[str, Any], blobs: Sequence[str] = ()) -> Event:
        """Commit one event; on return it is durable. `blobs` are names that `run.blobs.put` returned.

        Raises RunError (FeedbackError for kind "feedback") when the event does not fit the run, a blob is not there,
        the run is closed or read-only, or the disk refuses; in each case nothing was committed.
        """
        return self.append_all([(kind, data, blobs)])[0]

    def append_all(self, entries: Sequence[Entry]) -> list[Event]:
        """Commit several events at once, all or none; otherwise as `append`. At most one of them shapes the tree."""
        if self.read_only:
            raise read_only_error(self.path)
        with self._moves:
            for kind, data, blobs in entries:
                self._check(kind, data, blobs)
            return self._store.append_all(entries)

    def _check(self, kind: str, data: Mapping[str, Any], blobs: Sequence[str]) -> None:
        for sha256 in blobs:
            if not self.blobs.exists(sha256):
                raise RunError(f"Blob {sha256} is not in this run; put it before the event that names it.")
        if kind == "feedback":
            attempts = (event.data.get("id") for event in self.events("attempt"))
            state.check_feedback(data.get("attempt_id") in attempts, data)
        if kind in ("root", "update") and data.get("state") not in blobs:
            raise RunError(f"The state of this {kind} is not among its blobs; put it first and name it in both.")
        if kind in TREE_KINDS:
            timeline.check(self.timeline, kind, data)

    def commit_root(self, state_blob: str) -> Event:
        """Commit the policy's state before any update (update id "root")."""
        return self.append("root", {"state": state_blob}, (state_blob,))

    def commit_update(
        self,
        report: UpdateReport,
        state_blob: str,
        blobs: Sequence[str] = (),
        *,
        config: Mapping[str, Any] | None = None,
    ) -> Event:
        """Commit an update with the blob of its resulting state (and any further blobs); the head moves to it.

        `config`: the settings of the update, as plain data.
        """
        data = {
            "update_id": report.update_id,
            "parent_id": report.parent_id,
            "state": state_blob,
            "report": to_json(report),
            "config": dict(config or {}),
        }
        if self._naming is not None:
            data["branch"] = self._naming
        return self.append("update", data, (state_blob, *blobs))

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Give updates committed inside the block this branch name; the run stays on its own branch."""
        self._naming = name
        try:
            yield
        finally:
            self._naming = None

    def undo(self) -> str:
        """Move the head to its parent; returns the new head. Raises RunError at the root."""
        with self._moves:
            return self._move({"to": timeline.undo_target(self.timeline), "why": "undo"})

    def redo(self) -> str:
        """Move the head to the update last left by undo, or the newest child. Raises RunError when there is none."""
        with self._moves:
            return self._move({"to": timeline.redo_target(self.timeline), "why": "redo"})

    def checkout(self, name: str) -> str:
        """Move the head to an update's id, or to the newest update of a branch. Raises RunError when unknown."""
        with self._moves:
            update_id, branch = timeline.checkout_target(self.timeline, name)
            return self._move({"to": update_id, "why": "checkout", "branch": branch})

    def branch(self, name: str) -> Event:
        """Start a branch at the head: updates from here on carry its name. Raises RunError when the name is taken."""
        return self.append("branch", {"name": name})

    def state_blob(self, update_id: str) -> str:
        """The SHA-256 of an update's intact state. Raises RunError: unknown, not committed, missing, damaged."""
        node = timeline.node(self.timeline, update_id)
        if node.state is None:
            raise RunError("This run has no root state yet; commit it before reading it.")
        if not (node.intact and self.usable(node.state)):
            reason = dict(self.set_aside).get(node.event_id, "its blob is damaged")
            raise RunError(f"The state of update {update_id!r} cannot be used: {reason}; go to another update.")
        return node.state

    def usable(self, sha256: str) -> bool:
        """Check that a blob exists and matches its name; while it does not, the events that name it are set aside.

        The head stays where it is even if its state is lost: the policy has been loaded from it.
        """
        problem = self.blobs.problem(sha256)
        with self._moves:
            if problem != self._lost.get(sha256):
                others = {name: why for name, why in self._lost.items() if name != sha256}
                self._lost = others if problem is None else {**others, sha256: problem}
                self._timeline = timeline.damage(self.timeline, self._damaged())
        return problem is None

    def close(self) -> None:
        """Finish queued commits, close the log, release the lock; a second call does nothing."""
        self._store.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _move(self, data: dict[str, str]) -> str:
        self.state_blob(data["to"])  # the head must not come to rest on what cannot be loaded
        self.append("head", data)
        return data["to"]

    def _damaged(self) -> frozenset[int]:
        return frozenset(event_id for event_id, _ in self.set_aside)

    def _recover(self) -> None:
        names = dict.fromkeys(sha256 for _, _, sha256 in self._store.references())
        self._lost = {sha256: "is missing" for sha256 in names if not self.blobs.exists(sha256)}
        while (at := self.timeline.nodes[self.head]).state is not None and at.intact and not self.usable(at.state):
            self._timeline = Timeline()  # built again: the head falls back, and so do branches from there
        if self.read_only:
            return
        try:
            self.blobs.sweep()
        except OSError as error:
            raise disk_error(self.blobs.directory, error) from error
        for job_id, started in state.running_jobs(self._store.events(kinds=("job",))).items():
            self.append("job", {**started, "job_id": job_id, "status": "interrupted"})


def check_directory(path: Path, read_only: bool) -> None:
    """Raise RunError where no run can be opened or started; OSError where the directory cannot be looked at."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file, not a run's directory; choose another path.")
    log = path / LOG_NAME
    if read_only and not log.exists():
        raise RunError(f"There is no run in {path}; check the path, or open it normally to start one.")
    if not path.exists():
        return
    if not os.access(path, os.R_OK | os.X_OK):
        raise RunError(f"{path} cannot be read; change the permissions of the directory.")
    if not log.exists() and any((path / BLOBS_NAME).glob("*.safetensors")):
        raise RunError(f"{path} holds blobs but its {LOG_NAME} is missing; restore it or choose another directory.")
    if log.exists() and not log.is_file():
        raise RunError(f"{log} is not a file; choose another directory for the run.")
    check_header(log)
    writable = os.access(path, os.W_OK) and (not log.exists() or os.access(log, os.W_OK))
    if not read_only and not writable:
        raise RunError(f"{path} is read-only; change its permissions, or open the run read-only.")


def _claim(path: Path, fail_point: FailPoint) -> RunLock:
    try:
        for directory in (*reversed(path.absolute().parents), path):
            if not directory.exists():
                directory.mkdir(exist_ok=True)
                sync_directory(directory.parent)
    except OSError as error:
        raise disk_error(path, error) from error
    fail_point("open.directory")
    lock = RunLock(path / LOCK_NAME)
    fail_point("open.locked")
    return lock
