"""The self-teacher: the same network under another prompt; it never generates, it scores the student's own tokens.

Source: paper, section 3. The teachers, and what the rate of each means (`SDPOConfig.teacher_rate`):

    frozen        the reference: the adapter switched off, exactly what the model was before any update
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

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.config import Teacher
from workbench.policy.policy import Policy
from workbench.policy.scoring import completion_logits


def teacher_logits(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    teacher: Teacher,
    rate: float,
    temperature: float,
) -> Tensor:
    """Logits (B, T, V) of the self-teacher for each token of each completion, without gradient.

    Args:
        prompts: the teacher's prompts, B rows; completions: the student's own ids.
        teacher: whose weights; rate: rho of `trust_region`, which no other teacher needs to score.
        temperature: divides the logits of both parts, before they are mixed.

    Raises AssertionError when the policy was changed by it (trap 9).
    """

    def scored() -> Tensor:
        return completion_logits(policy.bare, prompts, completions, temperature)[0]

    with torch.no_grad(), policy.untouched():
        if teacher == "ema":
            with policy.averaged():
                return scored()
        # Where one part has no weight it is not computed: the ends of the trust region are exactly frozen and live.
        if teacher == "live" or (teacher == "trust_region" and rate == 1.0):
            return scored()
        with policy.base():
            reference = scored()
        if teacher == "frozen" or rate == 0.0:
            return reference
        return trust_region(reference, scored(), rate)


def trust_region(reference_logits: Tensor, live_logits: Tensor, rate: float) -> Tensor:
    """log q with q proportional to q_ref^(1-rho) q_theta^rho, (..., V) x 2 -> (..., V): the geometric mixture.

    The distribution closest to the live policy among those equally close to the reference (paper, section 3).
    """
    mixed = (1.0 - rate) * reference_logits.log_softmax(-1) + rate * live_logits.log_softmax(-1)
    return mixed.log_softmax(-1)
