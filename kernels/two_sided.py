"""Everything the page shows about one token under two contexts, from the hidden states of both sides.

Tensors in, tensors out: knows nothing of models, attempts or the loss. Nothing here carries a gradient; learning has
its own operator. `naive` is the truth (fp32, textbook formulas, everything at once), `chunked` holds the logits of a
chunk of rows at a time, on any device, with the arithmetic of `eager_rows` or of a Triton kernel; `two_sided` is the
one dispatch point. `sampled_logps` and `entropies` are for one side alone.

All results are in nats. "Student" is pi, "teacher" is q; ids with a logit of -inf have probability zero and
contribute nothing to sums in which they are the weight. Masked rows are never read, and 0 in every result.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor
from workbench.kernels.chosen import chosen_logps
from workbench.kernels.projection import Side, cached_slices, row_chunks, takes_triton, working_dtype
from workbench.kernels.quantities import TwoSided, top_of_both

Rows = Callable[[Tensor, Tensor, Tensor, int], TwoSided]  # logits (n, V) of both sides, token ids (n,), K


def naive(student: Side, teacher: Side, token_ids: Tensor, *, mask: Tensor | None = None, top_k: int = 0) -> TwoSided:
    """The truth: hidden states and weights in fp32 or better, the whole log-softmax of both sides.

    Args:
        student, teacher: N rows each, through heads of the same vocabulary.
        token_ids: (N,) int64, the sampled tokens.
        mask: (N,), nonzero = this row counts; None = all do. What stands in the others may be anything.
        top_k: how many of each side's likeliest ids are returned; above V it means V.

    Raises:
        ValueError: when the shapes do not belong together.
    """
    _check_shapes(student, teacher, token_ids)
    rows = torch.arange(len(token_ids), device=token_ids.device) if mask is None else mask.nonzero().squeeze(-1)
    results = _zeros(student, len(token_ids), top_k)
    with torch.no_grad():
        logits = [side.in_full().logits(rows) for side in (student, teacher)]
        _put(results, rows, _row_quantities(*logits, token_ids[rows], top_k))
    return results


def chunked(
    student: Side,
    teacher: Side,
    token_ids: Tensor,
    *,
    mask: Tensor | None = None,
    top_k: int = 0,
    rows_form: Rows | None = None,
) -> TwoSided:
    """The same over chunks of rows, projected in the precision that the hidden states have.

    Arguments, results and errors as `naive`; `rows_form` is the arithmetic on a chunk's logits, None = `eager_rows`.
    """
    _check_shapes(student, teacher, token_ids)
    # PyTorch's own operations would compute in the precision of what they are given.
    form, read = (eager_rows, Side.logits) if rows_form is None else (rows_form, Side.as_projected)
    results = _zeros(student, len(token_ids), top_k)
    with torch.no_grad():
        for rows in row_chunks(len(token_ids), student.vocabulary, token_ids.device, mask):
            _put(results, rows, form(read(student, rows), read(teacher, rows), token_ids[rows], top_k))
    return results


def two_sided(
    student: Side, teacher: Side, token_ids: Tensor, *, mask: Tensor | None = None, top_k: int = 0
) -> TwoSided:
    """The one dispatch point: chunks everywhere, with the Triton kernel on CUDA. Arguments as `naive`."""
    form: Rows | None = None
    if takes_triton(student.hidden):
        from workbench.kernels.triton_rows import triton_rows

        form = triton_rows
    return chunked(student, teacher, token_ids, mask=mask, top_k=top_k, rows_form=form)


def sampled_logps(side: Side, token_ids: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Log-probability of each sampled token under one side, nats, (N,); 0 at masked rows. Arguments as `naive`."""
    if side.hidden.shape[:1] != token_ids.shape:
        raise ValueError(f"{tuple(side.hidden.shape)} hidden states for {tuple(token_ids.shape)} token ids")
    results = torch.zeros(len(token_ids), dtype=working_dtype(side.hidden), device=token_ids.device)
    with torch.no_grad():
        for rows in row_chunks(len(token_ids), side.vocabulary, token_ids.device, mask):
            results[rows] = chosen_logps(side.as_projected(rows), token_ids[rows].unsqueeze(-1)).squeeze(-1)
    return results


