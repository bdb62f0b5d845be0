"""The Triton row kernel, run by Triton's interpreter on the CPU: its arithmetic everywhere, its speed only on CUDA.

The interpreter is chosen when Triton is imported, so the cases run in an interpreter of their own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_sides import assert_within_bar, make_sides
from workbench.kernels.learning import RowLoss, learn, naive
from workbench.kernels.projection import Head, Side
from workbench.kernels.two_sided import chunked, two_sided

from workbench.credit.loss import Distillation, distillation_losses

ROOT = Path(__file__).resolve().parents[1]
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

# Compares with eager arithmetic in float64, on the same fp32 or bf16 logits. PyTorch's fp32 path is the error bar.
CASES = """
import dataclasses, math
import torch
from kernel_sides import assert_within_bar
from workbench.kernels import triton_rows
from workbench.kernels.projection import given
from workbench.kernels.two_sided import chunked, eager_rows
triton_rows._BLOCK = 128  # several blocks per row
triton_rows = triton_rows.triton_rows

def draw(rows, vocabulary, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sides = [3 * torch.randn((rows, vocabulary), generator=generator).to(dtype) for _ in range(2)]
    return *sides, torch.randint(vocabulary, (rows,), generator=generator)

def compare(student, teacher, ids, top_k=0):
    got = triton_rows(student, teacher, ids, top_k)
    truth = eager_rows(student.double(), teacher.double(), ids, top_k)
    peer = eager_rows(student.float(), teacher.float(), ids, top_k)
    for field in dataclasses.fields(got):
        values, true, other = (getattr(result, field.name) for result in (got, truth, peer))
        if field.name == "top_ids":
            assert torch.equal(values, true)
            continue
        assert values.dtype == torch.float32 and values.shape == true.shape
        finite = torch.isfinite(true)
        assert torch.equal(finite, torch.isfinite(values)), field
        assert torch.equal(true.float()[~finite], values[~finite]), field
        if finite.any():
            assert_within_bar(values[finite], true[finite], other[finite], field.name)
    return got

for vocabulary in (1, 2, 127, 128, 129, 509, 1000):
    compare(*draw(2, vocabulary), top_k=4)
compare(*draw(4, 509, torch.bfloat16), top_k=3)
assert triton_rows(*draw(0, 11), 3).top_ids.shape == (0, 6)

student, teacher, ids = draw(4, 509)
plain = compare(student, teacher, ids, top_k=2)
shifted = triton_rows(student + 60.0, teacher - 45.0, ids, 2)
torch.testing.assert_close(shifted.jsd, plain.jsd, rtol=1e-4, atol=1e-5)
torch.testing.assert_close(shifted.kl_student_teacher, plain.kl_student_teacher, rtol=1e-4, atol=1e-4)
same = triton_rows(student, student.clone(), ids, 0)
assert not same.kl_student_teacher.any() and not same.kl_teacher_student.any() and same.jsd.max() < 1e-6

# Ids that both sides rule out: the first blocks, the last ones, and single ones. One side only: infinitely far.
student, teacher, ids = draw(4, 509)
for logits in (student, teacher):
    logits[:, :200] = logits[:, 300] = logits[:, 400:] = -math.inf
ids[:] = 250
compare(student, teacher, ids, top_k=2)
teacher[1, 250] = -math.inf
got = compare(student, teacher, ids)
assert math.isinf(got.kl_student_teacher[1]) and torch.isfinite(got.jsd).all()

# Beside chunks, masked rows poisoned.
student, teacher, ids = draw(9, 509)
mask = torch.tensor([1, 0, 1, 1, 0, 0, 1, 1, 1])
student[mask == 0] = teacher[mask == 0] = math.nan
expected = chunked(given(student), given(teacher), ids, mask=mask, top_k=3)
got = chunked(given(student), given(teacher), ids, mask=mask, top_k=3, rows_form=triton_rows)
for field in dataclasses.fields(got):
    torch.testing.assert_close(getattr(got, field.name), getattr(expected, field.name), rtol=1e-5, atol=2e-5)

# Learning: what a loss reads and its gradient, against autograd in float64; a weight of its own for each row.
from workbench.credit.divergence import divergence
from workbench.kernels.triton_learning import ChosenLogps, Divergence

def learnt(form, logits, weights):
    leaf = logits.detach().clone().requires_grad_()
    values = form(leaf)
    return values.detach(), torch.autograd.grad((values * weights.to(values.dtype)).sum(), leaf)[0]

def compare_learning(fused, eager, student, weights, what):
    got, truth, peer = (
        learnt(form, logits, weights)
        for form, logits in ((fused, student.float()), (eager, student.double()), (eager, student.float()))
    )
    for name, *three in zip(("value", "gradient"), got, truth, peer, strict=True):
        assert three[0].dtype == torch.float32
        assert_within_bar(*three, f"{what}: {name}")
    return got

for vocabulary in (1, 2, 127, 128, 129, 509):
    student, teacher, ids = draw(2, vocabulary, seed=1)
    weights = torch.tensor([0.5, -2.0])
    chosen = torch.stack([ids, (ids + 1) % vocabulary], -1)[:, :vocabulary]
    compare_learning(
        lambda logits: ChosenLogps.apply(logits, chosen),
        lambda logits: logits.log_softmax(-1).gather(-1, chosen),
        student, weights.unsqueeze(-1), f"chosen of {vocabulary}",
    )
    for alpha in (0.0, 0.3, 1.0):
        compare_learning(
            lambda logits: Divergence.apply(logits, teacher, alpha),
            lambda logits: divergence(logits.log_softmax(-1), teacher.to(logits.dtype).log_softmax(-1), alpha),
            student, weights, f"divergence {alpha} of {vocabulary}",
        )
student, teacher, ids = draw(4, 509)
for logits in (student, teacher):
    logits[:, :200] = logits[:, 300] = logits[:, 400:] = -math.inf  # ruled out on both sides: no term, no gradient
for alpha in (0.0, 0.5, 1.0):
    values, gradient = compare_learning(
        lambda logits: Divergence.apply(logits, teacher, alpha),
        lambda logits: divergence(logits.log_softmax(-1), teacher.to(logits.dtype).log_softmax(-1), alpha),
        student, torch.ones(4), f"divergence {alpha} with ids ruled out",
    )
    assert not gradient[:, :200].any()
    assert not Divergence.apply(student, student.clone(), alpha).any() or alpha == 0.5
nothing = draw(0, 11)[0].requires_grad_()
assert torch.autograd.grad(Divergence.apply(nothing, nothing.detach(), 1.0).sum(), nothing)[0].shape == (0, 11)
assert torch.autograd.grad(ChosenLogps.apply(nothing, draw(0, 11)[2][:, None]).sum(), nothing)[0].shape == (0, 11)

# And as the update uses them: as on CUDA, half precision read as it was projected, a mixture in fp32.
from kernel_sides import make_sides
from workbench.credit import divergence as divergences
from workbench.credit.loss import Distillation, distillation_losses
from workbench.kernels import chosen, projection, two_sided
from workbench.kernels.learning import learn, losses_of

def update(options, dtype, distillation):
    student, teacher, ids = make_sides(2, 509, 64, dtype=dtype, seed=2, **options)
    def losses(logits, target, rows):
        return distillation_losses(logits, target, ids[rows], distillation)
    got = learn(student, teacher, ids, losses)
    read = two_sided.two_sided(student, teacher, ids, top_k=3)
    torch.testing.assert_close(losses_of(student, teacher, ids, losses), (got.losses, got.student_logps))
    torch.testing.assert_close(two_sided.sampled_logps(student, ids), got.student_logps)
    names = [field.name for field in dataclasses.fields(read) if field.name != "top_ids"]
    return {**dataclasses.asdict(got), **{name: getattr(read, name) for name in names}}

for options in ({}, {"rate": 0.4}, {"bias": True, "softcap": 3.0, "temperature": 0.7}):
    for mode in ("full_logits", "topk_logits", "sampled_token"):
        for dtype in (torch.float32, torch.bfloat16):
            results = {}
            for switched in (False, True):
                for module in (chosen, projection, two_sided, divergences):
                    module.takes_triton = lambda tensor: switched and tensor.dtype != torch.float64
                results[switched] = update(options, dtype, Distillation(mode, topk=5))
            for name, values in results[True].items():
                peer = results[False][name]
                assert values.dtype == peer.dtype, name
                if dtype == torch.float32:
                    torch.testing.assert_close(values, peer, rtol=1e-4, atol=1e-4, msg=name)
                else:
                    # The gradient at the logits is rounded to 8 bits, once; the push is read from it.
                    spread = (peer.float() - values.float()).abs().max() / peer.float().abs().max()
                    assert spread < 1e-2, (options, mode, name, spread)
print("all equal")
"""

# What the interpreter never sees: whether the compiler takes a kernel. It needs no GPU.
COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from workbench.kernels import triton_learning, triton_rows

POINTERS = {"student", "teacher", "logits", "norms", "sums", "saved", "losses", "weights", "gradient"}
compiled = []
for module in (triton_rows, triton_learning):
    for name, kernel in vars(module).items():
        if not name.endswith("_kernel"):
            continue
        for kind in (0, 1, 2) if "KIND" in kernel.arg_names else (None,):
            types = {one: "*fp32" if one in POINTERS else "i32" for one in kernel.arg_names}
            fixed = {"BLOCK": 4096} | ({} if kind is None else {"KIND": kind})
            types |= dict.fromkeys(fixed, "constexpr") | ({"alpha": "fp32"} if "alpha" in types else {})
            made = triton.compile(ASTSource(kernel, types, fixed), target=GPUTarget("cuda", 90, 32))
            assert made.asm["ptx"]
            compiled.append((name, kind))
assert len(compiled) == 9, compiled
print("all compiled")
"""


def run(code: str, tmp_path: Path, **variables: str) -> str:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = os.environ | {"PYTHONPATH": path, "TRITON_CACHE_DIR": str(tmp_path)} | variables
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@needs_triton
def test_the_kernels_equal_eager_arithmetic(tmp_path: Path) -> None:
    """Fails when an empty first block makes the running maximum -inf - -inf, or when the last block is not cut."""
    assert run(CASES, tmp_path, TRITON_INTERPRET="1") == "all equal"


@needs_triton
def test_the_compiler_takes_every_kernel(tmp_path: Path) -> None:
    """Fails on what is Python to the interpreter alone, such as an annotation that the compiler cannot read."""
    assert run(COMPILED, tmp_path, TRITON_INTERPRET="0") == "all compiled"


@pytest.mark.gpu
@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dispatch_on_cuda_uses_the_kernel_with_the_same_answer(dtype: torch.dtype) -> None:
    student, teacher, ids = make_sides(70, 151_936, 128, dtype=dtype, rate=0.5)
    head = Head(student.head.weight.cuda())
    student = Side(head, student.hidden.cuda())
    teacher = Side(head, teacher.hidden.cuda(), 1.0, teacher.reference.cuda(), 0.5)
    ids = ids.cuda()
    got, expected = two_sided(student, teacher, ids, top_k=8), chunked(student, teacher, ids, top_k=8)
    for name in ("student_logps", "teacher_logps", "kl_student_teacher", "kl_teacher_student", "jsd"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "distillation",
    [Distillation("full_logits", alpha) for alpha in (0.0, 0.5, 1.0)]
    + [Distillation("topk_logits"), Distillation("sampled_token")],
)
def test_learning_on_cuda_has_the_same_answer(distillation: Distillation, dtype: torch.dtype) -> None:
    """No further from autograd in float64 than twice what the CPU makes of the same hidden states."""
    student, teacher, ids = make_sides(70, 9_973, 128, dtype=dtype)

    def losses(ids: torch.Tensor) -> RowLoss:
        return lambda logits, target, rows: distillation_losses(logits, target, ids[rows], distillation)

    def moved(side: Side, *place: Any) -> Side:
        return Side(Head(side.head.weight.to(*place)), side.hidden.to(*place))

    truth = naive(moved(student, torch.float64), moved(teacher, torch.float64), ids, losses(ids))
    peer = learn(student, teacher, ids, losses(ids))
    ids = ids.cuda()
    got = learn(moved(student, "cuda"), moved(teacher, "cuda"), ids, losses(ids))
    for name in ("losses", "student_logps", "push", "grad_hidden"):
        values, expected, other = (getattr(one, name).cpu() for one in (got, truth, peer))
        assert_within_bar(values, expected, other, name)
