"""The two-sided quantities of a chunk of rows as one Triton kernel: every logit is read, nothing of size V is written.

One program per row, two sweeps over both rows: an online log-sum-exp of each side, then the sums. The second sweep
cannot be folded into the first: the Jensen-Shannon divergence needs both normalisers before its first term, and sums
of normalised terms do not cancel as `sum p z - logsumexp` does where the sides are nearly equal. Arithmetic is fp32.
Needs Triton, which PyTorch's builds for CUDA bring along; with TRITON_INTERPRET=1 it runs on the CPU, slowly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from workbench.kernels.quantities import TwoSided, top_of_both

_SUMS = 5  # KL(pi || q), KL(q || pi), JSD, entropy of pi, entropy of q
_BLOCK = 4096  # logits of a side that a program holds at a time


@triton.jit
def _online(maximum, total, values):
    """Takes a block into a running (maximum, sum of exp(z - maximum)). A maximum of -inf stands for nothing yet."""
    new = tl.maximum(maximum, tl.max(values, axis=0))
    safe = tl.where(new == -float("inf"), 0.0, new)
    total = total * tl.exp(maximum - safe) + tl.sum(tl.exp(values - safe), axis=0)
    return new, total


@triton.jit
def read(row, columns, vocabulary):
    """A row's logits at some columns, in fp32; -inf, which counts nowhere, beyond the vocabulary."""
    return tl.load(row + columns, mask=columns < vocabulary, other=-float("inf")).to(tl.float32)


@triton.jit
def weighted(weight, logp, other):
    """p (log p - log r); 0 where p = 0, whatever r is."""
    return tl.where(weight == 0.0, 0.0, weight * (logp - other))


@triton.jit
def normaliser(logits, vocabulary, BLOCK: tl.constexpr):
    """log sum exp of one row, by one sweep."""
    columns = tl.arange(0, BLOCK)
    maximum = -float("inf")
    total = 0.0
    for start in range(0, vocabulary, BLOCK):
        z = read(logits, start + columns, vocabulary)
        maximum, total = _online(maximum, total, z)
    return maximum + tl.log(total)


@triton.jit
def normalisers(student, teacher, vocabulary, BLOCK: tl.constexpr):
    """Those of a row of each side, by one sweep over both."""
    columns = tl.arange(0, BLOCK)
    s_max = -float("inf")
    s_sum = 0.0
    t_max = -float("inf")
    t_sum = 0.0
    for start in range(0, vocabulary, BLOCK):
        s = read(student, start + columns, vocabulary)
        t = read(teacher, start + columns, vocabulary)
        s_max, s_sum = _online(s_max, s_sum, s)
        t_max, t_sum = _online(t_max, t_sum, t)
    return s_max + tl.log(s_sum), t_max + tl.log(t_sum)


@triton.jit
def _row_kernel(student, teacher, norms, sums, row_stride, vocabulary, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)  # rows x V passes 2^31
    columns = tl.arange(0, BLOCK)
    student += row * row_stride
    teacher += row * row_stride
    s_norm, t_norm = normalisers(student, teacher, vocabulary, BLOCK)
    forward = tl.zeros([BLOCK], dtype=tl.float32)
    backward = tl.zeros([BLOCK], dtype=tl.float32)
    shannon = tl.zeros([BLOCK], dtype=tl.float32)
    s_entropy = tl.zeros([BLOCK], dtype=tl.float32)
    t_entropy = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, vocabulary, BLOCK):
        s = read(student, start + columns, vocabulary) - s_norm
        t = read(teacher, start + columns, vocabulary) - t_norm
        p = tl.exp(s)
        q = tl.exp(t)
        mixture = tl.log(0.5 * (p + q))
        forward += weighted(p, s, t)
        backward += weighted(q, t, s)
        shannon += 0.5 * (weighted(p, s, mixture) + weighted(q, t, mixture))
        s_entropy -= weighted(p, s, 0.0)
        t_entropy -= weighted(q, t, 0.0)
    tl.store(norms + 2 * row, s_norm)
    tl.store(norms + 2 * row + 1, t_norm)
    tl.store(sums + 5 * row, tl.sum(forward, axis=0))
    tl.store(sums + 5 * row + 1, tl.sum(backward, axis=0))
    tl.store(sums + 5 * row + 2, tl.sum(shannon, axis=0))
    tl.store(sums + 5 * row + 3, tl.sum(s_entropy, axis=0))
    tl.store(sums + 5 * row + 4, tl.sum(t_entropy, axis=0))


def block_size(vocabulary: int) -> int:
    """Logits of a side that a program holds at a time."""
    return min(_BLOCK, triton.next_power_of_2(vocabulary))


def triton_rows(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor, top_k: int) -> TwoSided:
    """`eager_rows` by the kernel: (n, V) x 2, (n,) -> quantities of n rows, fp32."""
    count, vocabulary = student_logits.shape
    student_logits, teacher_logits = student_logits.contiguous(), teacher_logits.contiguous()
    norms = torch.empty((count, 2), dtype=torch.float32, device=student_logits.device)
    sums = torch.empty((count, _SUMS), dtype=torch.float32, device=student_logits.device)
    block = block_size(vocabulary)
    _row_kernel[(count,)](student_logits, teacher_logits, norms, sums, vocabulary, vocabulary, BLOCK=block, num_warps=8)
    top_ids = top_of_both(student_logits, teacher_logits, top_k)
    ids = torch.cat([token_ids.unsqueeze(-1), top_ids], dim=-1)  # (n, 1 + 2K)
    student = student_logits.gather(-1, ids).float() - norms[:, :1]
    teacher = teacher_logits.gather(-1, ids).float() - norms[:, 1:]
    divergences = sums[:, :3].clamp_min(0.0)  # rounding never makes one negative
    return TwoSided(
        student_logps=student[:, 0],
        teacher_logps=teacher[:, 0],
        kl_student_teacher=divergences[:, 0],
        kl_teacher_student=divergences[:, 1],
        jsd=divergences[:, 2],
        entropy_student=sums[:, 3],
        entropy_teacher=sums[:, 4],
        top_ids=top_ids,
        top_student_logps=student[:, 1:],
        top_teacher_logps=teacher[:, 1:],
    )
