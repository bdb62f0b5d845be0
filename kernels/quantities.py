"""The quantities of two sides per token, as both implementations of `two_sided` give them.

Tensors in, tensors out. Below the PyTorch and the Triton implementation, which do not know each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TwoSided:
    """Per-token quantities of two sides, of N tokens. fp32, or fp64 for fp64 hidden states."""

    student_logps: Tensor  # (N,) log pi(y_t)
    teacher_logps: Tensor  # (N,) log q(y_t)
    kl_student_teacher: Tensor  # (N,) KL(pi || q), what raw credit averages to with the sign turned
    kl_teacher_student: Tensor  # (N,) KL(q || pi)
    jsd: Tensor  # (N,) Jensen-Shannon divergence, 0 to log 2
    entropy_student: Tensor  # (N,)
    entropy_teacher: Tensor  # (N,)
    top_ids: Tensor  # (N, 2K) int64: the student's K likeliest ids, then the teacher's K; ids may occur twice
    top_student_logps: Tensor  # (N, 2K)
    top_teacher_logps: Tensor  # (N, 2K)


def top_of_both(student_logits: Tensor, teacher_logits: Tensor, top_k: int) -> Tensor:
    """(n, 2K) int64: the student's K likeliest ids, then the teacher's."""
    k = min(top_k, student_logits.shape[-1])
    return torch.cat([student_logits.topk(k, dim=-1).indices, teacher_logits.topk(k, dim=-1).indices], dim=-1)
