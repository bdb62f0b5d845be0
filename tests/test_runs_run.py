"""A run directory: opened, resumed, damaged, locked, read-only; records come back as they were."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from workbench.benchmarks.programs import processes
from workbench.errors import FeedbackError, RunError
from workbench.records import Attempt, SideEffects, SignalReport, Task, UpdateReport, to_json
from workbench.runs import Event, Run, verify

ATTEMPT = Attempt(
    id="t1",
    task_id="pack/one",
    group_id="g1",
    update_id="root",
    prompt_ids=(1, 2),
    token_ids=(3, 4),
    text="[3]",
    sampling_logps=(-0.1, -2.5),
    finished=True,
    temperature=1.0,
    reward=0.0,
    passed=False,
    feedback="Expected [2].",
    details={"tier": "bubblewrap", "examples": [1, 2]},
)
TASK = Task("pack/one", "Sort.", "exact", {"text": "[2]"})


def report(update_id: str, parent_id: str) -> UpdateReport:
    return UpdateReport(
        update_id=update_id,
        parent_id=parent_id,
        method="sdpo",
        loss_before=0.5,
        loss=0.4,
        grad_norm=1.5,
        predicted={"t1": (0.1, -0.2)},
        realised={"t1": (0.05, -0.1)},
        agreement=1.0,
        rank_correlation=1.0,
        side_effects=SideEffects(0.01, 1.0, 0.9, None, 0.5),
        ledger=(SignalReport("t1", True, "feedback"),),
        seconds_s=0.2,
    )


def put(run: Run, number: int) -> str:
    return run.blobs.put({"w": torch.full((4,), float(number))})


def grow(run: Run, *update_ids: str) -> None:
    for update_id in update_ids:
        run.commit_update(report(update_id, run.head), put(run, int(update_id[1:])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "demo"


@pytest.fixture
def run(path: Path) -> Iterator[Run]:
    with Run.open(path) as run:
        run.commit_root(put(run, 0))
        yield run


def test_records_come_back_after_reopening(path: Path) -> None:
    with Run.open(path) as run:
        run.append("opened", {"config": {"model": "embedded"}, "seed": 3})
        run.commit_root(put(run, 0))
        run.append("task", to_json(TASK))
        run.append("attempt", to_json(ATTEMPT))
        run.commit_update(report("u1", "root"), put(run, 1))
    with Run.open(path) as run:
        state = run.state()
        assert state.opened == {"config": {"model": "embedded"}, "seed": 3}
        assert list(state.tasks.values()) == [TASK]
        assert list(state.attempts.values()) == [ATTEMPT]
        assert state.reports == {"u1": report("u1", "root")}
        assert run.head == "u1" and run.set_aside == []
        assert torch.equal(run.blobs.get(run.state_blob("u1"))["w"], torch.ones(4))
        assert torch.equal(run.blobs.get(run.state_blob("root"))["w"], torch.zeros(4))
        assert [event.kind for event in run.events()] == ["opened", "root", "task", "attempt", "update"]
        assert [event.id for event in run.events("task")] == [3]


def test_undo_redo_checkout_and_branch_survive_reopening(path: Path, run: Run) -> None:
    grow(run, "u1", "u2")
    assert run.undo() == "u1" == run.head
    assert run.redo() == "u2" == run.head
    run.undo()
    run.branch("try JSD")
    grow(run, "u3")
    assert run.checkout("main") == "u2" and run.checkout("try JSD") == "u3" and run.checkout("u1") == "u1"
    before = run.timeline
    run.close()
    with Run.open(path) as again:
        assert again.timeline == before
        assert again.timeline.nodes["u1"].children == ("u2", "u3")
        assert again.undo() == "root"
        with pytest.raises(RunError, match="nothing to undo"):
            again.undo()
        with pytest.raises(RunError, match="no update or branch 'u9'"):
            again.checkout("u9")


def test_what_people_say_is_in_force(run: Run) -> None:
    run.append("attempt", to_json(ATTEMPT))

    def say(**data: object) -> Attempt:
        run.append("feedback", {"attempt_id": "t1", "source": "person", **data})
        return run.state().attempts["t1"]

    joined = say(text="Sort descending.", mode="join")
    assert (joined.feedback, joined.feedback_source) == ("Expected [2].\n\nSort descending.", "person")
    assert (joined.reward, joined.passed) == (0.0, False)
    rewarded = say(reward=1.0)
    assert (rewarded.feedback, rewarded.reward, rewarded.passed) == (joined.feedback, 1.0, True)
    replaced = say(text="Sort.", mode="replace")
    assert (replaced.feedback, replaced.reward) == ("Sort.", 1.0)
    rejoined = say(text="Please sort.", mode="join")
    assert rejoined.feedback == "Expected [2].\n\nPlease sort."
    assert say(reward=0.25).passed is False
    assert dataclasses.replace(say(text="", passed=True)) == dataclasses.replace(
        ATTEMPT, feedback="", feedback_source="person", reward=0.25, passed=True
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"attempt_id": "gone", "text": "x"}, "no attempt 'gone'"),
        ({"text": "x"}, "no attempt None"),
        ({"attempt_id": "t1"}, "is empty"),
        ({"attempt_id": "t1", "reward": 1.5}, "from 0 to 1"),
        ({"attempt_id": "t1", "reward": "high"}, "from 0 to 1"),
        ({"attempt_id": "t1", "text": "x", "mode": "shout"}, "mode 'shout'"),
    ],
)
def test_impossible_feedback_is_one_sentence(run: Run, data: dict[str, object], sentence: str) -> None:
    run.append("attempt", to_json(ATTEMPT))
    with pytest.raises(FeedbackError, match=sentence):
        run.append("feedback", data)
    assert run.events("feedback") == []


def test_an_event_cannot_name_a_blob_that_is_not_there(run: Run) -> None:
    with pytest.raises(RunError, match="not in this run"):
        run.append("note", {}, ("0" * 64,))
    with pytest.raises(RunError, match="not among its blobs"):
        run.append("update", {"update_id": "u1", "parent_id": "root", "state": "0" * 64})
    assert [event.kind for event in run.events()] == ["root"]


def test_listeners_hear_every_commit(run: Run) -> None:
    heard: list[Event] = []
    run.add_listener(heard.append)
    grow(run, "u1")
    run.undo()
    assert heard == run.events()[1:] and [event.kind for event in heard] == ["update", "head"]


def spoil(file: Path, damage: str) -> str:
    """Damage a blob's file; returns what is said of it."""
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        content[-1] ^= 1
        file.write_bytes(content[:-3] if damage == "truncated" else content)
    return "is missing" if damage == "missing" else "is damaged"


