"""The two operators beside their peers, from the same hidden states and the same frozen head, at a real vocabulary.

`credit`: all per-token quantities of two sides; the peer projects both sides and takes the log-softmax of both whole
tensors of logits. `loss`: reverse KL over the whole vocabulary, forward and gradient at the student's hidden states;
the peers are the same loss written in PyTorch and, where they are installed, TRL's own function, and on CUDA Liger's
fused head.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.benchmarks.measure import Cost, compare
from workbench.credit.divergence import divergence
from workbench.kernels.learning import learn
from workbench.kernels.projection import Head, Side
from workbench.kernels.two_sided import two_sided

VOCABULARY = 151_936  # Qwen3's
TOP_K = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What is measured: tokens of an attempt, width of the hidden states."""

    tokens: int
    hidden: int
    vocabulary: int = VOCABULARY


def default_shape(device: torch.device) -> Shape:
    """On the CPU, fewer tokens and a narrower model, so that the benchmark ends in a minute or two."""
    return Shape(2048, 2560) if device.type == "cuda" else Shape(512, 128)


def device_here() -> torch.device:
    """CUDA where there is some."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtypes(device: torch.device) -> tuple[torch.dtype, ...]:
    """What policies are held in: on the CPU always fp32."""
    return (torch.float32, torch.bfloat16) if device.type == "cuda" else (torch.float32,)


@dataclass(frozen=True, slots=True)
class Result:
    """Of one precision. Ratios are ours / the peer's; time against the fastest peer, memory against the plain one."""

    dtype: str
    costs: dict[str, Cost]
    ratio: float
    memory_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def bench_credit(shape: Shape, repetitions: int, device: torch.device) -> list[Result]:
    """Reading."""

    def contenders(sides: _Sides) -> dict[str, Callable[[], object]]:
        return {
            "workbench": lambda: two_sided(sides.student, sides.teacher, sides.token_ids, top_k=TOP_K),
            "log-softmax": lambda: [torch.log_softmax(logits, dim=-1) for logits in _plain(sides, sides.hidden)],
        }

    return [_result(_draw(shape, dtype, device), contenders, repetitions, device) for dtype in dtypes(device)]


def bench_loss(shape: Shape, repetitions: int, device: torch.device) -> list[Result]:
    """Learning."""

    def contenders(sides: _Sides) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {
            "workbench": lambda: learn(sides.student, sides.teacher, sides.token_ids, _reverse_kl),
            "eager": lambda: _backward(sides, _eager_loss),
        }
        if importlib.util.find_spec("trl") is not None:
            found["TRL full_logits"] = lambda: _backward(sides, _trl_loss)
        if device.type == "cuda" and importlib.util.find_spec("liger_kernel") is not None:
            found["Liger JSD"] = _liger(sides)
        return found

    return [_result(_draw(shape, dtype, device), contenders, repetitions, device) for dtype in dtypes(device)]


@dataclass(frozen=True, slots=True)
class _Sides:
    student: Side
    teacher: Side
    token_ids: Tensor  # (N,)

    @property
    def hidden(self) -> Tensor:
        return self.student.hidden  # (N, H)

    @property
    def weight(self) -> Tensor:
        assert self.student.head.weight is not None
        return self.student.head.weight  # (V, H)


def _draw(shape: Shape, dtype: torch.dtype, device: torch.device) -> _Sides:
    generator = torch.Generator(device).manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, device=device, dtype=dtype)

    head = Head(draw(shape.vocabulary, shape.hidden) * (3.0 / shape.hidden**0.5))
    student, teacher = (Side(head, draw(shape.tokens, shape.hidden)) for _ in range(2))
    token_ids = torch.randint(shape.vocabulary, (shape.tokens,), generator=generator, device=device)
    return _Sides(student, teacher, token_ids)


def _plain(sides: _Sides, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Whole logits (N, V) of both sides, in fp32 as every peer has them in the end."""
    linear = torch.nn.functional.linear
    with torch.no_grad():
        teacher = linear(sides.teacher.hidden, sides.weight).float()
    return linear(hidden, sides.weight).float(), teacher


def _reverse_kl(student: Tensor, teacher: Tensor | None, rows: Tensor) -> Tensor:
    assert teacher is not None
    return divergence(student.log_softmax(-1), teacher.log_softmax(-1), 1.0)


def _eager_loss(student: Tensor, teacher: Tensor) -> Tensor:
    logps = student.log_softmax(-1)
    return (logps.exp() * (logps - teacher.log_softmax(-1))).sum()


def _trl_loss(student: Tensor, teacher: Tensor) -> Tensor:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # it warns that its functions may move
    from trl.experimental.sdpo.loss_utils import compute_full_logit_self_distillation_loss

    return compute_full_logit_self_distillation_loss(student, teacher, distillation_alpha=1.0).sum()


def _backward(sides: _Sides, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    hidden = sides.hidden.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(*_plain(sides, hidden)), hidden)
    return gradient


def _liger(sides: _Sides) -> Callable[[], object]:
    """Its pure distillation; it computes the gradient of the head too, which here is frozen."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    fused = LigerFusedLinearJSDLoss(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=1.0)

    def run() -> Tensor:
        hidden = sides.hidden.clone().requires_grad_()
        weight = sides.weight.detach().requires_grad_()
        fused(hidden, weight, sides.teacher.hidden, sides.weight, sides.token_ids).backward()
        assert hidden.grad is not None
        return hidden.grad

    return run


def _result(
    sides: _Sides,
    contenders: Callable[[_Sides], dict[str, Callable[[], object]]],
    repetitions: int,
    device: torch.device,
) -> Result:
    costs = compare(contenders(sides), repetitions, device)
    (_, ours), *peers = costs.items()
    plain = peers[0][1].peak_bytes
    return Result(
        dtype=str(sides.hidden.dtype).removeprefix("torch."),
        costs=costs,
        ratio=ours.median_s / min(cost.median_s for _, cost in peers),
        memory_ratio=ours.peak_bytes / plain if ours.peak_bytes is not None and plain else None,
    )
