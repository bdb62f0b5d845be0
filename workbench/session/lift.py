"""Teacher lift: how much more often the self-teacher would pass than the student, measured before an update.

An update can only teach what the self-teacher knows. So it writes attempts itself, with the weights and
under the very prompts with which it would score; the student writes as many. Nothing is recorded or changed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import NoSignalError, TaskError
from workbench.policy.policy import Weights
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.sampling import LIVE, completion_text, sample
from workbench.policy.teacher import teacher_weights
from workbench.probe import own_randomness
from workbench.records import Attempt, Task
from workbench.session import task_book
from workbench.session.core import SessionCore
from workbench.session.judging import judge_many, prepare_judges
from workbench.session.scoring import render_teacher_prompt
from workbench.session.teaching import context_for
from workbench.statistics import HeldOut

LONGEST = 256  # tokens of an attempt at most; a longer one would only cost time


@dataclass(frozen=True, slots=True)
class TeacherLift:
    """Pass rates on the same tasks, with their intervals, for the attempts that have a teacher context."""

    student: HeldOut
    teacher: HeldOut

    @property
    def change(self) -> float:
        """The teacher's pass rate minus the student's, -1 to 1."""
        return self.teacher.rate - self.student.rate


def teacher_lift(
    session: SessionCore,
    attempts: Sequence[Attempt],
    config: SDPOConfig | None = None,
    *,
    n: int = 4,
    stop: threading.Event | None = None,
) -> TeacherLift:
    """Let the self-teacher of each informed attempt write `n` attempts, and the student `n` at the same task.

    Random numbers are its own, the same ones each time; `stop` ends the writing early, and what is there counts.
    Raises NoSignalError (no attempt has feedback or a demonstration), TaskError (a person judges, or `n` < 1),
    PromptError, SandboxError.
    """
    config = config or SDPOConfig()
    if n < 1:
        raise TaskError(f"{n} attempts of each were asked for; ask for at least 1.")
    with session.lock:
        contexts = [(attempt, context_for(session, attempt, config)) for attempt in map(session.current, attempts)]
        informed = [(attempt, known) for attempt, known in contexts if known.kind]
        if not informed:
            raise NoSignalError(
                "No attempt has feedback or a demonstration, so there is no teacher to measure; give feedback to one."
            )
        if any(task_book.task(session, attempt.task_id).environment == "person" for attempt, _ in informed):
            raise TaskError("A person judges this task, so the teacher's attempts cannot be judged automatically.")
        prepare_judges(session, [task_book.task(session, attempt.task_id) for attempt, _ in informed])
        prompts = [list(attempt.prompt_ids) for attempt, _ in informed]
        taught = [list(render_teacher_prompt(session, attempt, known, config).ids) for attempt, known in informed]
        weights = teacher_weights(config.teacher, config.teacher_rate)
        owners = [attempt for attempt, _ in informed]
        return TeacherLift(
            _passed(session, owners, prompts, LIVE, n, stop), _passed(session, owners, taught, weights, n, stop)
        )


def answers_with(
    session: SessionCore,
    shown: Sequence[tuple[Task, str]],
    config: SDPOConfig | None = None,
    *,
    n: int = 4,
    max_new_tokens: int = LONGEST,
    stop: threading.Event | None = None,
) -> HeldOut:
    """Pass rate of `n` answers to each task, written with a remark on it in the prompt, which is the self-teacher's.

    `shown`: tasks with their remarks; "" gives the student's own prompt. The weights are the policy's own; nothing is
    recorded. Raises PromptError, SandboxError.
    """
    with session.lock:
        policy = session.policy
        prompts = [
            teacher_prompt(policy, task, feedback=remark, config=config) if remark else student_prompt(policy, task)
            for task, remark in shown
        ]
        sampling = SamplingConfig(max_new_tokens=max_new_tokens)
        repeated = [list(prompt.ids) for prompt in prompts for _ in range(n)]
        drawn = sample(policy, repeated, sampling, stop=stop.is_set if stop else None)
        texts = [completion_text(policy, sampled.token_ids) for sampled in drawn]
        tasks = [task for task, _ in shown for _ in range(n)]
        verdicts = judge_many(session, list(zip(tasks, texts, strict=True)), sampled=True)
        return HeldOut(sum(verdict.passed for verdict in verdicts), len(verdicts))


def _passed(
    session: SessionCore,
    owners: Sequence[Attempt],
    prompts: Sequence[Sequence[int]],
    weights: Mapping[Weights, float],
    n: int,
    stop: threading.Event | None,
) -> HeldOut:
    """Pass rate of `n` attempts under each prompt."""
    room = session.policy.context_length - max(map(len, prompts))
    sampling = SamplingConfig(owners[0].temperature, min(LONGEST, max(1, room)))
    with own_randomness(session.policy, 2):
        repeated = [prompt for prompt in prompts for _ in range(n)]
        drawn = sample(session.policy, repeated, sampling, weights=weights, stop=stop.is_set if stop else None)
    texts = [completion_text(session.policy, sampled.token_ids) for sampled in drawn]
    tasks = [task_book.task(session, owner.task_id) for owner in owners for _ in range(n)]
    verdicts = judge_many(session, list(zip(tasks, texts, strict=True)), sampled=True)
    return HeldOut(sum(verdict.passed for verdict in verdicts), len(verdicts))
