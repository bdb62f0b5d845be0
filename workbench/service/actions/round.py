"""The actions of one round: sample, give feedback, read the credit, update, measure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import FeedbackError, NoSignalError, RunError, StoppedError, TaskError
from workbench.records import Attempt, Judgement, Pace, SignalReport, UpdateReport, to_json
from workbench.service.action import JobContext, action
from workbench.service.checks import (
    DEFAULT_CONFIG,
    LONGEST_TEXT,
    AttemptId,
    AttemptIds,
    Config,
    Spans,
    TaskId,
    is_text,
    one_of,
    several,
    text,
    whole,
)
from workbench.service.job import AHEAD, Job
from workbench.service.publish import publish_held_out, publish_task, publish_timeline
from workbench.service.state import LiveGroup, PublishedState
from workbench.tasks import find_environment
from workbench.tasks.drawing import held_out_tasks

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.credit import TokenCredit
    from workbench.service.queue import JobQueue
    from workbench.statistics import HeldOut

MEASURING = "Measuring the held-out tasks"
MOST_ATTEMPTS = 64
LEAST_POSITIONS = 8  # of a group whose time says something about that of the next
LONGEST_AHEAD_S = 60.0  # of a measurement that nobody asked for
MODES = ("replace", "join")
SOURCES = ("person", "judge")  # of feedback that is given here


@dataclass(frozen=True, slots=True)
class AttemptDetail:
    """The credit of one attempt as the page shows it, under one policy, feedback and configuration."""

    payload: dict[str, Any]  # for the heatmap
    teacher_text: str
    teacher_ids: tuple[int, ...]
    shortened: Any
    demonstration: str = ""  # the text that the teacher is shown as a correct solution
    credit: TokenCredit | None = None  # for the token drawer

    def to_json(self) -> dict[str, Any]:
        """The reply to a program: the heatmap's payload, and the teacher's exact prompt."""
        return {**self.payload, "teacher_prompt": self.teacher_text, "teacher_ids": list(self.teacher_ids)}


# Attempts and feedback ------------------------------------------------------------------------------------------------
@action(
    "Sample",
    job="Sampling {n} attempts",
    python="attempt",
    reply=lambda attempts: {"attempts": [to_json(attempt) for attempt in attempts]},
)
def sample(
    context: JobContext,
    task: TaskId,
    n: Annotated[int, whole("The number of attempts", 1, MOST_ATTEMPTS, TaskError)] = 8,
    temperature: float = 1.0,
    max_new_tokens: int = 96,
) -> list[Attempt]:
    """Sample and judge n attempts at a task. Stopping keeps what has been sampled."""
    workbench, job, queue = context.workbench, context.job, context.queue
    known_task, sampling = workbench.task(task), SamplingConfig(temperature, max_new_tokens)
    texts, lengths, written = [""] * n, [0] * n, 0.0

    def on_token(index: int, text_so_far: str) -> None:
        nonlocal written
        texts[index], written = text_so_far, job.seconds()
        lengths[index] += 1
        job.report(max(lengths), max_new_tokens, "tokens", at_most=True)
        queue.publish(live=LiveGroup(task, tuple(texts)))

    queue.publish(live=LiveGroup(task, tuple(texts)))
    try:
        attempts = workbench.attempt(known_task, n=n, sampling=sampling, on_token=on_token, stop=job.stop)
        if attempts:
            _correct_pace(queue, n, max(lengths), written)
            publish_task(workbench, queue, task)
    finally:
        queue.publish(live=None)
    _measure_soon(context)
    return list(attempts)


def _correct_pace(queue: JobQueue, n: int, positions: int, seconds: float) -> None:
    """Correct the expected time of the next group by that of this one, in which its prompt was read, too."""
    expected = queue.state.writing
    if expected is not None and positions >= LEAST_POSITIONS:
        queue.publish(writing=expected.scaled(seconds / expected.seconds(n, positions)))


@action("Judge", job="Judging")
def judge(context: JobContext, task: TaskId, text: Annotated[str, text("The attempt")]) -> Judgement:
    """Judge a text as an answer to a task; nothing is recorded."""
    return context.workbench.judge(context.workbench.task(task), text)


def _check_feedback(
    state: PublishedState, text: str | None, reward: float | None, demonstration: str | None, **_: Any
) -> None:
    if text is None and reward is None and demonstration is None:
        raise FeedbackError("There is no feedback to record: type some text, or set a reward.")
    if text is not None and (not is_text(text) or len(text) > LONGEST_TEXT):
        raise FeedbackError(f"The feedback must be text of at most {LONGEST_TEXT:,} characters.")
    if reward is not None and not (isinstance(reward, (int, float)) and math.isfinite(reward) and 0 <= reward <= 1):
        raise FeedbackError(f"The reward is {reward!r}; it must be a number from 0 to 1.")


@action("Give feedback", job="Recording feedback", python="give_feedback", check=_check_feedback)
def feedback(
    context: JobContext,
    attempt: AttemptId,
    text: str | None = None,
    reward: float | None = None,
    mode: Annotated[str, one_of("The mode", MODES, FeedbackError)] = "replace",
    source: Annotated[str, one_of("The source", SOURCES, FeedbackError)] = "person",
    demonstration: str | None = None,
) -> Attempt:
    """Give an attempt feedback and/or a reward; demonstration: another attempt to show its teacher."""
    shown = None if demonstration is None else context.attempt(demonstration)
    changed = context.workbench.give_feedback(
        context.attempt(attempt),
        text,
        reward,
        mode,
        source=source,  # type: ignore[arg-type]  # one of SOURCES
        demonstration=shown,
    )
    publish_task(context.workbench, context.queue, changed.task_id)
    return changed


# Credit ---------------------------------------------------------------------------------------------------------------
def judgements_of(state: PublishedState, attempt_ids: Sequence[str]) -> Hashable:
    """Key of every reading of these attempts: the policy, and the feedback and rewards of their groups."""
    group = {other.id: other for attempt_id in attempt_ids for other in state.with_group(attempt_id)}
    judgements = tuple((other.id, other.feedback, other.reward, other.demonstration_id) for other in group.values())
    return state.head, judgements


def _credit_key(state: PublishedState, attempt: str, config: SDPOConfig, contexts: list[str] | None) -> Hashable:
    return attempt, config, tuple(contexts or ()), judgements_of(state, [attempt])


@action("Colour", job="Scoring an attempt", key=_credit_key, reply=AttemptDetail.to_json)
def credit(
    context: JobContext, attempt: AttemptId, config: Config = DEFAULT_CONFIG, contexts: list[str] | None = None
) -> AttemptDetail:
    """The credit of an attempt, token by token, and the teacher's exact prompt; contexts: names, or ["all"]."""
    workbench, known_attempt = context.workbench, context.attempt(attempt)
    prompt = workbench.teacher_prompt(known_attempt, config)
    names = {} if contexts is None else {"contexts": [str(name) for name in contexts]}
    with workbench.stoppable(context.job.stop):
        scored = workbench.credit(known_attempt, config, **names)  # type: ignore[arg-type]
    shown = workbench.shown_to_teacher(known_attempt, config).demonstration
    return AttemptDetail(scored.payload(top=False), prompt.text, tuple(prompt.ids), prompt.shortened, shown, scored)


