"""Loading: the same code for every source, honest facts, one sentence per failure, and the NF4 guard (trap 13)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import bitsandbytes
import huggingface_hub.constants
import pytest
import torch
from policy_factory import TEMPLATE, make_model_dir, make_policy, make_tokenizer, nudge
from safetensors.torch import load_file, save_file
from whole_logits import completion_logits, sampled_logps

from workbench.config import LoraSettings, PolicyConfig, SamplingConfig
from workbench.errors import PolicyError
from workbench.policy import loading
from workbench.policy.chat import Chat
from workbench.policy.loading import load_policy
from workbench.policy.sampling import sample

PROMPT = [1, 20, 30, 40, 50]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_dir(tmp_path_factory.mktemp("qwen3"))


def config(model: Path | str, **changes: object) -> PolicyConfig:
    settings = {"quantization": "none", "device": "cpu", "lora": LoraSettings(rank=4), **changes}
    return PolicyConfig(model=str(model), **settings)  # type: ignore[arg-type]


def refused(model: Path | str, **changes: object) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(config(model, **changes))
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_facts_are_json_and_true(model_dir: Path) -> None:
    policy = load_policy(config(model_dir, seed=3))
    facts = json.loads(json.dumps(policy.facts))
    stored = load_file(next(model_dir.glob("*.safetensors")))
    assert facts["parameters"] == sum(tensor.numel() for tensor in stored.values())
    assert facts["adapter_parameters"] == sum(p.numel() for p in policy.parameters())
    assert (facts["quantization"], facts["dtype"], facts["device"]) == ("none", "float32", "cpu")
    assert facts["context_length"] == 512 and facts["seed"] == 3
    assert facts["lora"]["rank"] == 4


def test_trap_01_all_end_ids_are_found(model_dir: Path) -> None:
    """Trap 1 (several end ids): the generation settings name `<|stop|>`, the template writes `<|end|>`.

    Fails when `end_ids` looks at the tokenizer only.
    """
    policy = load_policy(config(model_dir))
    assert policy.eos_ids == tuple(policy.tokenizer.convert_tokens_to_ids(["<|end|>", "<|stop|>"]))
    tokenizer = make_tokenizer()
    tokenizer.eos_token = "<|stop|>"  # the chat end is then known from the template alone
    assert tokenizer.convert_tokens_to_ids("<|end|>") in loading.end_ids(policy.bare, tokenizer)
    assert Chat(tokenizer).turn_end_id() == tokenizer.convert_tokens_to_ids("<|end|>")


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_a_fresh_adapter_is_on_every_linear_layer_but_the_head_and_changes_nothing(tmp_path: Path, family: str) -> None:
    policy = make_policy(tmp_path / family, family)  # type: ignore[arg-type]
    names = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    assert names and all("lora_" in name for name in names)
    assert not any("lm_head" in name or "embed" in name or "wte" in name for name in names)
    assert len(names) == 2 * 2 * (4 if family == "gpt2" else 7)  # A and B, two layers, linear maps of a layer
    ids = torch.tensor([PROMPT])
    with torch.no_grad():
        adapted = policy.bare(input_ids=ids).logits
        with policy.reference():
            base = policy.bare(input_ids=ids).logits
        nudge(policy)
        changed = policy.bare(input_ids=ids).logits
    assert torch.equal(adapted, base)
    assert (changed - base).abs().max() > 1e-3


def test_initialisation_follows_its_seed_and_leaves_the_global_one_alone(model_dir: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = load_policy(config(model_dir, seed=1))
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(8)
    again, other = (load_policy(config(model_dir, seed=seed)) for seed in (1, 2))
    pairs = [(a, b, c) for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True)]
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_trap_09_everything_is_in_eval_mode_without_dropout(model_dir: Path) -> None:
    """Trap 9. Fails when `.eval()` is left out after PEFT has wrapped the model."""
    policy = load_policy(config(model_dir))
    assert not any(module.training for module in policy.model.modules())
    assert not any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in policy.model.modules())


def adapter_gradients(policy: object) -> torch.Tensor:
    logits, ids, _ = completion_logits(policy.bare, [PROMPT], [[60, 61, 62, 63]], 1.0)  # type: ignore[attr-defined]
    parameters = policy.parameters()  # type: ignore[attr-defined]
    gradients = torch.autograd.grad(sampled_logps(logits, ids).sum(), parameters)
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("bias", [False, True])
def test_trap_13_nf4_gradients_survive_a_generate_on_the_cpu(tmp_path: Path, bias: bool) -> None:
    """Trap 13. Fails, on a CPU with AVX512-BF16, when `disable_cpu_repacking` is not called; with it, never."""
    policy = make_policy(tmp_path, hidden=64, bias=bias, quantization="nf4")
    layers = [m for m in policy.model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14
    assert all(layer.support_avx512bf16_for_cpu is False for layer in layers)
    nudge(policy)
    before = adapter_gradients(policy)
    sample(policy, [PROMPT], SamplingConfig(max_new_tokens=4))
    policy.model.generate(input_ids=torch.tensor([PROMPT]), max_new_tokens=4, do_sample=False)
    after = adapter_gradients(policy)
    assert before.abs().max() > 0
    assert torch.equal(before, after)


def test_nf4_is_close_to_the_unquantised_model_and_auto_means_none_on_the_cpu(tmp_path: Path) -> None:
    directory = make_model_dir(tmp_path, hidden=64)
    whole = load_policy(config(directory, quantization="auto"))
    packed = load_policy(config(directory, quantization="nf4"))
    assert (whole.facts["quantization"], packed.facts["quantization"]) == ("none", "nf4")
    assert whole.facts["parameters"] == packed.facts["parameters"]
    ids = torch.tensor([PROMPT])
    with torch.no_grad():
        a, b = (policy.bare(input_ids=ids).logits for policy in (whole, packed))
    assert 0 < (a - b).abs().mean() < 0.5 * a.std()


def test_unknown_directory_and_device_are_one_sentence(model_dir: Path, tmp_path: Path) -> None:
    assert "no model directory" in refused(tmp_path / "nowhere")
    assert "no device 'gpu8'" in refused(model_dir, device="gpu8")
    if not torch.cuda.is_available():
        assert "not available" in refused(model_dir, device="cuda")


def test_an_incomplete_directory_names_what_is_missing(model_dir: Path, tmp_path: Path) -> None:
    for pattern, word in (
        ("config.json", "config.json"),
        ("*.safetensors", "weights"),
        ("tokenizer.json", "tokenizer"),
    ):
        directory = tmp_path / word
        shutil.copytree(model_dir, directory)
        for file in directory.glob(pattern):
            file.unlink()
        assert word in refused(directory)
    (tmp_path / "weights" / "pytorch_model.bin").write_bytes(b"a pickle")
    assert "safetensors" in refused(tmp_path / "weights")


def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path) -> None:
    assert "no chat template" in refused(make_model_dir(tmp_path, chat_template=None))


def test_broken_weights_are_refused(model_dir: Path, tmp_path: Path) -> None:
    """Truncated, with a tensor missing (which would be filled with random numbers), or with a NaN inside."""

    def copy(name: str) -> Path:
        shutil.copytree(model_dir, tmp_path / name)
        return tmp_path / name / "model.safetensors"

    truncated = copy("truncated")
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    assert "cannot be loaded" in refused(truncated.parent)

    missing = copy("missing")
    tensors = load_file(missing)
    name = next(key for key in tensors if "q_proj" in key)
    save_file({key: value for key, value in tensors.items() if key != name}, missing, metadata={"format": "pt"})
    assert name in refused(missing.parent)

    poisoned = copy("poisoned")
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, poisoned, metadata={"format": "pt"})
    assert "undefined numbers" in refused(poisoned.parent)


def test_a_broken_config_is_refused(model_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{ not json")
    assert "cannot be loaded" in refused(tmp_path / "model")


def test_a_hub_model_without_internet_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "hub cannot be reached" in refused("someone/a-model-that-is-not-cached")


def test_an_impossible_hub_id_is_one_sentence() -> None:
    assert "no model" in refused("someone/some/thing//else")


def test_the_template_used_here_is_the_one_on_disk(model_dir: Path) -> None:
    assert load_policy(config(model_dir)).tokenizer.chat_template == TEMPLATE
