"""Sides for the kernels' tests, the error bar, and a watch on how large a tensor an operation makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from workbench.kernels.projection import Head, Side

DTYPES = (torch.float32, torch.bfloat16, torch.float64)


def make_sides(
    rows: int,
    vocabulary: int,
    hidden: int = 16,
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    bias: bool = False,
    softcap: float | None = None,
    temperature: float = 1.0,
    rate: float | None = None,
) -> tuple[Side, Side, Tensor]:
    """Student, teacher (a mixture where a rate is given) and token ids, of logits with a spread of a few nats."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    weight = (3.0 * draw(vocabulary, hidden) / hidden**0.5).to(dtype)
    head = Head(weight, draw(vocabulary) if bias else None, 1.0, softcap)
    student = Side(head, draw(rows, hidden), temperature)
    if rate is None:
        teacher = Side(head, draw(rows, hidden), temperature)
    else:
        teacher = Side(head, draw(rows, hidden), temperature, draw(rows, hidden), rate)
    return student, teacher, torch.randint(vocabulary, (rows,), generator=generator)


def assert_within_bar(got: Tensor, truth: Tensor, peer: Tensor, what: str) -> None:
    """The error against the truth is at most twice what PyTorch's own path of the same precision makes.

    Some units of the result's own precision are allowed on top: where the peer happens to be exact, and for float64,
    whose truth is no more precise than it is.
    """
    units = 64 if got.dtype == torch.float64 else 8
    spacing = units * torch.finfo(got.dtype).eps * truth.abs().max().clamp(min=1.0).item()
    error, allowed = (got.double() - truth.double()).abs().max(), (peer.double() - truth.double()).abs().max()
    assert float(error) <= 2.0 * float(allowed) + spacing, f"{what}: {float(error):.3g}, peer {float(allowed):.3g}"


class LargestTensor(TorchDispatchMode):
    """Inside the block `elements` is the size of the largest tensor that any operation gave, `shape` its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.elements, self.shape = 0, ()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.numel() > self.elements and func is not torch.ops.aten.t.default:
                self.elements, self.shape = leaf.numel(), tuple(leaf.shape)
        return result
