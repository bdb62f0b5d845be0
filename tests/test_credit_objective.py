"""Weights, routes and the joint objective, each against a computation that shares no code with it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.config import Method
from workbench.credit import Distillation, Route, Targets, grpo_advantage, objective_losses, objective_push, route
from workbench.credit.weights import (
    attempt_means,
    entropy_weights,
    evidence_weights,
    importance_weights,
    span_mask,
)
from workbench.errors import ConfigError

ROWS, VOCABULARY = 9, 11
quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10_000)


def rows(seed: int) -> tuple[Tensor, Tensor, Targets]:
    """Student, teacher of the distilled rows, and targets in which every kind of row occurs."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    distilled = torch.tensor([True, True, False, False, True, True, True, False, True])
    count = int(distilled.sum())
    targets = Targets(
        token_ids=torch.randint(VOCABULARY, (ROWS,), generator=generator),
        advantages=normal(ROWS) * torch.tensor([1, 0, 1, 0, 1, 1, 0, 1, 1]),
        distilled=distilled,
        distillation_weights=normal(count).abs(),
        mean_credit=normal(count),
        importance_weights=normal(ROWS).exp(),
    )
    return (2.0 * normal(ROWS, VOCABULARY)).requires_grad_(), 2.0 * normal(count, VOCABULARY), targets


@st.composite
def distillations(draw: st.DrawFn) -> Distillation:
    mode = draw(st.sampled_from(["full_logits", "topk_logits", "argmax_token", "sampled_token", "sequence"]))
    alpha = 1.0 if mode == "sampled_token" else draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    clip = draw(st.sampled_from([None, 0.7])) if alpha == 1.0 else None
    return Distillation(mode, alpha, draw(st.sampled_from([1, 4, VOCABULARY])), draw(st.booleans()),
                        draw(st.booleans()), clip)  # fmt: skip


