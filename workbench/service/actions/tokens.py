"""Interventions on an attempt as jobs of the desk: what page and endpoints share. Knows nothing of Gradio.

The board's fact `tests` holds what was found out, by attempt; `intervening` the jobs that wait or run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import FeedbackError
from workbench.records import Attempt, to_json
from workbench.service.actions.round import Studio
from workbench.service.job import Job
from workbench.service.queue import Desk
from workbench.service.state import find

CONTINUATIONS = 16  # of each side, where a person does not say how many


def opened(workbench: Any, desk: Desk) -> None:
    """Fill the board from a workbench that was just opened (runs in the desk's thread)."""
    desk.publish(tests=tests_of(workbench), intervening=())


def tests_of(workbench: Any) -> dict[str, tuple[dict[str, Any], ...]]:
    """Everything that was found out by testing credits, as plain data by the id of the attempt."""
    found: dict[str, tuple[dict[str, Any], ...]] = {}
    for test in workbench.credit_tests():
        found[test.attempt_id] = (*found.get(test.attempt_id, ()), plain_test(test))
    return found


def plain_test(test: Any) -> dict[str, Any]:
    """A test with the change of the pass rate and its 95 % interval."""
    return {**to_json(test), "change": test.change, "interval": list(test.interval)}


def distributions(studio: Studio, attempt_id: str, position: int, config: SDPOConfig) -> Job:
    """Both sides' distributions at a position (from 0); the job's result is `TokenCredit.next_tokens`."""
    _check(attempt_id)

    def run(workbench: Any, job: Job) -> dict[str, Any]:
        credit = workbench.credit(find(workbench, attempt_id), config)
        try:
            return dict(credit.next_tokens(position, config.distillation_alpha))
        except IndexError as error:
            raise FeedbackError(f"There is no {error}; positions are counted from 0.") from None

    return studio.desk.submit("top", "Reading both distributions", run)


def tested(studio: Studio, attempt_id: str, position: int, token_id: int | None, n: int, config: SDPOConfig) -> Job:
    """Force a token and count what passes; the job's result is `plain_test` of this test alone."""

    def run(workbench: Any, job: Job) -> dict[str, Any]:
        attempt = find(workbench, attempt_id)
        found = workbench.test_credit(attempt, position, token_id, n, config=config, stop=job.stop)
        studio.desk.publish(tests=tests_of(workbench))
        return plain_test(found)

    label = f"Testing the credit of a token, {n} + {n} continuations"
    return _submit(studio, "test", label, attempt_id, position, run, size=n)


def forced(studio: Studio, attempt_id: str, position: int, token_id: int) -> Job:
    """Branch a new attempt off another; the job's result is the Attempt, which joins its group on the board."""

    def run(workbench: Any, job: Job) -> Attempt:
        parent = find(workbench, attempt_id)
        branched: Attempt = workbench.force_token(parent, position, token_id, stop=job.stop)
        studio.joined(branched)
        return branched

    return _submit(studio, "force", "Forcing a token and continuing", attempt_id, position, run)


def _submit(
    studio: Studio,
    verb: str,
    label: str,
    attempt_id: str,
    position: int,
    run: Callable[[Any, Job], Any],
    size: float = 1.0,
) -> Job:
    """Queue the job once (the same button pressed twice is one job); the board says that it is under way, to its end.

    The end may come before it began: it is stopped while it waits, or the worker ends.
    """
    _check(attempt_id)
    desk = studio.desk
    mine = {"verb": verb, "id": attempt_id, "index": position}

    def over(_: Any) -> None:
        desk.publish(intervening=tuple(one for one in desk.facts["intervening"] if one != mine))

    job = desk.submit(verb, label, run, key=(verb, attempt_id, position), size=size)
    if mine not in desk.facts["intervening"]:
        desk.publish(intervening=(*desk.facts["intervening"], mine))
        job.future.add_done_callback(over)
    return job


def _check(attempt_id: object) -> None:
    if not isinstance(attempt_id, str) or not attempt_id:
        raise FeedbackError("Choose an attempt first.")
