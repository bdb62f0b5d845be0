"""Pass rates of the policy on tasks that nobody trains on."""

from __future__ import annotations

from pathlib import Path

from workbench.config import SamplingConfig
from workbench.probe import own_randomness
from workbench.session import judging, task_book
from workbench.session.core import OpenRun, SessionCore
from workbench.session.held_out_rates import HELD_OUT, HELD_OUT_TASKS
from workbench.session.held_out_rates import held_out_rates as rates_in
from workbench.session.writing import OnToken, write
from workbench.statistics import HeldOut
from workbench.tasks import Pack
from workbench.tasks.drawing import held_out_tasks
from workbench.tasks.pack import rate_name


def held_out(
    session: SessionCore,
    pack: str | Path | Pack | None = None,
    *,
    count: int = HELD_OUT_TASKS,
    on_token: OnToken | None = None,
) -> HeldOut:
    """Measure the current policy's pass rate on held-out tasks of a pack, one attempt each, with its 95 % interval.

    `pack`: a name, the path of a .jsonl or .json file, or None: the pack that this run works in. Where it has fewer
    than `count` held-out tasks, all are used, and the result says so. Tasks and random numbers are the same each time;
    the policy's own random state is left alone. `on_token(index, text so far)` is called while attempts are written.
    Raises TaskError for an unknown pack, and for one that has no held-out tasks or is judged by a person; PolicyError
    for a judge that cannot be loaded.
    """
    with session.lock:
        chosen = task_book.open_pack(session, session.pack if pack is None else pack)
        tasks = held_out_tasks(chosen, count)
        judging.prepare_judges(session, tasks)
        with own_randomness(session.policy, 1):
            written = write(session.policy, tasks, SamplingConfig(), on_token=on_token)
        judgements = judging.judge_many(
            session, [(completion.task, completion.text) for completion in written], sampled=True
        )
        passed = sum(judgement.passed for judgement in judgements)
        measured = HeldOut(passed, len(tasks), count if len(tasks) < count else 0)
        counted = {"passed": passed, "total": len(tasks)} | ({"requested": count} if measured.requested else {})
        session.run.append(HELD_OUT, {"update_id": session.head, "pack": rate_name(chosen), **counted})
        return measured


def held_out_rates(session: OpenRun) -> dict[str, dict[str, HeldOut]]:
    """Name of the pack -> update id -> the held-out pass rate measured there last."""
    with session.lock:
        return rates_in(session.run.events(HELD_OUT))
