"""The event log: durable, ordered, append-only, migrated with a backup, and clear about what it cannot open."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from store_migration import check_migrated

from workbench.errors import RunError
from workbench.runs.schema import MIGRATIONS, check_header, open_log, wal_is_safe
from workbench.runs.store import Event, Store

SHA = "a" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


def test_an_event_comes_back_as_it_was_appended(path: Path) -> None:
    data = {"text": "naïve \ud800 \x00 </script>", "numbers": [1, 2.5, 1e-300], "nested": {"none": None}}
    store = Store(path)
    appended = store.append("note", data, (SHA, "b" * 64))
    store.close()
    again = Store(path)
    assert again.events() == [appended]
    assert appended == Event(1, "note", appended.created, data, (SHA, "b" * 64))
    assert again.events(kinds=("task",)) == [] and again.events(after=1) == []
    assert again.references() == [(1, "note", SHA), (1, "note", "b" * 64)]
    again.close()


def test_appended_means_another_connection_sees_it(path: Path) -> None:
    store = Store(path)
    reader = Store(path, read_only=True)
    for count in range(1, 4):
        store.append("note", {"count": count})
        assert [event.data["count"] for event in reader.events()] == list(range(1, count + 1))
    with pytest.raises(RunError, match="open read-only"):
        reader.append("note", {})
    reader.close()
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events VALUES (1, 'note', 'now', '{}')",
        "REPLACE INTO events VALUES (1, 'note', 'now', '{}')",
        "INSERT INTO events VALUES (1, 'note', 'now', '{}') ON CONFLICT (id) DO UPDATE SET data = '{}'",
        "UPDATE event_blobs SET sha256 = hex(zeroblob(32))",
        "DELETE FROM event_blobs",
        "INSERT OR REPLACE INTO event_blobs VALUES (1, 0, hex(zeroblob(32)))",
    ],
)
def test_nobody_changes_an_event(path: Path, statement: str) -> None:
    store = Store(path)
    event = store.append("note", {"kept": True}, (SHA,))
    stranger = sqlite3.connect(path)  # an ordinary connection, without any of our settings
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        stranger.execute(statement)
    stranger.rollback()
    stranger.close()
    assert store.events() == [event]
    store.close()


def test_wrong_types_and_unknown_events_are_refused(path: Path) -> None:
    Store(path).close()
    connection = open_log(path)
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in INTEGER column"):
        connection.execute("INSERT INTO event_blobs VALUES (1, 'first', ?)", (SHA,))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        connection.execute("INSERT INTO event_blobs VALUES (7, 0, ?)", (SHA,))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute("INSERT INTO events (kind, created, data) VALUES ('note', 'now', 'not json')")
    connection.close()


def test_durability_settings(path: Path) -> None:
    connection = open_log(path)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    assert (mode, synchronous) == (("wal", 2) if wal_is_safe(sqlite3.sqlite_version_info) else ("delete", 3))
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_wal_only_where_its_reset_is_fixed(version: tuple[int, ...], safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_threads_lose_nothing_and_listeners_hear_the_order(path: Path) -> None:
    store, heard = Store(path), []
    store.add_listener(heard.append)
    acknowledged: dict[int, list[int]] = {}

    def write(thread: int) -> None:
        acknowledged[thread] = [store.append("note", {"thread": thread, "count": n}).id for n in range(10)]

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = store.events()
    assert [event.id for event in events] == list(range(1, 81))
    assert heard == events
    for number, ids in acknowledged.items():
        mine = [(event.id, event.data["count"]) for event in events if event.data["thread"] == number]
        assert mine == list(zip(ids, range(10), strict=True))
    store.close()


def test_a_failing_listener_does_not_undo_a_commit(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(path)

    def broken(event: Event) -> None:
        store.append("note", {})  # not allowed from inside a listener: it would wait for itself

    store.add_listener(broken)
    event = store.append("note", {"kept": True})
    assert store.events() == [event]
    assert "a listener must not use the run" in caplog.text
    store.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_is_not_json_is_refused(path: Path, value: object) -> None:
    store = Store(path)
    with pytest.raises(RunError, match="not plain JSON"):
        store.append("note", {"value": value})
    assert store.events() == []
    store.close()


def test_a_failure_inside_the_transaction_leaves_no_trace(path: Path) -> None:
    failing = {"event.inserted"}

    def full(name: str) -> None:
        if name in failing:
            raise OSError(28, "No space left on device")

    store = Store(path, fail_point=full)
    with pytest.raises(RunError, match="is full; free some space"):
        store.append("note", {"count": 1}, (SHA,))
    assert store.events() == [] and store.references() == []
    failing.clear()
    assert store.append("note", {"count": 2}).id == 1
    store.close()


def test_a_full_database_is_one_sentence(path: Path) -> None:
    store = Store(path)
    store.append("note", {"count": 1})
    store._call(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(RunError, match="is full; free some space"):
        for _ in range(100):
            store.append("note", {"text": "x" * 10_000})
    assert store.events()[0].data == {"count": 1}
    store.close()


def test_closed_means_closed(path: Path) -> None:
    store = Store(path)
    store.close()
    store.close()
    with pytest.raises(RunError, match="is closed"):
        store.append("note", {})


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts a thread's wake-ups, which Linux tells")
def test_an_idle_store_does_not_wake(path: Path) -> None:
    store = Store(path)
    store.append("note", {})
    time.sleep(0.2)  # the thread goes back to its queue
    before = wake_ups(store)
    time.sleep(1)
    assert wake_ups(store) == before
    store.append("note", {})
    assert wake_ups(store) > before
    store.close()


def wake_ups(store: Store) -> int:
    """How often the store's thread has begun to run after it had waited for something."""
    status = Path(f"/proc/self/task/{store._thread.native_id}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)[1])


NEWER = (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN author TEXT", "CREATE INDEX by_author ON events (author)"))


def test_an_older_log_is_backed_up_then_brought_up_to_date(path: Path) -> None:
    old = Store(path)
    events = [old.append("note", {"count": n}, (SHA,)) for n in range(3)]
    old.close()
    with pytest.raises(RunError, match="older version; open it once normally"):
        Store(path, read_only=True, migrations=NEWER)
    check_migrated(path, events, NEWER)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT author FROM events").fetchall() == [(None,)] * 3
    connection.close()


def test_a_failed_migration_leaves_the_old_log(path: Path) -> None:
    old = Store(path)
    event = old.append("note", {})
    old.close()
    broken = (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN author TEXT", "CREATE INDEX nonsense ON nowhere (x)"))
    with pytest.raises(RunError):
        Store(path, migrations=broken)
    again = Store(path)
    assert again.events() == [event]
    again.close()


def test_a_newer_log_is_refused_and_left_alone(path: Path) -> None:
    Store(path, migrations=NEWER).close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(RunError, match=r"newer version .*update the workbench"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_another_programs_database_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(RunError, match="belongs to another program"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello", b"not a database, but long enough to be one " * 9, b"SQLite format 3\0"])
def test_what_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RunError, match="not an event log or is damaged"):
        check_header(path)
    with pytest.raises(RunError, match="not an event log or is damaged"):
        Store(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_log_is_one_sentence(path: Path, damage: str) -> None:
    store = Store(path)
    for count in range(10):
        store.append("note", {"text": json.dumps(count) * 5000})
    store.close()
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        del content[len(content) // 2 :]
    else:
        content[4096 * 2 : 4096 * 5] = bytes(255 - byte for byte in content[4096 * 2 : 4096 * 5])
    path.write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        Store(path)
    assert path.read_bytes() == bytes(content)


def test_a_log_in_wal_mode_is_read_and_taken_over(path: Path) -> None:
    store = Store(path)
    event = store.append("note", {})
    store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    connection.close()
    for read_only in (True, False, True):
        again = Store(path, read_only=read_only)
        assert again.events() == [event]
        again.close()
