"""The self-teacher: the same network under another prompt; it never generates, it scores the student's own tokens.

Source: paper, section 3. The teachers, and what the rate of each means (`SDPOConfig.teacher_rate`); their settings and
words are `config.TEACHERS`, and docs/extending.md adds one:

    frozen        the reference policy: the adapter switched off, exactly what the model was before any update
    live          the policy as it is now
    trust_region  q proportional to q_ref^(1-rho) q_theta^rho, both under the same prompt; rate = rho, 0.5 by default
    ema           weights averaged over the updates made under it (`policy.average`); rate = the share of the policy
                  after an update in the new average, 0.05 by default; the paper's are 0.05 without feedback and 0.01
                  with it

The average starts as a copy of the policy before the first update under `ema` and moves once per committed update
made under it, never per optimiser step; other updates leave it where it is. It belongs to the policy's state, so undo,
redo and branches bring back the one that was there. Nothing here changes the policy, and that is asserted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from workbench.config import Teacher
from workbench.kernels.projection import Side
from workbench.policy.policy import Policy, Weights
from workbench.policy.scoring import completion_places

# Per teacher: rate -> the weights that it reads with, and the share of each in the exponent of q; at most two of them.
_SHARES: Mapping[Teacher, Callable[[float], dict[Weights, float]]] = MappingProxyType(
    {
        "frozen": lambda rate: {"reference": 1.0},
        "live": lambda rate: {"live": 1.0},
        "ema": lambda rate: {"average": 1.0},
        "trust_region": lambda rate: {"reference": 1.0 - rate, "live": rate},
    }
)


def teacher_weights(teacher: Teacher, rate: float) -> Mapping[Weights, float]:
    """Give the weights that the teacher reads with, and the share of each in the exponent: they sum to 1.

    Weights without a share are left out: the ends of the trust region are exactly frozen and live.
    """
    return {weights: share for weights, share in _SHARES[teacher](rate).items() if share > 0.0}


def mixed_side(
    policy: Policy, parts: Mapping[Weights, Tensor], shares: Mapping[Weights, float], temperature: float
) -> Side:
    """Make one side of the hidden states that weights read, (N, H) each: alone, or the geometric mixture of two."""
    *first, last = shares
    if not first:
        return Side(policy.head, parts[last], temperature)
    return Side(policy.head, parts[last], temperature, parts[first[0]], shares[last])


def teacher_side(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    teacher: Teacher,
    rate: float,
    temperature: float,
) -> Side:
    """The self-teacher on each token of each completion, one completion after the other: N rows, without gradient.

    Args:
        prompts: the teacher's prompts, B rows; completions: the student's own ids.
        teacher: whose weights; rate: rho of `trust_region`, which no other teacher needs to score.
        temperature: divides the logits of both parts, before they are mixed.

    Raises AssertionError when the policy was changed by it (trap 9).
    """

    def scored() -> Tensor:
        return completion_places(policy, prompts, completions).rows()

    shares = teacher_weights(teacher, rate)
    parts: dict[Weights, Tensor] = {}
    with torch.no_grad(), policy.untouched():
        for weights in shares:
            with policy.reading_as(weights):
                parts[weights] = scored()
    return mixed_side(policy, parts, shares, temperature)
