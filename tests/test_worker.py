"""The desk when things go wrong: stopping by number, a worker that ends, a run that is opened again."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from policy_factory import make_model_dir

from workbench import Workbench
from workbench.benchmarks.measure import resident_bytes
from workbench.config import LoraSettings, SamplingConfig
from workbench.errors import RunError, TaskError
from workbench.service import queue as worker
from workbench.service.actions.round import Studio
from workbench.service.job import AHEAD, ASKED_BY, SHOWN
from workbench.service.queue import Desk

WAIT_S = 120.0


class Opened:
    """Counts how often it was opened and closed."""

    opened = closed = 0

    def __init__(self) -> None:
        Opened.opened += 1

    def close(self) -> None:
        Opened.closed += 1


@pytest.fixture
def desk() -> Iterator[Desk]:
    Opened.opened = Opened.closed = 0
    made = Desk(Opened).start()
    assert made.settled.wait(WAIT_S)
    yield made
    made.close()


def held(desk: Desk) -> threading.Event:
    started, release = threading.Event(), threading.Event()

    def run(workbench: Any, job: Any) -> None:
        started.set()
        release.wait(WAIT_S)

    desk.submit("hold", "Holding", run)
    assert started.wait(WAIT_S)
    return release


def dies(workbench: Any, job: Any) -> None:
    raise SystemExit("a library called exit()")


def test_everyone_sees_the_queue_and_anyone_can_leave_it(desk: Desk) -> None:
    release, done = held(desk), []
    desk.submit("credit", "", lambda w, j: None, priority=AHEAD)
    jobs = [desk.submit("x", name, lambda w, j, name=name: done.append(name)) for name in ("first", "second", "third")]
    assert [job.label for job in desk.line()] == ["Holding", "first", "second", "third"] and desk.waiting() == 4
    assert desk.stop(jobs[1].number) and not desk.stop(jobs[1].number) and not desk.stop(10**6)
    with pytest.raises(RunError, match="stopped before it began"):
        jobs[1].future.result(WAIT_S)
    assert [job.label for job in desk.line()] == ["Holding", "first", "third"]
    running = desk.line()[0]
    assert desk.stop(running.number) and running.stop.is_set()
    release.set()
    jobs[2].future.result(WAIT_S)
    assert done == ["first", "third"]


def test_what_is_needed_soon_leaves_the_page_time_to_say_what_it_shows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GRACE_S", WAIT_S)
    done: list[str] = []

    def sample(workbench: Any, job: Any) -> None:
        desk.submit("held-out", "", lambda w, j: done.append("ahead"), priority=AHEAD)

    desk.submit("sample", "", sample).future.result(WAIT_S)
    desk.submit("credit", "", lambda w, j: done.append("shown"), priority=SHOWN).future.result(WAIT_S)
    assert done == ["shown"]
    monkeypatch.setattr(worker, "GRACE_S", 0.0)
    desk.submit("x", "", lambda w, j: None).future.result(WAIT_S)
    desk.submit("x", "", lambda w, j: None, priority=AHEAD).future.result(WAIT_S)
    assert done == ["shown", "ahead"]


def test_what_fails_is_told_to_whoever_asked_for_it(desk: Desk) -> None:
    def asked(by: str, run: Any) -> Any:
        ASKED_BY.set(by)
        return desk.submit("x", "Working", run)

    def fails(workbench: Any, job: Any) -> None:
        raise TaskError("There is no such task; choose another.")

    context = contextvars.copy_context()
    with pytest.raises(TaskError):
        context.run(asked, "mine", fails).future.result(WAIT_S)
    assert (desk.problem, desk.problem_for) == ("There is no such task; choose another.", "mine")
    release = held(desk)
    own = context.run(asked, "mine", lambda w, j: 1)
    assert context.run(desk.stop, own.number) and desk.problem == "There is no such task; choose another."
    waiting = context.run(asked, "mine", lambda w, j: 1)
    assert desk.stop(waiting.number)  # by another one
    assert (desk.problem, desk.problem_for) == ("Working: this was stopped elsewhere before it began.", "mine")
    release.set()


def test_a_job_says_how_long_yet_by_its_count_or_by_the_last_of_its_kind(desk: Desk) -> None:
    def counts(workbench: Any, job: Any) -> tuple[float | None, float]:
        before = job.left_s()
        time.sleep(0.02)
        job.report(1, 4, "rounds")
        return before, job.left_s()

    before, left = desk.submit("count", "", counts).future.result(WAIT_S)
    assert before is None and left >= 3 * 0.02
    desk.submit("sleep", "", lambda w, j: time.sleep(0.05), size=1).future.result(WAIT_S)
    both = desk.submit("sleep", "", lambda w, j: (j.left_s(), j.seconds()), size=10).future.result(WAIT_S)
    assert sum(both) > 0.4  # ten times as much work as before


def test_a_stopped_key_can_be_asked_for_again(desk: Desk) -> None:
    release = held(desk)
    first = desk.submit("credit", "", lambda w, j: 1, key="k")
    assert desk.stop(first.number)
    again = desk.submit("credit", "", lambda w, j: 2, key="k")
    release.set()
    assert again is not first and again.future.result(WAIT_S) == 2


def test_losing_interest_does_not_end_the_worker(desk: Desk) -> None:
    release = held(desk)
    job = desk.submit("x", "", lambda w, j: 1)
    assert not job.future.cancel()
    release.set()
    assert desk.submit("x", "", lambda w, j: 2).future.result(WAIT_S) == 2


def test_a_worker_that_ends_says_so_and_the_run_is_opened_again(desk: Desk) -> None:
    release = held(desk)
    last, behind = desk.submit("x", "", dies), desk.submit("x", "", lambda w, j: 1)
    release.set()
    for job in (last, behind):
        with pytest.raises(
            RunError, match=r"The worker stopped: .*SystemExit: a library called exit.*Open the run again"
        ):
            job.future.result(WAIT_S)
    assert desk.state == "failed" and "The worker stopped" in desk.problem and desk.line() == []
    with pytest.raises(RunError, match="The worker stopped"):
        desk.submit("x", "", lambda w, j: 1)
    assert desk.want("k", "x", "", lambda w, j: 1) is None  # a page that only looks goes on looking
    assert (Opened.opened, Opened.closed) == (1, 1)  # the run was given back
    desk.reopen()
    assert desk.submit("x", "", lambda w, j: 3).future.result(WAIT_S) == 3
    assert desk.state == "ready" and desk.problem == "" and Opened.opened == 2
    with pytest.raises(RunError, match="only a failed one"):
        desk.reopen()


def test_closing_answers_everyone_at_once(desk: Desk) -> None:
    """Fails when the jobs that wait are answered only after the running one has ended."""
    release = held(desk)
    waiting = desk.submit("x", "", lambda w, j: 1)
    closing = threading.Thread(target=desk.close)
    closing.start()
    with pytest.raises(RunError, match="was closed"):
        waiting.future.result(WAIT_S)
    release.set()
    closing.join(WAIT_S)
    with pytest.raises(RunError, match="closed"):
        desk.submit("x", "", lambda w, j: 1)
    assert Opened.closed == 1


def test_a_run_that_could_not_be_opened_can_be_tried_again() -> None:
    tries: list[int] = []

    def opener() -> Opened:
        tries.append(1)
        if len(tries) == 1:
            raise RunError("This run is open in process 7; close it there.")
        return Opened()

    desk = Desk(opener).start()
    assert desk.settled.wait(WAIT_S) and desk.problem == "This run is open in process 7; close it there."
    desk.reopen()
    assert desk.submit("x", "", lambda w, j: 1).future.result(WAIT_S) == 1
    desk.close()


def test_a_real_run_reopens_at_its_last_committed_state(tmp_path: Path) -> None:
    model, lora = str(make_model_dir(tmp_path / "model")), LoraSettings(rank=4, lora_alpha=8.0)

    def opener() -> Workbench:
        return Workbench.open(tmp_path / "run", model=model, quantization="none", device="cpu", lora=lora)

    desk = Desk(opener, Studio.opened).start()
    studio = Studio(desk)
    task = studio.add_task("Say yes.", "contains", {"text": "never said"}, None).future.result(WAIT_S)
    attempts = studio.sample(task.id, 2, SamplingConfig(max_new_tokens=4)).future.result(WAIT_S)
    with pytest.raises(RunError, match="The worker stopped"):
        desk.submit("x", "", dies).future.result(WAIT_S)
    with pytest.raises(RunError, match="The worker stopped"):
        studio.feedback(attempts[0].id, "yes", None)
    desk.reopen()
    changed = studio.feedback(attempts[0].id, "yes", None).future.result(WAIT_S)
    assert changed.feedback == "yes" and [one.id for one in studio.group(task.id)] == [one.id for one in attempts]
    with pytest.raises(TaskError):
        studio.sample("", 2, SamplingConfig())
    desk.close()


def test_memory_that_jobs_leave_unused_is_given_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave_a_hole(workbench: Any, job: Any) -> bytes:
        blocks = [bytes(1000) for _ in range(100_000)]
        return blocks[-1]  # lies above the 100 MB that are free again, so the allocator keeps those

    def held_after_a_job() -> tuple[int, bytes]:
        kept = desk.submit("x", "", leave_a_hole).future.result(WAIT_S)
        desk.submit("x", "", lambda w, j: None).future.result(WAIT_S)  # begins after what follows the first one
        return resident_bytes(os.getpid()), kept

    before = resident_bytes(os.getpid())
    held, _kept = held_after_a_job()
    if held < before + 50_000_000:
        pytest.skip("this C library gives memory back by itself")
    monkeypatch.setattr(worker, "TRIMMED_S", 0.0)
    assert held_after_a_job()[0] < before + 50_000_000
