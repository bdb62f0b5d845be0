"""The float64 recomputation: true by itself, and close to the fast path on every kind of layer and every teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from policy_factory import make_policy, nudge

from workbench.config import Teacher
from workbench.credit import CONTEXTS
from workbench.errors import PolicyError
from workbench.policy import Policy
from workbench.policy.average import Average
from workbench.policy.bruteforce import BOUNDS, Float64Model, Truth, recompute
from workbench.policy.contexts import credit_of
from workbench.records import Attempt
from workbench.session.checking import compare

IDS = (60, 61, 0, 62, 0)
PROMPTS = {name: (1, *range(30, 30 + 7 * place)) for place, name in enumerate(CONTEXTS, start=1)}
PROMPTS["base"] = PROMPTS["student"]
ATTEMPT = Attempt("a", "p/t", "g", "root", PROMPTS["student"], IDS, "", (-1.0,) * 5, False, 0.8, 0.0, False, "")


def truth_of(policy: Policy, teacher: Teacher, rate: float) -> Truth:
    model = Float64Model(policy)
    return recompute(model, policy.state(), PROMPTS, IDS, temperature=0.8, teacher=teacher, rate=rate)


def worst(policy: Policy, teacher: Teacher, rate: float) -> dict[str, float]:
    credit = credit_of(policy, ATTEMPT, PROMPTS, temperature=0.8, teacher=teacher, rate=rate, top_k=4)
    return {name: found.largest for name, found in compare(credit, truth_of(policy, teacher, rate))}


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize(("teacher", "rate"), [("frozen", 0.0), ("live", 1.0), ("trust_region", 0.3), ("ema", 0.05)])
def test_both_paths_agree_within_the_bound(tmp_path: Path, family: Any, teacher: Teacher, rate: float) -> None:
    """Fails when a context is scored by another side, at another place or temperature, or when `trust_region` or the
    top-k of either path is changed."""
    policy = make_policy(tmp_path, family)
    nudge(policy)
    policy.average = Average.start(policy.adapter)
    nudge(policy, seed=2)
    found = worst(policy, teacher, rate)
    assert found.keys() == {*CONTEXTS, "kl", "jsd", "entropy_student", "entropy_teacher", "top", "tail"}
    assert max(found.values()) < BOUNDS["float32"] / 5, found


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantised_layers_are_compared_as_what_they_stand_for(tmp_path: Path, quantization: Any) -> None:
    """NF4 is exact once dequantised; int8 layers also round what flows through them."""
    pytest.importorskip("bitsandbytes")
    policy = make_policy(tmp_path, quantization=quantization, hidden=64)
    nudge(policy)
    largest = max(worst(policy, "trust_region", 0.5).values())
    assert largest < (BOUNDS["float32"] if quantization == "nf4" else BOUNDS["int8"]), largest
    if quantization == "int8":
        assert largest > BOUNDS["float32"]


@pytest.mark.parametrize("form", [{"use_rslora": True}, {"use_dora": True}])
def test_other_forms_of_the_adapter(tmp_path: Path, form: dict[str, bool]) -> None:
    """rsLoRA scales by the root of the rank; DoRA scales the rows of W + sBA to learned lengths."""
    from peft import LoraConfig, get_peft_model

    policy = make_policy(tmp_path)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **form)
    other = Policy(
        get_peft_model(policy.model.unload(), lora),
        policy.tokenizer,
        device=policy.device,
        eos_ids=policy.eos_ids,
        facts=policy.facts,
        seed=0,
    )
    nudge(other)
    assert max(worst(other, "trust_region", 0.5).values()) < BOUNDS["float32"] / 5


def test_the_truth_is_float64_all_the_way_and_reads_no_later_token(tmp_path: Path) -> None:
    """Against one plain pass over the whole row, in float64, of a model that PEFT has merged. Take `_Float64Mode` out
    to see it fail: norms, angles and softmax would be rounded to float32 (about 1e-7)."""
    policy = make_policy(tmp_path)
    nudge(policy)
    truth = truth_of(policy, "live", 1.0)
    model = Float64Model(policy)
    model.write({key.removeprefix("adapter/"): value for key, value in policy.state().items() if "adapter/" in key})
    one, other = (model.rows(PROMPTS["teacher"], ids, 0.8) for ids in (IDS, (*IDS[:3], 99, 98)))
    assert torch.equal(one, truth.teacher_rows) and torch.equal(one[:4], other[:4])
    assert one.exp().sum(-1).sub(1.0).abs().max() < 1e-14
    # The same numbers from twice the precision of nothing: a change of 1e-12 in a weight must be seen, no more.
    scaled = {k.removeprefix("adapter/"): v.double() * (1 + 1e-12) for k, v in policy.state().items() if "lora_B" in k}
    scaled |= {k.removeprefix("adapter/"): v for k, v in policy.state().items() if "lora_A" in k}
    model.write(scaled)
    moved = (model.rows(PROMPTS["teacher"], IDS, 0.8) - one).abs().max()
    assert 0.0 < moved < 1e-10


def test_an_adapter_that_cannot_be_applied_by_hand_is_refused(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    with pytest.raises(PolicyError, match=r"embed_tokens.* cannot be checked"):
        Float64Model(policy).write({"base_model.model.model.embed_tokens.lora_embedding_A.default": torch.zeros(1)})


def test_the_policy_is_only_read(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    nudge(policy)
    before, fingerprint = policy.state(), policy.fingerprint()
    truth_of(policy, "trust_region", 0.5)
    assert policy.fingerprint() == fingerprint and torch.get_default_dtype() == torch.float32
    assert all(torch.equal(before[key], value) for key, value in policy.state().items())
