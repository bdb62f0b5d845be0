"""SDPO's loss, and its logit push (negative logit gradient) on the sampled tokens.

Pure tensors: no model, no files, no randomness. `sdpo_loss` works on a padded batch, `distillation_losses` on the N
tokens that count, row by row. The teacher's logits are detached: the gradient reaches the student's only.

Source: arXiv 2601.20802 section 2 and its public code. Departure: the paper's "token level" credit (the most likely
token only) is `argmax_token`, here the divergence of the two outcomes {most likely token, anything else}, which is
defined for every `distillation_alpha` and zero exactly where both sides agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from workbench.config import DistillationMode
from workbench.credit.active import Active, select
from workbench.credit.divergence import (
    Buckets,
    clipped_divergence,
    divergence,
    divergence_of_logits,
    divergence_push,
    log_softmax,
    sampled_logps,
    slider_scale,
    top_k_buckets,
)
from workbench.credit.weights import attempt_means, importance_weights
from workbench.errors import ConfigError
from workbench.kernels.chosen import chosen_logps

_BUCKETED_MODES = ("topk_logits", "argmax_token")
_SAMPLED_MODES = ("sampled_token", "sequence")


@dataclass(frozen=True, slots=True)
class Distillation:
    """Settings of the comparison at each token. `sdpo_loss` explains the fields; ConfigError for impossible ones."""

    mode: str = "topk_logits"
    alpha: float = 1.0
    topk: int = 20
    add_tail: bool = True
    normalised: bool = False
    advantage_clip: float | None = None

    def __post_init__(self) -> None:
        modes = get_args(DistillationMode)
        if self.mode not in modes:
            raise ConfigError(f"distillation_mode is {self.mode!r}; choose one of {', '.join(modes)}.")
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"distillation_alpha is {self.alpha}; it must lie between 0 and 1.")
        if self.mode == "sampled_token" and self.alpha != 1.0:
            raise ConfigError("sampled_token is defined for distillation_alpha = 1 only; choose another mode or alpha.")
        if self.topk < 1:
            raise ConfigError(f"distillation_topk is {self.topk}; it must be at least 1.")
        if self.advantage_clip is not None:
            if not self.advantage_clip > 0.0:
                raise ConfigError(f"advantage_clip is {self.advantage_clip}; it must be above 0, or None.")
            if self.alpha != 1.0 and self.mode != "sequence":
                raise ConfigError("advantage_clip is defined for distillation_alpha = 1 only; leave one of them out.")

    def check_vocabulary(self, size: int) -> None:
        """ConfigError when K exceeds the vocabulary."""
        if self.mode == "topk_logits" and self.topk > size:
            raise ConfigError(f"distillation_topk is {self.topk}; it must lie between 1 and the vocabulary's {size}.")


def token_credit(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor) -> Tensor:
    """Raw credit log q(y_t) - log pi(y_t), nats; + = the teacher wants more of it. (B, T, V) x 2, (B, T) -> (B, T)."""
    return sampled_logps(teacher_logits, token_ids) - sampled_logps(student_logits, token_ids)


def sdpo_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    completion_mask: Tensor,
    *,
    attempt_mask: Tensor | None = None,
    old_logps: Tensor | None = None,
    distillation_mode: str = "topk_logits",
    distillation_alpha: float = 1.0,
    distillation_topk: int = 20,
    distillation_add_tail: bool = True,
    is_clip: float | None = None,
    distillation_normalised: bool = False,
    advantage_clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean over the active tokens of D(pi, stop-gradient q), or of its policy-gradient surrogate.

    Args:
        student_logits, teacher_logits: (B, T, V), temperature already applied, same token ids scored under both.
        token_ids: (B, T) sampled tokens.
        completion_mask: (B, T), nonzero = this token counts; a person's span mask is multiplied into it.
        attempt_mask: (B,), nonzero = this attempt has a teacher's signal; None = all do.
        old_logps: (B, T) nats, of the policy that sampled, recomputed by the scoring path; needed by `is_clip`.
        distillation_mode: `full_logits`; `topk_logits` (K ids of the student's, with or without a tail);
            `argmax_token` (most likely token against the rest); `sampled_token` ((log pi - log q).detach() * log pi,
            alpha = 1 only); `sequence` (as that, with the attempt's mean credit on each of its tokens).
        distillation_alpha: 0 = KL(q || pi), 1 = KL(pi || q), between = generalised JSD; `sequence` ignores it.
        is_clip: upper clip of the importance weight exp(log pi - log pi_old), which carries no gradient; None = none.
        distillation_normalised: divide by a (1 - a), which makes the loss continuous in alpha; the ends are as ever.
        advantage_clip: nats; limits the credit log q - log pi of each outcome to +- this (alpha = 1 only; paper, test
            time: 5), in `sequence` the attempt's mean credit; None = no limit.

    Returns:
        loss: scalar, nats per active token; 0 when nothing is active. Gradient reaches `student_logits` only.
        per_token_loss: (B, T), nats, importance weight included, 0 where masked.

    Raises:
        ConfigError: an unknown mode, an impossible alpha, K or clip, or `is_clip` without `old_logps`.
    """
    distillation = Distillation(
        distillation_mode,
        distillation_alpha,
        distillation_topk,
        distillation_add_tail,
        distillation_normalised,
        advantage_clip,
    )
    active = select(student_logits, teacher_logits, token_ids, completion_mask, attempt_mask, old_logps)
    mean_credit, weights = _fixed(active, distillation, is_clip)
    losses = distillation_losses(
        active.student_logits, active.teacher_logits, active.token_ids, distillation, mean_credit=mean_credit
    )
    return active.reduce(losses if weights is None else losses * weights)


