"""The reading operator: naive against Python's own floats, chunked within the error bar, and the edges."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from kernel_sides import DTYPES, LargestTensor, assert_within_bar, make_sides
from torch import Tensor
from workbench.kernels.projection import Head, Side, given
from workbench.kernels.two_sided import TwoSided, chunked, eager_rows, naive, sampled_logps, two_sided

from workbench.kernels import projection

NAMES = [field.name for field in dataclasses.fields(TwoSided)]
PER_TOKEN = [name for name in NAMES if not name.startswith("top_")]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """About three rows per projection and one per slice of arithmetic, at the vocabularies used here."""
    monkeypatch.setattr(projection, "PROJECTED_ELEMENTS", 1600)
    monkeypatch.setattr(projection, "CACHED_ELEMENTS", 600)


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


def plain_logits(side: Side) -> Tensor:
    """The logits of a side as a model computes them: its own precision, every step in the model's order."""
    parts = []
    for hidden in (side.hidden, side.reference):
        if hidden is not None:
            logits = torch.nn.functional.linear(hidden, side.head.weight, side.head.bias)
            if side.head.softcap is not None:
                logits = torch.tanh(logits / side.head.softcap) * side.head.softcap
            parts.append(logits.to(torch.promote_types(logits.dtype, torch.float32)) / side.temperature)
    if len(parts) == 1:
        return parts[0]
    return side.rate * parts[0].log_softmax(-1) + (1.0 - side.rate) * parts[1].log_softmax(-1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("options", [{}, {"bias": True, "softcap": 4.0, "temperature": 0.7}])
def test_naive_equals_the_formulas_by_hand(dtype: torch.dtype, tolerance: float, options: dict) -> None:
    student, teacher, ids = make_sides(6, 37, dtype=dtype, **options)
    got = naive(student, teacher, ids)
    rows = [plain_logits(side).double() for side in (student, teacher)]
    for row in range(6):
        for name, value in by_hand(rows[0][row].tolist(), rows[1][row].tolist(), int(ids[row])).items():
            assert getattr(got, name)[row].item() == pytest.approx(value, abs=tolerance), name


def test_a_mixture_is_the_normalised_product_of_powers() -> None:
    """q proportional to q_ref^(1-rho) q_theta^rho. Fails when the rate is given to the wrong part."""
    student, teacher, ids = make_sides(5, 101, dtype=torch.float64, rate=0.3, temperature=0.8)
    live, reference = (
        torch.softmax(hidden @ teacher.head.weight.T / 0.8, -1) for hidden in (teacher.hidden, teacher.reference)
    )
    product = live**0.3 * reference**0.7
    expected = (product / product.sum(-1, keepdim=True)).log()
    got = two_sided(student, teacher, ids, top_k=101)
    torch.testing.assert_close(got.teacher_logps, expected.gather(-1, ids.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(got.top_teacher_logps[:, :101], expected.gather(-1, got.top_ids[:, :101]))
    with pytest.raises(ValueError, match="strictly between"):
        dataclasses.replace(teacher, rate=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"bias": True, "softcap": 3.0}, {"rate": 0.5, "temperature": 0.7}])
def test_chunked_stays_within_the_error_bar(small_chunks: None, dtype: torch.dtype, options: dict) -> None:
    """Odd vocabulary, odd number of rows. Fails when the logits are cast down after the projection."""
    student, teacher, ids = make_sides(11, 509, 64, dtype=dtype, **options)
    truth = naive(*(double(side) for side in (student, teacher)), ids)
    peer = naive(given(plain_logits(student)), given(plain_logits(teacher)), ids)
    got = two_sided(student, teacher, ids, top_k=3)
    for name in PER_TOKEN:
        assert getattr(got, name).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_within_bar(getattr(got, name), getattr(truth, name), getattr(peer, name), name)
    torch.testing.assert_close(sampled_logps(teacher, ids), got.teacher_logps, rtol=1e-6, atol=1e-6)


def double(side: Side) -> Side:
    """The same numbers in float64."""
    head = Head(*(part if part is None else part.double() for part in (side.head.weight, side.head.bias)))
    head = dataclasses.replace(head, scale=side.head.scale, softcap=side.head.softcap)
    reference = None if side.reference is None else side.reference.double()
    return dataclasses.replace(side, head=head, hidden=side.hidden.double(), reference=reference)


@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 1), (7, 2), (10, 509), (3, 2000)])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, rows: int, vocabulary: int) -> None:
    student, teacher, ids = make_sides(rows, vocabulary, dtype=torch.float64)
    expected = naive(student, teacher, ids, top_k=5)
    for projected, cached in ((1, 1), (1600, 600), (10**9, 10**9)):
        monkeypatch.setattr(projection, "PROJECTED_ELEMENTS", projected)
        monkeypatch.setattr(projection, "CACHED_ELEMENTS", cached)
        got = chunked(student, teacher, ids, top_k=5)
        for name in NAMES:
            torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=1e-10, atol=1e-12)