damages = pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])


@damages
def test_the_head_falls_back_to_the_nearest_state_that_is_whole(path: Path, run: Run, damage: str) -> None:
    grow(run, "u1", "u2", "u3")
    lost = [run.blobs.path(run.state_blob(update_id)) for update_id in ("u2", "u3")]
    run.close()
    (said,) = {spoil(file, damage) for file in lost}
    for read_only in (True, False):
        with Run.open(path, read_only=read_only) as again:
            assert again.set_aside == [
                (event_id, f"blob {file.stem} of event {event_id} (update) {said}")
                for event_id, file in zip((3, 4), lost, strict=True)
            ]
            assert again.head == "u1" and again.timeline.position == "u3"
            assert len(again.events()) == 4 and list(again.state().reports) == ["u1"]
            with pytest.raises(RunError, match=f"'u3' cannot be used: blob {lost[1].stem} .* {said}"):
                again.state_blob("u3")
            if not read_only:
                with pytest.raises(RunError, match="'u2' is missing or damaged"):
                    again.checkout("u2")
                with pytest.raises(RunError, match="nothing to redo"):
                    again.redo()
                again.commit_update(report("u4", "u1"), put(again, 4))
                assert again.head == "u4" and again.undo() == "u1" and again.redo() == "u4"


@damages
@pytest.mark.parametrize(("way", "start", "lost"), [("undo", "u3", "u2"), ("redo", "u2", "u3"), ("branch", "u1", "u3")])
def test_the_head_does_not_move_onto_a_state_that_is_lost(
    path: Path, run: Run, damage: str, way: str, start: str, lost: str
) -> None:
    grow(run, "u1", "u2")
    run.branch("other")
    grow(run, "u3")
    if way == "redo":
        run.undo()
    else:
        run.checkout(start)
    file, events = run.blobs.path(run.state_blob(lost)), run.events()
    said, event_id = spoil(file, damage), run.timeline.nodes[lost].event_id
    moves = {"undo": run.undo, "redo": run.redo, "branch": lambda: run.checkout("other")}
    with pytest.raises(
        RunError, match=f"'{lost}' cannot be used: blob {file.stem} of event {event_id} .update. {said}; "
    ):
        moves[way]()
    assert run.head == run.timeline.position == start and run.events() == events
    assert run.set_aside == [(event_id, f"blob {file.stem} of event {event_id} (update) {said}")]
    if way == "undo":
        assert run.undo() == "u1"  # what is known to be lost is passed over
    else:
        with pytest.raises(RunError, match="nothing to redo" if way == "redo" else "'u3' is missing or damaged"):
            moves[way]()