@action("What if?", job="Scoring the attempt under other feedback")
def what_if(
    context: JobContext,
    attempt: AttemptId,
    feedback: Annotated[str, text("The feedback")] = "",
    demonstration: str = "",
    config: Config = DEFAULT_CONFIG,
) -> dict[str, Any]:
    """The credit in force beside that under other feedback, on one scale; nothing is recorded or changed."""
    workbench, known_attempt = context.workbench, context.attempt(attempt)
    shown = context.attempt(demonstration).text if demonstration else ""
    names = ("student", "teacher")
    with workbench.stoppable(context.job.stop):
        before = workbench.credit(known_attempt, config, contexts=names)
        after = workbench.what_if(known_attempt, feedback=feedback, demonstration=shown, config=config, contexts=names)
    raw = [scored.view("raw") for scored in (before, after)]
    limit = max((abs(value) for values in raw for value in values), default=0.0)
    payloads = [{**scored.payload(), "limits": {"raw": limit}} for scored in (before, after)]
    return {"before": payloads[0], "after": payloads[1], "sums": [sum(values) for values in raw]}


def _ledger_key(state: PublishedState, attempts: list[str], config: SDPOConfig, spans: Spans | None) -> Hashable:
    return tuple(attempts), config, repr(sorted((spans or {}).items())), judgements_of(state, attempts)