def test_no_tensor_of_all_rows_and_all_tokens_is_made(small_chunks: None) -> None:
    """Fails when a side is projected before it is cut into chunks."""
    student, teacher, ids = make_sides(400, 509, rate=0.5)
    for read in (lambda: two_sided(student, teacher, ids, top_k=4), lambda: sampled_logps(teacher, ids)):
        with LargestTensor() as watch:
            read()
        assert watch.elements <= max(1600, student.head.weight.numel()), watch.shape
    with LargestTensor() as watch:
        naive(student, teacher, ids)
    assert watch.elements >= 400 * 509  # the watch sees what it should


@pytest.mark.parametrize("form", [naive, chunked, two_sided])
def test_no_rows_and_masked_rows(form, small_chunks: None) -> None:
    """Masked rows may hold anything. Fails when they are computed and then multiplied by 0, or their ids looked up."""
    student, teacher, ids = make_sides(9, 509, rate=0.5)
    empty = form(*make_sides(0, 11), top_k=3)
    assert empty.jsd.shape == (0,) and empty.top_ids.shape == (0, 6) and empty.top_ids.dtype == torch.int64
    mask = torch.tensor([1, 0, 1, 1, 0, 0, 1, 1, 1])
    expected = form(student, teacher, ids, top_k=3)
    for side in (student, teacher):
        side.hidden[mask == 0] = math.nan
    teacher.reference[mask == 0] = math.nan
    ids[mask == 0] = -100
    got = form(student, teacher, ids, mask=mask, top_k=3)
    for name in NAMES:
        values = getattr(got, name)
        torch.testing.assert_close(values[mask == 1], getattr(expected, name)[mask == 1], rtol=1e-5, atol=1e-5)
        assert not values[mask == 0].any()
    nothing = form(student, teacher, ids, mask=torch.zeros(9, dtype=torch.bool), top_k=3)
    assert not any(getattr(nothing, name).any() for name in NAMES)


@pytest.mark.parametrize("form", [naive, chunked])
def test_shifting_either_side_changes_nothing(form) -> None:
    student, teacher, ids = make_sides(4, 53, dtype=torch.float64)
    rows = torch.arange(4)
    first, second = student.logits(rows), teacher.logits(rows)
    plain = form(given(first), given(second), ids, top_k=4)
    shifted = form(given(first + 123.0), given(second - 45.0), ids, top_k=4)
    for name in NAMES:
        torch.testing.assert_close(getattr(shifted, name), getattr(plain, name), rtol=1e-10, atol=1e-10)


def test_identical_sides_are_exactly_zero_apart() -> None:
    student, _, ids = make_sides(8, 101)
    got = two_sided(student, dataclasses.replace(student, hidden=student.hidden.clone()), ids)
    assert torch.equal(got.kl_student_teacher, torch.zeros(8)) and torch.equal(got.kl_teacher_student, torch.zeros(8))
    assert got.jsd.max() < 1e-6
    assert torch.equal(got.student_logps, got.teacher_logps)


