"""How far apart two states of an adapter are, by what they do to the weights. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.policy.average import factor_pairs


def adapter_distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """||B1 A1 - B2 A2|| over the larger of ||B1 A1|| and ||B2 A2||: Frobenius norms over all layers together.

    Both by the names of one adapter's parameters; 0 where neither does anything, at most 2. DoRA's magnitudes are left
    out: they are no factor of a change that is added.
    """
    apart = one = other = 0.0
    for a, b in factor_pairs(first):
        left, right = (first[b].double(), second[b].double()), (first[a].double(), second[a].double())
        apart += _square(torch.cat([left[0], -left[1]], dim=1), torch.cat(right, dim=0))
        one, other = one + _square(left[0], right[0]), other + _square(left[1], right[1])
    larger = max(one, other)
    return (max(apart, 0.0) / larger) ** 0.5 if larger else 0.0


def _square(left: Tensor, right: Tensor) -> float:
    """The squared norm of left @ right, (out, R) and (R, in), without making it."""
    return float(((left.T @ left) * (right @ right.T)).sum())
