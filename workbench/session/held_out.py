"""How well the policy passes tasks that nobody trains on."""

from __future__ import annotations

from workbench.config import SamplingConfig
from workbench.probe import own_randomness
from workbench.session.attempts import write
from workbench.session.credit import CreditBook
from workbench.session.held_out_rates import HELD_OUT
from workbench.statistics import HeldOut
from workbench.tasks import Pack
from workbench.tasks.pack import held_out_tasks, rate_name

HELD_OUT_TASKS = 60


class HeldOutRates(CreditBook):
    """A session that measures how its policy does at tasks that nobody trains on."""

    def held_out(self, pack: str | Pack | None = None, *, count: int = HELD_OUT_TASKS) -> HeldOut:
        """Pass rate of the current policy on held-out tasks of a pack, one attempt each, with its 95 % interval.

        `pack`: a name, the path of a .jsonl or .json file, or None: the pack that this run works in. Where it holds
        fewer than `count` tasks out, all are taken, and the result says so. The same tasks and the same random numbers
        each time; the policy's own random state is left alone. Raises TaskError for an unknown pack, or one that holds
        nothing out or is judged by a person; PolicyError for a judge that cannot be loaded.
        """
        with self._lock:
            chosen = self.open_pack(self.pack if pack is None else pack)
            tasks = held_out_tasks(chosen, count)
            self.prepare_judges(tasks)
            with own_randomness(self.policy, 1):
                written = write(self.policy, tasks, SamplingConfig())
            passed = sum(judgement.passed for judgement in self.judge_many([(one.task, one.text) for one in written]))
            measured = HeldOut(passed, len(tasks), count if len(tasks) < count else 0)
            counted = {"passed": passed, "total": len(tasks)} | ({"asked": count} if measured.asked else {})
            self.run.append(HELD_OUT, {"update_id": self.head, "pack": rate_name(chosen), **counted})
            return measured