@damages
def test_only_what_is_missing_is_found_on_opening(path: Path, run: Run, damage: str) -> None:
    grow(run, "u1", "u2")
    file = run.blobs.path(run.state_blob("u1"))
    run.close()
    said = spoil(file, damage)
    with Run.open(path) as again:
        named = [(2, f"blob {file.stem} of event 2 (update) {said}")]
        assert again.head == "u2" and again.set_aside == (named if damage == "missing" else [])
        assert not again.usable(file.stem) and again.set_aside == named
        assert not verify(path).sound


def test_losing_the_state_in_force_moves_nothing_until_it_has_to_be_loaded(path: Path, run: Run) -> None:
    """The policy has been loaded from it: an update made now has it for its parent."""
    grow(run, "u1", "u2")
    spoil(run.blobs.path(run.state_blob("u2")), "flipped")
    with pytest.raises(RunError, match="'u2' cannot be used"):
        run.state_blob("u2")
    run.branch("onwards")
    assert run.head == "u2" and not run.timeline.nodes["u2"].intact
    run.commit_update(report("u3", run.head), put(run, 3))
    assert run.head == "u3" and run.undo() == "u1" and run.checkout("u3") == "u3"
    run.close()
    with Run.open(path) as again:
        assert again.head == "u3" and again.timeline.nodes["u3"].parent == "u2"
        with pytest.raises(RunError, match="'u2' cannot be used"):
            again.undo()
        assert again.head == "u3" and again.undo() == "u1"


def test_a_blob_that_comes_back_is_used_again(path: Path, run: Run) -> None:
    grow(run, "u1")
    file = run.blobs.path(run.state_blob("u1"))
    run.close()
    content = file.read_bytes()
    file.unlink()
    with Run.open(path) as again:
        assert again.head == "root"
    file.write_bytes(content)
    with Run.open(path) as again:
        assert again.head == "u1" and again.set_aside == []


def test_running_jobs_are_interrupted_once(path: Path, run: Run) -> None:
    run.append("job", {"job_id": "j1", "status": "started", "name": "learn"})
    run.append("job", {"job_id": "j2", "status": "started"})
    run.append("job", {"job_id": "j2", "status": "finished"})
    run.close()
    with Run.open(path, read_only=True) as looking:
        assert looking.state().jobs["j1"]["status"] == "started"
    for _ in range(2):
        with Run.open(path) as again:
            assert again.state().jobs == {
                "j1": {"job_id": "j1", "status": "interrupted", "name": "learn"},
                "j2": {"job_id": "j2", "status": "finished"},
            }
            assert len(again.events("job")) == 4


def test_an_event_of_the_wrong_shape_is_one_sentence(run: Run) -> None:
    run.append("attempt", {**to_json(ATTEMPT), "colour": "red"})
    with pytest.raises(RunError, match=r"Event 2 \(attempt\) cannot be read .*colour"):
        run.state()


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_broken_directories_are_one_sentence_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "run.sqlite").write_text("mine")
    (tmp_path / "folder" / "run.sqlite").mkdir(parents=True)
    (tmp_path / "headless" / "blobs").mkdir(parents=True)
    (tmp_path / "headless" / "blobs" / f"{'0' * 64}.safetensors").write_text("x")
    before = files(tmp_path)
    for name, sentence in {
        "file": "is a file, not a run's directory",
        "file/below": "cannot be used",
        "text": "not an event log or is damaged",
        "folder": "is not a file",
        "headless": "run.sqlite is missing",
    }.items():
        with pytest.raises(RunError, match=sentence):
            Run.open(tmp_path / name)
    for name in ("nowhere", "headless", "file"):
        with pytest.raises(RunError):
            Run.open(tmp_path / name, read_only=True)
    assert files(tmp_path) == before and not (tmp_path / "nowhere").exists()


