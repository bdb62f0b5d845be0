"""A copy of the weights with the adapter merged in, for sampling: a layer is then one matrix product, not three.

Only where that leaves the policy what it is: in fp32 on the CPU, where merging rounds by some 1e-7. Weights of 4 or
8 bits would be rounded to 4 or 8 bits again (trap 12), and half precision loses what a small update has changed.
Scoring and learning always read the adapter beside the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class MergedWeights:
    """Copies of the weights of all layers with an adapter, made anew when the adapter has changed."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self._layers = layers  # of PEFT
        self._made_for: object = None
        self._weights: list[Tensor] = []

    @contextmanager
    def read(self, version: object) -> Iterator[None]:
        """Read with the merged weights inside the block; the layers point at their own again afterwards.

        Nothing of the policy is copied back or rounded. `version` tells whether the adapter has changed.
        """
        if self._made_for != version:
            self._weights, self._made_for = [], None  # frees the former copy first
            with torch.inference_mode(False), torch.no_grad():
                self._weights = [_merged(layer) for layer in self._layers]
            self._made_for = version
        bases = [layer.get_base_layer() for layer in self._layers]
        originals = [base.weight.data for base in bases]
        try:
            for layer, base, weight in zip(self._layers, bases, self._weights, strict=True):
                base.weight.data = weight
                layer.enable_adapters(False)
            yield
        finally:
            for layer, base, weight in zip(self._layers, bases, originals, strict=True):
                base.weight.data = weight
                layer.enable_adapters(True)


def _merged(layer: Any) -> Tensor:
    """The weight of a layer with its adapter merged in by PEFT, in a copy that goes away."""
    copied = copy.deepcopy(layer)
    copied.merge()
    weight: Tensor = copied.get_base_layer().weight.data
    return weight


def can_merge(model: torch.nn.Module, free_bytes: int | None) -> bool:
    """True where a copy leaves the policy what it is, and takes no more than half of the memory that is free."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    weights = [getattr(layer.get_base_layer(), "weight", None) for layer in layers]
    if not all(_is_plain(weight) for weight in weights):
        return False
    size = sum(weight.numel() * weight.element_size() for weight in weights if weight is not None)
    return bool(weights) and (free_bytes is None or 2 * size <= free_bytes)


def _is_plain(weight: Any) -> bool:
    plain = type(weight) is torch.nn.Parameter and weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and weight.dim() == 2
