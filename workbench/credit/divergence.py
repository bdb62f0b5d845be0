"""Divergences between two distributions over the same outcomes, and their closed-form gradients.

Works on normalised log-probabilities (N, B): B is the vocabulary, or a few buckets of it (see `Buckets`). Knows
nothing of masks, attempts or reductions; those are in `loss.py`. Sources: arXiv 2601.20802 (Eq. 1, section 2 and its
public code); the logit gradients are derived here and held against autograd by the tests.

`distillation_alpha` = a: 0 is forward KL(q || pi), 1 is reverse KL(pi || q); between them, with
M = (1 - a) pi + a q, it is the generalised Jensen-Shannon divergence (1 - a) KL(pi || M) + a KL(q || M).
Teacher gradients are cut by the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# log of the largest head probability that still leaves a tail (reference code): 1 - exp(-1e-7) is about 1e-7.
MAX_LOG_HEAD = -1e-7
# Stands for log 0 where -inf would make `0 * inf`; exp of it is exactly 0 in fp32 and fp64.
LOG_ZERO = -1e30


def log_dtype(logits: Tensor) -> torch.dtype:
    """The precision in which log-probabilities of these logits are held: fp64 for fp64, else fp32."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def log_softmax(logits: Tensor) -> Tensor:
    """Normalised log-probabilities over the last axis, in fp32 or better. Shape kept, nats."""
    return torch.log_softmax(logits, dim=-1, dtype=log_dtype(logits))


def sampled_logps(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log-probability of each sampled token: (..., V), (...) -> (...), nats, fp32 or better."""
    return log_softmax(logits).gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)


def kl(logps: Tensor, other_logps: Tensor) -> Tensor:
    """KL(p || r) in nats, (..., B) -> (...). Outcomes with p = 0 contribute nothing, whatever r says of them."""
    difference = torch.where(logps == -math.inf, 0.0, logps - other_logps)
    return (logps.exp() * difference).sum(-1)


def _log_mixture(student_logps: Tensor, teacher_logps: Tensor, alpha: float) -> Tensor:
    # Both sides at -inf would make logaddexp's gradient NaN; the finite floor keeps it 0.
    student, teacher = student_logps.clamp_min(LOG_ZERO), teacher_logps.clamp_min(LOG_ZERO)
    return torch.logaddexp(student + math.log1p(-alpha), teacher + math.log(alpha))


def divergence(student_logps: Tensor, teacher_logps: Tensor, distillation_alpha: float) -> Tensor:
    """D_a(pi, q) in nats, (..., B) -> (...); 0 exactly where both sides are equal. See the module's header for a."""
    if distillation_alpha == 0.0:
        return kl(teacher_logps, student_logps)
    if distillation_alpha == 1.0:
        return kl(student_logps, teacher_logps)
    mixture = _log_mixture(student_logps, teacher_logps, distillation_alpha)
    student_part, teacher_part = kl(student_logps, mixture), kl(teacher_logps, mixture)
    return (1.0 - distillation_alpha) * student_part + distillation_alpha * teacher_part


def normalised_divergence(student_logps: Tensor, teacher_logps: Tensor, distillation_alpha: float) -> Tensor:
    """D_a / (a (1 - a)), nats: continuous in a, and equal to the two KLs at its ends (D_a itself jumps there)."""
    value = divergence(student_logps, teacher_logps, distillation_alpha)
    spread = distillation_alpha * (1.0 - distillation_alpha)
    return value / spread if spread > 0.0 else value


def divergence_push(student_logps: Tensor, teacher_logps: Tensor, distillation_alpha: float) -> Tensor:
    """Minus the gradient of `divergence` with respect to the student's logits, closed form, (..., B) -> (..., B).

    + = a descent step raises this outcome. Reverse KL: pi (A + KL); forward: q - pi;
    between: -(1 - a) pi (log pi/M - KL(pi || M)).
    """
    student = student_logps.exp()
    if distillation_alpha == 0.0:
        return teacher_logps.exp() - student
    against = teacher_logps
    if distillation_alpha < 1.0:
        against = _log_mixture(student_logps, teacher_logps, distillation_alpha)
    excess = torch.where(student_logps == -math.inf, 0.0, student_logps - against)
    centred = excess - (student * excess).sum(-1, keepdim=True)
    return (distillation_alpha - 1.0 if distillation_alpha < 1.0 else -1.0) * student * centred


@dataclass(frozen=True, slots=True)
class Buckets:
    """Both sides on a common, smaller set of outcomes: the student's K likeliest ids, and the rest as one (or none)."""

    student_logps: Tensor  # (N, B), normalised; B = K or K + 1
    teacher_logps: Tensor  # (N, B)
    ids: Tensor  # (N, K) vocabulary ids of the first K buckets
    has_tail: bool  # the last bucket is the rest of the vocabulary


def top_k_buckets(student_logps: Tensor, teacher_logps: Tensor, k: int, *, add_tail: bool) -> Buckets:
    """The student's K likeliest ids on both sides (N, V) -> (N, B), as the paper's code forms them.

    With a tail the last bucket holds log(1 - sum); without it both sides are renormalised over the K ids. With
    K = V there is nothing left for a tail. The choice of the ids carries no gradient; their values do.
    """
    ids = student_logps.topk(k, dim=-1).indices  # (N, K)
    student, teacher = student_logps.gather(-1, ids), teacher_logps.gather(-1, ids)
    has_tail = add_tail and k < student_logps.shape[-1]
    finish = _with_tail if has_tail else log_softmax
    return Buckets(finish(student), finish(teacher), ids, has_tail)


def _with_tail(head_logps: Tensor) -> Tensor:
    """Appends the log-probability of everything outside the head: (N, K) -> (N, K + 1)."""
    log_head = torch.logsumexp(head_logps, dim=-1, keepdim=True).clamp(max=MAX_LOG_HEAD)
    return torch.cat([head_logps, torch.log(-torch.expm1(log_head))], dim=-1)
