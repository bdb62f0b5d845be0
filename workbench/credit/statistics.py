"""Numbers about per-token numbers: do prediction and outcome agree, where is the credit, does it find the fault.

Plain sequences of floats in, one float out; knows nothing of tensors or attempts. Where a question has no answer (no
tokens, nothing above the noise, no variation) the answer is NaN, never an invented 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

TOP_SHARE = 0.05  # "the top 5 % of the tokens"


def sign_agreement(predicted: Sequence[float], realised: Sequence[float], *, noise_floor: float) -> float:
    """Share, 0 to 1, of the tokens whose logit push and realised change (nats) have the same sign.

    Counted are tokens whose realised change is above the noise floor (nats) and whose prediction is not 0.
    """
    pairs = _above_noise(predicted, realised, noise_floor)
    return sum((push > 0) == (change > 0) for push, change in pairs) / len(pairs) if pairs else math.nan


def rank_correlation(predicted: Sequence[float], realised: Sequence[float], *, noise_floor: float) -> float:
    """Spearman's rho, -1 to 1, over the same tokens as `sign_agreement`; NaN for fewer than 3 or constant values."""
    pairs = _above_noise(predicted, realised, noise_floor)
    return spearman([push for push, _ in pairs], [change for _, change in pairs])


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rho of paired values, -1 to 1, ties share their mean rank; NaN for fewer than 3 or constant values."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values")
    if len(first) < 3:
        return math.nan
    a, b = _ranks(first), _ranks(second)
    return cosine(a - a.mean(), b - b.mean())


def scale_end(sizes: Sequence[float]) -> float:
    """End of a colour scale: the 99th percentile (nearest rank) of absolute values; 0 of nothing."""
    known = sorted(sizes)
    return known[min(len(known), math.ceil(0.99 * len(known))) - 1] if known else 0.0


def top_share(values: Sequence[float], fraction: float = TOP_SHARE) -> tuple[float, int]:
    """(share of the absolute credit on the `fraction` strongest tokens, how many tokens that is, rounded up)."""
    sizes = sorted((abs(value) for value in values), reverse=True)
    count = math.ceil(fraction * len(sizes))
    total = sum(sizes)
    return (sum(sizes[:count]) / total if total > 0.0 else math.nan), count


def gini(values: Sequence[float]) -> float:
    """Gini coefficient of the absolute values: 0 = evenly spread over the tokens, near 1 = all on one of many."""
    sizes = np.sort(np.abs(np.asarray(values, dtype=np.float64)))
    total = float(sizes.sum())
    if total == 0.0:
        return math.nan
    count = len(sizes)
    weights = 2 * np.arange(1, count + 1) - count - 1
    return float(weights @ sizes) / (count * total)


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    """Cosine of two sequences, -1 to 1; NaN where one of them is zero everywhere."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} and {len(b)} values")
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0.0 else math.nan


def strongest(values: Sequence[float], share: float, *, noise_floor: float) -> list[int]:
    """Positions of the fewest values that hold `share` (0 to 1) of the absolute total, the strongest first.

    Counted, also in the total, is only what is above the noise floor (nats).
    """
    above = [place for place, value in enumerate(values) if abs(value) > noise_floor]
    above.sort(key=lambda place: -abs(values[place]))
    threshold = share * sum(abs(values[place]) for place in above)
    held, chosen = 0.0, []
    for place in above:
        if held >= threshold:
            break
        held += abs(values[place])
        chosen.append(place)
    return chosen


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Chance, 0 to 1, that a marked token scores above an unmarked one (ties count half); NaN without both kinds."""
    marked = np.asarray(labels, dtype=bool)
    if len(scores) != len(marked):
        raise ValueError(f"{len(scores)} scores, {len(marked)} labels")
    hits, misses = int(marked.sum()), int((~marked).sum())
    if not hits or not misses:
        return math.nan
    return (float(_ranks(scores)[marked].sum()) - hits * (hits + 1) / 2) / (hits * misses)


def _above_noise(predicted: Sequence[float], realised: Sequence[float], floor: float) -> list[tuple[float, float]]:
    both = zip(predicted, realised, strict=True)
    return [(push, change) for push, change in both if abs(change) > floor and push != 0.0]


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1, ties share their mean rank."""
    _, group, sizes = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2.0)[group]
