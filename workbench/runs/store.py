"""The append-only event log of a run: one thread owns the only connection, all others hand it work and wait.

`append` returns only when the event is durable. Between two pieces of work the thread blocks and never wakes. Knows
nothing of what the events mean.
"""

from __future__ import annotations

import itertools
import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from workbench.errors import RunError
from workbench.runs.failpoints import FailPoint, no_fail_point
from workbench.runs.files import disk_error, read_only_error
from workbench.runs.schema import MIGRATIONS, Migration, log_error, open_log

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """One durable line of the log."""

    id: int  # counts up from 1 in the order of commits
    kind: str
    created: str  # UTC, ISO 8601
    data: Mapping[str, Any]  # JSON-serialisable
    blobs: tuple[str, ...] = ()  # SHA-256 of each blob that the event needs


Entry = tuple[str, Mapping[str, Any], Sequence[str]]  # what is appended: kind, data, the blobs it needs
Listener = Callable[[Event], None]
_Row = tuple[str, str, tuple[str, ...]]  # the same, with the data as text
_Work = tuple[Callable[[sqlite3.Connection], Any], Future[Any]]


class Store:
    """The event log in one SQLite file. Safe to use from any number of threads.

    Listeners are called in the order of commits, on the store's own thread, before `append` returns: they must be
    quick, and must not use the store. A listener that fails is logged; the event stays committed.
    Raises RunError when the file cannot be trusted or opened (see `schema.open_log`).
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        migrations: Sequence[Migration] = MIGRATIONS,
        fail_point: FailPoint = no_fail_point,
    ) -> None:
        self._path = path
        self._read_only = read_only
        self._fail_point = fail_point
        self._listeners: list[Listener] = []
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._gate = threading.Lock()  # nothing is queued after the sentinel that ends the thread
        self._closed = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(migrations, opened), name="run-store", daemon=True
        )  # a daemon: whatever was acknowledged is durable, so the interpreter need not wait
        self._thread.start()
        opened.result()

    def append(self, kind: str, data: Mapping[str, Any], blobs: Sequence[str] = ()) -> Event:
        """Commit one event and return it once it is durable. Raises as `append_all`."""
        return self.append_all([(kind, data, blobs)])[0]

    def append_all(self, entries: Sequence[Entry]) -> list[Event]:
        """Commit events in one transaction, all or none, and return them once they are durable.

        Raises RunError when the store is closed or read-only, the data is not JSON (NaN and infinity included),
        or the disk refuses; in each case nothing was written.
        """
        if self._read_only:
            raise read_only_error(self._path.parent)
        rows = [(kind, _text(kind, data), tuple(blobs)) for kind, data, blobs in entries]
        return self._call(lambda connection: self._commit(connection, rows))

    def restore(self, events: Sequence[Event]) -> None:
        """Commit the events of another run unchanged, ids and times included, in one transaction.

        Raises RunError, and commits none of them, when an id is already taken.
        """
        self._call(lambda connection: _restore(connection, events))

    def events(self, *, kinds: Collection[str] | None = None, after: int = 0) -> list[Event]:
        """Committed events with an id above `after`, oldest first; of the given kinds only, where given."""
        return self._call(lambda connection: _select(connection, kinds, after))

    def references(self) -> list[tuple[int, str, str]]:
        """(event id, kind, blob's SHA-256) of every blob that any event needs, oldest first."""
        query = "SELECT b.event_id, e.kind, b.sha256 FROM event_blobs b JOIN events e ON e.id = b.event_id"
        return self._call(lambda connection: connection.execute(f"{query} ORDER BY 1, b.position").fetchall())

    def problems(self) -> list[str]:
        """Damage that SQLite reports, one sentence each: pages, indexes, rows without an event."""

        def check(connection: sqlite3.Connection) -> list[str]:
            reports = [report for (report,) in connection.execute("PRAGMA integrity_check") if report != "ok"]
            strays = connection.execute("PRAGMA foreign_key_check").fetchall()
            reports += [f"row {row} of {table} belongs to no event" for table, row, *_ in strays]
            return [f"{self._path} is damaged ({report}); restore it from a copy." for report in reports]

        return self._call(check)

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with every event committed from now on."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Finish the queued work and close the file; a second call does nothing."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if threading.current_thread() is self._thread:
            raise RuntimeError("a listener must not use the run it listens to")
        answer: Future[T] = Future()
        with self._gate:
            if self._closed:
                raise RunError(f"This run is closed ({self._path.parent}); open it again.")
            self._queue.put((work, answer))
        try:
            return answer.result()
        except sqlite3.Error as error:
            raise log_error(self._path, error) from error
        except OSError as error:
            raise disk_error(self._path, error) from error
        except KeyboardInterrupt:
            wait([answer])  # it is queued and will be done: a caller's clean-up must find it settled
            raise

    def _serve(self, migrations: Sequence[Migration], opened: Future[None]) -> None:
        try:
            connection = open_log(
                self._path, read_only=self._read_only, migrations=migrations, fail_point=self._fail_point
            )
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (item := self._queue.get()) is not None:
            work, answer = item
            try:
                answer.set_result(work(connection))
            except BaseException as error:
                answer.set_exception(error)
            del item, work, answer  # an idle thread must not keep the last answer alive
        connection.close()

    def _commit(self, connection: sqlite3.Connection, rows: Sequence[_Row]) -> list[Event]:
        created = datetime.now(UTC).isoformat(timespec="microseconds")
        events: list[Event] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._fail_point("event.started")
            for kind, text, blobs in rows:
                values = (kind, created, text)
                row = connection.execute("INSERT INTO events (kind, created, data) VALUES (?, ?, ?)", values)
                event_id = int(row.lastrowid or 0)
                connection.executemany(
                    "INSERT INTO event_blobs (event_id, position, sha256) VALUES (?, ?, ?)",
                    [(event_id, position, sha256) for position, sha256 in enumerate(blobs)],
                )
                events.append(Event(event_id, kind, created, json.loads(text), blobs))
            self._fail_point("event.inserted")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._fail_point("event.committed")
        for event, listener in itertools.product(events, tuple(self._listeners)):
            try:
                listener(event)
            except BaseException:
                # The event is durable: a caller that saw an exception here would undo what is committed.
                logging.getLogger(__name__).exception("a listener failed on event %d", event.id)
        return events


def _text(kind: str, data: Mapping[str, Any]) -> str:
    if not kind:
        raise RunError("An event needs a kind; give it a name such as 'note'.")
    try:
        return json.dumps(data, allow_nan=False)  # escaped to ASCII: any str comes back, lone surrogates too
    except (TypeError, ValueError) as error:
        raise RunError(f"The event {kind!r} is not plain JSON ({error}); leave this value out.") from error


def _select(connection: sqlite3.Connection, kinds: Collection[str] | None, after: int) -> list[Event]:
    where, values = "id > ?", [after, *(kinds or ())]
    if kinds is not None:
        where += f" AND kind IN ({', '.join('?' * len(kinds))})"
    connection.execute("BEGIN")  # both reads see the same moment
    try:
        rows = connection.execute(f"SELECT id, kind, created, data FROM events WHERE {where} ORDER BY id", values)
        events = rows.fetchall()
        named: dict[int, list[str]] = {}
        query = "SELECT event_id, sha256 FROM event_blobs WHERE event_id > ? ORDER BY event_id, position"
        for event_id, sha256 in connection.execute(query, (after,)):
            named.setdefault(event_id, []).append(sha256)
    finally:
        connection.execute("COMMIT")
    return [
        Event(event_id, kind, created, json.loads(data), tuple(named.get(event_id, ())))
        for event_id, kind, created, data in events
    ]


def _restore(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            "INSERT INTO events (id, kind, created, data) VALUES (?, ?, ?, ?)",
            [(event.id, event.kind, event.created, json.dumps(event.data, allow_nan=False)) for event in events],
        )
        connection.executemany(
            "INSERT INTO event_blobs (event_id, position, sha256) VALUES (?, ?, ?)",
            [(event.id, position, sha256) for event in events for position, sha256 in enumerate(event.blobs)],
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
