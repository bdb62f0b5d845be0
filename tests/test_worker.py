"""The queue when things go wrong: stopping by number, a worker that ends, a run that is opened again."""

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
from workbench.config import LoraSettings
from workbench.errors import RunError, TaskError
from workbench.service import queue as queue_module
from workbench.service.actions.round import feedback, sample
from workbench.service.actions.tasks import add_task
from workbench.service.job import AHEAD, ASKED_BY, SHOWN
from workbench.service.publish import publish_opened
from workbench.service.queue import JobQueue

WAIT_S = 120.0


class Opened:
    """Counts how often it was opened and closed."""

    opened = closed = 0

    def __init__(self) -> None:
        Opened.opened += 1

    def close(self) -> None:
        Opened.closed += 1


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    Opened.opened = Opened.closed = 0
    made = JobQueue(Opened).start()
    assert made.settled.wait(WAIT_S)
    yield made
    made.close()


def held(queue: JobQueue) -> threading.Event:
    started, release = threading.Event(), threading.Event()

    def run(workbench: Any, job: Any) -> None:
        started.set()
        release.wait(WAIT_S)

    queue.submit("hold", "Holding", run)
    assert started.wait(WAIT_S)
    return release


def dies(workbench: Any, job: Any) -> None:
    raise SystemExit("a library called exit()")


def test_everyone_sees_the_queue_and_anyone_can_leave_it(queue: JobQueue) -> None:
    release, done = held(queue), []
    queue.submit("credit", "", lambda w, j: None, priority=AHEAD)
    jobs = [queue.submit("x", name, lambda w, j, name=name: done.append(name)) for name in ("first", "second", "third")]
    assert [job.label for job in queue.line()] == ["Holding", "first", "second", "third"] and queue.waiting() == 4
    assert queue.stop(jobs[1].number) and not queue.stop(jobs[1].number) and not queue.stop(10**6)
    with pytest.raises(RunError, match="stopped before it began"):
        jobs[1].result(WAIT_S)
    assert [job.label for job in queue.line()] == ["Holding", "first", "third"]
    running = queue.line()[0]
    assert queue.stop(running.number) and running.stop.is_set()
    release.set()
    jobs[2].result(WAIT_S)
    assert done == ["first", "third"]


def test_what_is_needed_soon_leaves_the_page_time_to_say_what_it_shows(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "GRACE_S", WAIT_S)
    done: list[str] = []

    def sample(workbench: Any, job: Any) -> None:
        queue.submit("held-out", "", lambda w, j: done.append("ahead"), priority=AHEAD)

    queue.submit("sample", "", sample).result(WAIT_S)
    queue.submit("credit", "", lambda w, j: done.append("shown"), priority=SHOWN).result(WAIT_S)
    assert done == ["shown"]
    monkeypatch.setattr(queue_module, "GRACE_S", 0.0)
    queue.submit("x", "", lambda w, j: None).result(WAIT_S)
    queue.submit("x", "", lambda w, j: None, priority=AHEAD).result(WAIT_S)
    assert done == ["shown", "ahead"]


def test_what_fails_is_told_to_whoever_asked_for_it(queue: JobQueue) -> None:
    def asked(by: str, run: Any) -> Any:
        ASKED_BY.set(by)
        return queue.submit("x", "Working", run)

    def fails(workbench: Any, job: Any) -> None:
        raise TaskError("There is no such task; choose another.")

    context = contextvars.copy_context()
    with pytest.raises(TaskError):
        context.run(asked, "mine", fails).result(WAIT_S)
    assert (queue.problem, queue.problem_for) == ("There is no such task; choose another.", "mine")
    release = held(queue)
    own = context.run(asked, "mine", lambda w, j: 1)
    assert context.run(queue.stop, own.number) and queue.problem == "There is no such task; choose another."
    waiting = context.run(asked, "mine", lambda w, j: 1)
    assert queue.stop(waiting.number)  # by another one
    assert (queue.problem, queue.problem_for) == ("Working: this was stopped elsewhere before it began.", "mine")
    release.set()


def test_a_job_says_how_long_yet_by_its_count_or_by_the_last_of_its_kind(queue: JobQueue) -> None:
    def counts(workbench: Any, job: Any) -> tuple[float | None, float]:
        before = job.left_s()
        time.sleep(0.02)
        job.report(1, 4, "rounds")
        return before, job.left_s()

    before, left = queue.submit("count", "", counts).result(WAIT_S)
    assert before is None and left >= 3 * 0.02
    queue.submit("sleep", "", lambda w, j: time.sleep(0.05), size=1).result(WAIT_S)
    both = queue.submit("sleep", "", lambda w, j: (j.left_s(), j.seconds()), size=10).result(WAIT_S)
    assert sum(both) > 0.4  # ten times as much work as before


def test_a_stopped_key_can_be_asked_for_again(queue: JobQueue) -> None:
    release = held(queue)
    first = queue.submit("credit", "", lambda w, j: 1, key="k")
    assert queue.stop(first.number)
    again = queue.submit("credit", "", lambda w, j: 2, key="k")
    release.set()
    assert again is not first and again.result(WAIT_S) == 2


