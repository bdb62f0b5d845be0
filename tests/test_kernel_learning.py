"""The learning operator: autograd through everything at once is the truth; chunks, masks and memory beside it."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from kernel_sides import DTYPES, LargestTensor, assert_within_bar, make_sides
from torch import Tensor
from workbench.kernels.learning import Learned, learn, losses_of, naive
from workbench.kernels.projection import Head, Side, given

from workbench.kernels import projection

NAMES = [field.name for field in dataclasses.fields(Learned)]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """About three rows per projection and one per slice of arithmetic, at the vocabularies used here."""
    monkeypatch.setattr(projection, "PROJECTED_ELEMENTS", 1600)
    monkeypatch.setattr(projection, "CACHED_ELEMENTS", 600)


def reverse_kl(student: Tensor, teacher: Tensor | None, rows: Tensor) -> Tensor:
    """KL(pi || q), weighed differently on each row, so that a wrong row number shows."""
    assert teacher is not None
    pi, q = student.log_softmax(-1), teacher.log_softmax(-1)
    return (pi.exp() * (pi - q)).sum(-1) * (1.0 + rows)


def autograd_path(student: Side, teacher: Side, ids: Tensor) -> dict[str, Tensor]:
    """PyTorch's own path in the precision of the hidden states, written out as a model does it."""
    weight, bias, softcap = student.head.weight, student.head.bias, student.head.softcap

    def logits_of(hidden: Tensor) -> Tensor:
        logits = torch.nn.functional.linear(hidden, weight, bias)
        if softcap is not None:
            logits = torch.tanh(logits / softcap) * softcap
        return logits.to(torch.promote_types(logits.dtype, torch.float32)) / student.temperature

    hidden = student.hidden.clone().requires_grad_()
    logits = logits_of(hidden)
    logits.retain_grad()
    target = logits_of(teacher.hidden)
    if teacher.reference is not None:
        target = teacher.rate * target + (1 - teacher.rate) * logits_of(teacher.reference)
    losses = reverse_kl(logits, target, torch.arange(len(ids)))
    losses.sum().backward()
    index = ids.unsqueeze(-1)
    return {
        "losses": losses.detach(),
        "student_logps": logits.detach().log_softmax(-1).gather(-1, index).squeeze(-1),
        "push": -logits.grad.gather(-1, index).squeeze(-1),
        "grad_hidden": hidden.grad,
    }


def double(side: Side) -> Side:
    weight, bias = (part if part is None else part.double() for part in (side.head.weight, side.head.bias))
    reference = None if side.reference is None else side.reference.double()
    head = dataclasses.replace(side.head, weight=weight, bias=bias)
    return dataclasses.replace(side, head=head, hidden=side.hidden.double(), reference=reference)


def test_naive_is_the_derivative() -> None:
    """Against finite differences in float64: independent of autograd and of every formula here."""
    student, teacher, ids = make_sides(3, 23, 5, dtype=torch.float64, bias=True, softcap=3.0, temperature=0.7)
    got, step = naive(student, teacher, ids, reverse_kl), 1e-6
    for row in range(3):
        for column in range(5):
            ends = []
            for sign in (1, -1):
                moved = student.hidden.clone()
                moved[row, column] += sign * step
                ends.append(naive(dataclasses.replace(student, hidden=moved), teacher, ids, reverse_kl).losses.sum())
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(got.grad_hidden[row, column]) == pytest.approx(float(slope), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options", [{}, {"bias": True, "softcap": 3.0, "temperature": 0.7}, {"rate": 0.4, "temperature": 1.3}]
)
def test_learn_stays_within_the_error_bar(small_chunks: None, dtype: torch.dtype, options: dict) -> None:
    """Value, push and gradient; odd vocabulary and rows. Fails without the cap's derivative, or the temperature's."""
    student, teacher, ids = make_sides(11, 509, 64, dtype=dtype, **options)
    truth, peer = naive(double(student), double(teacher), ids, reverse_kl), autograd_path(student, teacher, ids)
    for form in (learn, naive):
        got = form(student, teacher, ids, reverse_kl)
        assert got.grad_hidden.dtype == dtype
        for name in NAMES:
            assert_within_bar(getattr(got, name), getattr(truth, name), peer[name], name)
    losses, logps = losses_of(student, teacher, ids, reverse_kl)
    got = learn(student, teacher, ids, reverse_kl)
    torch.testing.assert_close(losses, got.losses)
    torch.testing.assert_close(logps, got.student_logps)


