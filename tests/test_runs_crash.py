"""SIGKILL at every step of the commit path: whatever was acknowledged is there, and the next round runs."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from store_migration import check_migrated

from workbench.benchmarks.programs import processes
from workbench.errors import RunError
from workbench.runs import Run
from workbench.runs.failpoints import FAIL_POINTS
from workbench.runs.schema import MIGRATIONS
from workbench.runs.store import Store

NEWER = (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN author TEXT",))


def killer(moment: str, occurrence: int) -> Callable[[str], None]:
    seen = 0

    def fail_point(name: str) -> None:
        nonlocal seen
        seen += name == moment
        if seen == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    return fail_point


def live(path: Path, connection: Connection, moment: str, occurrence: int, rounds: int) -> None:
    """Rounds of attempt, feedback, update and now and then undo; tells of each event once it is acknowledged."""
    with Run.open(path, fail_point=killer(moment, occurrence)) as run:
        if run.timeline.nodes["root"].state is None:
            tell(connection, run, run.commit_root(put(run, 0)).id)
        start = len(run.timeline.nodes)
        for number in range(start, start + rounds):
            tell(connection, run, run.append("attempt", {"id": f"t{number}", "text": "x" * 5000}).id)
            tell(connection, run, run.append("feedback", {"attempt_id": f"t{number}", "text": "no"}).id)
            sha256 = put(run, number)
            data = {"update_id": f"u{number}", "parent_id": run.head, "state": sha256, "number": number}
            tell(connection, run, run.append("update", data, (sha256,)).id)
            if number % 3 == 0:
                run.undo()
                tell(connection, run, run.events()[-1].id)


def put(run: Run, number: int) -> str:
    return run.blobs.put({"w": torch.full((1000,), float(number))})


def tell(connection: Connection, run: Run, event_id: int) -> None:
    event = run.events()[event_id - 1]
    connection.send((event.id, event.kind, json.dumps(dict(event.data)), event.blobs))


def told(connection: Connection) -> list[tuple[int, str, str, tuple[str, ...]]]:
    """Everything a dead process has said."""
    messages = []
    try:
        while connection.poll(0):
            messages.append(connection.recv())
    except EOFError:
        pass
    return messages


def start(path: Path, moment: str = "", occurrence: int = 1, rounds: int = 5) -> tuple:
    ours, theirs = processes().Pipe()
    process = processes().Process(target=live, args=(path, theirs, moment, occurrence, rounds))
    process.start()
    theirs.close()
    return process, ours


def check_run(run: Run, acknowledged: list[tuple[int, str, str, tuple[str, ...]]]) -> None:
    events = [(event.id, event.kind, json.dumps(dict(event.data)), event.blobs) for event in run.events()]
    assert events[: len(acknowledged)] == acknowledged
    # The kill may fall between the commit and the word that it happened: one event more, never one less.
    assert len(events) <= len(acknowledged) + 1
    assert run.set_aside == []
    for node in run.timeline.nodes.values():
        if node.state is not None:
            number = 0 if node.id == "root" else int(node.id[1:])
            assert torch.equal(run.blobs.get(node.state)["w"], torch.full((1000,), float(number)))
    moves = [json.loads(data) for _, kind, data, _ in events if kind in ("update", "head")]
    assert run.head == (moves[-1].get("to", moves[-1].get("update_id")) if moves else "root")


ONCE = ("open.directory", "open.locked", "migrate.applied", "migrate.committed")
CASES = [(name, n) for name in FAIL_POINTS if name != "migrate.backed_up" for n in ((1,) if name in ONCE else (1, 4))]


@pytest.mark.parametrize(("moment", "occurrence"), CASES)
def test_killed_at_a_fail_point(tmp_path: Path, moment: str, occurrence: int) -> None:
    path = tmp_path / "run"
    process, connection = start(path, moment, occurrence)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL  # the fail point was reached
    acknowledged = told(connection)
    if moment in ("open.directory", "open.locked", "migrate.applied"):
        with pytest.raises(RunError, match="no run"):
            Run.open(path, read_only=True)
    else:
        with Run.open(path, read_only=True) as looking:  # before anyone repaired anything
            check_run(looking, acknowledged)
    with Run.open(path) as run:
        check_run(run, acknowledged)
        assert not list((path / "blobs").glob("*.tmp"))
        before = len(run.events())
    process, connection = start(path)  # the next rounds run as if nothing had been
    process.join(60)
    assert process.exitcode == 0
    with Run.open(path) as run:
        assert len(run.events()) == before + len(told(connection)) >= before + 16
        head = run.head
        assert run.checkout("root") == "root" and run.checkout(head) == head


def test_killed_at_random_moments(tmp_path: Path) -> None:
    path, generator = tmp_path / "run", random.Random(0)
    acknowledged: list[tuple[int, str, str, tuple[str, ...]]] = []
    for _ in range(8):
        process, connection = start(path, rounds=10_000)
        if connection.poll(60):
            time.sleep(generator.uniform(0.0, 0.15))
        process.kill()
        process.join()
        news = told(connection)
        assert news and news[0][0] in (len(acknowledged) + 1, len(acknowledged) + 2)
        with Run.open(path) as run:
            events = [(event.id, event.kind, json.dumps(dict(event.data)), event.blobs) for event in run.events()]
            check_run(run, events[: news[0][0] - 1] + news)
            assert events[: len(acknowledged)] == acknowledged
        acknowledged = events


def append_large(path: Path) -> None:
    with Run.open(path, fail_point=killer("event.inserted", 2)) as run:
        run.append("note", {"text": "small"})
        run.append("note", {"text": "x" * 16_000_000})  # more than SQLite's cache: the log is half overwritten


def test_a_half_overwritten_log_is_rolled_back_even_for_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = processes().Process(target=append_large, args=(path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert any(path.glob("run.sqlite-*")) and sum(file.stat().st_size for file in path.glob("run.sqlite*")) > 10_000_000
    with Run.open(path, read_only=True) as run:
        assert [event.data for event in run.events()] == [{"text": "small"}]
    with Run.open(path) as run:
        assert run.append("note", {}).id == 2


def migrate(path: Path, moment: str) -> None:
    Store(path, migrations=NEWER, fail_point=killer(moment, 1)).close()


@pytest.mark.parametrize("moment", ["migrate.backed_up", "migrate.applied", "migrate.committed"])
def test_killed_while_migrating(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "run.sqlite"
    old = Store(path)
    events = [old.append("note", {"count": count}) for count in range(3)]
    old.close()
    process = processes().Process(target=migrate, args=(path, moment))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    check_migrated(path, events, NEWER)
