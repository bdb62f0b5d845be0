"""Everything the page shows about one token under two contexts, from the logits of both sides.

Tensors in, tensors out: knows nothing of models, attempts or the loss. Nothing here carries a gradient; the loss has
its own path. `naive` is the truth (plain formulas, the whole tensor at once), `chunked` holds only a slice of tokens
in full precision at a time, `two_sided` picks one.

All results are in nats. "Student" is pi, "teacher" is q; ids with a logit of -inf have probability zero and
contribute nothing to sums in which they are the weight.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

# A chunk of both sides, in fp32, is 2 x 4 MiB: it stays in a CPU's cache, and is large enough for one CUDA launch.
CHUNK_ELEMENTS = 2**20


@dataclass(frozen=True, slots=True)
class TwoSided:
    """Per-token quantities of two sides; (...) is the shape of the token ids. fp32, or fp64 for fp64 logits."""

    student_logps: Tensor  # (...) log pi(y_t)
    teacher_logps: Tensor  # (...) log q(y_t)
    kl_student_teacher: Tensor  # (...) KL(pi || q), what raw credit averages to with the sign turned
    kl_teacher_student: Tensor  # (...) KL(q || pi)
    jsd: Tensor  # (...) Jensen-Shannon divergence, 0 to log 2
    entropy_student: Tensor  # (...)
    entropy_teacher: Tensor  # (...)
    top_ids: Tensor  # (..., 2K) int64: the student's K likeliest ids, then the teacher's K; ids may occur twice
    top_student_logps: Tensor  # (..., 2K)
    top_teacher_logps: Tensor  # (..., 2K)


def _log_softmax(logits: Tensor) -> Tensor:
    """Normalised log-probabilities, at least in fp32."""
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return torch.log_softmax(logits, dim=-1, dtype=dtype)


def _kl(weights: Tensor, logps: Tensor, other_logps: Tensor) -> Tensor:
    """KL(p || r) of the last axis, (..., V) -> (...), p given as probabilities too; terms with p = 0 are 0."""
    terms = (logps - other_logps).mul_(weights)
    return terms.masked_fill_(weights == 0.0, 0.0).sum(-1).clamp_min_(0.0)  # rounding never makes it negative


def _entropy(weights: Tensor, logps: Tensor) -> Tensor:
    """-sum p log p of the last axis, (..., V) -> (...); terms with p = 0 are 0."""
    return (logps * weights).masked_fill_(weights == 0.0, 0.0).sum(-1).neg_()


def naive(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor, *, top_k: int = 0) -> TwoSided:
    """The truth: log-softmax of both sides, then the textbook formula of each quantity.

    Args:
        student_logits, teacher_logits: (..., V), same shape; temperature already applied.
        token_ids: (...) int64, the sampled tokens.
        top_k: how many of each side's likeliest ids are returned; above V it means V.

    Raises:
        ValueError: when the shapes do not belong together.
    """
    _check_shapes(student_logits, teacher_logits, token_ids)
    with torch.no_grad():
        student, teacher = _log_softmax(student_logits), _log_softmax(teacher_logits)  # (..., V)
        p, q = student.exp(), teacher.exp()
        mixture = (p + q).log_().sub_(math.log(2.0))
        k = min(top_k, student.shape[-1])
        top_ids = torch.cat([student.topk(k, dim=-1).indices, teacher.topk(k, dim=-1).indices], dim=-1)  # (..., 2K)
        sampled = token_ids.unsqueeze(-1)
        return TwoSided(
            student_logps=student.gather(-1, sampled).squeeze(-1),
            teacher_logps=teacher.gather(-1, sampled).squeeze(-1),
            kl_student_teacher=_kl(p, student, teacher),
            kl_teacher_student=_kl(q, teacher, student),
            jsd=0.5 * (_kl(p, student, mixture) + _kl(q, teacher, mixture)),
            entropy_student=_entropy(p, student),
            entropy_teacher=_entropy(q, teacher),
            top_ids=top_ids,
            top_student_logps=student.gather(-1, top_ids),
            top_teacher_logps=teacher.gather(-1, top_ids),
        )


def chunked(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    *,
    top_k: int = 0,
    chunk_tokens: int | None = None,
) -> TwoSided:
    """The same over slices of `chunk_tokens` tokens: extra memory is that of one slice, not of (..., V).

    Arguments, results and errors as `naive`; `chunk_tokens` defaults to what fills `CHUNK_ELEMENTS` logits.
    """
    _check_shapes(student_logits, teacher_logits, token_ids)
    vocabulary = student_logits.shape[-1]
    rows_s, rows_t = student_logits.reshape(-1, vocabulary), teacher_logits.reshape(-1, vocabulary)  # (N, V)
    ids = token_ids.reshape(-1)  # (N,)
    step = chunk_tokens or max(1, CHUNK_ELEMENTS // vocabulary)
    # `max(1, N)`: no tokens at all still make one (empty) slice, which gives results of the right shape and dtype.
    slices = [slice(start, start + step) for start in range(0, max(1, ids.numel()), step)]
    parts = [naive(rows_s[part], rows_t[part], ids[part], top_k=top_k) for part in slices]
    joined = {
        field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(TwoSided)
    }
    return TwoSided(**{name: rows.reshape(*token_ids.shape, *rows.shape[1:]) for name, rows in joined.items()})


def two_sided(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor, *, top_k: int = 0) -> TwoSided:
    """The one dispatch point: `naive` where everything fits into one chunk, else `chunked`. Arguments as `naive`."""
    form = naive if student_logits.numel() <= CHUNK_ELEMENTS else chunked
    return form(student_logits, teacher_logits, token_ids, top_k=top_k)


def _check_shapes(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor) -> None:
    if student_logits.shape != teacher_logits.shape or student_logits.shape[:-1] != token_ids.shape:
        raise ValueError(
            f"shapes do not belong together: student {tuple(student_logits.shape)}, "
            f"teacher {tuple(teacher_logits.shape)}, token ids {tuple(token_ids.shape)}"
        )
