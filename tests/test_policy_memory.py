"""What is predicted before loading against what is there afterwards; checkpointing saves memory and changes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from model_families import make_family_dir
from policy_factory import nudge
from transformers import AutoModelForCausalLM
from whole_logits import completion_logits, sampled_logps

from workbench.config import LoraSettings, PolicyConfig
from workbench.errors import PolicyError
from workbench.policy import Policy, load_policy, memory
from workbench.policy.adapter import add_adapter
from workbench.policy.checkpointing import install
from workbench.policy.selfcheck import held
from workbench.policy.source import find, skeleton

PROMPT, ATTEMPT = tuple(range(5, 45)), tuple(range(50, 74))


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    # Tied and untied heads, biases, transposed layers, eager attention.
    return {name: make_family_dir(folder / name, name) for name in ("qwen3", "phi", "gpt2", "gemma2")}


def config(model: Path, **changes: Any) -> PolicyConfig:
    return PolicyConfig(str(model), **{"quantization": "none", "device": "cpu", **changes})


def outline(model: Path) -> Any:
    settings = config(model)
    capped = "gemma2" in model.name
    return skeleton(find(settings), settings, dtype=torch.float32, attention="eager" if capped else None)


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize("family", ["qwen3", "phi", "gpt2", "gemma2"])
def test_weights_and_adapter_are_predicted_to_the_byte(
    directories: dict[str, Path], family: str, quantization: str
) -> None:
    """Fails when scales, biases or the tied head are forgotten, or counted twice."""
    lora = LoraSettings(4, variant="dora" if quantization == "nf4" else "lora")
    policy = load_policy(config(directories[family], quantization=quantization, lora=lora))
    shape = memory.shape_of(outline(directories[family]))
    measured = {one.kind: one.size_bytes for one in held(policy)}
    adapter = measured.pop("adapter as float32")
    assert memory.weights_bytes(shape, quantization, torch.float32) == sum(measured.values())
    assert 4 * memory.adapter_weights(shape, lora) == adapter
    predicted = policy.facts["memory"]
    assert predicted["weights_bytes"] == sum(measured.values()) and predicted["adapter_bytes"] == adapter
    if quantization != "none":
        layers = {one.kind: one.layers for one in held(policy)}
        assert layers[f"linear layers as {quantization}"] == len(shape.linears)


def test_the_optimiser_is_predicted_to_the_byte(directories: dict[str, Path]) -> None:
    policy = load_policy(config(directories["qwen3"], lora=LoraSettings(4)))
    gradient(policy)
    policy.optimizer.step()
    states = (policy.optimizer.state[parameter] for parameter in policy.parameters())
    moments = sum(value.numel() * 4 for state in states for key, value in state.items() if key != "step")
    gradients = sum(parameter.grad.numel() * 4 for parameter in policy.parameters())  # type: ignore[union-attr]
    assert policy.facts["memory"]["optimizer_bytes"] == moments + gradients


def gradient(policy: Policy, rows: int = 2) -> torch.Tensor:
    policy.optimizer.zero_grad()
    logits, ids, _ = completion_logits(policy.bare, [PROMPT] * rows, [ATTEMPT] * rows, 1.0)
    sampled_logps(logits, ids).sum().backward()
    return torch.cat([parameter.grad.flatten() for parameter in policy.parameters()])  # type: ignore[union-attr]


def kept(policy: Any, rows: int, width: int) -> int:
    """Bytes of the distinct tensors that autograd keeps of one pass, the policy's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in policy.model.state_dict().values()}
    storages: dict[int, Any] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    ids = torch.zeros((rows, width), dtype=torch.long)
    last = torch.zeros((rows, 1), dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = policy.bare(input_ids=ids, logits_to_keep=last, use_cache=False)  # noqa: F841  (holds the graph)
        return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("family", ["qwen3", "phi", "gpt2", "gemma2"])
def test_activations_are_predicted_about_right(directories: dict[str, Path], family: str, quantization: str) -> None:
    policy = load_policy(config(directories[family], quantization=quantization, gradient_checkpointing="off"))
    shape = memory.shape_of(outline(directories[family]))
    for width in (64, 256):
        measured = kept(policy, 2, width)
        predicted = memory.activations_bytes(shape, 2, width, torch.float32)
        assert 0.7 < predicted / measured < 1.5, (width, predicted / measured)


@pytest.mark.parametrize("family", ["qwen3", "phi", "gpt2", "gemma2"])
def test_activations_are_predicted_about_right_in_half_precision(directories: dict[str, Path], family: str) -> None:
    """As on a GPU; the adapter is float32 there too."""
    model = AutoModelForCausalLM.from_pretrained(directories[family], dtype=torch.bfloat16)
    adapted = add_adapter(model, LoraSettings(), seed=0)
    assert {parameter.dtype for parameter in adapted.parameters() if parameter.requires_grad} == {torch.float32}
    measured = kept(SimpleNamespace(model=adapted, bare=model), 2, 256)
    predicted = memory.activations_bytes(memory.shape_of(outline(directories[family])), 2, 256, torch.bfloat16)
    assert 0.7 < predicted / measured < 1.5, predicted / measured


@pytest.mark.parametrize("family", ["qwen3", "phi", "gpt2", "gemma2"])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_checkpointing_changes_memory_and_nothing_else(
    directories: dict[str, Path], family: str, quantization: str
) -> None:
    """Gradients to the last bit. The saving fails to appear when the switch waits for train mode, as the library's."""
    off, on = (
        load_policy(config(directories[family], quantization=quantization, gradient_checkpointing=mode))
        for mode in ("off", "on")
    )
    for policy in (off, on):
        nudge(policy)
    assert torch.equal(gradient(off), gradient(on))
    assert kept(on, 2, 128) < 0.5 * kept(off, 2, 128)
    with torch.no_grad():
        first, second = (policy.bare(input_ids=torch.tensor([PROMPT])).logits for policy in (off, on))
    assert torch.equal(first, second)


def test_checkpointing_sets_in_where_the_budget_ends(directories: dict[str, Path]) -> None:
    policy = load_policy(config(directories["qwen3"]))
    budget = policy.facts["gradient_checkpointing"]["budget_bytes"]
    free = memory.free_bytes(policy.device)
    assert free is not None and 0.3 * free < budget < 0.7 * free  # half of what is free
    whole = kept(policy, 2, 128)
    # A budget that a short pass keeps to and a long one does not, put in place of this machine's.
    shape = memory.shape_of(outline(directories["qwen3"]))
    between = memory.activations_bytes(shape, 2, 100, torch.float32)
    assert install(policy.bare, "auto", shape, torch.float32, between) == 2
    assert kept(policy, 2, 128) < 0.5 * whole
    assert kept(policy, 2, 64) > 0.4 * whole
    with pytest.raises(ValueError, match="gradient_checkpointing is 'maybe'"):
        config(directories["qwen3"], gradient_checkpointing="maybe")


# What does not fit -------------------------------------------------------------------------------------------------


def giant(model: Path, path: Path) -> Path:
    """A model of 70 thousand million weights by its config.json; its weights are never looked at."""
    shutil.copytree(model, path)
    settings = json.loads((path / "config.json").read_text())
    settings |= {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64}
    settings |= {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "layer_types": None}
    (path / "config.json").write_text(json.dumps(settings))
    return path


def test_a_model_that_cannot_fit_is_refused_before_it_is_loaded(directories: dict[str, Path], tmp_path: Path) -> None:
    path = giant(directories["qwen3"], tmp_path / "giant")
    with pytest.raises(PolicyError) as caught:
        load_policy(config(path))
    sentence = str(caught.value)
    assert "needs 2" in sentence and "GB weights" in sentence and "are free on this machine" in sentence
    assert "attempt of 512 tokens" in sentence and "\n" not in sentence


def test_what_would_fit_is_said() -> None:
    """On the 4B shape: 16 GB of fp32 weights, 8.0 in bf16, 2.6 in NF4 with an embedding kept in bf16."""
    layer = [("q", 2560, 4096), ("k", 2560, 1024), ("v", 2560, 1024), ("o", 4096, 2560)]
    layer += [("gate", 2560, 9728), ("up", 2560, 9728), ("down", 9728, 2560)]
    linears = [memory.Linear(f"{i}.{name}", n_in, n_out, False) for i in range(36) for name, n_in, n_out in layer]
    embedding = 151936 * 2560
    shape = memory.Shape(tuple(linears), embedding, 2560, 36, 32, 151936, 40960, False)
    lora = LoraSettings(16)

    def check(quantization: str, free_gb: float) -> memory.Need:
        return memory.check_fits("m", shape, quantization, torch.bfloat16, lora, int(free_gb * 1e9), "the GPU")

    need = check("nf4", 8)
    packed = sum(n_in * n_out for _, n_in, n_out in layer) * 36
    assert need.weights_bytes == packed // 2 + packed // 64 * 4 + 64 * 252 + 2 * embedding
    assert pytest.approx(need.adapter_bytes / 4, rel=0.01) == 33_000_000  # of rank 16
    with pytest.raises(PolicyError, match=r"needs .* but 8.0 GB are free on the GPU; quantization 'int8' needs .* GB"):
        check("none", 8)
    with pytest.raises(PolicyError, match=r"quantization 'nf4' needs [45]\.\d GB"):
        check("none", 5.5)
    with pytest.raises(PolicyError, match=r"even 'nf4' needs .* choose a smaller model"):
        check("none", 1)
    with pytest.raises(PolicyError, match="choose a smaller model"):
        check("nf4", 1)
    assert memory.check_fits("m", shape, "none", torch.float32, lora, None, "?").weights_bytes > 16e9  # unknown: try
