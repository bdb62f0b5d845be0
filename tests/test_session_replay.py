"""A run without its model: all that is on disk is there, while another session writes; the rest is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import CreditError, RunError
from workbench.records import Attempt
from workbench.session.replay import Replay

NEVER = {"tests": [{"function": "f", "args": [[3, 1, 2]], "expected": "nothing"}]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, Replay, list[Attempt]]]:
    """A session that stays open, and a replay of its run beside it."""
    path = tmp_path_factory.mktemp("replay") / "run"
    with Workbench.open(path) as workbench:
        task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", environment="python", answer=NEVER)
        group = workbench.attempt(task, 3, sampling=SamplingConfig(max_new_tokens=6))
        group = [workbench.give_feedback(one, f"remark {place}.") for place, one in enumerate(group)]
        workbench.credit(group[0])
        workbench.update(group, SDPOConfig(steps=1))
        workbench.held_out(count=2)
        workbench.credit(group[0], contexts="all")
        workbench.credit(group[1], SDPOConfig(teacher="live"))
        with Workbench.replay(path) as replay:
            yield workbench, replay, group


def test_what_is_on_disk_is_there(run: tuple[Workbench, Replay, list[Attempt]]) -> None:
    workbench, replay, group = run
    assert replay.run.read_only and replay.attempts() == workbench.attempts()
    assert replay.timeline() == workbench.timeline() and replay.head == workbench.head != "root"
    assert replay.tasks() == workbench.tasks() and replay.packs() == workbench.packs()
    assert replay.ledger(group) == workbench.ledger(group) and replay.alarms() == workbench.alarms()
    assert replay.policy.facts["model"] == "embedded" and len(replay.events()) == len(workbench.events())


def test_the_nearest_stored_credit_is_shown_with_the_prompt_that_it_came_from(
    run: tuple[Workbench, Replay, list[Attempt]],
) -> None:
    workbench, replay, group = run
    first, last = workbench.credits(group[0])
    assert replay.credit(group[0]) == last.credit != first.credit  # of the head, not of the state before the update
    assert replay.credit(group[0], contexts="all").views() == last.credit.views()
    assert replay.credit(group[1]).attempt_id == group[1].id  # of another teacher: the only one there is
    read = workbench.teacher_prompt(group[0])
    shown = replay.teacher_prompt(group[0])
    assert (shown.ids, shown.text) == (read.ids, read.text) and "remark 0." in shown.text
    assert replay.compare(group[0]).payload() == workbench.compare(group[0]).payload()
    with pytest.raises(CreditError, match="No credit of attempt"):
        replay.credit(group[2])


def test_what_needs_the_model_is_refused_and_nothing_changes(run: tuple[Workbench, Replay, list[Attempt]]) -> None:
    workbench, replay, group = run
    before = len(workbench.events())
    for refused in (
        lambda: replay.attempt(replay.tasks()[0]),
        lambda: replay.update(group),
        lambda: replay.undo(),
        lambda: replay.give_feedback(group[0], "words"),
        lambda: replay.compare(group[0], "teachers"),
        lambda: replay.held_out(),
    ):
        with pytest.raises(RunError, match="replay of a stored run, without its model"):
            refused()
    with pytest.raises(RunError, match="read-only"):
        replay.add_task(prompt="Write f(xs): sort.")
    with pytest.raises(AttributeError):
        replay.dance()
    assert len(workbench.events()) == before


def test_a_run_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no run"):
        Workbench.replay(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
