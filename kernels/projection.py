"""The output head of a language model, and one side of a comparison before it: logits of a few rows, never of all.

Tensors in, tensors out: knows nothing of models, attempts or losses. A row is one position at which a token is
predicted. Logits leave here with the temperature applied, in fp32, or fp64 for fp64 hidden states; `as_projected`
leaves them as the matmul wrote them where the numbers are the same and the Triton kernels read them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# Logits of one side that exist at a time (64 MiB in fp32): enough rows that a matmul is worth reading the weight for
# (110 at a vocabulary of 151,936), and a small part of what a whole attempt would need. On CUDA four times as many: a
# matmul of fewer rows is bound by reading the weight, and each chunk by its launches (docs/measurements.md).
PROJECTED_ELEMENTS, PROJECTED_ELEMENTS_ON_CUDA = 2**24, 2**26
# Logits that the CPU works on at a time (4 MiB in fp32), so that they stay in its cache.
CACHED_ELEMENTS = 2**20


@dataclass(frozen=True, slots=True)
class Head:
    """Hidden states (n, H) -> logits (n, V): a frozen linear layer, and the scale and cap that some models add."""

    weight: Tensor | None  # (V, H); None: what comes in are the logits themselves
    bias: Tensor | None = None  # (V,)
    scale: float = 1.0  # multiplies the projection: Cohere's logit_scale, one over Granite's logits_scaling
    softcap: float | None = None  # c: c tanh(z / c), Gemma 2

    def logits(self, hidden: Tensor, temperature: float) -> Tensor:
        """(n, H) -> (n, V), z = cap(scale (W h + b)) / temperature. Without a weight it works on `hidden` itself."""
        projected = hidden if self.weight is None else torch.nn.functional.linear(hidden, self.weight, self.bias)
        values = projected.to(working_dtype(hidden))
        if self.softcap is None:
            return values if self.scale == temperature else values.mul_(self.scale / temperature)
        return values.mul_(self.scale / self.softcap).tanh_().mul_(self.softcap / temperature)

    def before_cap(self, gradient: Tensor, logits: Tensor, temperature: float) -> Tensor:
        """Gradient at the logits (n, V) -> gradient at W h + b (n, V), in place; first half of the backward pass."""
        if self.softcap is not None:
            capped = logits.mul(temperature / self.softcap)  # tanh of its input
            gradient.mul_(capped.square_().neg_().add_(1.0))
        return gradient if self.scale == temperature else gradient.mul_(self.scale / temperature)

    def before_weight(self, gradient: Tensor, dtype: torch.dtype) -> Tensor:
        """Gradient at W h + b (n, V) -> gradient at the hidden states (n, H): the second half, one matmul."""
        return gradient.to(dtype) if self.weight is None else gradient.to(dtype) @ self.weight


@dataclass(frozen=True, slots=True)
class Side:
    """N rows of one side: a policy, or a geometric mixture of two, log q = (1 - rate) log q_ref + rate log q_hidden.

    The mixture is the trust-region teacher (docs/algorithm.md, section 3). Logits are mixed before they are normalised,
    which gives the same distribution.
    """

    head: Head
    hidden: Tensor  # (N, H) final hidden states
    temperature: float = 1.0
    reference: Tensor | None = None  # (N, H), the mixture's other part, through the same head
    rate: float = 1.0  # rho, weight of `hidden`; strictly between 0 and 1 where there is a reference

    def __post_init__(self) -> None:
        if self.reference is not None and (self.reference.shape != self.hidden.shape or not 0.0 < self.rate < 1.0):
            raise ValueError(
                f"a mixture of {tuple(self.hidden.shape)} and {tuple(self.reference.shape)} hidden states at rate "
                f"{self.rate}: the shapes must be equal and the rate strictly between 0 and 1"
            )

    @property
    def vocabulary(self) -> int:
        """V, the number of logits of a row."""
        return self.hidden.shape[-1] if self.head.weight is None else self.head.weight.shape[0]

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (n, V) of the rows with these indices (n,): a new tensor, which the caller may overwrite."""
        values = self.head.logits(self.hidden[rows], self.temperature)
        if self.reference is None:
            return values
        return values.lerp_(self.head.logits(self.reference[rows], self.temperature), 1.0 - self.rate)

    def as_projected(self, rows: Tensor) -> Tensor:
        """The same numbers, left in half precision where the projection was made in it and nothing follows.

        For the Triton kernels, which compute in fp32 whatever they read; PyTorch would go on in half precision.
        """
        head = self.head
        processed = head.softcap is not None or head.scale != self.temperature or self.reference is not None
        if head.weight is None or processed or not takes_triton(self.hidden):
            return self.logits(rows)
        return torch.nn.functional.linear(self.hidden[rows], head.weight, head.bias)

    def take(self, rows: Tensor) -> Side:
        """Select rows, by indices or a mask, as a new side."""
        reference = None if self.reference is None else self.reference[rows]
        return replace(self, hidden=self.hidden[rows], reference=reference)

    def spread(self, mask: Tensor) -> Side:
        """Invert `take(mask)`: put the rows where `mask` (M,) is set, and zeros elsewhere."""

        def placed(rows: Tensor) -> Tensor:
            return rows.new_zeros((len(mask), rows.shape[-1])).index_put((mask,), rows)

        return replace(
            self,
            hidden=placed(self.hidden),
            reference=None if self.reference is None else placed(self.reference),
        )

    def in_full(self) -> Side:
        """The same side with everything held in fp32 or better, for the reference computation."""

        def full(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.detach().to(working_dtype(self.hidden))

        head = replace(self.head, weight=full(self.head.weight), bias=full(self.head.bias))
        hidden = self.hidden.detach().to(working_dtype(self.hidden))
        return replace(self, head=head, hidden=hidden, reference=full(self.reference))


def given(logits: Tensor) -> Side:
    """A side whose logits (N, V) already exist, temperature applied."""
    return Side(Head(None), logits)


def working_dtype(tensor: Tensor) -> torch.dtype:
    """The precision of everything after a projection: fp64 for fp64, else fp32."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def takes_triton(tensor: Tensor) -> bool:
    """True where the Triton kernels apply: on CUDA, in their fp32 arithmetic, and where Triton is installed.

    PyTorch's CUDA builds bring Triton along on most platforms.
    """
    return tensor.is_cuda and tensor.dtype != torch.float64 and importlib.util.find_spec("triton") is not None


def row_chunks(count: int, vocabulary: int, device: torch.device, mask: Tensor | None) -> Iterator[Tensor]:
    """Yield the indices of the active rows, one projection's worth at a time. `mask` (N,), nonzero = active."""
    rows = torch.arange(count, device=device) if mask is None else mask.nonzero().squeeze(-1)
    elements = PROJECTED_ELEMENTS_ON_CUDA if device.type == "cuda" else PROJECTED_ELEMENTS
    yield from rows.split(max(1, elements // vocabulary)) if rows.numel() else ()


def cached_slices(count: int, vocabulary: int, device: torch.device) -> Iterator[slice]:
    """Slices of a chunk's rows for arithmetic: cache-sized on the CPU, the whole chunk elsewhere."""
    step = max(1, CACHED_ELEMENTS // vocabulary) if device.type == "cpu" else count
    return (slice(start, start + step) for start in range(0, count, step))
