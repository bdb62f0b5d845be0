"""Adapters: LoRA, rsLoRA and DoRA; started afresh, from a PEFT directory, and taken along into plain PEFT."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from model_families import make_family_dir
from peft import LoraConfig, PeftModel, get_peft_model
from policy_factory import nudge
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from workbench import Workbench
from workbench.config import LoraSettings, PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import ConfigError, PolicyError, RunError
from workbench.policy import load_policy
from workbench.policy.adapter import export_adapter

IDS = torch.tensor([[5, 40, 50, 60, 70, 80]])
VARIANTS = ("lora", "rslora", "dora")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family_dir(tmp_path_factory.mktemp("models") / "qwen3", "qwen3")


@pytest.fixture(scope="module")
def adapter_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by PEFT alone: some layers only, its own rank and scale, weights that are not zero."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    lora = LoraConfig(
        r=3, lora_alpha=7, target_modules=["q_proj", "down_proj"], lora_dropout=0.1, task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(model, lora)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    path = tmp_path_factory.mktemp("adapters") / "given"
    adapted.save_pretrained(path)
    return path


def config(model: Path, **changes: Any) -> PolicyConfig:
    return PolicyConfig(str(model), **{"quantization": "none", "device": "cpu", **changes})


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    ("variant", "quantization"),
    [(variant, quantization) for variant in VARIANTS for quantization in ("none", "nf4")]
    + [("lora", "int8"), ("rslora", "int8")],
)
def test_every_variant_starts_as_the_base(model_dir: Path, variant: Any, quantization: str) -> None:
    """Trap 15. DoRA rescales by a ratio of two norms that are equal only up to rounding."""
    policy = load_policy(config(model_dir, quantization=quantization, lora=LoraSettings(4, 8.0, variant)))
    adapted = logits(policy.model)
    with policy.reference():
        base = logits(policy.model)
    assert (adapted - base).abs().max() < (1e-5 if variant == "dora" else 1e-12)
    nudge(policy, 0.05)
    assert (logits(policy.model) - base).abs().max() > 1e-3


def test_the_scale_is_the_variant_s(model_dir: Path) -> None:
    """lora_alpha / r, and for rsLoRA lora_alpha / sqrt(r) (arXiv 2312.03732), on the difference that A and B make."""
    by_variant = {}
    for variant, scale in (("lora", 8.0 / 4), ("rslora", 8.0 / math.sqrt(4))):
        policy = load_policy(config(model_dir, lora=LoraSettings(4, 8.0, variant, ("layers.1.mlp.up_proj",))))
        nudge(policy, 0.05)
        a, b = (parameter.detach() for parameter in policy.parameters())
        layer = policy.bare.model.layers[1].mlp.up_proj
        x = torch.randn(3, 64, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(layer(x) - layer.base_layer(x), scale * x @ a.T @ b.T, atol=1e-5, rtol=1e-4)
        by_variant[variant] = layer(x)
    assert (by_variant["lora"] - by_variant["rslora"]).abs().max() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_exported_adapter_gives_bit_equal_logits_in_plain_peft(
    model_dir: Path, tmp_path: Path, variant: Any
) -> None:
    """After a real update. Fails when the export leaves out DoRA's magnitudes or rsLoRA's flag."""
    lora = LoraSettings(4, 8.0, variant)
    with Workbench.open(tmp_path / "run", model=str(model_dir), device="cpu", lora=lora) as workbench:
        task = workbench.add_task(prompt="Write f(xs): sort.", environment="person")
        (attempt,) = workbench.attempt(task, 1, sampling=SamplingConfig(max_new_tokens=6))
        attempt = workbench.give_feedback(attempt, text="Sort descending.", reward=0.0)
        fresh = logits(workbench.policy.model)
        workbench.update([attempt], SDPOConfig(learning_rate=1e-2))
        here = logits(workbench.policy.model)
        workbench.export_adapter(tmp_path / "adapter")
    assert (here - fresh).abs().max() > 1e-3
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    there = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert torch.equal(logits(there), here)
    # and it is one that the workbench itself starts from
    again = load_policy(config(model_dir, adapter=str(tmp_path / "adapter")))
    assert torch.equal(logits(again.model), here)
    assert again.facts["lora"]["variant"] == variant and again.facts["adapter"]["path"] == str(tmp_path / "adapter")


def test_a_path_that_cannot_be_written_is_one_sentence(model_dir: Path, tmp_path: Path) -> None:
    policy = load_policy(config(model_dir))
    (tmp_path / "file").write_text("taken")
    with pytest.raises(PolicyError, match=r"cannot be written to .*file.* directory"):
        export_adapter(policy.model, tmp_path / "file")


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_policy_starts_from_an_adapter_of_peft(model_dir: Path, adapter_dir: Path, quantization: str) -> None:
    policy = load_policy(config(model_dir, adapter=str(adapter_dir), quantization=quantization))
    lora = policy.facts["lora"]
    assert (lora["rank"], lora["lora_alpha"], lora["variant"]) == (3, 7.0, "lora")
    assert lora["target_modules"] == ["down_proj", "q_proj"] and len(policy.parameters()) == 2 * 2 * 2
    assert all(parameter.dtype == torch.float32 for parameter in policy.parameters())
    assert not any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in policy.model.modules())  # trap 9
    if quantization == "none":
        base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
        assert torch.equal(logits(policy.model), logits(PeftModel.from_pretrained(base, adapter_dir).eval()))


def test_an_adapter_on_some_layers_of_many_is_put_on_exactly_these(model_dir: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    lora = LoraConfig(r=2, target_modules=r".*layers\.1\..*(k|v)_proj", task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    policy = load_policy(config(model_dir, adapter=str(tmp_path / "adapter")))
    places = {name.split(".lora_")[0] for name, p in policy.model.named_parameters() if p.requires_grad}
    assert {place.removeprefix("base_model.model.model.layers.") for place in places} == {
        "1.self_attn.k_proj",
        "1.self_attn.v_proj",
    }


def test_a_run_brings_its_adapter_along(model_dir: Path, adapter_dir: Path, tmp_path: Path) -> None:
    """The directory is not needed again, and another adapter is not slipped under a run."""
    given = tmp_path / "adapter"
    shutil.copytree(adapter_dir, given)
    model, run = str(model_dir), tmp_path / "run"
    with Workbench.open(run, model=model, adapter=given) as workbench:
        here = logits(workbench.policy.model)
        made_with = workbench.events()[0].data
        assert made_with["policy"]["adapter"]["sha256"] and made_with["policy"]["lora"]["rank"] == 3
        shutil.rmtree(given)
        workbench.export_merged(tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    torch.testing.assert_close(logits(merged), here, atol=1e-4, rtol=0)
    with Workbench.open(run, model=model) as workbench:
        assert torch.equal(logits(workbench.policy.model), here)
    with pytest.raises(RunError, match="was made with the adapter"):
        Workbench.open(run, model=model, adapter=adapter_dir)
    with pytest.raises(RunError, match="was made with the LoRA settings"):
        Workbench.open(run, model=model, lora=LoraSettings(rank=8))


# What is refused before anything is loaded ------------------------------------------------------------------------


def edit_config(path: Path, **changes: Any) -> None:
    file = path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tensors(path: Path, change: Any) -> None:
    file = path / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def first(tensors: dict[str, torch.Tensor], part: str) -> str:
    return next(key for key in sorted(tensors) if part in key)


def rename(tensors: dict[str, torch.Tensor]) -> None:
    for key in list(tensors):
        if "q_proj" in key:
            tensors[key.replace("q_proj", "query")] = tensors.pop(key)


def pickled(path: Path) -> None:
    (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")


REFUSED = {
    "no such directory": (lambda path: shutil.rmtree(path), "no adapter directory"),
    "another base": (lambda path: edit_config(path, base_model_name_or_path="org/Other-1B"), "made for 'org/Other-1B'"),
    "no config": (lambda path: (path / "adapter_config.json").unlink(), "has no adapter_config.json"),
    "a pickle": (pickled, "a pickle, which is never opened"),
    "no weights": (lambda path: (path / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
    "broken config": (lambda path: (path / "adapter_config.json").write_text("{ no"), "cannot be read"),
    "a list": (lambda path: (path / "adapter_config.json").write_text("[]"), "cannot be read"),
    "another method": (lambda path: edit_config(path, peft_type="IA3"), "type IA3"),
    "another task": (lambda path: edit_config(path, task_type="SEQ_CLS"), "the task SEQ_CLS"),
    "rank 0": (lambda path: edit_config(path, r=0), "its rank is 0"),
    "whole layers": (lambda path: edit_config(path, modules_to_save=["lm_head"]), "modules_to_save: lm_head"),
    "biases": (lambda path: edit_config(path, bias="all"), "changes biases"),
    "a changed base": (lambda path: edit_config(path, init_lora_weights="pissa"), "changed by its initialisation"),
    "patterns": (lambda path: edit_config(path, rank_pattern={"q_proj": 5}), "uses rank_pattern"),
    "a future field": (lambda path: edit_config(path, hyper_lora=True), "uses hyper_lora"),
    "both variants": (lambda path: edit_config(path, use_dora=True, use_rslora=True), "rsLoRA and DoRA at once"),
    "magnitudes missing": (lambda path: edit_config(path, use_dora=True), "has no lora_magnitude_vector"),
    "another rank": (lambda path: edit_config(path, r=4), r"has shape \[3, \d+\], expected \[4, \d+\]"),
    "another model": (
        lambda path: edit_tensors(path, lambda t: t.update({first(t, "lora_A"): torch.zeros(3, 65)})),
        r"has shape \[3, 65\], expected",
    ),
    "unknown layers": (lambda path: edit_tensors(path, rename), "query.* belongs to no layer"),
    "the head": (
        lambda path: edit_tensors(
            path, lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.ones(3, 64)})
        ),
        "embedding or head of its own",
    ),
    "half a layer": (lambda path: edit_tensors(path, lambda t: t.pop(first(t, "lora_B"))), "has no lora_B.weight"),
    "whole numbers": (
        lambda path: edit_tensors(path, lambda t: t.update({first(t, "lora_A"): t[first(t, "lora_A")].int()})),
        "is of type I32",
    ),
    "nothing": (lambda path: edit_tensors(path, lambda t: t.clear()), "holds no tensors"),
    "undefined numbers": (
        lambda path: edit_tensors(path, lambda t: t[first(t, "lora_A")].fill_(float("nan"))),
        "undefined numbers",
    ),
    "truncated": (
        lambda path: (path / "adapter_model.safetensors").write_bytes(
            (path / "adapter_model.safetensors").read_bytes()[:-10]
        ),
        "damaged or truncated",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_adapter_is_one_sentence(model_dir: Path, adapter_dir: Path, tmp_path: Path, name: str) -> None:
    spoil, says = REFUSED[name]
    path = tmp_path / "adapter"
    shutil.copytree(adapter_dir, path)
    spoil(path)
    with pytest.raises(PolicyError, match=says) as caught:
        load_policy(config(model_dir, adapter=str(path)))
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")


def test_impossible_settings_are_one_sentence(model_dir: Path) -> None:
    for settings, says in (
        ({"rank": 0}, "rank is 0"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"variant": "pissa"}, "choose one of lora, rslora, dora"),
        ({"target_modules": ()}, "target_modules is empty"),
    ):
        with pytest.raises(ConfigError, match=says):
            LoraSettings(**settings)
    with pytest.raises(ConfigError, match="give one of the two"):
        PolicyConfig(adapter="somewhere", lora=LoraSettings(rank=2))
    with pytest.raises(PolicyError, match="DoRA cannot be put on int8 layers on the CPU"):
        load_policy(config(model_dir, quantization="int8", lora=LoraSettings(variant="dora")))
    with pytest.raises(PolicyError, match="cannot be put on these target_modules"):
        load_policy(config(model_dir, lora=LoraSettings(target_modules=("nonsense",))))