def test_a_scaled_head_and_a_head_that_is_none(small_chunks: None) -> None:
    student, teacher, ids = make_sides(7, 509, dtype=torch.float64)
    scaled = dataclasses.replace(student, head=dataclasses.replace(student.head, scale=0.25, softcap=5.0))
    expected = naive(scaled, teacher, ids, reverse_kl)
    for name in NAMES:
        torch.testing.assert_close(getattr(learn(scaled, teacher, ids, reverse_kl), name), getattr(expected, name))
    # Logits that exist already: the gradient is that at the logits.
    logits, target = (side.logits(torch.arange(7)) for side in (student, teacher))
    kept = logits.clone()
    got, through = learn(given(logits), given(target), ids, reverse_kl), learn(student, teacher, ids, reverse_kl)
    torch.testing.assert_close(got.grad_hidden @ student.head.weight, through.grad_hidden)
    assert torch.equal(logits, kept)


@pytest.mark.parametrize("form", [naive, learn])
def test_no_rows_and_masked_rows(form, small_chunks: None) -> None:
    """Masked rows may hold anything, forward and backward. Fails when the mask is applied to the result."""
    student, teacher, ids = make_sides(9, 509, rate=0.5)
    assert form(*make_sides(0, 11), reverse_kl).grad_hidden.shape == (0, 16)
    mask = torch.tensor([1, 0, 1, 1, 0, 0, 1, 1, 1])
    expected = form(student, teacher, ids, reverse_kl)
    for hidden in (student.hidden, teacher.hidden, teacher.reference):
        hidden[mask == 0] = math.nan
    ids[mask == 0] = -100
    got = form(student, teacher, ids, reverse_kl, mask=mask)
    for name in NAMES:
        values = getattr(got, name)
        torch.testing.assert_close(values[mask == 1], getattr(expected, name)[mask == 1], rtol=1e-4, atol=1e-5)
        assert not values[mask == 0].any()
    nothing = form(student, teacher, ids, reverse_kl, mask=torch.zeros(9))
    assert not any(getattr(nothing, name).any() for name in NAMES)


def test_shifting_the_logits_changes_nothing() -> None:
    student, teacher, ids = make_sides(4, 53, dtype=torch.float64, bias=True)
    moved = Head(student.head.weight, student.head.bias + 77.0)
    shifted = learn(dataclasses.replace(student, head=moved), teacher, ids, reverse_kl)
    plain = learn(student, teacher, ids, reverse_kl)
    for name in NAMES:
        torch.testing.assert_close(getattr(shifted, name), getattr(plain, name), rtol=1e-9, atol=1e-9)


def test_a_loss_without_a_teacher(small_chunks: None) -> None:
    """Policy gradient of log pi(y): the push is 1 - pi(y)."""
    student, _, ids = make_sides(8, 509, dtype=torch.float64)

    def surrogate(logits: Tensor, teacher: Tensor | None, rows: Tensor) -> Tensor:
        assert teacher is None
        return -logits.log_softmax(-1).gather(-1, ids[rows].unsqueeze(-1)).squeeze(-1)

    got = learn(student, None, ids, surrogate)
    torch.testing.assert_close(got.push, 1.0 - got.student_logps.exp())
    torch.testing.assert_close(got.losses, -got.student_logps)


def test_no_tensor_of_all_rows_and_all_tokens_is_made(small_chunks: None) -> None:
    """Fails when a side is projected before it is cut, or the gradient at the logits is kept for all rows."""
    student, teacher, ids = make_sides(400, 509, rate=0.5)
    for work in (learn, losses_of):
        with LargestTensor() as watch:
            work(student, teacher, ids, reverse_kl)
        assert watch.elements <= max(1600, student.head.weight.numel()), watch.shape


def test_what_does_not_belong_together_is_named() -> None:
    student, teacher, ids = make_sides(4, 7, rate=0.5)
    for form in (naive, learn, losses_of):
        with pytest.raises(ValueError, match="a mixture cannot learn"):
            form(teacher, student, ids, reverse_kl)
        with pytest.raises(ValueError, match="do not belong together"):
            form(student, teacher, ids[:2], reverse_kl)
        with pytest.raises(ValueError, match="do not belong together"):
            form(student, make_sides(4, 8)[1], ids, reverse_kl)
