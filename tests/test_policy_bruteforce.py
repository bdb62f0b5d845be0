"""The float64 recomputation: true by itself, and close to the fast path on every kind of layer and every teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_families import FAMILIES, make_family_dir
from policy_factory import make_policy, nudge

from workbench.config import PolicyConfig, Teacher
from workbench.credit import CONTEXTS
from workbench.errors import PolicyError
from workbench.policy import Policy, load_policy
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


@pytest.mark.parametrize(("teacher", "rate"), [("frozen", 0.0), ("live", 1.0), ("trust_region", 0.3), ("ema", 0.05)])
def test_both_paths_agree_within_the_bound(tmp_path: Path, teacher: Teacher, rate: float) -> None:
    """Fails when a context is scored by another side, at another place or temperature, or when `trust_region` or the
    top-k of either path is changed."""
    policy = make_policy(tmp_path)
    nudge(policy)
    policy.average = Average.start(policy.adapter)
    nudge(policy, seed=2)
    found = worst(policy, teacher, rate)
    assert found.keys() == {*CONTEXTS, "kl", "jsd", "entropy_student", "entropy_teacher", "top", "tail"}
    assert max(found.values()) < BOUNDS["float32"] / 5, found


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_agrees(tmp_path: Path, family: str, quantization: Any) -> None:
    """Real architectures, also with layers held in NF4, which is exact once dequantised."""
    model = str(make_family_dir(tmp_path, family))
    policy = load_policy(PolicyConfig(model, quantization, "cpu"))
    nudge(policy, 0.05)
    found = worst(policy, "trust_region", 0.4)
    assert max(found.values()) < BOUNDS["float32"] / 5, found


def test_int8_layers_also_round_what_flows_through_them(tmp_path: Path) -> None:
    policy = make_policy(tmp_path, quantization="int8", hidden=64)
    nudge(policy)
    assert BOUNDS["float32"] < max(worst(policy, "trust_region", 0.5).values()) < BOUNDS["int8"]


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


def llama_rows(policy: Policy, ids: tuple[int, ...], temperature: float) -> np.ndarray:
    """Log-probabilities (S, V) after each of the ids by a Llama in NumPy, float64: no torch, no transformers, no PEFT.

    RMS norms, rotated queries and keys, grouped heads, a causal softmax, SwiGLU, and W + s BA in every linear layer.
    """
    config, values = policy.bare.config, {n: p.detach().double().numpy() for n, p in policy.bare.named_parameters()}
    scale = policy.facts["lora"]["lora_alpha"] / policy.facts["lora"]["rank"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        a, b = (values[f"{name}.lora_{factor}.default.weight"] for factor in "AB")
        return x @ (values[f"{name}.base_layer.weight"] + scale * b @ a).T

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.rms_norm_eps) * values[f"{name}.weight"]

    size, heads = config.head_dim, config.num_attention_heads
    theta = config.rope_parameters["rope_theta"]
    angles = np.outer(np.arange(len(ids)), theta ** (-np.arange(0, size, 2) / size))  # (S, size / 2)
    cos, sin = (np.concatenate([f(angles)] * 2, axis=1) for f in (np.cos, np.sin))

    def rotated(x: np.ndarray) -> np.ndarray:  # (heads, S, size)
        turned = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], axis=-1)
        return x * cos + turned * sin

    def split(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(ids), -1, size).transpose(1, 0, 2)

    x = values["model.embed_tokens.weight"][list(ids)]
    hidden = np.triu(np.ones((len(ids), len(ids)), dtype=bool), 1)
    for layer in range(config.num_hidden_layers):
        name = f"model.layers.{layer}"
        read = norm(x, f"{name}.input_layernorm")
        q, k, v = (split(linear(read, f"{name}.self_attn.{part}_proj")) for part in "qkv")
        k, v = (np.repeat(part, heads // len(part), axis=0) for part in (rotated(k), v))
        scores = np.where(hidden, -np.inf, rotated(q) @ k.transpose(0, 2, 1) / np.sqrt(size))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        x = x + linear(mixed.transpose(1, 0, 2).reshape(len(ids), -1), f"{name}.self_attn.o_proj")
        read = norm(x, f"{name}.post_attention_layernorm")
        gate = linear(read, f"{name}.mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(read, f"{name}.mlp.up_proj"), f"{name}.mlp.down_proj")
    logits = norm(x, "model.norm") @ values["model.embed_tokens.weight"].T / temperature
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_the_truth_equals_a_llama_written_in_numpy(tmp_path: Path) -> None:
    """To 1e-12 nats. Leave `_Float64Mode` out to see it fail: transformers then rounds norms, angles and the softmax
    to float32, which is off by about 1e-7."""
    policy = make_policy(tmp_path, "llama")
    nudge(policy)
    prompt = PROMPTS["teacher"]
    expected = llama_rows(policy, (*prompt, *IDS), 0.8)[len(prompt) - 1 : -1]
    truth = truth_of(policy, "live", 1.0)
    assert np.abs(truth.teacher_rows.numpy() - expected).max() < 1e-12
    chosen = expected[np.arange(len(IDS)), IDS]
    np.testing.assert_allclose(truth.contexts["teacher"], chosen, rtol=0, atol=1e-12)
    p, q = np.exp(truth.student_rows.numpy()), np.exp(expected)
    np.testing.assert_allclose(truth.kl, (p * np.log(p / q)).sum(-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(truth.entropy_teacher, -(q * np.log(q)).sum(-1), rtol=0, atol=1e-12)
    m = (p + q) / 2
    jsd = ((p * np.log(p / m)).sum(-1) + (q * np.log(q / m)).sum(-1)) / 2
    np.testing.assert_allclose(truth.jsd, jsd, rtol=0, atol=1e-12)


def test_no_later_token_is_there_when_an_earlier_one_is_scored(tmp_path: Path) -> None:
    model = Float64Model(make_policy(tmp_path))
    one, other = (model.rows(PROMPTS["teacher"], ids, 0.8) for ids in (IDS, (*IDS[:3], 99, 98)))
    assert torch.equal(one[:4], other[:4]) and not torch.equal(one[4], other[4])


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
