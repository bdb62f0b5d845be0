"""How well the policy passes tasks that nobody trains on."""

from __future__ import annotations

from workbench.config import SamplingConfig
from workbench.errors import TaskError
from workbench.probe import own_randomness
from workbench.session.core import OpenRun, SessionCore
from workbench.session.held_out_rates import HELD_OUT
from workbench.session.held_out_rates import held_out_rates as rates_in
from workbench.session.writing import write
from workbench.statistics import HeldOut
from workbench.tasks import judge_many
from workbench.tasks.house_rules.pack import PACK, house_tasks

HELD_OUT_TASKS = 60


def held_out(session: SessionCore, pack: str | None = None, *, count: int = HELD_OUT_TASKS) -> HeldOut:
    """Pass rate of the current policy on held-out tasks of a house, one attempt each, with its 95 % interval.

    `pack` None takes the house that this run works in. The same tasks and the same random numbers each time; the
    policy's own random state is left alone. Raises TaskError for an unknown pack.
    """
    if count < 1:
        raise TaskError(f"{count} held-out tasks were asked for; ask for at least 1.")
    with session.lock:
        tasks = house_tasks(pack or f"{PACK}@{session.house}", count, held_out=True)
        with own_randomness(session.policy, 1):
            written = write(session.policy, tasks, SamplingConfig())
        passed = sum(
            judgement.passed for judgement in judge_many([(completion.task, completion.text) for completion in written])
        )
        counted = {"house": tasks[0].answer["house"], "passed": passed, "total": len(tasks)}
        session.run.append(HELD_OUT, {"update_id": session.head, **counted})
        return HeldOut(passed, len(tasks))


def held_out_rates(session: OpenRun) -> dict[int, dict[str, HeldOut]]:
    """House (its seed) -> update id -> the held-out pass rate measured there last."""
    with session.lock:
        return rates_in(session.run.events(HELD_OUT))
