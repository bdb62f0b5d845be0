"""The two operators beside their peers, from the same hidden states and the same frozen head, at a real vocabulary.

`credit`: all per-token quantities of two sides; the peer projects both sides and takes the log-softmax of both whole
tensors of logits. `loss`: reverse KL over the whole vocabulary, and over the top 20 with a tail (the default of an
update), forward and gradient at the student's hidden states; the peers are the same loss written in PyTorch and, where
they are installed, TRL's own function, and on CUDA, for the whole vocabulary, Liger's fused head. The lower bound is
the time of the three unavoidable matmuls: both projections, and the backward pass through one.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from workbench.benchmarks.measure import Cost, compare
from workbench.config import DistillationMode
from workbench.credit.loss import Distillation, distillation_losses
from workbench.kernels.learning import learn
from workbench.kernels.projection import Head, Side
from workbench.kernels.two_sided import two_sided

VOCABULARY = 151_936  # Qwen3's
TOP_K = 20
FLOOR = "three matmuls alone"
MODES: tuple[DistillationMode, ...] = ("full_logits", "topk_logits")  # of the loss


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the problem: tokens of an attempt, width of the hidden states."""

    tokens: int
    hidden: int
    vocabulary: int = VOCABULARY


def default_shape(device: torch.device) -> Shape:
    """The size for a device; smaller on the CPU, so that the benchmark ends in a minute or two."""
    return Shape(2048, 2560) if device.type == "cuda" else Shape(512, 128)


def device_here() -> torch.device:
    """CUDA where there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtypes(device: torch.device) -> tuple[torch.dtype, ...]:
    """Precisions that policies are held in: on the CPU always fp32."""
    return (torch.float32, torch.bfloat16) if device.type == "cuda" else (torch.float32,)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one precision. Ratios are ours / the peer's: time to the fastest peer, memory to the plain one."""

    what: str
    dtype: str
    costs: dict[str, Cost]
    floor_ratio: float | None  # time against the matmuls alone
    ratio: float
    memory_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def bench_credit(shape: Shape, repetitions: int, device: torch.device) -> list[Result]:
    """Measure reading: all quantities of both sides."""
    results = []
    for dtype in dtypes(device):
        sides = _draw(shape, dtype, device)
        contenders: dict[str, Callable[[], object]] = {
            "workbench": partial(two_sided, sides.student, sides.teacher, sides.token_ids, top_k=TOP_K),
            "log-softmax": partial(_log_softmax_of_both, sides),
        }
        results.append(_result("all quantities", sides, contenders, repetitions, device))
    return results


def bench_loss(shape: Shape, repetitions: int, device: torch.device) -> list[Result]:
    """Measure learning: loss and gradient."""
    results = []
    for dtype in dtypes(device):
        sides = _draw(shape, dtype, device)
        for mode in MODES:
            results.append(_result(mode, sides, _loss_contenders(sides, mode), repetitions, device))
    return results


def _loss_contenders(sides: _Sides, mode: DistillationMode) -> dict[str, Callable[[], object]]:
    distillation = Distillation(mode, topk=TOP_K)

    def row_loss(student: Tensor, teacher: Tensor | None, rows: Tensor) -> Tensor:
        assert teacher is not None
        return distillation_losses(student, teacher, sides.token_ids[rows], distillation)

    full = mode == "full_logits"
    contenders: dict[str, Callable[[], object]] = {
        FLOOR: partial(_three_matmuls, sides),
        "workbench": partial(learn, sides.student, sides.teacher, sides.token_ids, row_loss),
        "eager": partial(_backward, sides, _eager_loss if full else _eager_top_k_loss),
    }
    if importlib.util.find_spec("trl") is not None:
        contenders["TRL"] = partial(_backward, sides, _trl_loss if full else _trl_top_k_loss)
    if full and sides.hidden.is_cuda and importlib.util.find_spec("liger_kernel") is not None:
        contenders["Liger JSD"] = _liger(sides)
    return contenders


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


def _three_matmuls(sides: _Sides) -> Tensor:
    logits = torch.nn.functional.linear(sides.teacher.hidden, sides.weight)
    logits = torch.nn.functional.linear(sides.hidden, sides.weight)
    return logits @ sides.weight


def _log_softmax_of_both(sides: _Sides) -> list[Tensor]:
    return [torch.log_softmax(logits, dim=-1) for logits in _plain(sides, sides.hidden)]


def _eager_loss(student: Tensor, teacher: Tensor) -> Tensor:
    logps = student.log_softmax(-1)
    return (logps.exp() * (logps - teacher.log_softmax(-1))).sum()


def _eager_top_k_loss(student: Tensor, teacher: Tensor) -> Tensor:
    ids = student.topk(TOP_K, dim=-1).indices
    heads = [logits.log_softmax(-1).gather(-1, ids) for logits in (student, teacher)]
    logps, others = (torch.cat([head, torch.log1p(-head.exp().sum(-1, keepdim=True))], -1) for head in heads)
    return (logps.exp() * (logps - others)).sum()


def _trl_loss(student: Tensor, teacher: Tensor) -> Tensor:
    return _trl().compute_full_logit_self_distillation_loss(student, teacher, distillation_alpha=1.0).sum()


def _trl_top_k_loss(student: Tensor, teacher: Tensor) -> Tensor:
    function = _trl().compute_topk_self_distillation_loss
    return function(student, teacher, distillation_topk=TOP_K, distillation_alpha=1.0, distillation_add_tail=True).sum()


def _trl() -> Any:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # it warns that its functions may move
    from trl.experimental.sdpo import loss_utils

    return loss_utils


def _backward(sides: _Sides, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    hidden = sides.hidden.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(*_plain(sides, hidden)), hidden)
    return gradient


def _liger(sides: _Sides) -> Callable[[], object]:
    """Liger's pure distillation; it also computes the gradient of the head, which is frozen here."""
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
    what: str,
    sides: _Sides,
    contenders: dict[str, Callable[[], object]],
    repetitions: int,
    device: torch.device,
) -> Result:
    costs = compare(contenders, repetitions, device)
    ours = costs["workbench"]
    peers = [cost for name, cost in costs.items() if name not in ("workbench", FLOOR)]
    plain = peers[0].peak_bytes
    return Result(
        what=what,
        dtype=str(sides.hidden.dtype).removeprefix("torch."),
        costs=costs,
        floor_ratio=ours.median_s / costs[FLOOR].median_s if FLOOR in costs else None,
        ratio=ours.median_s / min(cost.median_s for cost in peers),
        memory_ratio=ours.peak_bytes / plain if ours.peak_bytes is not None and plain else None,
    )
