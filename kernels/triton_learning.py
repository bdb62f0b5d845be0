"""Losses over whole rows of logits, and their gradients, as Triton kernels: no intermediate of size V.

`ChosenLogps` is the log-probability of a few ids; `Divergence` compares whole distributions. Both keep each row's
normaliser and, on the way back, read the logits once more and write the gradient, weighed by what comes in. Arithmetic
is fp32. Needs Triton, which PyTorch's builds for CUDA bring along; with TRITON_INTERPRET=1 it runs on the CPU, slowly.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from workbench.kernels.triton_rows import block_size, normaliser, normalisers, read, weighted

FORWARD_KL, JENSEN_SHANNON, REVERSE_KL = 0, 1, 2  # kinds of divergence: alpha = 0, between, 1


@triton.jit
def _normaliser_kernel(logits, norms, row_stride, vocabulary, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)  # rows x V passes 2^31
    tl.store(norms + row, normaliser(logits + row * row_stride, vocabulary, BLOCK))


@triton.jit
def _share_kernel(logits, norms, weights, gradient, row_stride, vocabulary, BLOCK: tl.constexpr):
    """gradient = weight p: the part of the way back that every id has, chosen or not."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    z = read(logits + row * row_stride, columns, vocabulary)
    share = tl.load(weights + row) * tl.exp(z - tl.load(norms + row))
    tl.store(gradient + row * row_stride + columns, share, mask=columns < vocabulary)


@triton.jit
def _log_against(p, q, t, alpha, KIND: tl.constexpr):
    """log r, what pi is compared with: q itself, or the mixture (1 - alpha) pi + alpha q."""
    return t if KIND == 2 else tl.log((1.0 - alpha) * p + alpha * q)


@triton.jit
def _divergence_kernel(
    student, teacher, saved, losses, row_stride, vocabulary, alpha, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    """Saves both normalisers and E_pi[log pi - log r], which the gradient needs."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    student += row * row_stride
    teacher += row * row_stride
    s_norm, t_norm = normalisers(student, teacher, vocabulary, BLOCK)
    mean = tl.zeros([BLOCK], dtype=tl.float32)
    loss = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, vocabulary, BLOCK):
        s = read(student, start + columns, vocabulary) - s_norm
        t = read(teacher, start + columns, vocabulary) - t_norm
        p = tl.exp(s)
        q = tl.exp(t)
        if KIND == 0:
            loss += weighted(q, t, s)
        else:
            against = _log_against(p, q, t, alpha, KIND)
            term = weighted(p, s, against)
            mean += term
            if KIND == 1:
                loss += (1.0 - alpha) * term + alpha * weighted(q, t, against)
            else:
                loss += term
    tl.store(losses + row, tl.sum(loss, axis=0))
    tl.store(saved + 3 * row, s_norm)
    tl.store(saved + 3 * row + 1, t_norm)
    tl.store(saved + 3 * row + 2, tl.sum(mean, axis=0))


@triton.jit
def _divergence_gradient_kernel(
    student, teacher, saved, weights, gradient, row_stride, vocabulary, alpha, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    s = read(student + row * row_stride, columns, vocabulary) - tl.load(saved + 3 * row)
    t = read(teacher + row * row_stride, columns, vocabulary) - tl.load(saved + 3 * row + 1)
    p = tl.exp(s)
    q = tl.exp(t)
    if KIND == 0:
        at_logit = p - q
    else:
        at_logit = weighted(p, s, _log_against(p, q, t, alpha, KIND)) - p * tl.load(saved + 3 * row + 2)
        if KIND == 1:
            at_logit *= 1.0 - alpha
    tl.store(gradient + row * row_stride + columns, tl.load(weights + row) * at_logit, mask=columns < vocabulary)


class ChosenLogps(torch.autograd.Function):
    """`chosen.chosen_logps`: logits (n, V), ids (n, K) -> (n, K), fp32."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ids: Tensor) -> Tensor:
        count, vocabulary = logits.shape
        logits = logits.contiguous()
        norms = torch.empty(count, dtype=torch.float32, device=logits.device)
        if count:
            _normaliser_kernel[(count,)](
                logits, norms, vocabulary, vocabulary, BLOCK=block_size(vocabulary), num_warps=8
            )
        logps = logits.gather(-1, ids).float() - norms.unsqueeze(-1)
        ctx.save_for_backward(logits, ids, norms, logps)
        return logps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """d log p(v) / d z(u) = [u = v] - p(u)."""
        logits, ids, norms, logps = ctx.saved_tensors
        (arriving,) = gradients  # (n, K)
        count, vocabulary = logits.shape
        gradient, block = torch.empty_like(logits), block_size(vocabulary)
        weights = -arriving.sum(-1)
        if count:
            _share_kernel[(count, triton.cdiv(vocabulary, block))](
                logits, norms, weights, gradient, vocabulary, vocabulary, BLOCK=block, num_warps=8
            )
        # Those of the chosen ids as a whole: of a token that is nearly certain the two parts nearly cancel.
        chosen = arriving + weights.unsqueeze(-1) * logps.exp()
        return gradient.scatter_(-1, ids, chosen.to(gradient.dtype)), None


class Divergence(torch.autograd.Function):
    """D_alpha(pi, q) of `credit.divergence`, from logits (n, V) x 2 -> (n,), fp32; the teacher's have no gradient."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
        count, vocabulary = student.shape
        student, teacher = student.contiguous(), teacher.contiguous()
        saved = torch.empty((count, 3), dtype=torch.float32, device=student.device)
        losses = torch.empty(count, dtype=torch.float32, device=student.device)
        ctx.alpha, ctx.kind = alpha, REVERSE_KL if alpha == 1.0 else FORWARD_KL if alpha == 0.0 else JENSEN_SHANNON
        if count:
            _divergence_kernel[(count,)](
                student,
                teacher,
                saved,
                losses,
                vocabulary,
                vocabulary,
                alpha,
                KIND=ctx.kind,
                BLOCK=block_size(vocabulary),
                num_warps=8,
            )
        ctx.save_for_backward(student, teacher, saved)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        student, teacher, saved = ctx.saved_tensors
        count, vocabulary = student.shape
        gradient, block = torch.empty_like(student), block_size(vocabulary)
        if count:
            _divergence_gradient_kernel[(count, triton.cdiv(vocabulary, block))](
                student,
                teacher,
                saved,
                gradients[0].contiguous(),
                gradient,
                vocabulary,
                vocabulary,
                ctx.alpha,
                KIND=ctx.kind,
                BLOCK=block,
                num_warps=8,
            )
        return gradient, None, None