def entropies(side: Side) -> Tensor:
    """Entropy of every row of one side, nats, (N,)."""
    results = torch.zeros(len(side.hidden), dtype=working_dtype(side.hidden), device=side.hidden.device)
    with torch.no_grad():
        for rows in row_chunks(len(results), side.vocabulary, results.device, None):
            logits = side.logits(rows)
            for part in cached_slices(*logits.shape, logits.device):
                logps = logits[part].log_softmax(-1)
                terms = logps.exp().mul_(logps)
                results[rows[part]] = -terms.masked_fill_(logps == -math.inf, 0.0).sum(-1)
    return results


def eager_rows(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor, top_k: int) -> TwoSided:
    """Quantities of a chunk's rows by PyTorch's own operations, on the CPU a cache's worth at a time."""
    parts = [
        _row_quantities(student_logits[part], teacher_logits[part], token_ids[part], top_k)
        for part in cached_slices(*student_logits.shape, student_logits.device)
    ]
    return TwoSided(**{name: torch.cat([getattr(part, name) for part in parts]) for name in _NAMES})


_NAMES = tuple(field.name for field in dataclasses.fields(TwoSided))


def _row_quantities(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor, top_k: int) -> TwoSided:
    """The textbook formulas on normalised log-probabilities: (n, V) x 2, (n,) -> quantities of n rows."""
    top_ids = top_of_both(student_logits, teacher_logits, top_k)
    student, teacher = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)  # (n, V)
    p, q = student.exp(), teacher.exp()
    # Where a logit is -inf, 0 * inf must become 0; where none is, as nearly always, nothing has to be looked for.
    ruled_out = student.numel() > 0 and bool(torch.isinf(student.amin() + teacher.amin()))

    def mean_under(weights: Tensor, values: Tensor) -> Tensor:
        terms = values * weights
        return (terms.masked_fill_(weights == 0.0, 0.0) if ruled_out else terms).sum(-1)

    # Where both probabilities underflow, as at low temperatures, the weight is 0 and log 0 would make it NaN.
    mixture = (p + q).clamp_min_(torch.finfo(p.dtype).tiny).log_().sub_(math.log(2.0))
    difference = student - teacher
    jsd = 0.5 * (mean_under(p, student - mixture) + mean_under(q, teacher - mixture))
    sampled = token_ids.unsqueeze(-1)
    return TwoSided(
        student_logps=student.gather(-1, sampled).squeeze(-1),
        teacher_logps=teacher.gather(-1, sampled).squeeze(-1),
        # Rounding never makes a divergence negative.
        kl_student_teacher=mean_under(p, difference).clamp_min_(0.0),
        kl_teacher_student=mean_under(q, difference).neg_().clamp_min_(0.0),
        jsd=jsd.clamp_min_(0.0),
        entropy_student=mean_under(p, student).neg_(),
        entropy_teacher=mean_under(q, teacher).neg_(),
        top_ids=top_ids,
        top_student_logps=student.gather(-1, top_ids),
        top_teacher_logps=teacher.gather(-1, top_ids),
    )


def _zeros(student: Side, count: int, top_k: int) -> TwoSided:
    dtype, device, listed = working_dtype(student.hidden), student.hidden.device, 2 * min(top_k, student.vocabulary)
    shapes = {name: (count, listed) if name.startswith("top_") else (count,) for name in _NAMES}
    dtypes = {name: torch.int64 if name == "top_ids" else dtype for name in _NAMES}
    return TwoSided(**{name: torch.zeros(shapes[name], dtype=dtypes[name], device=device) for name in _NAMES})


def _put(results: TwoSided, rows: Tensor, chunk: TwoSided) -> None:
    for name in _NAMES:
        getattr(results, name)[rows] = getattr(chunk, name)


def _check_shapes(student: Side, teacher: Side, token_ids: Tensor) -> None:
    rows = student.hidden.shape[:1] == teacher.hidden.shape[:1] == token_ids.shape
    if not rows or student.vocabulary != teacher.vocabulary:
        raise ValueError(
            f"shapes do not belong together: student {tuple(student.hidden.shape)} of {student.vocabulary} tokens, "
            f"teacher {tuple(teacher.hidden.shape)} of {teacher.vocabulary}, token ids {tuple(token_ids.shape)}"
        )