@pytest.mark.parametrize("form", [naive, chunked])
def test_ids_that_a_side_rules_out(form) -> None:
    """Fails when terms of probability zero are not left out: 0 * inf."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn((3, 20), generator=generator, dtype=torch.float64) for _ in range(2))
    ids = torch.zeros(3, dtype=torch.int64)
    reduced = [column for column in range(20) if not 5 <= column < 9]
    expected = form(given(student[:, reduced]), given(teacher[:, reduced]), ids)
    student[:, 5:9] = teacher[:, 5:9] = -math.inf
    got = form(given(student), given(teacher), ids, top_k=2)
    for name in PER_TOKEN:
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), msg=name)
    teacher[:, 0] = -math.inf  # the student still writes it: infinitely far in one direction only
    got = form(given(student), given(teacher), ids)
    assert torch.isinf(got.kl_student_teacher).all() and torch.isfinite(got.kl_teacher_student).all()
    assert (got.jsd <= math.log(2)).all() and torch.isfinite(got.entropy_teacher).all()


def test_top_k_holds_both_sides_choices_and_is_cut_at_the_vocabulary() -> None:
    student = torch.tensor([[0.0, 5.0, 1.0, 4.0]])
    teacher = torch.tensor([[6.0, 0.0, 7.0, 1.0]])
    got = two_sided(given(student), given(teacher), torch.tensor([1]), top_k=2)
    assert got.top_ids.tolist() == [[1, 3, 2, 0]]
    torch.testing.assert_close(got.top_student_logps, torch.log_softmax(student, -1)[:, [1, 3, 2, 0]])
    torch.testing.assert_close(got.top_teacher_logps, torch.log_softmax(teacher, -1)[:, [1, 3, 2, 0]])
    assert two_sided(given(student), given(teacher), torch.tensor([1]), top_k=99).top_ids.shape == (1, 8)


def test_what_comes_in_is_left_as_it_was_and_nothing_carries_a_gradient() -> None:
    student, teacher, ids = make_sides(5, 31, softcap=2.0, temperature=0.5)
    logits = student.logits(torch.arange(5)).requires_grad_()
    kept = logits.detach().clone()
    student.hidden.requires_grad_()
    assert not two_sided(student, teacher, ids).kl_student_teacher.requires_grad
    side = dataclasses.replace(given(logits), temperature=0.5)
    assert not sampled_logps(side, ids).requires_grad
    two_sided(side, given(kept), ids, top_k=2)
    assert torch.equal(logits, kept)


def test_shapes_that_do_not_belong_together_are_named() -> None:
    student, teacher, ids = make_sides(2, 7)
    other = make_sides(2, 6)[1]
    for form in (naive, chunked):
        with pytest.raises(ValueError, match="do not belong together"):
            form(student, other, ids)
        with pytest.raises(ValueError, match="do not belong together"):
            form(student, teacher, ids[:1])


@pytest.mark.parametrize("temperature", [0.3, 0.2, 0.05, 1e-3, 1e-6])
def test_low_temperatures_where_both_sides_underflow(temperature: float) -> None:
    """p and q are 0 in float32 at most ids; against float64. Fails when the mixture is log 0 there."""
    generator = torch.Generator().manual_seed(0)
    logits = [20 * torch.randn((4, 50), generator=generator) / temperature for _ in range(2)]
    ids = torch.tensor([0, 7, 20, 49])
    found = eager_rows(*logits, ids, 3)
    student, teacher = (side.double().log_softmax(-1) for side in logits)
    p, q, mixture = student.exp(), teacher.exp(), torch.logaddexp(student, teacher) - math.log(2)
    jsd = 0.5 * ((p * (student - mixture)).sum(-1) + (q * (teacher - mixture)).sum(-1))
    torch.testing.assert_close(found.jsd.double(), jsd, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.teacher_logps.double(), teacher[range(4), ids], rtol=1e-5, atol=1e-4)
    kl = (p * (student - teacher)).sum(-1)
    torch.testing.assert_close(found.kl_student_teacher.double(), kl, rtol=1e-4, atol=1e-4)
