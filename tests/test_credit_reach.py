"""Out of reach: where the loss hardly pushes on what the self-teacher would write."""

from __future__ import annotations

import math

import pytest
import torch
from reach_cases import OWN, VOCABULARY, WANTED, logits, scored

from workbench.config import SDPOConfig
from workbench.credit import sdpo_loss
from workbench.credit.reach import DIVERGENCES, HARDLY, out_of_reach


@pytest.mark.parametrize("mode", ["full_logits", "topk_logits", "argmax_token", "sampled_token"])
def test_the_push_is_minus_the_gradient_of_the_loss(mode: str) -> None:
    student, teacher = logits(1e-8)
    for name, alpha in DIVERGENCES.items():
        if mode == "sampled_token" and alpha != 1.0:
            continue
        config = SDPOConfig(distillation_mode=mode, distillation_alpha=alpha, distillation_topk=5)  # type: ignore[arg-type]
        found = out_of_reach(scored(student, teacher), 0, config)
        live = student.clone().requires_grad_()
        loss, _ = sdpo_loss(
            live[None, None],
            teacher[None, None],
            torch.tensor([[OWN]]),
            torch.ones(1, 1),
            distillation_mode=mode,
            distillation_alpha=alpha,
            distillation_topk=5,
        )
        loss.backward()
        assert live.grad is not None
        expected = -float(live.grad[WANTED])
        assert (found is None) == (expected >= HARDLY * 0.9)
        if found is not None:
            assert found.push == pytest.approx(expected, rel=1e-6)
            assert mode == "sampled_token" or found.pushes[name] == pytest.approx(expected, rel=1e-6)
            assert found.whole == pytest.approx(0.9)


def test_only_what_the_student_hardly_knows_is_out_of_reach_and_forward_kl_over_all_tokens_reaches_it() -> None:
    far, near = scored(*logits(1e-7)), scored(*logits(1e-3))
    assert [place.position for place in far.out_of_reach()] == [0]
    assert near.out_of_reach() == []
    whole = SDPOConfig(distillation_mode="full_logits", distillation_alpha=0.0)
    assert far.out_of_reach(whole) == []
    assert far.out_of_reach(SDPOConfig(method="grpo")) == []
    assert far.out_of_reach(SDPOConfig(distillation_alpha=0.0, distillation_topk=5)) != []


def test_a_token_of_the_teachers_alone_is_in_the_tail_where_the_list_is_short() -> None:
    student, teacher = logits(1e-9)
    whole, short = (scored(student, teacher, listed) for listed in (VOCABULARY, 8))
    config = SDPOConfig(distillation_topk=20)
    assert len(short.alternatives[0]) < 20
    (first,), (second,) = whole.out_of_reach(config), short.out_of_reach(config)
    assert second.push == pytest.approx(first.push, rel=0.5)


def test_it_is_said_with_the_numbers() -> None:
    (place,) = scored(*logits(1e-7)).out_of_reach()
    assert str(place).startswith(
        "The teacher wants ` t7`, to which the student gives 1e-7: this loss hardly reaches it."
    )
    assert all(name in str(place) for name in DIVERGENCES) and "forward KL over all tokens 0.9" in str(place)
    assert math.isfinite(place.push)