@action("Count the signal", job="Counting the signal", key=_ledger_key)
def ledger(
    context: JobContext,
    attempts: Annotated[list[str], several("There are no attempts; sample some first.", NoSignalError)],
    config: Config = DEFAULT_CONFIG,
    spans: Spans | None = None,
) -> tuple[SignalReport, ...]:
    """Signal report of each of these attempts (ids): whether it gives signal, and why; spans as in `update`."""
    group = [context.attempt(attempt) for attempt in attempts]
    return context.workbench.ledger(group, config, spans=_of(attempts, spans))


def _of(attempts: Sequence[str], spans: Spans | None) -> dict[str, Any]:
    return {attempt: marked for attempt, marked in (spans or {}).items() if attempt in attempts}


# Updates --------------------------------------------------------------------------------------------------------------
@action(
    "Update",
    job=lambda attempts, **_: f"Updating on {len(attempts)} attempts",
    size=lambda attempts, config, **_: len(attempts) * config.most_steps,
)
def update(
    context: JobContext, attempts: AttemptIds, config: Config = DEFAULT_CONFIG, spans: Spans | None = None
) -> UpdateReport:
    """Make one update on these attempts (ids); spans: id -> [start, end], the only tokens of that attempt to count."""
    workbench, job = context.workbench, context.job
    chosen = [context.attempt(attempt) for attempt in attempts]
    report = workbench.update(
        chosen,
        config,
        spans=_of(attempts, spans),
        on_progress=lambda done, total: job.report(done, total, "micro-batches"),
        stop=job.stop,
    )
    publish_timeline(workbench, context.queue)
    used = [attempt for attempt in chosen if attempt.id in report.realised]
    teacher_lengths = [len(workbench.teacher_prompt(attempt, config).ids) for attempt in used]
    reads = sum(len(a.prompt_ids) + n + 2 * len(a.token_ids) for a, n in zip(used, teacher_lengths, strict=True))
    context.queue.publish(pace=report.seconds_s / (config.most_steps * reads))
    _measure_soon(context)
    return report


@action("Measure held-out tasks", job=MEASURING, kind="held-out")
def held_out(context: JobContext) -> HeldOut:
    """Measure the held-out pass rate of the head, with its 95 % interval."""
    job, lengths = context.job, Counter[int]()

    def on_token(index: int, text_so_far: str) -> None:
        lengths[index] += 1
        job.report(lengths[index], SamplingConfig().max_new_tokens, "tokens", at_most=True)

    with context.workbench.stoppable(job.stop):
        measured = context.workbench.held_out(on_token=on_token)
    publish_held_out(context.workbench, context.queue)
    return measured


def _is_cheap_to_measure(context: JobContext) -> bool:
    """True where held-out tasks are judged by rules, not by a person or another model, and measured within a minute."""
    try:
        (task,) = held_out_tasks(context.workbench.open_pack(context.workbench.pack), 1)
    except TaskError:
        return False
    from workbench.session.held_out_rates import HELD_OUT_TASKS  # brings torch: in the worker's thread

    pace = Pace(**context.workbench.policy.facts["pace"])
    long = pace.seconds(HELD_OUT_TASKS, SamplingConfig().max_new_tokens) > LONGEST_AHEAD_S
    return find_environment(task.environment).judged_by == "environment" and not long


def _measure_soon(context: JobContext, again: int = 0) -> None:
    """Let the learning curve grow by itself, behind everything that a person waits for.

    At most one such job waits, and it measures the update in force when its turn comes: while people work without a
    pause, not every update on their way is measured. It gives way to whatever a person asks for, and then begins
    `again`.
    """

    def unmeasured() -> bool:
        workbench = context.workbench
        return workbench.head not in context.state.held_out.get(workbench.pack, {})

    def measure(_: Workbench, job: Job[Any]) -> None:
        if not unmeasured():
            return
        try:
            held_out.function(replace(context, job=job))
        except StoppedError:
            with suppress(RunError):  # the queue was closed
                _measure_soon(context, again + 1)
            raise

    if _is_cheap_to_measure(context) and unmeasured():
        key = ("held-out soon", again)  # that of a job which is giving way is still in use
        context.queue.submit("held-out", MEASURING, measure, priority=AHEAD, key=key, gives_way=True)
