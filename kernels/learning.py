"""A loss per row and its gradient with respect to the student's hidden states, under a frozen head.

Tensors in, tensors out: the caller brings the loss, as a function of the logits of some rows. `naive` is the
reference (fp32, autograd through everything at once); `learn` goes chunk by chunk: logits of a chunk, loss, gradient
at the logits written over the logits, one matmul back. No tensor of size N x V is ever made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from workbench.kernels.chosen import chosen_logps
from workbench.kernels.projection import Side, cached_slices, row_chunks, working_dtype

# Student's logits (n, V) with gradient, teacher's (n, V) without, or None; indices (n,) of the rows they belong to
# -> losses (n,). The loss of a row depends on that row only.
RowLoss = Callable[[Tensor, Tensor | None, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Learned:
    """Results of N rows, detached; fp32, or fp64 for fp64 hidden states. Masked rows are 0."""

    losses: Tensor  # (N,)
    student_logps: Tensor  # (N,) log pi(y_t), nats
    push: Tensor  # (N,) minus the gradient of the sum of losses at the sampled token's logit, temperature applied
    grad_hidden: Tensor  # (N, H) gradient of the sum of losses, in the precision of the hidden states


def naive(
    student: Side, teacher: Side | None, token_ids: Tensor, row_loss: RowLoss, *, mask: Tensor | None = None
) -> Learned:
    """Compute the reference: everything in fp32 or better, gradients by autograd.

    Args:
        student: N rows, not a mixture; teacher: N rows of the same vocabulary, or None for a loss without one.
        token_ids: (N,) int64, the sampled tokens.
        mask: (N,), nonzero = this row counts; None = all do. The other rows may hold anything.

    Raises:
        ValueError: when the shapes do not belong together, or the student is a mixture.
    """
    _check(student, teacher, token_ids)
    rows = torch.arange(len(token_ids), device=token_ids.device) if mask is None else mask.nonzero().squeeze(-1)
    results, ids = _zeros(student), token_ids[rows].unsqueeze(-1)
    full = student.in_full()
    with torch.enable_grad():
        hidden = full.hidden[rows].requires_grad_()
        # Out of place, unlike `Head.logits`, so that autograd can differentiate it.
        projected = hidden
        if full.head.weight is not None:
            projected = torch.nn.functional.linear(hidden, full.head.weight, full.head.bias)
        projected = projected * full.head.scale
        if full.head.softcap is not None:
            projected = full.head.softcap * torch.tanh(projected / full.head.softcap)
        logits = projected / full.temperature
        losses = row_loss(logits, None if teacher is None else teacher.in_full().logits(rows), rows)
        at_logits, at_hidden = torch.autograd.grad(losses.sum(), (logits, hidden))
    results.losses[rows] = losses.detach()
    results.student_logps[rows] = logits.detach().log_softmax(-1).gather(-1, ids).squeeze(-1)
    results.push[rows] = -at_logits.gather(-1, ids).squeeze(-1)
    results.grad_hidden[rows] = at_hidden.to(results.grad_hidden.dtype)
    return results


def learn(
    student: Side, teacher: Side | None, token_ids: Tensor, row_loss: RowLoss, *, mask: Tensor | None = None
) -> Learned:
    """Compute the same chunk by chunk, projected in the precision of the hidden states. Arguments as `naive`."""
    _check(student, teacher, token_ids)
    results = _zeros(student)
    for rows in row_chunks(len(token_ids), student.vocabulary, token_ids.device, mask):
        _learn_chunk(student, teacher, token_ids, row_loss, rows, results)
    return results


def _learn_chunk(
    student: Side, teacher: Side | None, token_ids: Tensor, row_loss: RowLoss, rows: Tensor, results: Learned
) -> None:
    """Write the results of some rows. A separate function, so that a chunk's logits are freed before the next."""
    head = student.head
    with torch.no_grad():
        logits = student.as_projected(rows)  # (n, V)
        target = None if teacher is None else teacher.as_projected(rows)
    for part in cached_slices(*logits.shape, logits.device):
        chunk, ids = rows[part], token_ids[rows[part]].unsqueeze(-1)
        leaf = logits[part].detach().requires_grad_()
        with torch.enable_grad():
            losses = row_loss(leaf, None if target is None else target[part], chunk)
            (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        with torch.no_grad():
            results.losses[chunk] = losses
            results.student_logps[chunk] = chosen_logps(leaf, ids).squeeze(-1)
            results.push[chunk] = -gradient.gather(-1, ids).squeeze(-1).to(results.push.dtype)
            at_projection = head.before_cap(gradient, leaf, student.temperature)
            if len(chunk) < len(rows):
                logits[part] = at_projection
            else:
                logits = at_projection  # a single slice needs no copy
    del target
    with torch.no_grad():
        results.grad_hidden[rows] = head.before_weight(logits, student.hidden.dtype)


def losses_of(
    student: Side, teacher: Side | None, token_ids: Tensor, row_loss: RowLoss, *, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Losses (N,) and the sampled tokens' log-probabilities (N,), without gradient. Arguments as `naive`."""
    _check(student, teacher, token_ids)
    losses, logps = (student.hidden.new_zeros(len(token_ids), dtype=working_dtype(student.hidden)) for _ in range(2))
    with torch.no_grad():
        for rows in row_chunks(len(token_ids), student.vocabulary, token_ids.device, mask):
            logits = student.as_projected(rows)
            target = None if teacher is None else teacher.as_projected(rows)
            for part in cached_slices(*logits.shape, logits.device):
                chunk = rows[part]
                losses[chunk] = row_loss(logits[part], None if target is None else target[part], chunk)
                logps[chunk] = chosen_logps(logits[part], token_ids[chunk].unsqueeze(-1)).squeeze(-1)
            del logits, target  # before the next chunk is projected
    return losses, logps


def _zeros(student: Side) -> Learned:
    hidden = student.hidden.detach()
    losses, logps, push = (hidden.new_zeros(len(hidden), dtype=working_dtype(hidden)) for _ in range(3))
    # `zeros_like` copies strides, not values: whatever masked rows of the input hold does not come through.
    return Learned(losses, logps, push, torch.zeros_like(hidden))


def _check(student: Side, teacher: Side | None, token_ids: Tensor) -> None:
    if student.reference is not None:
        raise ValueError("a mixture cannot learn: the student must be one policy")
    sides = [student] if teacher is None else [student, teacher]
    if any(side.hidden.shape[:1] != token_ids.shape or side.vocabulary != student.vocabulary for side in sides):
        raise ValueError(
            f"shapes do not belong together: {[tuple(side.hidden.shape) for side in sides]} hidden states of "
            f"{[side.vocabulary for side in sides]} tokens, token ids {tuple(token_ids.shape)}"
        )
