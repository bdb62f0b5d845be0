"""Loss and gradient against the values of the reference implementation, float64 (skipped where they are absent)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.credit import logit_push, sdpo_loss

GOLDEN = Path(__file__).parents[1].parent / "shared" / "golden" / "sdpo_loss.json"
CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["cases"] if GOLDEN.exists() else []

pytestmark = pytest.mark.skipif(not CASES, reason=f"no golden values: {GOLDEN} is absent")


def arguments(case: dict[str, Any]) -> tuple[list[torch.Tensor], dict[str, Any]]:
    shape = case["shape"]

    def tensor(name: str, size: list[int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.tensor(case[name], dtype=dtype).reshape(size)

    positional = [
        tensor("student_logits", shape).requires_grad_(),
        tensor("teacher_logits", shape),
        tensor("token_ids", shape[:2], torch.int64),
        tensor("completion_mask", shape[:2]),
    ]
    settings = {
        "attempt_mask": tensor("self_distillation_mask", shape[:1]),
        "old_logps": tensor("old_logps", shape[:2]),
        "distillation_mode": case["distillation_mode"],
        "distillation_alpha": case["distillation_alpha"],
        "distillation_add_tail": case["distillation_add_tail"],
        "is_clip": case["is_clip"],
    }
    if case["distillation_topk"] is not None:
        settings["distillation_topk"] = case["distillation_topk"]
    return positional, settings


def name_of(case: dict[str, Any]) -> str:
    parts = ("distillation_mode", "distillation_alpha", "distillation_topk", "distillation_add_tail", "is_clip")
    return "-".join(str(case[part]) for part in parts)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_loss_and_gradient(case: dict[str, Any]) -> None:
    positional, settings = arguments(case)
    loss, per_token_loss = sdpo_loss(*positional, **settings)
    assert loss.item() == pytest.approx(case["expected_loss"], abs=1e-9)
    active = positional[3] * settings["attempt_mask"].unsqueeze(-1)
    assert (per_token_loss * (1 - active)).abs().sum() == 0
    assert (per_token_loss.sum() / active.sum()).item() == pytest.approx(case["expected_loss"], abs=1e-9)
    loss.backward()
    expected = torch.tensor(case["expected_grad_student_logits"], dtype=torch.float64).reshape(case["shape"])
    assert (positional[0].grad - expected).abs().max() < 1e-9


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_push_is_minus_the_reference_gradient_at_the_sampled_logit(case: dict[str, Any]) -> None:
    positional, settings = arguments(case)
    expected = torch.tensor(case["expected_grad_student_logits"], dtype=torch.float64).reshape(case["shape"])
    count = (positional[3] * settings["attempt_mask"].unsqueeze(-1)).sum()
    sampled = expected.gather(-1, positional[2].unsqueeze(-1)).squeeze(-1)
    assert (logit_push(*positional, **settings) + sampled * count).abs().max() < 1e-8
