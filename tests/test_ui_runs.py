"""Runs as the page handles them: listed, left, opened again, taken along, brought in, shared. No browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import Workbench
from workbench.config import SamplingConfig
from workbench.errors import CreditError, RunError
from workbench.service.actions.round import Studio
from workbench.service.queue import Desk

WAIT_S = 120.0
PROMPT = "Write f(xs): sort, then take 3."


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    desk = Desk(lambda: Workbench.open(tmp_path / "runs" / "first"), Studio.opened).start()
    assert desk.settled.wait(WAIT_S)
    yield Studio(desk)
    desk.close()


def test_another_run_is_opened_and_the_former_one_keeps_everything(studio: Studio, tmp_path: Path) -> None:
    task = studio.add_task(PROMPT, "person", None, None).future.result(WAIT_S)
    (attempt,) = studio.sample(task.id, 1, SamplingConfig(max_new_tokens=6)).future.result(WAIT_S)
    with pytest.raises(CreditError, match="nothing to share"):
        studio.share().future.result(WAIT_S)
    studio.desk.workbench.credit(attempt)
    page = studio.share().future.result(WAIT_S)
    assert page.startswith("<!doctype html>") and attempt.id in page
    archive = studio.export_run(tmp_path).future.result(WAIT_S)

    assert studio.open_run("second").future.result(WAIT_S) == "second"
    assert studio.desk.facts["run"] == "second" and studio.group(task.id) == ()
    assert studio.import_run(archive, "copy").future.result(WAIT_S) == "copy"
    found = {run["name"]: run for run in studio.runs().future.result(WAIT_S)}
    assert {name: run["attempts"] for name, run in found.items()} == {"copy": 1, "first": 1, "second": 0}
    assert found["first"]["model"] == "embedded" and not found["first"]["problem"]

    studio.open_run("first").future.result(WAIT_S)
    assert [one.id for one in studio.group(task.id)] == [attempt.id]
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.sqlite").write_text("no database")
    with pytest.raises(RunError):
        studio.open_run("broken").future.result(WAIT_S)
    assert studio.desk.facts["run"] == "first" and len(studio.desk.workbench.attempts()) == 1
    assert next(run for run in studio.runs().future.result(WAIT_S) if run["name"] == "broken")["problem"]


@pytest.mark.parametrize("name", ["", "../first", "a/b", "..", ".hidden", "x" * 61, None, 3])
def test_no_path_leads_out_of_the_directory_of_runs(name: object) -> None:
    with pytest.raises(RunError, match="named by letters"):
        Studio(Desk(lambda: None)).open_run(name)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="named by letters"):
        Studio(Desk(lambda: None)).import_run("archive.zip", name)  # type: ignore[arg-type]
