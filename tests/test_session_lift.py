"""Teacher lift on the real embedded policy: the teacher writes under its own prompt, and nothing is changed by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from workbench import Workbench
from workbench.config import SDPOConfig
from workbench.errors import NoSignalError, TaskError

PROMPT = "Write f(xs): sort, then take 3."


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("lift") / "run") as opened:
        yield opened


@pytest.mark.parametrize("teacher", ["frozen", "trust_region"])
def test_a_teacher_that_is_told_the_rule_passes_oftener(workbench: Workbench, teacher: str) -> None:
    """The house sorts one way; a policy that is told which one writes that, and one that is not only sometimes."""
    task = workbench.task("house-rules/sort-take-1")
    failed = [attempt for attempt in workbench.attempt(task, 8) if not attempt.passed]
    assert failed
    before, events, state = workbench.head, len(workbench.events()), workbench.policy.state()
    lift = workbench.teacher_lift(failed, SDPOConfig(teacher=teacher), n=4)  # type: ignore[arg-type]
    assert lift.teacher.total == lift.student.total == 4 * len(failed)
    assert lift.change == lift.teacher.rate - lift.student.rate > 0
    assert workbench.head == before and len(workbench.events()) == events
    after = workbench.policy.state()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert workbench.teacher_lift(failed, SDPOConfig(teacher=teacher), n=4) == lift  # type: ignore[arg-type]


def test_what_has_no_teacher_or_no_judge_is_refused(workbench: Workbench) -> None:
    task = workbench.add_task(prompt=PROMPT, environment="person", name="mine")
    attempts = workbench.attempt(task, 1)
    with pytest.raises(NoSignalError, match="no teacher to measure"):
        workbench.teacher_lift(attempts)
    informed = workbench.give_feedback(attempts[0], "sort descending.")
    with pytest.raises(TaskError, match="A person judges"):
        workbench.teacher_lift([informed])
    with pytest.raises(TaskError, match="at least 1"):
        workbench.teacher_lift([informed], n=0)
