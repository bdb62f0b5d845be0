"""SDPO's loss, GRPO's loss, and the push that each gives to the sampled tokens.

Pure tensors: no model, no files, no randomness. Masked positions and attempts are cut out before any arithmetic, so
that whatever stands there (NaN, -inf, ids of -100) reaches neither a value nor a gradient. The teacher's logits are
detached: the gradient reaches the student's only.

Source: arXiv 2601.20802 section 2 and its public code. Departure: the paper's "token level" credit (the most likely
token only) is `argmax_token`, here the divergence of the two outcomes {most likely token, anything else}, which is
defined for every `distillation_alpha` and zero exactly where both sides agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.credit.divergence import (
    Buckets,
    divergence,
    divergence_push,
    log_dtype,
    log_softmax,
    sampled_logps,
    top_k_buckets,
)
from workbench.errors import ConfigError

MAX_LOG_RATIO = 20.0  # the importance weight's exponent is clamped to +-20 (reference code)
_BUCKETED_MODES = ("topk_logits", "argmax_token")
_SAMPLED_MODES = ("sampled_token", "sequence")


@dataclass(frozen=True, slots=True)
class _Active:
    """The N positions that count, flattened; `rows`, `columns` lead back to (B, T)."""

    rows: Tensor  # (N,)
    columns: Tensor  # (N,)
    student_logits: Tensor  # (N, V), carries the gradient
    teacher_logits: Tensor  # (N, V), detached
    token_ids: Tensor  # (N,)
    weights: Tensor | None  # (N,) importance weights, detached; None = 1
    attempts: int  # B

    def spread(self, values: Tensor, like: Tensor) -> Tensor:
        """(N,) -> (B, T), zero at the positions that do not count."""
        return values.new_zeros(like.shape).index_put((self.rows, self.columns), values)


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
) -> tuple[Tensor, Tensor]:
    """Mean over the active tokens of D(pi, stop-gradient q), or of its policy-gradient surrogate.

    Args:
        student_logits, teacher_logits: (B, T, V), temperature already applied, same token ids scored under both.
        token_ids: (B, T) sampled tokens.
        completion_mask: (B, T), nonzero = this token counts.
        attempt_mask: (B,), nonzero = this attempt has a teacher's signal; None = all do.
        old_logps: (B, T) nats, of the policy that sampled, recomputed by the scoring path; needed by `is_clip`.
        distillation_mode: `full_logits`; `topk_logits` (K ids of the student's, with or without a tail);
            `argmax_token` (most likely token against the rest); `sampled_token` ((log pi - log q).detach() * log pi,
            alpha = 1 only); `sequence` (as that, with the attempt's mean credit on each of its tokens).
        distillation_alpha: 0 = KL(q || pi), 1 = KL(pi || q), between = generalised JSD; `sequence` ignores it.
        is_clip: upper clip of the importance weight exp(log pi - log pi_old), which carries no gradient; None = none.

    Returns:
        loss: scalar, nats per active token; 0 when nothing is active. Gradient reaches `student_logits` only.
        per_token_loss: (B, T), nats, importance weight included, 0 where masked.

    Raises:
        ConfigError: an unknown mode, an impossible alpha or K, or `is_clip` without `old_logps`.
    """
    _check_settings(distillation_mode, distillation_alpha, distillation_topk, student_logits.shape[-1])
    active = _select(student_logits, teacher_logits, token_ids, completion_mask, attempt_mask, old_logps, is_clip)
    if distillation_mode in _SAMPLED_MODES:
        credit = _sampled_credit(active, distillation_mode)
        values = -credit * sampled_logps(active.student_logits, active.token_ids)
    else:
        student, teacher = log_softmax(active.student_logits), log_softmax(active.teacher_logits)
        if distillation_mode in _BUCKETED_MODES:
            buckets = _buckets(student, teacher, distillation_mode, distillation_topk, distillation_add_tail)
            student, teacher = buckets.student_logps, buckets.teacher_logps
        values = divergence(student, teacher, distillation_alpha)
    return _reduce(active, values, token_ids)


def logit_push(
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
) -> Tensor:
    """What a descent step on `sdpo_loss` asks of each sampled token: minus the gradient with respect to its logit.

    Closed forms (algorithm section 2), scaled by the number of active tokens: (B, T), nats per unit of logit, 0 where
    masked; + = the step should make the token likelier. Arguments and errors as `sdpo_loss`; carries no gradient.
    """
    _check_settings(distillation_mode, distillation_alpha, distillation_topk, student_logits.shape[-1])
    with torch.no_grad():
        active = _select(student_logits, teacher_logits, token_ids, completion_mask, attempt_mask, old_logps, is_clip)
        if distillation_mode in _SAMPLED_MODES:
            values = _policy_gradient_push(active, _sampled_credit(active, distillation_mode))
        else:
            student, teacher = log_softmax(active.student_logits), log_softmax(active.teacher_logits)
            ids = active.token_ids.unsqueeze(-1)
            if distillation_mode in _BUCKETED_MODES:
                buckets = _buckets(student, teacher, distillation_mode, distillation_topk, distillation_add_tail)
                values = _bucket_push(buckets, student.gather(-1, ids), ids, distillation_alpha)
            else:
                values = divergence_push(student, teacher, distillation_alpha).gather(-1, ids).squeeze(-1)
        return active.spread(_weighted(active, values), token_ids)


def grpo_advantage(rewards: Tensor) -> Tensor:
    """r_i - mean(r) within one group, (G,) -> (G,). No division by the standard deviation (paper, footnote 3)."""
    return rewards - rewards.mean()


def grpo_loss(
    student_logits: Tensor,
    token_ids: Tensor,
    completion_mask: Tensor,
    advantages: Tensor,
    *,
    old_logps: Tensor | None = None,
    is_clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Policy-gradient loss -A_i log pi(y_t), mean over the active tokens, with the same importance weight as SDPO.

    `advantages` (B,) from `grpo_advantage`, one per attempt, constant over its tokens; every other argument, the
    results and the errors as in `sdpo_loss`. An advantage of 0 keeps its tokens in the mean.
    """
    active = _select(student_logits, student_logits, token_ids, completion_mask, None, old_logps, is_clip)
    values = -_per_token(advantages, active) * sampled_logps(active.student_logits, active.token_ids)
    return _reduce(active, values, token_ids)


def grpo_push(
    student_logits: Tensor,
    token_ids: Tensor,
    completion_mask: Tensor,
    advantages: Tensor,
    *,
    old_logps: Tensor | None = None,
    is_clip: float | None = None,
) -> Tensor:
    """`logit_push` of `grpo_loss`: A_i (1 - pi(y_t)), (B, T), 0 where masked. Arguments as `grpo_loss`."""
    with torch.no_grad():
        active = _select(student_logits, student_logits, token_ids, completion_mask, None, old_logps, is_clip)
        values = _policy_gradient_push(active, _per_token(advantages, active))
        return active.spread(_weighted(active, values), token_ids)


def _select(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    completion_mask: Tensor,
    attempt_mask: Tensor | None,
    old_logps: Tensor | None,
    is_clip: float | None,
) -> _Active:
    """Cuts out what counts, before anything there could be infinite or undefined."""
    if student_logits.shape != teacher_logits.shape or student_logits.shape[:-1] != token_ids.shape:
        raise ValueError(
            f"shapes do not belong together: student {tuple(student_logits.shape)}, "
            f"teacher {tuple(teacher_logits.shape)}, token ids {tuple(token_ids.shape)}"
        )
    counts = completion_mask.bool()
    if attempt_mask is not None:
        counts = counts & attempt_mask.bool().unsqueeze(-1)
    rows, columns = counts.nonzero(as_tuple=True)  # (N,) each
    student, ids = student_logits[rows, columns], token_ids[rows, columns]
    weights = None
    if is_clip is not None:
        if old_logps is None:
            raise ConfigError("is_clip needs old_logps, the log-probabilities of the policy that sampled; pass both.")
        log_ratio = sampled_logps(student.detach(), ids) - old_logps[rows, columns].detach()
        weights = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp().clamp(max=is_clip)
    teacher = teacher_logits.detach()[rows, columns]
    return _Active(rows, columns, student, teacher, ids, weights, token_ids.shape[0])


def _reduce(active: _Active, values: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Weights, token mean, and the (B, T) form. An empty selection gives a zero that still has a gradient."""
    values = _weighted(active, values)
    return values.sum() / max(1, values.numel()), active.spread(values, like)


def _weighted(active: _Active, values: Tensor) -> Tensor:
    return values if active.weights is None else values * active.weights


def _per_token(per_attempt: Tensor, active: _Active) -> Tensor:
    return per_attempt.detach()[active.rows].to(log_dtype(active.student_logits))


def _sampled_credit(active: _Active, mode: str) -> Tensor:
    """(N,) detached credit of the sampled tokens; for `sequence` their mean over each attempt, on all its tokens."""
    credit = token_credit(active.student_logits.detach(), active.teacher_logits, active.token_ids)
    if mode == "sampled_token":
        return credit
    totals = credit.new_zeros(active.attempts).index_add(0, active.rows, credit)
    counts = torch.bincount(active.rows, minlength=active.attempts).clamp(min=1)
    return (totals / counts)[active.rows]


def _buckets(student: Tensor, teacher: Tensor, mode: str, topk: int, add_tail: bool) -> Buckets:
    if mode == "argmax_token":
        return top_k_buckets(student, teacher, 1, add_tail=True)
    return top_k_buckets(student, teacher, topk, add_tail=add_tail)


def _policy_gradient_push(active: _Active, credit: Tensor) -> Tensor:
    """A (1 - pi(y)): minus the derivative of -A log pi(y) with respect to y's own logit, (N,)."""
    return credit * (1.0 - sampled_logps(active.student_logits, active.token_ids).exp())


def _bucket_push(buckets: Buckets, sampled: Tensor, ids: Tensor, alpha: float) -> Tensor:
    """Push on the sampled ids (N, 1) of log-probability `sampled` (N, 1): its bucket's, or its share of the tail's."""
    push = divergence_push(buckets.student_logps, buckets.teacher_logps, alpha)  # (N, B)
    head = buckets.ids.shape[-1]
    own = (push[:, :head] * (buckets.ids == ids)).sum(-1)
    if not buckets.has_tail:
        return own  # ids outside the K have no gradient at all
    outside = ~(buckets.ids == ids).any(-1)
    share = (sampled.squeeze(-1) - buckets.student_logps[:, -1]).exp().clamp(max=1.0)
    return own + torch.where(outside, push[:, -1] * share, 0.0)


def _check_settings(mode: str, alpha: float, topk: int, vocabulary: int) -> None:
    modes = ("full_logits", *_BUCKETED_MODES, *_SAMPLED_MODES)
    if mode not in modes:
        raise ConfigError(f"distillation_mode is {mode!r}; choose one of {', '.join(modes)}.")
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"distillation_alpha is {alpha}; it must lie between 0 and 1.")
    if mode == "sampled_token" and alpha != 1.0:
        raise ConfigError("sampled_token is defined for distillation_alpha = 1 only; choose another mode or alpha.")
    if mode == "topk_logits" and not 1 <= topk <= vocabulary:
        raise ConfigError(f"distillation_topk is {topk}; it must lie between 1 and the vocabulary's {vocabulary}.")
