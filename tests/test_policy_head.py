"""The head taken out of a model, and that nothing of the size of an attempt times the vocabulary is ever made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_sides import LargestTensor
from model_families import FAMILIES, make_family_dir
from policy_factory import make_policy, nudge
from transformers import AutoModelForCausalLM, Cohere2Config, GraniteConfig
from whole_logits import completion_logits, scored_logits
from workbench.kernels.projection import Head

from workbench.config import LoraSettings, PolicyConfig, SDPOConfig
from workbench.kernels import projection
from workbench.policy import Policy, load_policy, policy
from workbench.policy.contexts import credit_of
from workbench.policy.head import final_head
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.update import StepResult, UpdateItem, sdpo_step
from workbench.probe import Probe, side_effects
from workbench.records import Attempt, Task

PROMPT, TEACHER = (1, 40, 50, 60), (1, 40, 50, 60, 90, 91, 92, 93, 60)
TASK = Task("pack/one", "Write f(xs): sort.", "person")


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_every_family_gives_its_head_and_the_models_own_logits(tmp_path: Path, family: str, quantization: str) -> None:
    """Biases, soft caps, scales, tied heads. Leave `softcap` out of `_candidates` and Gemma's becomes `Head(None)`."""
    directory = make_family_dir(tmp_path / family, family)
    lora = LoraSettings(rank=4, lora_alpha=8.0)
    made = load_policy(PolicyConfig(str(directory), quantization, "cpu", lora))  # type: ignore[arg-type]
    nudge(made)
    assert made.head.weight is not None and made.facts["final_projection"] == "a few places at a time"
    prompts, completions = [(5, 6, 7), (8, 9)], [(10, 11), (12, 13, 14, 15)]
    logits, _, mask = scored_logits(made, prompts, completions, 0.7)
    with torch.no_grad():
        expected, _, _ = completion_logits(made.bare, prompts, completions, 0.7)
    torch.testing.assert_close(logits[mask], expected[mask], atol=2e-4, rtol=0)


SMALL: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.mark.parametrize(
    ("config", "scale"),
    [(Cohere2Config(**SMALL, logit_scale=0.25), 0.25), (GraniteConfig(**SMALL, logits_scaling=8.0), 0.125)],
)
def test_scales_are_found_whichever_way_they_are_written(config: Any, scale: float) -> None:
    model = AutoModelForCausalLM.from_config(config).eval()
    assert final_head(model).scale == scale


def test_a_model_that_does_something_else_keeps_its_own_head(tmp_path: Path) -> None:
    """Fails when the head is not held against the model's logits: credit and update would be of another policy."""
    model = AutoModelForCausalLM.from_config(GraniteConfig(**SMALL)).eval()
    assert final_head(model).weight is not None
    plain = model.forward

    def odd(*args: Any, **kwargs: Any) -> Any:
        out = plain(*args, **kwargs)
        out.logits = out.logits + 0.01 * out.logits.roll(1, -1)
        return out

    model.forward = odd
    assert final_head(model) == Head(None)


def attempts(lengths: tuple[int, ...]) -> list[UpdateItem]:
    generator = torch.Generator().manual_seed(3)
    ids = [tuple(torch.randint(5, 300, (length,), generator=generator).tolist()) for length in lengths]
    return [UpdateItem(PROMPT, TEACHER, one, float(index % 2), "g") for index, one in enumerate(ids)]


def made(path: Path) -> Policy:
    policy = make_policy(path, hidden=32)
    nudge(policy, 0.05)
    return policy


