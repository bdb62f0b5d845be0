"""The two-sided kernel: naive against float64 written out by hand, chunked against naive, and the edges."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from workbench.kernels.two_sided import CHUNK_ELEMENTS, TwoSided, chunked, naive, two_sided

PER_TOKEN = [field.name for field in dataclasses.fields(TwoSided) if not field.name.startswith("top_")]


def sides(
    shape: tuple[int, ...], *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3.0 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    ids = torch.randint(shape[-1], shape[:-1], generator=generator)
    return student.to(dtype), teacher.to(dtype), ids


def by_hand(student: list[float], teacher: list[float], token_id: int) -> dict[str, float]:
    """The same quantities with Python's own floats."""
    p, q = ([math.exp(x) for x in row] for row in (student, teacher))
    p, q = ([x / sum(row) for x in row] for row in (p, q))
    m = [(x + y) / 2 for x, y in zip(p, q, strict=True)]

    def kl(a: list[float], b: list[float]) -> float:
        return math.fsum(x * math.log(x / y) for x, y in zip(a, b, strict=True))

    return {
        "student_logps": math.log(p[token_id]),
        "teacher_logps": math.log(q[token_id]),
        "kl_student_teacher": kl(p, q),
        "kl_teacher_student": kl(q, p),
        "jsd": (kl(p, m) + kl(q, m)) / 2,
        "entropy_student": -math.fsum(x * math.log(x) for x in p),
        "entropy_teacher": -math.fsum(x * math.log(x) for x in q),
    }


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_naive_equals_the_formulas_by_hand(dtype: torch.dtype, tolerance: float) -> None:
    student, teacher, ids = sides((6, 37), dtype=dtype)
    got = naive(student, teacher, ids)
    for row in range(6):
        truth = by_hand(student[row].tolist(), teacher[row].tolist(), int(ids[row]))
        for name, value in truth.items():
            assert getattr(got, name)[row].item() == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("shape", [(1, 1), (7, 2), (2, 5, 509), (3, 1, 4, 97)])
@pytest.mark.parametrize("chunk_tokens", [1, 3, 1000])
def test_chunked_equals_naive(shape: tuple[int, ...], chunk_tokens: int) -> None:
    student, teacher, ids = sides(shape)
    expected, got = (
        naive(student, teacher, ids, top_k=5),
        chunked(student, teacher, ids, top_k=5, chunk_tokens=chunk_tokens),
    )
    for field in dataclasses.fields(TwoSided):
        torch.testing.assert_close(getattr(got, field.name), getattr(expected, field.name), rtol=1e-6, atol=1e-6)


def test_half_precision_logits_are_computed_in_fp32() -> None:
    student, teacher, ids = sides((9, 211), dtype=torch.bfloat16)
    truth = naive(student.double(), teacher.double(), ids)
    got = chunked(student, teacher, ids, chunk_tokens=4)
    for name in PER_TOKEN:
        assert getattr(got, name).dtype == torch.float32
        torch.testing.assert_close(getattr(got, name).double(), getattr(truth, name), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(0, 11), (2, 0, 11)])
def test_no_tokens(shape: tuple[int, ...]) -> None:
    student, teacher, ids = sides(shape)
    for form in (naive, chunked, two_sided):
        got = form(student, teacher, ids, top_k=3)
        assert got.jsd.shape == shape[:-1]
        assert got.top_ids.shape == (*shape[:-1], 6) and got.top_ids.dtype == torch.int64


def test_dispatch_uses_chunks_beyond_the_threshold_with_the_same_answer() -> None:
    student, teacher, ids = sides((5, CHUNK_ELEMENTS // 4 + 1))
    got, expected = two_sided(student, teacher, ids, top_k=2), naive(student, teacher, ids, top_k=2)
    for field in dataclasses.fields(TwoSided):
        torch.testing.assert_close(getattr(got, field.name), getattr(expected, field.name), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("form", [naive, chunked])
def test_shifting_either_side_changes_nothing(form) -> None:
    student, teacher, ids = sides((4, 53), dtype=torch.float64)
    plain = form(student, teacher, ids, top_k=4)
    shifted = form(student + 123.0, teacher - 45.0, ids, top_k=4)
    for field in dataclasses.fields(TwoSided):
        torch.testing.assert_close(getattr(shifted, field.name), getattr(plain, field.name), rtol=1e-10, atol=1e-10)


def test_identical_sides_are_exactly_zero_apart() -> None:
    student, _, ids = sides((8, 101))
    got = two_sided(student, student.clone(), ids)
    assert torch.equal(got.kl_student_teacher, torch.zeros(8)) and torch.equal(got.kl_teacher_student, torch.zeros(8))
    assert got.jsd.max() < 1e-6
    assert torch.equal(got.student_logps, got.teacher_logps)


def test_ids_that_a_side_rules_out() -> None:
    student, teacher, ids = sides((3, 20), dtype=torch.float64)
    ids.zero_()
    reduced = [column for column in range(20) if not 5 <= column < 9]
    expected = naive(student[:, reduced], teacher[:, reduced], ids)
    student[:, 5:9] = teacher[:, 5:9] = -math.inf
    got = two_sided(student, teacher, ids, top_k=2)
    for name in PER_TOKEN:
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), msg=name)
    teacher[:, 0] = -math.inf  # the student still writes it: infinitely far in one direction only
    got = two_sided(student, teacher, ids)
    assert torch.isinf(got.kl_student_teacher).all() and torch.isfinite(got.kl_teacher_student).all()
    assert (got.jsd <= math.log(2)).all() and torch.isfinite(got.entropy_teacher).all()


def test_top_k_holds_both_sides_choices_and_is_cut_at_the_vocabulary() -> None:
    student = torch.tensor([[0.0, 5.0, 1.0, 4.0]])
    teacher = torch.tensor([[6.0, 0.0, 7.0, 1.0]])
    got = two_sided(student, teacher, torch.tensor([1]), top_k=2)
    assert got.top_ids.tolist() == [[1, 3, 2, 0]]
    torch.testing.assert_close(got.top_student_logps, torch.log_softmax(student, -1)[:, [1, 3, 2, 0]])
    torch.testing.assert_close(got.top_teacher_logps, torch.log_softmax(teacher, -1)[:, [1, 3, 2, 0]])
    assert two_sided(student, teacher, torch.tensor([1]), top_k=99).top_ids.shape == (1, 8)


def test_no_gradient_and_no_graph() -> None:
    student, teacher, ids = sides((2, 7))
    student.requires_grad_()
    assert not two_sided(student, teacher, ids).kl_student_teacher.requires_grad


def test_shapes_that_do_not_belong_together_are_named() -> None:
    student, teacher, ids = sides((2, 7))
    for form in (naive, chunked):
        with pytest.raises(ValueError, match="do not belong together"):
            form(student, teacher[:, :6], ids)
        with pytest.raises(ValueError, match="do not belong together"):
            form(student, teacher, ids[:1])
