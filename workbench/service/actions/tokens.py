"""The actions on one token of an attempt: both distributions, testing its credit, forcing another token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import FeedbackError
from workbench.records import Attempt, to_json
from workbench.service.action import JobContext, action, immediate
from workbench.service.checks import DEFAULT_CONFIG, AttemptId, Config
from workbench.service.publish import publish_task, publish_tests
from workbench.service.queue import JobQueue

if TYPE_CHECKING:
    from workbench.session.credit_test import CreditTest

CONTINUATIONS = 16  # of each side, unless a program asks for another number
INTERVENTIONS = ("test_credit", "force_token")


def tested(test: CreditTest) -> dict[str, Any]:
    """A credit test as JSON data, with the change of the pass rate and its 95 % interval."""
    return {**to_json(test), "change": test.change, "interval": list(test.interval)}


@action("Distributions", job="Reading both distributions", python="credit")
def top(context: JobContext, attempt: AttemptId, position: int, config: Config = DEFAULT_CONFIG) -> dict[str, Any]:
    """Both sides' most likely tokens at a position (from 0), all others together last, and the logit push on each."""
    scored = context.workbench.credit(context.attempt(attempt), config)
    try:
        return dict(scored.next_tokens(position, config.distillation_alpha))
    except IndexError as error:
        raise FeedbackError(f"There is no {error}; positions are counted from 0.") from None


@action(
    "Test this credit",
    job="Testing the credit of a token, {n} + {n} continuations",
    key=lambda state, attempt, position, token_id, **_: (attempt, position, token_id),
    size=lambda n, **_: n,
    reply=tested,
)
def test_credit(
    context: JobContext,
    attempt: AttemptId,
    position: int,
    token_id: int | None = None,
    n: int = CONTINUATIONS,
    config: Config = DEFAULT_CONFIG,
) -> CreditTest:
    """Force another token (null: the self-teacher's) and compare the pass rate with that of the attempt's own token."""
    workbench = context.workbench
    test = workbench.test_credit(context.attempt(attempt), position, token_id, n, config=config, stop=context.job.stop)
    publish_tests(workbench, context.queue)
    return test


test_credit.__test__ = False  # type: ignore[attr-defined]  # pytest takes names that begin with "test" for tests


@action(
    "Force and continue",
    job="Forcing a token and continuing",
    key=lambda state, attempt, position, token_id: (attempt, position, token_id),
)
def force_token(context: JobContext, attempt: AttemptId, position: int, token_id: int) -> Attempt:
    """A new attempt of the group: the attempt's tokens before a position, another token there, then the policy."""
    forced = context.workbench.force_token(context.attempt(attempt), position, token_id, stop=context.job.stop)
    publish_task(context.workbench, context.queue, forced.task_id)
    return forced


@immediate("Credit tests")
def credit_tests(queue: JobQueue, attempt: AttemptId) -> list[dict[str, Any]]:
    """Results of the credit tests of an attempt so far; tests of the same two tokens add up."""
    if queue.state.attempt(attempt) is None:
        raise FeedbackError.no_attempt(attempt)
    return [tested(test) for test in queue.state.tests.get(attempt, ())]


def interventions(queue: JobQueue, attempt: str, position: int) -> list[str]:
    """The interventions on a token that are waiting or running, by the names of their actions."""
    jobs = [job for job in queue.line() if job.kind in INTERVENTIONS]
    return [job.kind for job in jobs if (job.arguments["attempt"], job.arguments["position"]) == (attempt, position)]
