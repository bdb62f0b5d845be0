"""Factors that a loss is multiplied with, token by token, and which tokens count. None carries a gradient.

Works on the N tokens that count, flattened. Each formula has its source in its docstring.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.errors import ConfigError

MAX_LOG_RATIO = 20.0  # the importance weight's exponent is clamped to +-20 (reference code)

Span = tuple[int, int]  # (start, end): tokens from `start`, `end` excluded, counted from 0


def importance_weights(logps: Tensor, old_logps: Tensor, is_clip: float) -> Tensor:
    """exp(log pi - log pi_old), at most `is_clip`: (N,) x 2 nats -> (N,). 1 where the policy has not moved.

    Source: SDPO's public code. `old_logps` are of the policy that sampled, recomputed by the scoring path.
    """
    log_ratios = (logps - old_logps).detach()
    return log_ratios.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp().clamp(max=is_clip)


def attempt_means(values: Tensor, attempts: Tensor) -> Tensor:
    """Each token gets the mean over its attempt's tokens: values (N,), attempt numbers (N,) -> (N,)."""
    count = int(attempts.max()) + 1 if attempts.numel() else 0
    totals = values.new_zeros(count).index_add(0, attempts, values)
    sizes = torch.bincount(attempts, minlength=count)
    return totals[attempts] / sizes[attempts]


def entropy_weights(teacher_entropies: Tensor, beta: float) -> Tensor:
    """SRPO's e^(-beta H) over its mean: teacher entropies (N,) in nats -> (N,), mean 1.

    Source: arXiv 2604.02288, section 3.2 (beta 1 by default). N are all tokens that the whole update distils: the
    mean over a part of them would make a micro-batch count as much as the others whatever the teacher knows there.
    """
    if teacher_entropies.numel() == 0:
        return teacher_entropies
    # The smallest entropy cancels out of the ratio; without it a large beta would underflow to 0 / 0.
    raw = torch.exp(-beta * (teacher_entropies - teacher_entropies.min()))
    return raw / raw.mean()


def evidence_weights(credit: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """RLSD's exp(sign(A_i) A_t), kept within 1 +- clip: credit (N,) nats, GRPO advantages (N,) -> (N,).

    Source: arXiv 2604.03128, Eq. 14 and 15. The reward decides the direction, the teacher only the size: a token
    that the teacher likes counts more in a good attempt and less in a bad one. An advantage of 0 gives 1.
    """
    return torch.exp(torch.sign(advantages) * credit).clamp(1.0 - clip, 1.0 + clip).detach()


def span_mask(spans: Sequence[Span], length: int) -> Tensor:
    """(length,) bool: the tokens that a person selected. ConfigError: a span that is empty or leaves the attempt."""
    mask = torch.zeros(length, dtype=torch.bool)
    for start, end in spans:
        if not 0 <= start < end <= length:
            raise ConfigError(
                f"The span {start} to {end} is not within an attempt of {length} tokens; count from 0, and let the "
                "end be above the start."
            )
        mask[start:end] = True
    return mask
