"""The action that measures teacher lift, and whether the page measures it by itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Annotated

from workbench.config import MOST_PAIRS, PAIRS_AT_ONCE, SDPOConfig
from workbench.errors import NoSignalError
from workbench.records import Attempt
from workbench.service.action import JobContext, action
from workbench.service.actions.round import judgements_of
from workbench.service.checks import DEFAULT_CONFIG, Config, several
from workbench.service.job import AHEAD
from workbench.service.queue import JobQueue
from workbench.service.state import PublishedState
from workbench.tasks import find_environment

if TYPE_CHECKING:
    from workbench.session.lift import TeacherLift

QUICK_S = 20.0  # at most: what is measured without having been asked for
ROUNDS = MOST_PAIRS // PAIRS_AT_ONCE  # of pairs, however many attempts there are, at most
READERS = 3  # the student, and at most two sets of weights of the teacher


def _lift_key(state: PublishedState, attempts: list[str], config: SDPOConfig) -> Hashable:
    return tuple(attempts), config, judgements_of(state, attempts)


@action(
    "Measure teacher lift",
    job="Measuring the teacher lift",
    key=_lift_key,
    size=lambda attempts, **_: len(attempts),
    reply=lambda lift: lift.to_json(),
)
def teacher_lift(
    context: JobContext,
    attempts: Annotated[
        list[str], several("There are no attempts to ask the teacher about; sample some first.", NoSignalError)
    ],
    config: Config = DEFAULT_CONFIG,
) -> TeacherLift:
    """Ask whether the self-teacher is better than the student: pass rates of both, and a verdict."""
    job = context.job
    return context.workbench.teacher_lift(
        [context.attempt(attempt) for attempt in attempts],
        config,
        on_progress=lambda done, most: job.report(done, most, "pairs", at_most=True),
        stop=job.stop,
    )


def wanted_lift(
    queue: JobQueue, group: Sequence[Attempt], config: SDPOConfig, *, ready: bool
) -> TeacherLift | Exception | None:
    """The teacher lift of a group if it is known; where it is quick to measure and `ready`, otherwise, a job for it."""
    ids = [attempt.id for attempt in group]
    task = queue.state.task(group[0].task_id)
    judged_by = "person" if task is None else find_environment(task.environment).judged_by
    seconds = seconds_at_most(queue.state, group)
    # Where a person judges there is nothing to measure, which the job says at once.
    quick = judged_by == "person" or (judged_by == "environment" and seconds is not None and seconds <= QUICK_S)
    if not (ready and quick):
        return teacher_lift.known(queue, ids, config)
    return teacher_lift.want(queue, ids, config, priority=AHEAD, gives_way=True)


def seconds_at_most(state: PublishedState, group: Sequence[Attempt]) -> float | None:
    """Time that measuring takes if nothing stops it early, by the pace of writing; None where that is unknown.

    As if each attempt were continued from its start; judging comes on top.
    """
    if state.writing is None:
        return None
    longest = max(len(attempt.token_ids) for attempt in group)
    return ROUNDS * READERS * state.writing.seconds(max(PAIRS_AT_ONCE, len(group)), longest)
