"""Properties of the losses that hold for every input, and pushes and credit against independent computations."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.credit import logit_push, sdpo_loss, token_credit
from workbench.credit.divergence import entropy, kl, log_softmax, slider_scale, top_k_buckets
from workbench.errors import ConfigError

MODES = ("full_logits", "topk_logits", "argmax_token", "sampled_token", "sequence")
DIVERGENCE_MODES = MODES[:3]
VOCABULARY = 13
quick = settings(max_examples=40, deadline=None)


def batch(seed: int, shape: tuple[int, int] = (3, 4)) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = (*shape, VOCABULARY)
    student, teacher = (2.5 * torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(2))
    ids = torch.randint(VOCABULARY, shape, generator=generator)
    mask = (torch.rand(shape, generator=generator) < 0.7).double()
    mask[0, 0] = 1.0
    return student.requires_grad_(), teacher, ids, mask


@st.composite
def loss_settings(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from(MODES))
    alpha = 1.0 if mode == "sampled_token" else draw(st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.9, 1.0]))
    clip = draw(st.sampled_from([None, 0.5, 5.0])) if alpha == 1.0 else None
    return {
        "advantage_clip": clip,
        "distillation_normalised": draw(st.booleans()),
        "distillation_mode": mode,
        "distillation_alpha": alpha,
        "distillation_topk": draw(st.sampled_from([1, 4, VOCABULARY - 1, VOCABULARY])),
        "distillation_add_tail": draw(st.booleans()),
    }


seeds = st.integers(0, 10_000)


@quick
@given(seeds, loss_settings(), st.booleans())
def test_push_equals_autograd(seed: int, options: dict[str, Any], weighted: bool) -> None:
    student, teacher, ids, mask = batch(seed)
    if weighted:
        options |= {"is_clip": 1.5, "old_logps": -4.0 * torch.rand(ids.shape, dtype=torch.float64)}
    options |= {"attempt_mask": torch.tensor([1, 0, 1])}
    loss, _ = sdpo_loss(student, teacher, ids, mask, **options)
    loss.backward()
    count = (mask * options["attempt_mask"].unsqueeze(-1)).sum()
    expected = -student.grad.gather(-1, ids.unsqueeze(-1)).squeeze(-1) * count
    got = logit_push(student, teacher, ids, mask, **options)
    # 1e-5: where the tail has a mass below 1e-7 the loss clamps it, the closed form does not.
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-5)
    assert not got.requires_grad


@quick
@given(seeds, loss_settings())
def test_identical_logits_give_zero_loss_and_gradient(seed: int, options: dict[str, Any]) -> None:
    student, _, ids, mask = batch(seed)
    loss, per_token_loss = sdpo_loss(student, student.detach().clone(), ids, mask, **options)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert per_token_loss.abs().max() < 1e-12 and student.grad.abs().max() < 1e-12


@quick
@given(seeds, loss_settings(), st.floats(-50, 50), st.floats(-50, 50))
def test_shifting_logits_changes_nothing(seed: int, options: dict[str, Any], a: float, b: float) -> None:
    student, teacher, ids, mask = batch(seed)
    plain, _ = sdpo_loss(student, teacher, ids, mask, **options)
    shifted, _ = sdpo_loss(student + a, teacher + b, ids, mask, **options)
    torch.testing.assert_close(shifted, plain, rtol=1e-8, atol=1e-8)


@quick
@given(seeds, loss_settings())
def test_divergences_are_not_negative(seed: int, options: dict[str, Any]) -> None:
    student, teacher, ids, mask = batch(seed)
    _, per_token_loss = sdpo_loss(student, teacher, ids, mask, **options)
    if options["distillation_mode"] in DIVERGENCE_MODES and options["advantage_clip"] is None:
        assert per_token_loss.min() > -1e-12


@quick
@given(seeds, loss_settings(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_trap_10_nothing_reaches_the_loss_from_masked_places(seed: int, options: dict[str, Any], poison: float) -> None:
    """Fails when the losses are masked after the divergences are taken, instead of the logits before."""
    student, teacher, ids, mask = batch(seed)
    old_logps = torch.full(ids.shape, -2.0, dtype=torch.float64)
    options |= {"attempt_mask": torch.tensor([1.0, 0.0, 1.0]), "old_logps": old_logps, "is_clip": 2.0}
    clean, _ = sdpo_loss(student, teacher, ids, mask, **options)
    (clean_gradient,) = torch.autograd.grad(clean, student)

    dead = (mask * options["attempt_mask"].unsqueeze(-1)) == 0
    student = student.detach().masked_fill(dead.unsqueeze(-1), poison).requires_grad_()
    teacher = teacher.masked_fill(dead.unsqueeze(-1), poison)
    options["old_logps"] = old_logps.masked_fill(dead, poison)
    ids = ids.masked_fill(dead, -100)
    loss, per_token_loss = sdpo_loss(student, teacher, ids, mask, **options)
    loss.backward()
    assert loss.item() == pytest.approx(clean.item(), abs=1e-12)
    torch.testing.assert_close(student.grad, clean_gradient)
    assert (per_token_loss[dead] == 0).all() and (student.grad[dead] == 0).all()
    assert torch.isfinite(logit_push(student, teacher, ids, mask, **options)).all()


@pytest.mark.parametrize("mode", MODES)
def test_gradient_reaches_only_the_student(mode: str) -> None:
    student, teacher, ids, mask = batch(1)
    teacher.requires_grad_()
    old_logps = torch.full(ids.shape, -2.0, dtype=torch.float64, requires_grad=True)
    loss, _ = sdpo_loss(student, teacher, ids, mask, distillation_mode=mode, distillation_topk=5, old_logps=old_logps,
                        is_clip=2.0)  # fmt: skip
    loss.backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None and old_logps.grad is None


@pytest.mark.parametrize("mode", MODES)
def test_nothing_active_is_a_zero_with_a_gradient(mode: str) -> None:
    student, teacher, ids, mask = batch(2)
    loss, per_token_loss = sdpo_loss(student, teacher, ids, mask * 0, distillation_mode=mode, distillation_topk=5)
    loss.backward()
    assert loss.item() == 0.0 and not per_token_loss.any() and not student.grad.any()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("mode", ["full_logits", "topk_logits", "argmax_token"])
def test_ids_that_both_sides_rule_out_leave_loss_and_gradient_finite(mode: str, alpha: float) -> None:
    student, teacher, ids, mask = batch(3)
    ids = ids.clamp(max=VOCABULARY - 1)
    pad = torch.full((*ids.shape, 3), -math.inf, dtype=torch.float64)
    options: dict[str, Any] = {
        "distillation_mode": mode,
        "distillation_alpha": alpha,
        "distillation_topk": VOCABULARY if mode == "topk_logits" else 5,
        "distillation_add_tail": False,
    }
    plain, _ = sdpo_loss(student, teacher, ids, mask, **options)
    (expected,) = torch.autograd.grad(plain, student)
    padded, _ = sdpo_loss(torch.cat([student, pad], -1), torch.cat([teacher, pad], -1), ids, mask, **options)
    (got,) = torch.autograd.grad(padded, student)
    torch.testing.assert_close(padded, plain)
    torch.testing.assert_close(got, expected)


@quick
@given(seeds, st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans())
def test_top_k_of_the_whole_vocabulary_is_the_full_divergence(seed: int, alpha: float, add_tail: bool) -> None:
    student, teacher, ids, mask = batch(seed)
    options: dict[str, Any] = {"distillation_alpha": alpha, "distillation_add_tail": add_tail}
    full, _ = sdpo_loss(student, teacher, ids, mask, distillation_mode="full_logits", **options)
    top, _ = sdpo_loss(student, teacher, ids, mask, distillation_topk=VOCABULARY, **options)
    torch.testing.assert_close(top, full, rtol=1e-10, atol=1e-12)


def test_the_whole_vocabulary_has_no_tail_and_a_tail_holds_the_rest() -> None:
    student, teacher, *_ = batch(4)
    sides = [log_softmax(side.detach()).reshape(-1, VOCABULARY) for side in (student, teacher)]
    whole = top_k_buckets(*sides, VOCABULARY, add_tail=True)
    assert not whole.has_tail and whole.student_logps.shape[-1] == VOCABULARY
    some = top_k_buckets(*sides, 4, add_tail=True)
    assert some.has_tail and some.teacher_logps.shape[-1] == 5
    for side in (some.student_logps, some.teacher_logps):
        torch.testing.assert_close(side.exp().sum(-1), torch.ones(len(side), dtype=torch.float64))
    torch.testing.assert_close(some.student_logps[:, :4], sides[0].sort(-1, descending=True).values[:, :4])


@quick
@given(seeds)
def test_credit_averages_to_minus_the_divergence(seed: int) -> None:
    student, teacher, *_ = batch(seed, (2, 3))
    every_id = torch.arange(VOCABULARY).expand(2, 3, VOCABULARY)
    wide = [side.detach().unsqueeze(2).expand(2, 3, VOCABULARY, VOCABULARY) for side in (student, teacher)]
    credit = token_credit(*wide, every_id)  # (2, 3, V): A_t(v) for every v
    mean = (torch.softmax(student, -1) * credit).sum(-1)
    torch.testing.assert_close(mean, -kl(log_softmax(student), log_softmax(teacher)))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 1e-5)]
)
def test_token_credit_equals_float64_brute_force(dtype: torch.dtype, tolerance: float) -> None:
    student, teacher, ids, _ = batch(5)
    student, teacher = student.detach().to(dtype), teacher.to(dtype)
    got = token_credit(student, teacher, ids)
    for b in range(ids.shape[0]):
        for t in range(ids.shape[1]):
            q, p = (np.exp(side[b, t].double().numpy()) for side in (teacher, student))
            v = int(ids[b, t])
            assert got[b, t].item() == pytest.approx(math.log(q[v] / q.sum()) - math.log(p[v] / p.sum()), abs=tolerance)


def test_sampled_token_is_the_score_function_form() -> None:
    student, teacher, ids, mask = batch(6)
    loss, _ = sdpo_loss(student, teacher, ids, mask, distillation_mode="sampled_token")
    p, q = (torch.log_softmax(side, -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1) for side in (student, teacher))
    torch.testing.assert_close(loss, ((p - q).detach() * p * mask).sum() / mask.sum())


def test_sequence_gives_every_token_of_an_attempt_its_mean_credit() -> None:
    student, teacher, ids, mask = batch(7)
    push = logit_push(student, teacher, ids, mask, distillation_mode="sequence")
    credit = token_credit(student.detach(), teacher, ids)
    mean = (credit * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    p = torch.softmax(student.detach(), -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(push, mean * (1 - p) * mask)


def test_argmax_token_compares_the_most_likely_token_with_the_rest() -> None:
    student, teacher, ids, mask = batch(8)
    _, per_token_loss = sdpo_loss(student, teacher, ids, mask, distillation_mode="argmax_token")
    best = student.argmax(-1, keepdim=True)
    p, q = (torch.softmax(side.detach(), -1).gather(-1, best).squeeze(-1) for side in (student, teacher))
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(per_token_loss, expected * mask)


def test_importance_weight_is_one_on_the_first_step_and_clipped_later() -> None:
    student, teacher, ids, mask = batch(9)
    now = torch.log_softmax(student.detach(), -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    plain, per_token_plain = sdpo_loss(student, teacher, ids, mask, distillation_mode="full_logits")
    first, _ = sdpo_loss(student, teacher, ids, mask, distillation_mode="full_logits", old_logps=now, is_clip=2.0)
    torch.testing.assert_close(first, plain)
    old = now - torch.linspace(-30, 3, now.numel(), dtype=torch.float64).reshape(now.shape)
    _, later = sdpo_loss(student, teacher, ids, mask, distillation_mode="full_logits", old_logps=old, is_clip=2.0)
    weight = (now - old).clamp(-20, 20).exp().clamp(max=2.0)
    torch.testing.assert_close(later, per_token_plain * weight)


@quick
@given(seeds, st.sampled_from([0.0, 1.0]), st.sampled_from(DIVERGENCE_MODES))
def test_the_normalised_form_reaches_both_ends_linearly(seed: int, end: float, mode: str) -> None:
    """Loss and gradient; ten times nearer is ten times closer, while the plain form vanishes and jumps."""
    student, teacher, ids, mask = batch(seed)
    # Milder logits: the distance has to be small against the smallest ratio of the two sides' probabilities.
    student, teacher = (0.3 * student.detach()).requires_grad_(), 0.3 * teacher
    options: dict[str, Any] = {"distillation_mode": mode, "distillation_topk": 4}

    def at(alpha: float, *, normalised: bool = True) -> tuple[Tensor, Tensor]:
        loss, _ = sdpo_loss(
            student, teacher, ids, mask, distillation_alpha=alpha, distillation_normalised=normalised, **options
        )
        return loss.detach(), torch.autograd.grad(loss, student)[0]

    limit = at(end)
    torch.testing.assert_close(limit, at(end, normalised=False), rtol=0, atol=0)
    gaps = []
    for distance in (1e-3, 1e-4, 1e-5):
        near = at(abs(end - distance))
        gaps.append([float((a - b).abs().max()) for a, b in zip(near, limit, strict=True)])
        assert at(abs(end - distance), normalised=False)[0] < 10 * distance * max(1.0, limit[0].item())
    for which in (0, 1):
        assert gaps[2][which] < 1e-2 * (1 + float(limit[which].abs().max()))
        for far, near in itertools.pairwise(gaps):
            assert near[which] < 0.2 * far[which] + 1e-9
    assert slider_scale(0.5) == 4.0 and slider_scale(0.0) == slider_scale(1.0) == 1.0


@quick
@given(seeds, st.sampled_from(DIVERGENCE_MODES))
def test_the_advantage_clip_is_the_policy_gradient_of_clipped_credit(seed: int, mode: str) -> None:
    """Gradient by the score function, value by the sum; a clip that nothing reaches changes neither."""
    student, teacher, ids, mask = batch(seed)
    options: dict[str, Any] = {"distillation_mode": mode, "distillation_topk": 4}
    plain, clipped, wide = (
        sdpo_loss(student, teacher, ids, mask, advantage_clip=clip, **options)[0] for clip in (None, 1.0, 1e4)
    )
    torch.testing.assert_close(wide, plain)
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (plain, clipped, wide)]
    torch.testing.assert_close(gradients[2], gradients[0])
    if mode != "full_logits":
        return
    pi, q = torch.softmax(student.detach(), -1), torch.softmax(teacher, -1)
    advantage = (q / pi).log().clamp(-1.0, 1.0)
    assert clipped.item() == pytest.approx((-(pi * advantage).sum(-1) * mask).sum().item() / mask.sum().item())
    jacobian = torch.diag_embed(pi) - pi.unsqueeze(-1) * pi.unsqueeze(-2)  # d pi_v / d z_u
    expected = -torch.einsum("btv,btvu->btu", advantage, jacobian) * mask.unsqueeze(-1) / mask.sum()
    torch.testing.assert_close(gradients[1], expected)


@pytest.mark.parametrize("mode", ["sampled_token", "sequence"])
def test_the_advantage_clip_limits_the_credit_that_weighs_a_token(mode: str) -> None:
    student, teacher, ids, mask = batch(11)
    push = logit_push(student, teacher, ids, mask, distillation_mode=mode, advantage_clip=0.25)
    credit = token_credit(student.detach(), teacher, ids)
    if mode == "sequence":
        credit = ((credit * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)).expand_as(credit)
    p = torch.softmax(student.detach(), -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(push, credit.clamp(-0.25, 0.25) * (1 - p) * mask)
    assert credit.abs().max() > 0.25


def test_entropy_is_the_textbook_sum_and_ignores_impossible_outcomes() -> None:
    uniform = torch.full((1, 8), math.log(1 / 8), dtype=torch.float64)
    assert entropy(uniform).item() == pytest.approx(math.log(8))
    assert entropy(torch.tensor([[0.0, -math.inf, -math.inf]])).item() == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"distillation_mode": "tokens"}, "choose one of"),
        ({"distillation_alpha": 1.5}, "between 0 and 1"),
        ({"distillation_alpha": math.nan}, "between 0 and 1"),
        ({"distillation_topk": VOCABULARY + 1}, "vocabulary's 13"),
        ({"distillation_topk": 0}, "at least 1"),
        ({"advantage_clip": 0.0}, "above 0"),
        ({"advantage_clip": math.nan}, "above 0"),
        ({"advantage_clip": 5.0, "distillation_alpha": 0.5}, "alpha = 1 only"),
        ({"distillation_mode": "sampled_token", "distillation_alpha": 0.5}, "alpha = 1 only"),
        ({"is_clip": 2.0, "distillation_topk": 4}, "needs old_logps"),
    ],
)
def test_impossible_settings_get_one_sentence(options: dict[str, Any], words: str) -> None:
    student, teacher, ids, mask = batch(0)
    for function in (sdpo_loss, logit_push):
        with pytest.raises(ConfigError, match=words):
            function(student, teacher, ids, mask, **options)
