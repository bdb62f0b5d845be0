"""Verification finds what is wrong with a run, names it, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from pathlib import Path

import pytest
import torch

from workbench.cli import main
from workbench.errors import RunError
from workbench.records import Attempt, to_json
from workbench.runs import Run, verify
from workbench.runs.store import Event, Store

ATTEMPT = Attempt("a1", "t", "g", "root", (1,), (2,), "x", (-0.1,), True, 1.0, 0.0, False, "no")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Run.open(tmp_path / "run") as run:
        put(run, 0, "root", {})
        run.append("attempt", to_json(ATTEMPT))
        run.append("feedback", {"attempt_id": "a1", "text": "largest first", "source": "person", "mode": "replace"})
        put(run, 1, "update", {"update_id": "u1", "parent_id": "root"})
        put(run, 2, "update", {"update_id": "u2", "parent_id": "u1"})
        run.undo()
    return tmp_path / "run"


def put(run: Run, number: int, kind: str, data: dict[str, str]) -> None:
    sha256 = run.blobs.put({"w": torch.full((100,), float(number))})
    run.append(kind, {**data, "state": sha256}, (sha256,))


def contents(path: Path) -> dict[str, str]:
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def rewrite(path: Path, statement: str) -> None:
    """Change the log as nothing in the workbench can: without its triggers."""
    connection = sqlite3.connect(path / "run.sqlite")
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_run_is_sound_also_while_it_is_open(path: Path) -> None:
    (path / "blobs" / ("0" * 64 + ".safetensors")).write_bytes(b"of work that was never committed")
    before = contents(path)
    found = verify(path)
    assert found.sound and found.events == 6 and found.blobs == 3 and found.unused == 1 and found.head == "u1"
    assert contents(path) == before
    with Run.open(path) as run:
        run.redo()
        assert verify(path).sound and verify(path).head == "u2" == run.head


@pytest.mark.parametrize(("damage", "words"), [("flip", "is damaged"), ("cut", "is damaged"), ("gone", "is missing")])
def test_every_blob_is_checked(path: Path, damage: str, words: str) -> None:
    with Run.open(path, read_only=True) as run:
        blob = run.blobs.path(run.state_blob("u2"))
    content = bytearray(blob.read_bytes())
    blob.unlink()
    if damage != "gone":
        content[-1] ^= 1
        blob.write_bytes(content[:-7] if damage == "cut" else content)
    found = verify(path)
    assert found.problems == (f"Blob {blob.stem} of event 5 (update) {words}; restore it from a copy.",)
    assert found.head == "u1"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM events WHERE id = 2", ["from event 1 to 3", "Event 3 .*no attempt 'a1'"]),
        ("DELETE FROM events WHERE id = 1", ["belongs to no event", "from event 0 to 2", "Event 4", "Event 5"]),
        ("UPDATE events SET data = '{}' WHERE id = 2", ["Event 2 .attempt. does not fit", "Event 3"]),
        ("UPDATE events SET data = '[]' WHERE id = 3", ["Event 3 .feedback. does not fit"]),
        ("""UPDATE events SET data = '{"to": "u9", "why": "undo"}' WHERE id = 6""", ["Event 6 .head.*'u9'"]),
        ("UPDATE events SET data = replace(data, '\"u1\"', '\"u7\"') WHERE id = 5", ["Event 5 .update.*'u7'"]),
        ("UPDATE events SET data = replace(data, '\"root\"', '\"u4\"') WHERE id = 2", ["Event 2 .attempt.*'u4'"]),
        ("DELETE FROM event_blobs WHERE event_id = 4", ["Event 4 .update.*not among its blobs"]),
    ],
)
def test_every_event_is_checked_against_those_before_it(path: Path, statement: str, words: list[str]) -> None:
    rewrite(path, statement)
    problems = verify(path).problems
    for sentence in words:
        assert any(re.search(sentence, problem) for problem in problems), problems
    assert len(problems) >= len(words) and all(problem.endswith(".") for problem in problems)


def test_a_log_that_cannot_be_read_is_one_sentence(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no run in"):
        verify(tmp_path / "nowhere")
    log = path / "run.sqlite"
    log.write_bytes(log.read_bytes()[:5000])
    with pytest.raises(RunError, match="is damaged"):
        verify(path)


def test_the_command_ends_with_2_and_a_sentence_per_problem(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--run", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"events": 6, "blobs": 3, "unused": 0, "head": "u1", "problems": []}
    for blob in sorted((path / "blobs").iterdir())[:2]:
        blob.unlink()
    assert main(["verify", "--run", str(path), "--json"]) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 2 and said.err.splitlines() == json.loads(said.out)["problems"]
    with Run.open(path) as run:  # while another opening holds it
        assert main(["verify", "--run", str(path)]) == 2
        assert run.head in ("root", "u1")


def test_a_log_with_events_of_another_run_in_it_is_found(tmp_path: Path) -> None:
    """What `restore` takes from a well-made but senseless archive."""
    store = Store(tmp_path / "run.sqlite")
    store.restore([Event(1, "head", "now", {"to": "root", "why": "wish"}), Event(3, "note", "now", {})])
    store.close()
    problems = verify(tmp_path).problems
    assert len(problems) == 2 and "by 'wish'" in problems[0] and "from event 1 to 3" in problems[1]
