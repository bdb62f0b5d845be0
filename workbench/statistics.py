"""Numbers about a round: pass rates and their changes with intervals, how well an update did what was predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.credit.statistics import rank_correlation, sign_agreement

NOISE = 1e-3  # nats: pushes and changes below this say nothing about a sign


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A pass rate with its 95 % Wilson interval."""

    passed: int
    total: int

    @property
    def rate(self) -> float:
        """0 to 1."""
        return self.passed / self.total if self.total else math.nan

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return wilson(self.passed, self.total)[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return wilson(self.passed, self.total)[1]


def wilson(passed: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion (95 % at z = 1.96); (0, 1) of nothing."""
    if total == 0:
        return 0.0, 1.0
    rate, weight = passed / total, z * z / total
    middle = (rate + weight / 2) / (1 + weight)
    half = z * math.sqrt(rate * (1 - rate) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(passed: int, total: int, passed_before: int, total_before: int, z: float = 1.96) -> tuple[float, float]:
    """Newcombe's hybrid score interval of a difference of two independent pass rates, -1 to 1 (95 % at z = 1.96).

    Source: Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10: the square-and-add of both Wilson intervals.
    """
    if total == 0 or total_before == 0:
        return -1.0, 1.0
    rate, before = passed / total, passed_before / total_before
    (low, high), (low_before, high_before) = wilson(passed, total, z), wilson(passed_before, total_before, z)
    change = rate - before
    return (
        max(-1.0, change - math.hypot(rate - low, high_before - before)),
        min(1.0, change + math.hypot(high - rate, before - low_before)),
    )


def agreement(predicted: Mapping[str, Sequence[float]], realised: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """(sign agreement, Spearman's rho) of pushes and changes over all tokens; 0 where nothing stands above noise."""
    pushes = [value for values in predicted.values() for value in values]
    changes = [value for key in predicted for value in realised[key]]
    share = sign_agreement(pushes, changes, noise_floor=NOISE)
    rank = rank_correlation(pushes, changes, noise_floor=NOISE)
    return _number(share), _number(rank)


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else float(value)