def logit_push(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    completion_mask: Tensor,
    *,
    attempt_mask: Tensor | None = None,
    old_logps: Tensor | None = None,
    is_clip: float | None = None,
    advantage_clip: float | None = None,
    **distillation: Any,
) -> Tensor:
    """Logit push of `sdpo_loss` on each sampled token: the negative gradient with respect to its logit.

    Closed forms (docs/algorithm.md, section 2), scaled by the number of active tokens: (B, T), nats per unit of logit,
    0 where masked; + = the step should make the token likelier. Arguments and errors as `sdpo_loss`; no gradient.
    """
    named = {name.removeprefix("distillation_"): value for name, value in distillation.items()}
    settings = Distillation(**named, advantage_clip=advantage_clip)
    with torch.no_grad():
        active = select(student_logits, teacher_logits, token_ids, completion_mask, attempt_mask, old_logps)
        mean_credit, weights = _fixed(active, settings, is_clip)
        push = distillation_push(
            active.student_logits, active.teacher_logits, active.token_ids, settings, mean_credit=mean_credit
        )
        return active.spread(push if weights is None else push * weights)


def _fixed(active: Active, distillation: Distillation, is_clip: float | None) -> tuple[Tensor | None, Tensor | None]:
    """Quantities of more than a row: mean credit of each token's attempt, and importance weights; (N,) each."""
    mean_credit = weights = None
    if distillation.mode == "sequence":
        credit = token_credit(active.student_logits.detach(), active.teacher_logits, active.token_ids)
        mean_credit = attempt_means(credit, active.rows)
    if is_clip is not None:
        if active.old_logps is None:
            raise ConfigError("is_clip needs old_logps, the log-probabilities of the policy that sampled; pass both.")
        logps = sampled_logps(active.student_logits.detach(), active.token_ids)
        weights = importance_weights(logps, active.old_logps, is_clip)
    return mean_credit, weights


def distillation_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    distillation: Distillation,
    *,
    mean_credit: Tensor | None = None,
) -> Tensor:
    """The loss of each token alone, nats: (N, V) x 2, (N,) -> (N,), without importance weight. See `sdpo_loss`.

    `mean_credit` (N,): the mean credit of each token's attempt, needed by `sequence`. ConfigError: K above V.
    """
    distillation.check_vocabulary(student_logits.shape[-1])
    teacher_logits = teacher_logits.detach()
    if distillation.mode in _SAMPLED_MODES:
        credit = _sampled_credit(student_logits, teacher_logits, token_ids, distillation, mean_credit)
        return -credit * sampled_logps(student_logits, token_ids)
    limit = distillation.advantage_clip
    if distillation.mode not in _BUCKETED_MODES and limit is None:
        return _scale(distillation) * divergence_of_logits(student_logits, teacher_logits, distillation.alpha)
    student, teacher = _outcomes(student_logits, teacher_logits, distillation)
    if limit is not None:
        return clipped_divergence(student, teacher, limit)
    return _scale(distillation) * divergence(student, teacher, distillation.alpha)


