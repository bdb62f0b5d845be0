"""How well the policy passes tasks that nobody trains on."""

from __future__ import annotations

from workbench.config import SamplingConfig
from workbench.errors import TaskError
from workbench.probe import own_randomness
from workbench.session.attempts import write
from workbench.session.credit import CreditBook
from workbench.session.held_out_rates import HELD_OUT
from workbench.statistics import HeldOut
from workbench.tasks import judge_many
from workbench.tasks.house_rules.pack import PACK, house_tasks

HELD_OUT_TASKS = 60


class HeldOutRates(CreditBook):
    """A session that measures how its policy does at tasks that nobody trains on."""

    def held_out(self, pack: str | None = None, *, count: int = HELD_OUT_TASKS) -> HeldOut:
        """Pass rate of the current policy on held-out tasks of a house, one attempt each, with its 95 % interval.

        `pack` None takes the house that this run works in. The same tasks and the same random numbers each time; the
        policy's own random state is left alone. Raises TaskError for an unknown pack.
        """
        if count < 1:
            raise TaskError(f"{count} held-out tasks were asked for; ask for at least 1.")
        with self._lock:
            tasks = house_tasks(pack or f"{PACK}@{self.house}", count, held_out=True)
            with own_randomness(self.policy, 1):
                written = write(self.policy, tasks, SamplingConfig())
            passed = sum(judgement.passed for judgement in judge_many([(one.task, one.text) for one in written]))
            counted = {"house": tasks[0].answer["house"], "passed": passed, "total": len(tasks)}
            self.run.append(HELD_OUT, {"update_id": self.head, **counted})
            return HeldOut(passed, len(tasks))
