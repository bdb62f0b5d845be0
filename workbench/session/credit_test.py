"""Results of testing credits, as a run stores them. Knows nothing of models.

An event of kind "credit-test" is one test; its data is `to_json(CreditTest)`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.runs import Run
from workbench.statistics import newcombe

KIND = "credit-test"


@dataclass(frozen=True, slots=True)
class CreditTest:
    """Pass rates of continuations from an attempt's own token at a place, and from another token there."""

    attempt_id: str
    position: int  # from 0
    update_id: str  # the policy's state that wrote the continuations
    token_id: int  # the attempt's own token
    token: str
    forced_id: int
    forced: str
    n: int  # continuations of each
    passed: int  # of those from the attempt's own token
    passed_forced: int

    @property
    def change(self) -> float:
        """Pass rate with the forced token minus that with the attempt's own, -1 to 1."""
        return (self.passed_forced - self.passed) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `change`."""
        return newcombe(self.passed_forced, self.n, self.passed, self.n)


def tests_in(run: Run) -> list[CreditTest]:
    """Results of all tests in a run, oldest first.

    Tests of the same two tokens at the same place under the same state of the policy count as one: they are added up.
    """
    results: dict[tuple[object, ...], CreditTest] = {}
    for event in run.events(KIND):
        test = CreditTest(**event.data)
        key = (test.attempt_id, test.position, test.update_id, test.token_id, test.forced_id)
        results[key] = _added(results[key], test) if key in results else test
    return list(results.values())


def _added(first: CreditTest, second: CreditTest) -> CreditTest:
    return replace(
        first,
        n=first.n + second.n,
        passed=first.passed + second.passed,
        passed_forced=first.passed_forced + second.passed_forced,
    )