def distillation_push(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    distillation: Distillation,
    *,
    mean_credit: Tensor | None = None,
) -> Tensor:
    """Minus the gradient of `distillation_losses` at each sampled token's logit, closed form: (N,), same arguments."""
    distillation.check_vocabulary(student_logits.shape[-1])
    with torch.no_grad():
        if distillation.mode in _SAMPLED_MODES:
            credit = _sampled_credit(student_logits, teacher_logits, token_ids, distillation, mean_credit)
            return credit * (1.0 - sampled_logps(student_logits, token_ids).exp())
        ids = token_ids.unsqueeze(-1)  # (N, 1)
        if distillation.mode in _BUCKETED_MODES:
            buckets = _buckets(student_logits, teacher_logits, distillation)
            push = _bucket_push(buckets, chosen_logps(student_logits, ids), ids, distillation)
        else:
            student, teacher = log_softmax(student_logits), log_softmax(teacher_logits)
            pushes = divergence_push(student, teacher, distillation.alpha, distillation.advantage_clip)  # (N, V)
            push = pushes.gather(-1, ids).squeeze(-1)
        return _scale(distillation) * push


def _scale(distillation: Distillation) -> float:
    return slider_scale(distillation.alpha) if distillation.normalised else 1.0


def _sampled_credit(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    distillation: Distillation,
    mean_credit: Tensor | None,
) -> Tensor:
    """(N,) detached credit of the sampled tokens, or of their attempts in `sequence`, within the advantage clip."""
    if distillation.mode == "sampled_token":
        credit = token_credit(student_logits.detach(), teacher_logits, token_ids)
    elif mean_credit is not None:
        credit = mean_credit.detach()
    else:
        raise ValueError("sequence needs the mean credit of each token's attempt")
    limit = distillation.advantage_clip
    return credit if limit is None else credit.clamp(-limit, limit)


def _outcomes(student_logits: Tensor, teacher_logits: Tensor, distillation: Distillation) -> tuple[Tensor, Tensor]:
    """Normalised log-probabilities of what is compared: the buckets, or the whole vocabulary; (N, B) or (N, V) each."""
    if distillation.mode in _BUCKETED_MODES:
        buckets = _buckets(student_logits, teacher_logits, distillation)
        return buckets.student_logps, buckets.teacher_logps
    return log_softmax(student_logits), log_softmax(teacher_logits)


def _buckets(student_logits: Tensor, teacher_logits: Tensor, distillation: Distillation) -> Buckets:
    if distillation.mode == "argmax_token":
        return top_k_buckets(student_logits, teacher_logits, 1, add_tail=True)
    return top_k_buckets(student_logits, teacher_logits, distillation.topk, add_tail=distillation.add_tail)


def _bucket_push(buckets: Buckets, sampled: Tensor, ids: Tensor, distillation: Distillation) -> Tensor:
    """Push on the sampled ids (N, 1) of log-probability `sampled` (N, 1): its bucket's, or its share of the tail's."""
    push = divergence_push(
        buckets.student_logps, buckets.teacher_logps, distillation.alpha, distillation.advantage_clip
    )  # (N, B)
    head = buckets.ids.shape[-1]
    direct = (push[:, :head] * (buckets.ids == ids)).sum(-1)
    if not buckets.has_tail:
        return direct  # ids outside the K have no gradient at all
    outside = ~(buckets.ids == ids).any(-1)
    share = (sampled.squeeze(-1) - buckets.student_logps[:, -1]).exp().clamp(max=1.0)
    return direct + torch.where(outside, push[:, -1] * share, 0.0)
