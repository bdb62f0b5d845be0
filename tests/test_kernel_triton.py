"""The Triton row kernel, run by Triton's interpreter on the CPU: its arithmetic everywhere, its speed only on CUDA.

The interpreter is chosen when Triton is imported, so the cases run in an interpreter of their own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kernel_sides import make_sides
from workbench.kernels.projection import Head, Side
from workbench.kernels.two_sided import chunked, two_sided

ROOT = Path(__file__).resolve().parents[1]
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

# Compares with eager arithmetic in float64, on the same fp32 or bf16 logits. PyTorch's fp32 path is the error bar.
CASES = """
import dataclasses, math, sys
sys.path.insert(0, {tests!r})
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
    compare(*draw(3, vocabulary), top_k=4)
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
print("all equal")
"""


@needs_triton
def test_the_kernel_equals_eager_arithmetic() -> None:
    """Fails when an empty first block makes the running maximum -inf - -inf, or when the last block is not cut."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    code = CASES.format(tests=str(ROOT / "tests"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "all equal"


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
