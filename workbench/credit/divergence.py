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

from workbench.kernels.chosen import chosen_logps
from workbench.kernels.projection import takes_triton, working_dtype

# log of the largest head probability that still leaves a tail (reference code): 1 - exp(-1e-7) is about 1e-7.
MAX_LOG_HEAD = -1e-7
# Stands for log 0 where -inf would make `0 * inf`; exp of it is exactly 0 in fp32 and fp64.
LOG_ZERO = -1e30


def log_softmax(logits: Tensor) -> Tensor:
    """Normalised log-probabilities over the last axis, in fp32 or better. Shape kept, nats."""
    return torch.log_softmax(logits, dim=-1, dtype=working_dtype(logits))


def sampled_logps(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log-probability of each sampled token: (..., V), (...) -> (...), nats, fp32 or better."""
    rows = logits.reshape(-1, logits.shape[-1])
    return chosen_logps(rows, token_ids.reshape(-1, 1)).reshape(token_ids.shape)


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


def divergence_of_logits(student_logits: Tensor, teacher_logits: Tensor, distillation_alpha: float) -> Tensor:
    """Divergence of whole rows of logits, (n, V) -> (n,), nats; gradient to the student's only. One kernel on CUDA."""
    if takes_triton(student_logits):
        from workbench.kernels.triton_learning import Divergence

        return Divergence.apply(student_logits, teacher_logits, distillation_alpha)
    return divergence(log_softmax(student_logits), log_softmax(teacher_logits.detach()), distillation_alpha)


def slider_scale(distillation_alpha: float) -> float:
    """1 / (a (1 - a)), and 1 at the ends: makes the divergence continuous in a, for a slider.

    D_a itself goes to 0 toward both ends and jumps there to the full KL; D_a / (a (1 - a)) goes to KL(q || pi) for
    a -> 0 and to KL(pi || q) for a -> 1 (derived here: the other part of D_a is of second order in the distance).
    """
    spread = distillation_alpha * (1.0 - distillation_alpha)
    return 1.0 / spread if spread > 0.0 else 1.0


def outcome_advantages(
    student_logps: Tensor, teacher_logps: Tensor, distillation_alpha: float, advantage_clip: float | None = None
) -> Tensor:
    """A(v) in nats, (..., B) -> (..., B), detached, + = more of this outcome: grad D_a = -sum_v A(v) grad pi(v).

    a = 1: log q - log pi, the paper's credit; between: (1 - a) (log M - log pi); not defined for a = 0. Outcomes
    with pi = 0 get 0. `advantage_clip`: limits |A|, a = 1 only (paper, test time: 5); None = no limit.
    """
    student, against = student_logps.detach(), teacher_logps.detach()
    if distillation_alpha < 1.0:
        against = _log_mixture(student, against, distillation_alpha)
    advantages = torch.where(student == -math.inf, 0.0, against - student)
    if distillation_alpha < 1.0:
        return (1.0 - distillation_alpha) * advantages
    return advantages if advantage_clip is None else advantages.clamp(-advantage_clip, advantage_clip)


def clipped_divergence(student_logps: Tensor, teacher_logps: Tensor, advantage_clip: float) -> Tensor:
    """-E_pi[A] with |A| limited, nats, (..., B) -> (...): the reverse KL where nothing is clipped.

    The advantages carry no gradient, which changes nothing where none is clipped (sum_v pi grad log pi = 0).
    """
    advantages = outcome_advantages(student_logps, teacher_logps, 1.0, advantage_clip)
    return -(student_logps.exp() * advantages).sum(-1)


def divergence_push(
    student_logps: Tensor, teacher_logps: Tensor, distillation_alpha: float, advantage_clip: float | None = None
) -> Tensor:
    """Minus the gradient of `divergence` with respect to the student's logits, closed form, (..., B) -> (..., B).

    + = a descent step raises this outcome. Forward KL: q - pi; else pi (A - E_pi[A]) with A of `outcome_advantages`,
    which for the reverse KL is pi (A + KL).
    """
    student = student_logps.exp()
    if distillation_alpha == 0.0:
        return teacher_logps.exp() - student
    advantages = outcome_advantages(student_logps, teacher_logps, distillation_alpha, advantage_clip)
    return student * (advantages - (student * advantages).sum(-1, keepdim=True))


def entropy(logps: Tensor) -> Tensor:
    """-sum p log p in nats, (..., B) -> (...); outcomes with p = 0 contribute nothing."""
    return -(logps.exp() * torch.where(logps == -math.inf, 0.0, logps)).sum(-1)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Both sides on a common, smaller set of outcomes: the student's K likeliest ids, and the rest as one (or none)."""

    student_logps: Tensor  # (N, B), normalised; B = K or K + 1
    teacher_logps: Tensor  # (N, B)
    ids: Tensor  # (N, K) vocabulary ids of the first K buckets
    has_tail: bool  # the last bucket is the rest of the vocabulary


def top_k_buckets(student_logits: Tensor, teacher_logits: Tensor, k: int, *, add_tail: bool) -> Buckets:
    """The student's K likeliest ids on both sides (N, V) -> (N, B), as the paper's code forms them.

    With a tail the last bucket holds log(1 - sum); without it both sides are renormalised over the K ids. With
    K = V there is nothing left for a tail. The choice of the ids carries no gradient; their values do.
    """
    ids = student_logits.topk(k, dim=-1).indices  # (N, K)
    student, teacher = chosen_logps(student_logits, ids), chosen_logps(teacher_logits, ids)
    has_tail = add_tail and k < student_logits.shape[-1]
    finish = with_tail if has_tail else log_softmax
    return Buckets(finish(student), finish(teacher), ids, has_tail)


def with_tail(head_logps: Tensor) -> Tensor:
    """Appends the log-probability of everything outside the head, 1e-7 at least: (N, K) -> (N, K + 1)."""
    log_head = torch.logsumexp(head_logps, dim=-1, keepdim=True).clamp(max=MAX_LOG_HEAD)
    return torch.cat([head_logps, torch.log(-torch.expm1(log_head))], dim=-1)