def test_what_gives_way_stops_for_a_person_and_can_be_asked_for_again(queue: JobQueue) -> None:
    started = threading.Event()

    def long(workbench: Any, job: Any) -> bool:
        started.set()
        return bool(job.stop.wait(WAIT_S))

    assert queue.want("lift", "lift", "", long, priority=AHEAD, gives_way=True) is None
    assert started.wait(WAIT_S)
    queue.want("soon", "credit", "", lambda w, j: 1, priority=SHOWN)
    assert queue.current is not None and not queue.current.stop.is_set()  # a page alone does not stop it
    queue.submit("update", "", lambda w, j: 2).result(WAIT_S)
    assert queue.known("lift") is None  # what was cut short is not kept
    assert queue.want("lift", "lift", "", lambda w, j: "whole", priority=AHEAD, gives_way=True) is None
    queue.submit("wait", "", lambda w, j: None, priority=AHEAD).result(WAIT_S)
    assert queue.known("lift") == "whole"


def test_losing_interest_does_not_end_the_worker(queue: JobQueue) -> None:
    release = held(queue)
    job = queue.submit("x", "", lambda w, j: 1)
    assert not job.future.cancel()
    release.set()
    assert queue.submit("x", "", lambda w, j: 2).result(WAIT_S) == 2


def test_a_worker_that_ends_says_so_and_the_run_is_opened_again(queue: JobQueue) -> None:
    release = held(queue)
    last, behind = queue.submit("x", "", dies), queue.submit("x", "", lambda w, j: 1)
    release.set()
    for job in (last, behind):
        with pytest.raises(RunError, match=r"The worker stopped: .*SystemExit: a library called exit.*Reopen the run"):
            job.result(WAIT_S)
    assert queue.status == "failed" and "The worker stopped" in queue.problem and queue.line() == []
    with pytest.raises(RunError, match="The worker stopped"):
        queue.submit("x", "", lambda w, j: 1)
    assert queue.want("k", "x", "", lambda w, j: 1) is None  # a page that only looks goes on looking
    assert (Opened.opened, Opened.closed) == (1, 1)  # the run was given back
    queue.reopen()
    assert queue.submit("x", "", lambda w, j: 3).result(WAIT_S) == 3
    assert queue.status == "ready" and queue.problem == "" and Opened.opened == 2
    with pytest.raises(RunError, match="only a failed one"):
        queue.reopen()


def test_closing_answers_everyone_at_once(queue: JobQueue) -> None:
    """Fails when the jobs that wait are answered only after the running one has ended."""
    release = held(queue)
    waiting = queue.submit("x", "", lambda w, j: 1)
    closing = threading.Thread(target=queue.close)
    closing.start()
    with pytest.raises(RunError, match="was closed"):
        waiting.result(WAIT_S)
    release.set()
    closing.join(WAIT_S)
    with pytest.raises(RunError, match="closed"):
        queue.submit("x", "", lambda w, j: 1)
    assert Opened.closed == 1


def test_a_run_that_could_not_be_opened_can_be_tried_again() -> None:
    tries: list[int] = []

    def opener() -> Opened:
        tries.append(1)
        if len(tries) == 1:
            raise RunError("This run is open in process 7; close it there.")
        return Opened()

    queue = JobQueue(opener).start()
    assert queue.settled.wait(WAIT_S) and queue.problem == "This run is open in process 7; close it there."
    queue.reopen()
    assert queue.submit("x", "", lambda w, j: 1).result(WAIT_S) == 1
    queue.close()


def test_a_real_run_reopens_at_its_last_committed_state(tmp_path: Path) -> None:
    model, lora = str(make_model_dir(tmp_path / "model")), LoraSettings(rank=4, lora_alpha=8.0)

    def opener() -> Workbench:
        return Workbench.open(tmp_path / "run", model=model, quantization="none", device="cpu", lora=lora)

    queue = JobQueue(opener, publish_opened).start()
    task = add_task(queue, "Say yes.", "contains", {"text": "never said"}).result(WAIT_S)
    attempts = sample(queue, task.id, 2, max_new_tokens=4).result(WAIT_S)
    with pytest.raises(RunError, match="The worker stopped"):
        queue.submit("x", "", dies).result(WAIT_S)
    with pytest.raises(RunError, match="The worker stopped"):
        feedback(queue, attempts[0].id, "yes")
    queue.reopen()
    changed = feedback(queue, attempts[0].id, "yes").result(WAIT_S)
    assert changed.feedback == "yes" and [one.id for one in queue.state.group(task.id)] == [one.id for one in attempts]
    with pytest.raises(TaskError):
        sample(queue, "", 2)
    queue.close()


def test_memory_that_jobs_leave_unused_is_given_back(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave_a_hole(workbench: Any, job: Any) -> bytes:
        blocks = [bytes(1000) for _ in range(100_000)]
        return blocks[-1]  # lies above the 100 MB that are free again, so the allocator keeps those

    def held_after_a_job() -> tuple[int, bytes]:
        kept = queue.submit("x", "", leave_a_hole).result(WAIT_S)
        queue.submit("x", "", lambda w, j: None).result(WAIT_S)  # begins after what follows the first one
        return resident_bytes(os.getpid()), kept

    before = resident_bytes(os.getpid())
    held, _kept = held_after_a_job()
    if held < before + 50_000_000:
        pytest.skip("this C library gives memory back by itself")
    monkeypatch.setattr(queue_module, "TRIMMED_S", 0.0)
    assert held_after_a_job()[0] < before + 50_000_000
