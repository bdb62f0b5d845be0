"""Teacher lift on the real embedded policy, and the test that answers early: it is right, and nothing changes."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
import torch

from workbench import Workbench
from workbench.config import MOST_PAIRS, SDPOConfig
from workbench.errors import NoSignalError, TaskError
from workbench.records import Attempt
from workbench.session.lift import FALSE_ANSWERS, TeacherLift
from workbench.statistics import HeldOut, evidence

PROMPT = "Write f(xs): sort, then take 3."


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("lift") / "run") as opened:
        yield opened


@pytest.fixture(scope="module")
def failed(workbench: Workbench) -> list[Attempt]:
    task = workbench.task("house-rules/sort-take-1")
    return [attempt for attempt in workbench.attempt(task, 8) if not attempt.passed]


def lift_of(won: int, lost: int, both: int = 0) -> TeacherLift:
    total = won + lost + both
    return TeacherLift(HeldOut(lost + both, total), HeldOut(won + both, total), won, lost, 0, 1)


@pytest.mark.parametrize("teacher", ["frozen", "trust_region"])
def test_a_teacher_that_is_told_the_rule_is_better(workbench: Workbench, failed: list[Attempt], teacher: str) -> None:
    """The house sorts one way; a policy that is told which one writes that, and one that is not only sometimes."""
    assert failed
    config = SDPOConfig(teacher=teacher)  # type: ignore[arg-type]
    before, events, state = workbench.head, len(workbench.events()), workbench.policy.state()
    lift = workbench.teacher_lift(failed, config)
    assert lift.verdict == "better" and lift.change == lift.teacher.rate - lift.student.rate > 0
    assert lift.teacher.total == lift.student.total < MOST_PAIRS and lift.doubts == ()
    assert str(lift).endswith("the teacher is better here")
    assert workbench.head == before and len(workbench.events()) == events
    after = workbench.policy.state()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert workbench.teacher_lift(failed, config) == lift
    exact = workbench.teacher_lift(failed, config, n=2, whole=True)
    assert exact.teacher.total == exact.student.total == 2 * len(failed) and exact.change > 0
    assert exact.tokens / exact.teacher.total > lift.tokens / lift.teacher.total  # it begins at the first blamed token


def test_feedback_that_misleads_makes_a_teacher_that_is_not_better(workbench: Workbench) -> None:
    """The student passes about half of the time in the house that it leans to; the feedback names the other order."""
    task = workbench.task("house-rules/sort-take-1")
    group = workbench.attempt(task, 16)
    misled = [workbench.give_feedback(attempt, "sort ascending.") for attempt in group if attempt.passed][:2]
    lift = workbench.teacher_lift(misled)
    assert lift.verdict == "not better" and lift.lost > lift.won
    assert any("passes less often" in doubt for doubt in lift.doubts)


def test_feedback_that_says_nothing_is_named_as_the_reason(workbench: Workbench) -> None:
    told = workbench.add_task(prompt="Write f(xs): reverse.", environment="exact", answer={"text": "no program"})
    (attempt,) = workbench.attempt(told, 1)
    lift = workbench.teacher_lift([attempt])
    assert lift.verdict == "unknown" and lift.teacher.total == MOST_PAIRS  # neither ever passes
    assert "does not tell" in str(lift)
    assert any("the attempts fail" in doubt and "demonstration" in doubt for doubt in lift.doubts)


def test_it_stops_at_once_and_answers_from_what_is_complete(workbench: Workbench, failed: list[Attempt]) -> None:
    stop, rounds = threading.Event(), []

    def after_a_round(done: int, most: int) -> None:
        rounds.append((done, most))
        stop.set()

    lift = workbench.teacher_lift(failed, n=99, on_progress=after_a_round, stop=stop)
    assert rounds == [(lift.teacher.total, 99 * len(failed))] and lift.teacher.total < 99
    with pytest.raises(TaskError, match="nothing was measured"):
        workbench.teacher_lift(failed, stop=stop)


def test_what_has_no_teacher_or_no_judge_is_refused(workbench: Workbench, failed: list[Attempt]) -> None:
    task = workbench.add_task(prompt=PROMPT, environment="person", name="mine")
    attempts = workbench.attempt(task, 1)
    with pytest.raises(NoSignalError, match="no teacher to measure"):
        workbench.teacher_lift(attempts)
    informed = workbench.give_feedback(attempts[0], "sort descending.")
    with pytest.raises(TaskError, match="A person judges"):
        workbench.teacher_lift([informed])
    with pytest.raises(TaskError, match="at least 1"):
        workbench.teacher_lift([informed], n=0)
    with pytest.raises(NoSignalError, match="method grpo asks no self-teacher"):
        workbench.teacher_lift(failed, SDPOConfig(method="grpo"))


def test_the_evidence_is_the_mean_of_the_bets_that_it_stands_for() -> None:
    """Against the integral, summed numerically, and where a float would overflow."""
    for won, lost in ((0, 0), (1, 0), (7, 0), (5, 3), (3, 9)):
        steps = 20_000
        chances = [0.5 + (step + 0.5) / (2 * steps) for step in range(steps)]
        wealth = sum(p**won * (1 - p) ** lost for p in chances) / steps * 2 ** (won + lost)
        assert evidence(won, lost) == pytest.approx(wealth, rel=1e-5)
    assert evidence(3000, 0) == float("inf") and evidence(0, 3000) < 1


def test_it_answers_falsely_no_more_often_than_it_says() -> None:
    """Looking after every pair, where the truth is as close as it can be to what would be a false answer."""
    generator, runs, false = random.Random(0), 2000, 0
    for _ in range(runs):
        won = lost = 0
        while won + lost < MOST_PAIRS and lift_of(won, lost).verdict != "better":
            coin = generator.random() < 0.5
            won, lost = won + coin, lost + (not coin)
        false += lift_of(won, lost).verdict == "better"
    assert 0 < false / runs <= FALSE_ANSWERS


def test_equal_is_not_known_and_a_clear_difference_is_soon() -> None:
    assert lift_of(16, 16, both=32).verdict == "unknown" and lift_of(0, 0, both=64).verdict == "unknown"
    assert lift_of(7, 0).verdict == "better" and lift_of(0, 7).verdict == "not better"
    assert lift_of(6, 0).verdict == "unknown"
    assert str(lift_of(1, 10, both=13)) == "teacher 14 of 24, student 23 of 24: the teacher is not better here"
