"""Distance of two states of an adapter, by their effect on the weights. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.policy.average import factor_pairs
from workbench.policy.devices import wide


def adapter_distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """||B1 A1 - B2 A2|| over the larger of ||B1 A1|| and ||B2 A2||: Frobenius norms over all layers together.

    Both by the names of one adapter's parameters; 0 where neither has an effect, at most 2. DoRA's magnitudes are left
    out: they are not factors of an additive change.
    """
    squared_distance = squared_first = squared_second = 0.0
    for a, b in factor_pairs(first):
        left, right = (wide(first[b]), wide(second[b])), (wide(first[a]), wide(second[a]))
        squared_distance += _squared_norm(torch.cat([left[0], -left[1]], dim=1), torch.cat(right, dim=0))
        squared_first += _squared_norm(left[0], right[0])
        squared_second += _squared_norm(left[1], right[1])
    larger = max(squared_first, squared_second)
    return (max(squared_distance, 0.0) / larger) ** 0.5 if larger else 0.0


def _squared_norm(left: Tensor, right: Tensor) -> float:
    """The squared norm of left @ right, (out, R) and (R, in), without forming the product."""
    return float(((left.T @ left) * (right @ right.T)).sum())
