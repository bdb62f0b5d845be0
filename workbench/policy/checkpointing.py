"""Gradient checkpointing: long attempts trade time for memory. The result does not change.

transformers' own switch only works in train mode, which the policy is never in (trap 14), so each decoder layer gets
its own: where a pass with gradient would keep more than the budget, the layer's activations are recomputed in the
backward pass. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from workbench.config import Switch
from workbench.policy.memory import Shape, activations_bytes


def install(model: Any, mode: Switch, shape: Shape, dtype: torch.dtype, budget: int | None) -> int:
    """Give the decoder layers their switch; return their number.

    `mode`: "on" = every pass with gradient, "auto" = where `activations_bytes` predicts more than `budget` bytes
    (None: unknown, so never), "off" = no switch.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]

    def is_needed(rows: int, width: int) -> bool:
        if mode == "on":
            return True
        return budget is not None and activations_bytes(shape, rows, width, dtype) > budget

    if mode != "off":
        for layer in layers:
            layer.forward = _switched(layer.forward, is_needed)
    return len(layers)


def _switched(forward: Callable[..., Any], is_needed: Callable[[int, int], bool]) -> Callable[..., Any]:
    def switched(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows, width = hidden_states.shape[:2]
        # With a cache, computing a layer twice would write to it twice; no pass with gradient uses one.
        cached = any(kwargs.get(name) is not None for name in ("past_key_values", "layer_past"))
        if not torch.is_grad_enabled() or cached or not is_needed(rows, width):
            return forward(hidden_states, *args, **kwargs)
        # Without dropout there is no random state to keep for the recomputation.
        return checkpoint(forward, hidden_states, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return switched
