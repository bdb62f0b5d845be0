"""One live round of the embedded policy, G = 8, phase by phase: what the page shows, and the bare update in it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import NoSignalError
from workbench.policy.prompts import student_prompt
from workbench.policy.sampling import sample
from workbench.policy.update import UpdateItem, sdpo_step
from workbench.records import Attempt, Task
from workbench.tasks import judge_many
from workbench.workbench import Workbench

T = TypeVar("T")
GROUP = 8
TASK = "house-rules/sort-take-1"


def time_rounds(repetitions: int) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Seconds of each phase in each of `repetitions` rounds, after one as a warm-up; and the policy's facts."""
    with tempfile.TemporaryDirectory() as folder, Workbench.open(Path(folder) / "run") as workbench:
        rounds = [_round(workbench, workbench.task(TASK)) for _ in range(1 + repetitions)][1:]
        return rounds, {name: workbench.policy.facts[name] for name in ("model", "parameters", "dtype", "device")}


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _round(workbench: Workbench, task: Task) -> dict[str, float]:
    """Seconds of each phase of one round; the policy is restored afterwards."""
    times: dict[str, float] = {}
    policy, config = workbench.policy, SDPOConfig()
    prompts = [student_prompt(policy, task).ids] * GROUP
    _, times["sample"] = _timed(lambda: sample(policy, prompts, SamplingConfig()))
    group, times["attempt"] = _attempts(workbench, task)
    _, times["judge"] = _timed(lambda: judge_many([(task, attempt.text) for attempt in group]))
    _, times["credit"] = _timed(lambda: [workbench.credit(attempt) for attempt in group])
    items, temperature, state = _items(workbench, group), group[0].temperature, policy.state()
    _, times["bare update"] = _timed(lambda: sdpo_step(policy, items, config, temperature))
    policy.load_state(state)
    _, times["update"] = _timed(lambda: workbench.update(group, config))
    _, times["undo"] = _timed(workbench.undo)
    return times


def _attempts(workbench: Workbench, task: Task) -> tuple[list[Attempt], float]:
    for _ in range(20):
        group, seconds = _timed(lambda: workbench.attempt(task, GROUP))
        if any(entry.used for entry in workbench.ledger(group)):
            return group, seconds
    raise NoSignalError(f"No attempt at {task.id} carries a signal, so there is no update to time.")


def _items(workbench: Workbench, group: list[Attempt]) -> list[UpdateItem]:
    """Items of the update step itself, with the self-teacher's prompts rendered."""
    used = [entry.used for entry in workbench.ledger(group)]
    return [
        UpdateItem(
            attempt.prompt_ids,
            workbench.teacher_prompt(attempt).ids if has_signal else None,
            attempt.token_ids,
            attempt.reward,
            attempt.group_id,
        )
        for attempt, has_signal in zip(group, used, strict=True)
    ]
