"""The self-teacher: the same network under another prompt; it never generates, it scores the student's own tokens.

Source: paper, section 3 and algorithm, section 3. With LoRA the reference is the adapter switched off, so `frozen`
and `trust_region` are exact and need no second adapter. Nothing here changes the policy, and that is asserted.
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
        teacher: `frozen` = adapter off, `live` = the current adapter, `trust_region` = in between.
        rate: rho of `trust_region`, 0 = the reference, 1 = the live policy.
        temperature: divides the logits of both parts, before they are mixed.

    Raises AssertionError when the policy was changed by it (trap 9).
    """
    # Where one part has no weight it is not computed: the ends of the trust region are exactly frozen and live.
    need_reference = teacher == "frozen" or (teacher == "trust_region" and rate < 1.0)
    need_live = teacher == "live" or (teacher == "trust_region" and rate > 0.0)
    reference = live = None
    with torch.no_grad(), policy.untouched():
        if need_live:
            live = completion_logits(policy.bare, prompts, completions, temperature)[0]
        if need_reference:
            with policy.base():
                reference = completion_logits(policy.bare, prompts, completions, temperature)[0]
        if reference is None or live is None:
            only = live if reference is None else reference
            assert only is not None
            return only
        return trust_region(reference, live, rate)


def trust_region(reference_logits: Tensor, live_logits: Tensor, rate: float) -> Tensor:
    """log q with q proportional to q_ref^(1-rho) q_theta^rho, (..., V) x 2 -> (..., V): the geometric mixture.

    The distribution closest to the live policy among those equally close to the reference (paper, section 3).
    """
    mixed = (1.0 - rate) * reference_logits.log_softmax(-1) + rate * live_logits.log_softmax(-1)
    return mixed.log_softmax(-1)
