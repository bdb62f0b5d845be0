"""The tokens that count, cut out of a padded batch before any arithmetic.

Whatever stands at the other places (NaN, -inf, ids of -100) reaches neither a value nor a gradient, and does not
dilute the mean (traps 9 and 10, docs/traps.md). Shapes: (B, T) a batch of attempts, (N,) its tokens that count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Active:
    """The N positions that count, flattened; `rows`, `columns` lead back to (B, T)."""

    rows: Tensor  # (N,)
    columns: Tensor  # (N,)
    student_logits: Tensor  # (N, V), carries the gradient
    teacher_logits: Tensor  # (N, V), detached
    token_ids: Tensor  # (N,)
    old_logps: Tensor | None  # (N,) nats, detached
    shape: torch.Size  # (B, T)

    def spread(self, values: Tensor) -> Tensor:
        """(N,) -> (B, T), zero at the positions that do not count."""
        return values.new_zeros(self.shape).index_put((self.rows, self.columns), values)

    def reduce(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Token mean, and the (B, T) form. An empty selection gives a zero that still has a gradient."""
        return values.sum() / max(1, values.numel()), self.spread(values)


def select(
    student_logits: Tensor,
    teacher_logits: Tensor,
    token_ids: Tensor,
    completion_mask: Tensor,
    attempt_mask: Tensor | None = None,
    old_logps: Tensor | None = None,
) -> Active:
    """Cuts out the tokens with a nonzero mask of attempts with a nonzero mask. ValueError: shapes that do not fit."""
    if student_logits.shape != teacher_logits.shape or student_logits.shape[:-1] != token_ids.shape:
        raise ValueError(
            f"shapes do not belong together: student {tuple(student_logits.shape)}, "
            f"teacher {tuple(teacher_logits.shape)}, token ids {tuple(token_ids.shape)}"
        )
    counts = completion_mask.bool()
    if attempt_mask is not None:
        counts = counts & attempt_mask.bool().unsqueeze(-1)
    rows, columns = counts.nonzero(as_tuple=True)  # (N,) each
    return Active(
        rows,
        columns,
        student_logits[rows, columns],
        teacher_logits.detach()[rows, columns],
        token_ids[rows, columns],
        None if old_logps is None else old_logps[rows, columns].detach(),
        token_ids.shape,
    )