def test_a_newer_run_is_left_alone(path: Path, run: Run) -> None:
    run.close()
    log = path / "run.sqlite"
    content = bytearray(log.read_bytes())
    content[60:64] = (99).to_bytes(4, "big")  # user_version in SQLite's header
    log.write_bytes(content)
    before = files(path)
    with pytest.raises(RunError, match="newer version"):
        Run.open(path)
    assert files(path) == before


def test_a_failed_opening_gives_the_lock_back(path: Path, run: Run) -> None:
    run.close()
    log = path / "run.sqlite"
    content = log.read_bytes()
    log.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="is damaged"):
        Run.open(path)
    log.write_bytes(content)
    Run.open(path).close()


def test_closed_means_closed(run: Run) -> None:
    run.close()
    run.close()
    with pytest.raises(RunError, match="is closed"):
        run.append("note", {})


def test_one_process_opens_a_run_once(path: Path, run: Run) -> None:
    with pytest.raises(RunError, match=f"open in process {os.getpid()}; close it there, or open it here read-only"):
        Run.open(path)
    with Run.open(path, read_only=True) as looking:
        assert looking.read_only and not run.read_only
        assert looking.head == "root"
        grow(run, "u1")
        assert looking.head == "u1" and looking.events() == run.events()
        for change in (looking.undo, lambda: looking.append("note", {}), lambda: put(looking, 5)):
            with pytest.raises(RunError, match="open read-only"):
                change()


def hold(path: Path, connection: Connection) -> None:
    run = Run.open(path)
    connection.send(os.getpid())
    signal.pause()
    run.close()


def test_another_process_holds_the_lock_until_it_dies(path: Path) -> None:
    ours, theirs = processes().Pipe()
    holder = processes().Process(target=hold, args=(path, theirs))
    holder.start()
    try:
        assert ours.poll(60)
        pid = ours.recv()
        assert pid == holder.pid != os.getpid()
        with pytest.raises(RunError, match=f"open in process {pid};"):
            Run.open(path)
        Run.open(path, read_only=True).close()
    finally:
        holder.kill()
        holder.join()
    Run.open(path).close()


def look_without_rights(path: Path, connection: Connection) -> None:
    """As an ordinary user (root ignores permissions): reading works, writing is one sentence."""
    try:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        with Run.open(path, read_only=True) as run:
            connection.send((run.head, len(run.events()), len(run.set_aside)))
        for place in (path, path / "new"):
            try:
                Run.open(place).close()
            except RunError as error:
                connection.send(str(error))
            else:
                connection.send("it opened")
    except BaseException as error:
        connection.send(repr(error))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="switches to the user nobody")
def test_a_directory_without_write_access_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "run"
        with Run.open(path) as run:
            run.commit_root(put(run, 0))
            grow(run, "u1")
        for item in (Path(place), path, path / "blobs"):
            item.chmod(0o555)
        for item in (path / "run.sqlite", path / ".lock", *(path / "blobs").iterdir()):
            item.chmod(0o444)
        before = files(path)
        ours, theirs = processes().Pipe()
        looker = processes().Process(target=look_without_rights, args=(path, theirs))
        looker.start()
        try:
            answers = [ours.recv() if ours.poll(60) else "no answer" for _ in range(3)]
        finally:
            looker.join()
            for item in (Path(place), path, path / "blobs"):
                item.chmod(0o755)
        assert answers[0] == ("u1", 2, 0)
        assert "is read-only; change its permissions, or open the run read-only" in answers[1]
        assert "cannot be written; change its permissions" in answers[2]
        assert files(path) == before


def test_updates_may_carry_a_name_of_their_own(tmp_path: Path) -> None:
    with Run.open(tmp_path / "named") as run:
        run.commit_root(put(run, 0))
        with run.naming("learn-1 sdpo"):
            grow(run, "u1", "u2")
        grow(run, "u3")
        run.checkout("root")
        grow(run, "u4")
        named = {node.id: node.name for node in run.timeline.nodes.values()}
    assert named == {"root": "main", "u1": "learn-1 sdpo", "u2": "learn-1 sdpo", "u3": "main", "u4": "main"}
    with Run.open(tmp_path / "named", read_only=True) as again:
        assert {node.id: node.name for node in again.timeline.nodes.values()} == named
        assert again.timeline.branches == {"main": "u4", "learn-1 sdpo": "u2"}
