"""Runs as the page handles them: listed, left, opened again, taken along, brought in, shared. No browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import Workbench
from workbench.config import LoraSettings
from workbench.errors import CreditError, RunError
from workbench.service.actions.round import sample
from workbench.service.actions.runs import export_run, import_run, open_run, runs, share
from workbench.service.actions.tasks import add_task
from workbench.service.publish import publish_opened
from workbench.service.queue import JobQueue

WAIT_S = 120.0
PROMPT = "Write f(xs): sort, then take 3."


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(lambda: Workbench.open(tmp_path / "runs" / "first"), publish_opened).start()
    assert queue.settled.wait(WAIT_S)
    yield queue
    queue.close()


def test_another_run_is_opened_and_the_former_one_keeps_everything(queue: JobQueue, tmp_path: Path) -> None:
    task = add_task(queue, PROMPT).result(WAIT_S)
    (attempt,) = sample(queue, task.id, 1, max_new_tokens=6).result(WAIT_S)
    with pytest.raises(CreditError, match="nothing to share"):
        share(queue).result(WAIT_S)
    queue.workbench.credit(attempt)
    page = share(queue).result(WAIT_S)
    assert page.startswith("<!doctype html>") and attempt.id in page
    archive = export_run(queue, tmp_path).result(WAIT_S)

    assert open_run(queue, "second").result(WAIT_S) == "second"
    assert queue.state.run == "second" and queue.state.group(task.id) == ()
    assert import_run(queue, archive, "copy").result(WAIT_S) == "copy"
    listed = {run.name: run for run in runs(queue).result(WAIT_S)}
    assert {name: run.attempts for name, run in listed.items()} == {"copy": 1, "first": 1, "second": 0}
    assert listed["first"].model == "embedded" and not listed["first"].problem

    open_run(queue, "first").result(WAIT_S)
    assert [other.id for other in queue.state.group(task.id)] == [attempt.id]
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.sqlite").write_text("no database")
    with pytest.raises(RunError):
        open_run(queue, "broken").result(WAIT_S)
    assert queue.state.run == "first" and len(queue.workbench.attempts()) == 1
    assert next(run for run in runs(queue).result(WAIT_S) if run.name == "broken").problem


@pytest.mark.parametrize("name", ["", "../first", "a/b", "..", ".hidden", "x" * 61, None, 3])
def test_no_path_leads_out_of_the_directory_of_runs(name: object) -> None:
    with pytest.raises(RunError, match="A run's name has at most 60 letters"):
        open_run(JobQueue(lambda: None), name)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="A run's name has at most 60 letters"):
        import_run(JobQueue(lambda: None), Path("archive.zip" if name is not None else ".zip"), name)  # type: ignore[arg-type]


def test_a_run_begun_from_the_page_keeps_the_settings_of_the_open_one(tmp_path: Path) -> None:
    settings = {"quantization": "none", "lora": LoraSettings(rank=2, lora_alpha=4.0), "seed": 7}
    queue = JobQueue(lambda: Workbench.open(tmp_path / "first", **settings), publish_opened).start()
    try:
        open_run(queue, "second").result(WAIT_S)
        begun = queue.workbench.config
        assert {name: getattr(begun, name) for name in settings} == settings
        open_run(queue, "first").result(WAIT_S)  # a run that exists is opened with its own
        open_run(queue, "third").result(WAIT_S)  # and hands them on once more
        begun = queue.workbench.config
        assert {name: getattr(begun, name) for name in settings} == settings
    finally:
        queue.close()