@pytest.mark.parametrize(
    "config",
    [SDPOConfig(steps=2), SDPOConfig(method="grpo"), SDPOConfig(distillation_mode="sequence", teacher="live")],
    ids=lambda config: f"{config.method}-{config.distillation_mode}",
)
def test_without_a_head_everything_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: SDPOConfig
) -> None:
    """The model's own logits instead: same losses, pushes and step. They share the operators, not the projection."""
    results: list[tuple[StepResult, dict[str, torch.Tensor], str]] = []
    for _ in range(2):
        learner = made(tmp_path)
        result = sdpo_step(learner, attempts((12, 5, 9)), config, 0.8)
        results.append((result, learner.state(), learner.facts["final_projection"]))
        monkeypatch.setattr(policy, "final_head", lambda model: Head(None))
    (first, moved, how), (second, also, other) = results
    assert how != other and "whole logits" in other
    assert second.loss_before == pytest.approx(first.loss_before, rel=1e-5)
    assert second.grad_norm == pytest.approx(first.grad_norm, rel=1e-4)
    torch.testing.assert_close(torch.cat(second.predicted), torch.cat(first.predicted), atol=1e-5, rtol=1e-4)
    for key in moved:
        if "exp_avg" in key:
            torch.testing.assert_close(also[key], moved[key], atol=1e-5, rtol=1e-2)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Logits that may exist at a time: four rows of the vocabulary used here."""
    monkeypatch.setattr(projection, "PROJECTED_ELEMENTS", 4 * 405)
    monkeypatch.setattr(projection, "CACHED_ELEMENTS", 2 * 405)
    return 4 * 405


@pytest.mark.parametrize("method", ["sdpo", "grpo", "blend", "srpo", "rlsd"])
def test_an_update_makes_no_tensor_of_all_tokens_and_all_logits(tmp_path: Path, small_chunks: int, method: str) -> None:
    """Scoring, teacher, loss, gradient, step and the measuring afterwards. Fails when any of them projects before it
    cuts, for instance when `_read` takes `policy.bare(...).logits`."""
    learner, lengths = made(tmp_path), (100, 90, 80)
    vocabulary = int(learner.facts["vocabulary"])
    config = SDPOConfig(method=method, steps=2)  # type: ignore[arg-type]
    with LargestTensor() as watch:
        sdpo_step(learner, attempts(lengths), config, 0.8)
    assert small_chunks < watch.elements < 100 * vocabulary, watch.shape  # of one attempt, let alone of all


def test_credit_makes_no_tensor_of_all_tokens_and_all_logits(tmp_path: Path, small_chunks: int) -> None:
    """Contexts, null test and views. Fails when a context is kept as logits."""
    scorer = made(tmp_path)
    token_ids = attempts((100,))[0].token_ids
    student, teacher = student_prompt(scorer, TASK), teacher_prompt(scorer, TASK, feedback="sort descending")
    attempt = Attempt(
        id="a",
        task_id="t",
        group_id="g",
        update_id="root",
        prompt_ids=student.ids,
        token_ids=token_ids,
        text="",
        sampling_logps=(-1.0,) * 100,
        finished=False,
        temperature=1.0,
        reward=0.0,
        passed=False,
        feedback="sort descending",
    )
    with LargestTensor() as watch:
        prompts = {"student": student.ids, "teacher": teacher.ids, "base": student.ids}
        credit_of(scorer, attempt, prompts, temperature=1.0, teacher="trust_region", rate=0.5)
    assert watch.elements < 100 * int(scorer.facts["vocabulary"]), watch.shape


def test_the_probe_measures_without_whole_logits(tmp_path: Path, small_chunks: int) -> None:
    learner = made(tmp_path)
    probe = Probe(learner, [PROMPT, (1, 60, 61)], max_new_tokens=40)
    with LargestTensor() as watch:
        before = probe.measure(learner)
        nudge(learner, 0.02, seed=5)
        after = probe.measure(learner)
        effects = side_effects(before, after, probe.base)
    tokens = len(before.hidden)
    assert tokens > 8 and watch.elements < tokens * int(learner.facts["vocabulary"]), watch.shape
    rows = torch.arange(tokens)
    p, q, base = (side.logits(rows).double().log_softmax(-1) for side in (before, after, probe.base))
    assert effects.kl_to_before == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-4)
    assert effects.entropy_before == pytest.approx(float(-(p.exp() * p).sum(-1).mean()), rel=1e-5)
    assert effects.entropy_after == pytest.approx(float(-(q.exp() * q).sum(-1).mean()), rel=1e-5)
    assert effects.kl_to_base == pytest.approx(float((base.exp() * (base - q)).sum(-1).mean()), rel=1e-4)
    assert effects.kl_to_base != pytest.approx(effects.kl_to_before, rel=0.1)  # the policy was not its base before
