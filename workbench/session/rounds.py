"""Attempts and the feedback that people give them. Whatever is returned from here is already on disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from workbench.config import SamplingConfig
from workbench.errors import FeedbackError, TaskError
from workbench.policy.prompts import Earlier, Prompt, student_prompt
from workbench.records import Attempt, FeedbackSource, Task, to_json
from workbench.session.core import OpenRun, SessionCore
from workbench.session.judging import judge_many, prepare_judges
from workbench.session.resuming import RANDOM
from workbench.session.task_book import keep
from workbench.session.writing import OnToken, judged, write
from workbench.tasks import check_task


def prompt(session: SessionCore, task: Task) -> Prompt:
    """The exact chat prompt under which the policy attempts a task. Raises PromptError."""
    with session.lock:
        return student_prompt(session.policy, task)


def attempt(
    session: SessionCore,
    task: Task,
    n: int = 8,
    *,
    sampling: SamplingConfig | None = None,
    turns: Sequence[Earlier] = (),
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
) -> list[Attempt]:
    """Sample a group of `n` attempts, run and judge them; all are on disk when they are returned.

    `turns`: (attempt, feedback) pairs that stay in the prompt, for a baseline that learns from nothing else.
    `on_token(index, text so far)` is called while they are written; setting `stop` keeps what is there.
    Raises TaskError, PromptError, SandboxError; PolicyError, before anything is sampled, for a judge that cannot
    be loaded.
    """
    return attempt_many(session, [task], n, sampling=sampling, turns=[turns], on_token=on_token, stop=stop)


def attempt_many(
    session: SessionCore,
    tasks: Sequence[Task],
    n: int = 8,
    *,
    sampling: SamplingConfig | None = None,
    turns: Sequence[Sequence[Earlier]] = (),
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
) -> list[Attempt]:
    """Sample one group of `n` attempts for each task, in one batch; `turns`: for each task, or none at all."""
    if n < 1:
        raise TaskError(f"{n} attempts were asked for; ask for at least 1.")
    sampling = sampling or SamplingConfig()
    with session.lock:
        tasks = [keep(session, check_task(task)) for task in tasks]
        prepare_judges(session, tasks)
        before = session.policy.generator.get_state()
        try:
            repeated = [task for task in tasks for _ in range(n)]
            turns_by_task = {task.id: of for task, of in zip(tasks, turns or [()] * len(tasks), strict=True)}
            written = write(session.policy, repeated, sampling, turns=turns_by_task, on_token=on_token, stop=stop)
            verdicts = judge_many(session, [(completion.task, completion.text) for completion in written], sampled=True)
            attempts = judged(written, verdicts, temperature=sampling.temperature, update_id=session.head)
            random = session.run.blobs.put({RANDOM: session.policy.generator.get_state()})
            last = attempts[-1]
            session.run.append_all([("attempt", to_json(a), (random,) if a is last else ()) for a in attempts])
        except BaseException:
            session.policy.generator.set_state(before)  # nobody will see what was drawn
            raise
        session.attempts_by_id |= {attempt.id: attempt for attempt in attempts}
        return attempts


def give_feedback(
    session: SessionCore,
    attempt: Attempt,
    text: str | None = None,
    reward: float | None = None,
    mode: str = "replace",
    *,
    source: FeedbackSource = "person",
    demonstration: Attempt | None = None,
) -> Attempt:
    """Give an attempt a person's feedback, a reward or both; the text replaces the environment's feedback or joins it.

    `source`: who wrote it. `demonstration`: another attempt at the task, which the self-teacher is shown from now on;
    the attempt itself revokes a former choice. Returns the attempt as it now stands. Raises FeedbackError: unknown
    attempt, neither text nor reward, a reward outside 0 to 1, a demonstration of another task.
    """
    demonstration_id = None if demonstration is None else demonstration.id if demonstration.id != attempt.id else ""
    data = {"attempt_id": attempt.id, "text": text, "reward": reward, "source": source, "mode": mode}
    if demonstration_id is not None:
        data["demonstration_id"] = demonstration_id
    with session.lock:
        if demonstration is not None and session.current(demonstration).task_id != session.current(attempt).task_id:
            raise FeedbackError("A demonstration must be an attempt at the same task; choose another.")
        session.run.append("feedback", data)
        changed = session.run.state().attempts[attempt.id]
        session.attempts_by_id[attempt.id] = changed
        return changed


def attempts(session: OpenRun, task: Task | None = None) -> list[Attempt]:
    """All attempts with the feedback in force, or those at one task; the newest last."""
    with session.lock:
        return [a for a in session.attempts_by_id.values() if task is None or a.task_id == task.id]


def rewards(session: OpenRun, task: Task | None = None) -> dict[str, dict[str, list[float]]]:
    """Task id -> update id -> the rewards in force (0 to 1) of that policy's attempts at the task, oldest first.

    For all tasks, or for one. Only the policy's own samples count: not attempts with a forced token, nor those that
    multi-turn made after others (whose prompts are longer).
    """
    rewards: dict[str, dict[str, list[float]]] = {}
    with session.lock:
        samples = [sampled for sampled in attempts(session, task) if sampled.parent_id is None]
    lengths: dict[str, int] = {}
    for sampled in samples:
        lengths[sampled.task_id] = min(len(sampled.prompt_ids), lengths.get(sampled.task_id, len(sampled.prompt_ids)))
    for sampled in samples:
        if len(sampled.prompt_ids) == lengths[sampled.task_id]:
            rewards.setdefault(sampled.task_id, {}).setdefault(sampled.update_id, []).append(sampled.reward)
    return rewards