@quick
@given(seeds, distillations(), st.booleans(), st.booleans())
def test_push_equals_autograd_for_every_kind_of_row(
    seed: int, distillation: Distillation, reinforced: bool, weighted: bool
) -> None:
    student, teacher, targets = rows(seed)
    changes: dict[str, Any] = {} if reinforced else {"advantages": None}
    targets = dataclasses.replace(targets, **changes | ({} if weighted else {"importance_weights": None}))
    objective_losses(student, teacher, targets, distillation).sum().backward()
    push = objective_push(student, teacher, targets, distillation)
    expected = -student.grad.gather(-1, targets.token_ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(push, expected, rtol=1e-7, atol=1e-5)  # the tail's clamp, as in test_credit_loss
    assert not push.requires_grad


@quick
@given(seeds, distillations(), st.integers(1, ROWS - 1))
def test_any_slice_of_the_rows_can_be_computed_alone(seed: int, distillation: Distillation, cut: int) -> None:
    student, teacher, targets = rows(seed)
    whole = objective_losses(student, teacher, targets, distillation)
    before = int(targets.distilled[:cut].sum())
    parts = []
    for part, taught in ((slice(0, cut), slice(0, before)), (slice(cut, None), slice(before, None))):
        sliced = Targets(
            targets.token_ids[part],
            targets.advantages[part],
            targets.distilled[part],
            targets.distillation_weights[taught],
            targets.mean_credit[taught],
            targets.importance_weights[part],
        )
        parts.append(objective_losses(student[part], teacher[taught], sliced, distillation))
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


@quick
@given(seeds, st.floats(0.0, 1.0))
def test_the_blend_is_equation_3(seed: int, grpo_weight: float) -> None:
    """sum_v of A(v) pi(v) grad log pi(v), with A_SDPO over all tokens and A_GRPO on the sampled one."""
    student, _, targets = rows(seed)
    teacher = torch.randn(ROWS, VOCABULARY, dtype=torch.float64)
    advantage = torch.linspace(-1, 1, ROWS, dtype=torch.float64)
    blended = Targets(
        targets.token_ids,
        grpo_weight * advantage,
        torch.ones(ROWS, dtype=torch.bool),
        torch.full((ROWS,), 1.0 - grpo_weight, dtype=torch.float64),
    )
    objective_losses(student, teacher, blended, Distillation("full_logits")).sum().backward()
    pi, q = torch.softmax(student.detach(), -1), torch.softmax(teacher, -1)
    scores = torch.eye(VOCABULARY, dtype=torch.float64) - pi.unsqueeze(1)  # (N, v, u): d log pi_v / d z_u
    sampled = torch.nn.functional.one_hot(targets.token_ids, VOCABULARY)
    mixed = grpo_weight * advantage.unsqueeze(-1) * sampled + (1.0 - grpo_weight) * pi * (q / pi).log()
    torch.testing.assert_close(student.grad, -(mixed.unsqueeze(-1) * scores).sum(1), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("mode", ["topk_logits", "sampled_token", "sequence"])
def test_gradient_reaches_only_the_student(mode: str) -> None:
    """Fails when a `detach` of the teacher's logits, the advantages or the credit is removed."""
    student, teacher, targets = rows(3)
    fixed = [one.requires_grad_() for one in (teacher, targets.advantages, targets.mean_credit)]
    losses = objective_losses(student, teacher, targets, Distillation(mode, topk=4))
    reached = torch.autograd.grad(losses.sum(), [student, *fixed], allow_unused=True)
    assert reached[0].abs().sum() > 0 and reached[1:] == (None, None, None)


def test_grpo_advantage_is_centred_and_not_standardised() -> None:
    assert grpo_advantage(torch.tensor([1.0, 0.0, 0.0, 1.0])).tolist() == [0.5, -0.5, -0.5, 0.5]
    assert not grpo_advantage(torch.ones(5)).any()


def test_grpo_alone_is_minus_advantage_times_log_probability() -> None:
    student, _, targets = rows(4)
    alone = dataclasses.replace(targets, distilled=torch.zeros(ROWS, dtype=torch.bool))
    losses = objective_losses(student, None, alone, Distillation())
    probabilities = torch.softmax(student.detach(), -1)[torch.arange(ROWS), targets.token_ids].numpy()
    expected = -targets.advantages.numpy() * np.log(probabilities) * targets.importance_weights.numpy()
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=1e-12)


def test_importance_weights_are_clipped_above_and_their_exponent_on_both_sides() -> None:
    old = torch.zeros(5, dtype=torch.float64)
    new = torch.tensor([0.0, 0.5, -0.5, 100.0, -100.0], dtype=torch.float64, requires_grad=True)
    got = importance_weights(new, old, 1.5)
    assert got.tolist() == pytest.approx([1.0, 1.5, math.exp(-0.5), 1.5, math.exp(-20)]) and not got.requires_grad


@quick
@given(st.lists(st.floats(0.0, 12.0), min_size=1, max_size=20), st.sampled_from([0.0, 0.5, 1.0, 300.0]))
def test_entropy_weights_have_mean_one_and_the_ratio_of_the_formula(entropies: list[float], beta: float) -> None:
    """Fails without the subtraction of the smallest entropy: beta 300 gives 0 / 0."""
    got = entropy_weights(torch.tensor(entropies, dtype=torch.float64), beta)
    assert got.mean().item() == pytest.approx(1.0) and (got >= 0).all()
    best = int(np.argmin(entropies))
    for value, entropy in zip(got.tolist(), entropies, strict=True):
        assert value / got[best].item() == pytest.approx(math.exp(-beta * (entropy - entropies[best])))
    assert entropy_weights(torch.zeros(0), 1.0).shape == (0,)


def test_evidence_weights_turn_with_the_sign_of_the_reward() -> None:
    credit = torch.tensor([0.1, 0.1, -0.1, -0.1, 3.0, 3.0, 0.1])
    advantages = torch.tensor([0.5, -0.5, 0.5, -0.5, 1.0, -1.0, 0.0])
    up, down = math.exp(0.1), math.exp(-0.1)
    assert evidence_weights(credit, advantages, 0.2).tolist() == pytest.approx([up, down, down, up, 1.2, 0.8, 1.0])
    assert evidence_weights(credit, advantages, 0.0).tolist() == [1.0] * 7


def test_attempt_means_are_over_each_attempt() -> None:
    attempts = torch.tensor([0, 0, 2, 2, 2])
    assert attempt_means(torch.tensor([1.0, 3.0, 1.0, 2.0, 6.0]), attempts).tolist() == [2.0, 2.0, 3.0, 3.0, 3.0]
    assert attempt_means(torch.zeros(0), torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_spans_select_their_tokens_and_nothing_else() -> None:
    assert span_mask([(1, 3), (2, 4)], 6).tolist() == [False, True, True, True, False, False]
    assert not span_mask([], 3).any()
    for span in ((0, 4), (2, 2), (2, 1), (-1, 2)):
        with pytest.raises(ConfigError, match="not within an attempt of 3 tokens"):
            span_mask([span], 3)


@pytest.mark.parametrize(
    ("method", "facts", "expected"),
    [  # facts: informed, passed, rewarded
        ("sdpo", (True, False, True), Route(1.0, 0.0)),
        ("sdpo", (True, True, True), Route(1.0, 0.0)),
        ("sdpo", (False, False, True), Route(0.0, 0.0)),
        ("grpo", (True, False, True), Route(0.0, 1.0)),
        ("grpo", (True, False, False), Route(0.0, 0.0)),
        ("blend", (True, False, True), Route(0.25, 0.75)),
        ("blend", (False, False, True), Route(0.0, 0.75)),
        ("blend", (True, False, False), Route(0.25, 0.0)),
        ("srpo", (True, False, True), Route(1.0, 0.0)),  # a failure with teacher information
        ("srpo", (True, True, True), Route(0.0, 1.0)),
        ("srpo", (False, False, True), Route(0.0, 1.0)),
        ("srpo", (False, False, False), Route(0.0, 0.0)),
        ("rlsd", (True, False, True), Route(0.0, 1.0, weighed=True)),
        ("rlsd", (False, False, True), Route(0.0, 1.0)),
        ("rlsd", (True, False, False), Route(0.0, 0.0)),
    ],
)
def test_routes(method: Method, facts: tuple[bool, bool, bool], expected: Route) -> None:
    informed, passed, rewarded = facts
    assert route(method, informed=informed, passed=passed, rewarded=rewarded, grpo_weight=0.75) == expected
    assert expected.used == (max(expected.distillation, expected.reinforcement) > 0)
