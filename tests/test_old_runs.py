"""Runs that an earlier version made open, go on and can be checked under this one.

`fixtures/run-eac016f.zip` is the archive of a small run that commit eac016f made: the embedded policy with a LoRA of
rank 1, six attempts with feedback, a credit under every context, two updates of which one was undone, a branch, a
tested credit, a task of one's own, held-out rates, a learning run of one round and a search for hard tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import Workbench

ARCHIVE = Path(__file__).parent / "fixtures" / "run-eac016f.zip"
FIRST, UNDONE, LEARNED = "u-d86fea8157", "u-73913fc9c5", "u-aed02ee973"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Workbench.import_run(ARCHIVE, tmp_path / "old")


@pytest.fixture
def workbench(run: Path) -> Iterator[Workbench]:
    with Workbench.open(run) as opened:
        yield opened


def test_it_opens_where_it_was_left(workbench: Workbench) -> None:
    assert workbench.verify().problems == ()
    assert workbench.head == LEARNED
    assert [node.update_id for node in workbench.timeline()] == ["root", FIRST, UNDONE, LEARNED]
    assert workbench.policy.facts["lora"]["rank"] == 1
    task = workbench.task("house-rules/sort-take-1")
    assert len(workbench.attempts(task)) == 6
    assert any(attempt.feedback == "largest first" for attempt in workbench.attempts(task))
    assert workbench.task("ad-hoc/task-1").answer == {"text": "2"}


def test_what_was_measured_of_it_is_known(workbench: Workbench) -> None:
    rates = [rate for measured in workbench.held_out_rates().values() for rate in measured.values()]
    assert sorted((rate.passed, rate.total) for rate in rates) == [(1, 4), (1, 4)]
    (test,) = workbench.credit_tests()
    assert (test.position, test.n) == (3, 2)
    assert set(workbench.experiments()) == {"learn-1", "screen-1"}


def test_its_credit_is_that_of_a_recomputation(workbench: Workbench) -> None:
    stored = workbench.credits()[0]
    assert set(stored.credit.contexts) >= {"student", "teacher", "base", "template_only"}
    checks = workbench.check_credit()
    assert [check.update_id for check in checks] == [one.basis.update_id for one in workbench.credits()]
    assert all(check.ok for check in checks)


def test_one_can_go_on_with_it(workbench: Workbench) -> None:
    assert workbench.checkout(UNDONE) == UNDONE
    assert workbench.undo() == FIRST
    attempts = workbench.attempt(workbench.task("house-rules/sort-take-1"), n=2)
    report = workbench.update(workbench.attempts()[:2])
    assert {attempt.update_id for attempt in attempts} == {FIRST}
    assert workbench.head == report.update_id


def test_its_finished_experiment_gives_its_points_again(workbench: Workbench) -> None:
    points = list(workbench.resume("learn-1"))
    assert [(point.round, point.update_id) for point in points] == [(0, FIRST), (1, LEARNED)]
    assert [(point.held_out.passed, point.held_out.total) for point in points] == [(1, 4), (1, 4)]


def test_it_can_be_replayed(run: Path) -> None:
    replay = Workbench.replay(run)
    stored = [one.credit for one in replay.credits()]
    (attempt,) = (one for one in replay.attempts() if one.id == stored[0].attempt_id)
    assert replay.credit(attempt, contexts="all") in stored
