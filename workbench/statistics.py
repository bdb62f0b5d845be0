"""Statistics of rounds and experiments: rates and means with intervals, and the agreement of predicted and realised.

Three kinds of interval, each where it holds: Wilson's for one proportion; Student's t for a mean over few seeds, where
a bootstrap of five values would be too narrow; the percentile bootstrap over tasks or seeds for quantities that are
not means (the attempts needed to reach a rate, and ratios of them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from workbench.credit.statistics import rank_correlation, sign_agreement

NOISE = 1e-3  # nats: the sign of a logit push or a change below this means nothing


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A pass rate with its 95 % Wilson interval."""

    passed: int
    total: int
    requested: int = 0  # where the pack holds out fewer tasks than were requested: how many that was; else 0

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

    def to_json(self) -> dict[str, float]:
        """Plain data, the interval spelled out; "requested" only where fewer tasks were there."""
        counted = {"passed": self.passed, "total": self.total} | (
            {"requested": self.requested} if self.requested else {}
        )
        return {**counted, "rate": self.rate, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        fewer = f"; {self.requested} were requested, but the pack holds out no more" if self.requested else ""
        return f"{self.passed} of {self.total} pass, 95 % interval {self.low:.2f} to {self.high:.2f}{fewer}"


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


def evidence(won: int, lost: int) -> float:
    """Evidence that a win is likelier than a loss, which may be looked at after every trial: an e-value.

    The wealth of someone who bets on wins, each bet fair where both are equally likely: the mean over p, uniform on
    1/2 to 1, of p^won (1 - p)^lost / (1/2)^(won + lost). While a win is at most as likely as a loss, the chance that it
    ever reaches 1 / a is at most a (Ville's inequality), however often one looks and whenever one stops. Source: Ramdas
    et al., Game-theoretic statistics and safe anytime-valid inference, Statistical Science 38 (2023), 576-601.
    """
    count = won + lost
    # The integral is an incomplete beta function of whole numbers: a sum of binomial coefficients.
    above = sum(math.comb(count + 1, k) for k in range(won + 1))
    below = (count + 1) * math.comb(count, won)
    return above / below if above < below << 1000 else math.inf  # beyond what a float holds


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval; NaN where it cannot be estimated, infinite where it was not reached."""

    value: float
    low: float
    high: float
    count: int  # number of units it was estimated from: seeds, tasks, ...

    def to_json(self) -> dict[str, float | None]:
        """Plain data; numbers that are not finite become None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def mean_estimate(
    values: Sequence[float], level: float = 0.95, *, within: tuple[float, float] = (-math.inf, math.inf)
) -> Estimate:
    """The mean of independent values with Student's t interval, clipped to the range of the quantity.

    Fewer than two values have no interval (NaN).
    """
    count = len(values)
    mean = float(np.mean(values)) if count else math.nan
    if count < 2:
        return Estimate(mean, math.nan, math.nan, count)
    from scipy.special import stdtrit  # quantiles of Student's t; slow to import, and no session needs it

    half = float(stdtrit(count - 1, (1 + level) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(mean, max(mean - half, within[0]), min(mean + half, within[1]), count)


def bootstrap(
    count: int, statistic: Callable[[Sequence[int]], float], level: float = 0.9, *, draws: int = 2000, seed: int = 0
) -> Estimate:
    """A statistic of `count` independent units (its argument: their indices), with its percentile interval."""
    generator = np.random.default_rng(seed)
    drawn = [statistic(generator.integers(count, size=count).tolist()) for _ in range(draws if count > 1 else 0)]
    return _between(statistic(range(count)) if count else math.nan, drawn, level, count)


def bootstrap_mean(values: Sequence[float], level: float = 0.9, *, draws: int = 2000, seed: int = 0) -> Estimate:
    """The mean of independent values, as `bootstrap` gives it, all draws at once."""
    count = len(values)
    array = np.array(values, dtype=float)
    drawn = np.random.default_rng(seed).integers(count, size=(draws, count)) if count > 1 else np.zeros((0, 1), int)
    return _between(float(array.mean()) if count else math.nan, array[drawn].mean(1).tolist(), level, count)


def _between(value: float, drawn: Sequence[float], level: float, count: int) -> Estimate:
    """The value with the percentile interval of its bootstrap draws."""
    known = [number for number in drawn if not math.isnan(number)]
    if not known:
        return Estimate(value, math.nan, math.nan, count)
    # "lower" and "higher" never interpolate, which between a number and infinity would make NaN.
    low = float(np.quantile(known, (1 - level) / 2, method="lower"))
    return Estimate(value, low, float(np.quantile(known, (1 + level) / 2, method="higher")), count)


def agreement(predicted: Mapping[str, Sequence[float]], realised: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """(sign agreement, Spearman's rho) of logit pushes and changes over all tokens; 0 where all are below the noise."""
    pushes = [value for values in predicted.values() for value in values]
    changes = [value for key in predicted for value in realised[key]]
    share = sign_agreement(pushes, changes, noise_floor=NOISE)
    rank = rank_correlation(pushes, changes, noise_floor=NOISE)
    return _number(share), _number(rank)


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else float(value)
