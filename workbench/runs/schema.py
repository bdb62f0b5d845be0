"""The event log's file: its schema, its durability settings, and the checks before it is trusted.

Opening changes nothing until the file is known to be a sound log of a schema that this version understands.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import RunError
from workbench.runs.failpoints import FailPoint, no_fail_point
from workbench.runs.files import disk_error, put_in_place, sync_directory, sync_file

APPLICATION_ID = 0x5344504F  # "SDPO", in the file's header: tells a run from any other SQLite file
BUSY_TIMEOUT_S = 30.0  # a reader of another process holds its lock for one query at most

Migration = Sequence[str]  # SQL statements that lead from version n to n + 1, run in one transaction

MIGRATIONS: tuple[Migration, ...] = (
    (
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind <> ''),
            created TEXT NOT NULL,
            data TEXT NOT NULL CHECK (json_valid(data))
        ) STRICT""",
        """CREATE TABLE event_blobs (
            event_id INTEGER NOT NULL REFERENCES events (id),
            position INTEGER NOT NULL,
            sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
            PRIMARY KEY (event_id, position)
        ) STRICT""",
        "CREATE INDEX events_by_kind ON events (kind)",
        """CREATE TRIGGER events_no_update BEFORE UPDATE ON events
            BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        """CREATE TRIGGER events_no_delete BEFORE DELETE ON events
            BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        # INSERT OR REPLACE deletes without firing the trigger above unless recursive triggers are on.
        """CREATE TRIGGER events_no_replace BEFORE INSERT ON events
            WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
            BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        """CREATE TRIGGER event_blobs_no_update BEFORE UPDATE ON event_blobs
            BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        """CREATE TRIGGER event_blobs_no_delete BEFORE DELETE ON event_blobs
            BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        """CREATE TRIGGER event_blobs_no_replace BEFORE INSERT ON event_blobs
            WHEN EXISTS (SELECT 1 FROM event_blobs WHERE event_id = NEW.event_id AND position = NEW.position)
            BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
)


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """True where this SQLite has the WAL-reset fix: 3.51.3 and later, or 3.50.7 and 3.44.6 in their own lines."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def open_log(
    path: Path,
    *,
    read_only: bool = False,
    migrations: Sequence[Migration] = MIGRATIONS,
    fail_point: FailPoint = no_fail_point,
) -> sqlite3.Connection:
    """Connect to the event log, which is first created or migrated to the newest schema (after a backup beside it).

    Read-only openings only read; like every reader of SQLite they let it roll back what a killed writer left
    half-written. Raises RunError: not a log, damaged, of a newer schema, unwritable, or (read-only) of an older one.
    """
    check_header(path, newest=len(migrations))
    connection: sqlite3.Connection | None = None
    try:
        connection = _connect(path, read_only)
        _check_content(connection, path, newest=len(migrations))
        if read_only:
            version = _pragma(connection, "user_version")
            if version == 0:
                raise RunError(f"{path} holds no run yet; open it once normally to start one.")
            if version < len(migrations):
                raise RunError(f"{path} was written by an older version; open it once normally to bring it up to date.")
            connection.execute("PRAGMA query_only = ON")
        else:
            _make_durable(connection)
            _migrate(connection, path, migrations, fail_point)
            sync_directory(path.parent)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise log_error(path, error) from error
        if isinstance(error, OSError):
            raise disk_error(path, error) from error
        raise
    return connection


def check_header(path: Path, *, newest: int = len(MIGRATIONS)) -> None:
    """Look at the file's first bytes without opening it as a database, so that a wrong file is not touched.

    Raises RunError for a file that is not a log or is of a newer schema; a missing or empty one passes.
    """
    if any(path.with_name(path.name + suffix).exists() for suffix in ("-journal", "-wal")):
        return  # a killed writer left a transaction to roll back: the header may be half-written
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(path, error) from error
    if not header:
        return
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise RunError(f"{path} is not an event log or is damaged; restore it from a copy or choose another directory.")
    (version,) = struct.unpack_from(">i", header, 60)
    (application,) = struct.unpack_from(">i", header, 68)
    _check_identity(path, application, version, newest)


def log_error(path: Path, error: sqlite3.Error) -> RunError:
    """One sentence for an error of SQLite, by its primary result code."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return RunError(f"The disk that holds {path} is full; free some space and try again (nothing was lost).")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return RunError(f"{path} is damaged ({error}); restore it from a copy or choose another directory.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return RunError(f"{path} cannot be opened or written ({error}); check its permissions, then try again.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RunError(f"{path} is held by another program; close it there and try again (nothing was lost).")
    return RunError(f"{path} refused the operation ({error}); check the disk, then try again.")


def _check_identity(path: Path, application: int, version: int, newest: int) -> None:
    if version > newest:
        raise RunError(
            f"{path} was written by a newer version (schema {version}, this one knows {newest}); update the workbench."
        )
    if application not in (0, APPLICATION_ID) or (application == 0 and version != 0):
        raise RunError(f"{path} belongs to another program; choose another directory.")


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    # "rw" also for readers: SQLite itself falls back to reading where it may not write, and only a connection that
    # may write can roll back a killed writer's half-finished transaction.
    mode = "rw" if read_only else "rwc"
    connection = _open(path, f"mode={mode}")
    try:
        _pragma(connection, "schema_version")
    except sqlite3.OperationalError:
        connection.close()
        if not read_only or os.access(path.parent, os.W_OK) or path.with_name(path.name + "-wal").exists():
            raise
        # A WAL log in an unwritable directory, closed properly: nobody can change it while it is read.
        connection = _open(path, "mode=ro&immutable=1")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _open(path: Path, options: str) -> sqlite3.Connection:
    uri = f"file:{urllib.parse.quote(str(path.absolute()))}?{options}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _check_content(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    version = _pragma(connection, "user_version")
    _check_identity(path, _pragma(connection, "application_id"), version, newest)
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if version == 0 and tables:
        raise RunError(f"{path} belongs to another program; choose another directory.")
    (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise RunError(f"{path} is damaged ({problem}); restore it from a copy or choose another directory.")


def _make_durable(connection: sqlite3.Connection) -> None:
    preferred = "wal" if wal_is_safe(sqlite3.sqlite_version_info) else "delete"
    (mode,) = connection.execute(f"PRAGMA journal_mode = {preferred}").fetchone()
    if mode != preferred:
        connection.execute("PRAGMA journal_mode = DELETE")  # some file systems cannot share memory
    # FULL makes each commit durable in WAL mode. A rollback journal needs EXTRA, which is FULL and also syncs the
    # directory after the journal is removed: without it a power cut can bring the journal back and undo the commit.
    connection.execute(f"PRAGMA synchronous = {'FULL' if mode == 'wal' else 'EXTRA'}")


def _migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration], fail_point: FailPoint
) -> None:
    version = _pragma(connection, "user_version")
    if 0 < version < len(migrations):
        _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
        fail_point("migrate.backed_up")
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            fail_point("migrate.applied")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        fail_point("migrate.committed")


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    temporary = target.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    copy = sqlite3.connect(temporary, isolation_level=None)
    try:
        connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # a copy is one file
    finally:
        copy.close()
    sync_file(temporary)
    put_in_place(temporary, target)
    sync_directory(target.parent)
