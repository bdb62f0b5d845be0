"""The strength of an update: how far it may move the policy, in a unit that means the same on every model.

The unit is KL(before || after), mean over tokens, nats. An update may use a share of the gap to the teacher, which
shrinks as the policy learns, and at most a fixed amount. It takes optimiser steps until that is used up, and scales the
last one back to fit; the learning rate only decides how many steps that are.

A learning rate has no such unit: the one that moves the embedded policy by 0.02 nats per token ruins a language model
of 135 million parameters in one update (docs/evidence.md). Knows nothing of losses, tasks and probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from workbench.config import MOST_STEPS, SDPOConfig
from workbench.errors import UpdateError
from workbench.policy.passes import Pass, Passes
from workbench.policy.policy import Policy
from workbench.records import Reach

LEARNING_RATE = 3e-3  # of AdamW: too much by itself, and lowered where the first step would use too much
FIRST_STEP = 1 / 16  # of the allowance: four equal steps in one direction use all of it, since KL grows with the square
ENOUGH = 0.1  # of the gap: what is left when there is nothing more to gain
_TRIES = 8  # passes at most to find how much of the last step fits
_CLOSE = 0.85  # of the allowance: from here on enough of it fits


@dataclass(frozen=True, slots=True)
class Walk:
    """The way that an update took: its first pass, the norm of its first gradient, and how far it went."""

    first: Pass
    grad_norm: float
    reach: Reach


def fixed_steps(passes: Passes) -> Walk:
    """Take the number of steps that was named, at the learning rate that was named."""
    rate, steps = passes.config.rate, passes.config.most_steps
    first = passes.learn()
    grad_norm = passes.step(rate)
    for _ in range(steps - 1):
        passes.learn()
        passes.step(rate)
    return Walk(first, grad_norm, Reach(steps, rate, passes.gap(first)))


def steps_to_limit(passes: Passes, elsewhere: Callable[[], float]) -> Walk:
    """Take steps until the allowance is used up, the gap is closed, or there were MOST_STEPS of them.

    `elsewhere`: KL(before || now) on other text than the attempts, nats per token; the larger of both counts.
    """
    first = now = passes.learn()
    gap = passes.gap(first)
    allowed, rate, moved, grad_norm = allowance(passes.config, gap), LEARNING_RATE, 0.0, 0.0

    def measure(reading: Pass | None = None) -> float:
        return max(passes.moved(first, reading or passes.read()), elsewhere())

    for number in range(1, MOST_STEPS + 1):
        stride = _Stride(passes.policy)
        norm = passes.step(rate)
        grad_norm = grad_norm or norm
        now = passes.learn() if number < MOST_STEPS else passes.read()  # the gradient is the next step's
        start, moved = moved, measure(now)
        if number == 1 and moved > FIRST_STEP * allowed and math.isfinite(moved):
            share = math.sqrt(FIRST_STEP * allowed / moved)
            rate *= share
            stride.take(share)
            now = passes.learn()
            moved = measure(now)
        if not moved <= allowed:  # not a number counts as too far
            moved = _scale_back(stride, measure, start, moved, allowed)
            return Walk(first, grad_norm, Reach(number, rate, gap, allowed, moved, "limit"))
        if gap is not None and (passes.gap(now) or 0.0) <= ENOUGH * gap:
            return Walk(first, grad_norm, Reach(number, rate, gap, allowed, moved, "gap"))
    return Walk(first, grad_norm, Reach(MOST_STEPS, rate, gap, allowed, moved, "steps"))


def allowance(config: SDPOConfig, gap: float | None) -> float:
    """KL(before || after) that an update may use, nats per token; `gap`: KL(student || teacher), None: no teacher."""
    return config.max_kl if gap is None else min(config.max_kl, config.gap_share * gap)


class _Stride:
    """One optimiser step of the adapter, of which any part can be taken."""

    def __init__(self, policy: Policy) -> None:
        """Note where the step starts; it ends where the adapter is when `take` is first called."""
        self._parameters = policy.parameters()
        self._start = [parameter.detach().clone() for parameter in self._parameters]
        self._end: list[torch.Tensor] | None = None

    @torch.no_grad()
    def take(self, share: float) -> None:
        """Move the adapter to this share of the step, 0 to 1."""
        if self._end is None:
            self._end = [parameter.detach().clone() for parameter in self._parameters]
        for parameter, start, end in zip(self._parameters, self._start, self._end, strict=True):
            parameter.copy_(torch.lerp(start, end, share))


def _scale_back(stride: _Stride, measure: Callable[[], float], start: float, end: float, allowed: float) -> float:
    """Take the longest part of a step that stays within the allowance, and return the KL that it leads to.

    `start`, `end`: KL(before || now) at the step's ends, within the allowance and beyond it. Raises UpdateError where
    no part of the step fits, which only numbers that are not finite can bring about.
    """
    low, high, reached = 0.0, 1.0, start
    root_low, root_high = math.sqrt(max(start, 0.0)), math.sqrt(end) if math.isfinite(end) else math.inf
    goal = math.sqrt((1.0 + _CLOSE) / 2.0 * allowed)
    for number in range(_TRIES):
        # The root of KL is nearly linear in the length: false position soon finds it, or else halving does.
        halved = math.isinf(root_high) or number % 2 == 1
        part = 0.5 if halved else (goal - root_low) / (root_high - root_low)
        share = low + (high - low) * min(0.95, max(0.05, part))
        stride.take(share)
        now = measure()
        if now <= allowed:
            low, root_low, reached = share, math.sqrt(max(now, 0.0)), now
            if now >= _CLOSE * allowed:
                return now
        else:
            high, root_high = share, math.sqrt(now) if math.isfinite(now) else math.inf
    if low == 0.0 and math.isinf(root_high):
        raise UpdateError(
            "The update led to numbers that are not finite; undo earlier updates. The policy is unchanged."
        )
    stride.take(low)
    return reached
