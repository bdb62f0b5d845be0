"""Where a model comes from: what is refused before its weights are loaded, and what a run remembers of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from model_families import make_family_dir
from safetensors.torch import load_file, save_file

from workbench import Workbench
from workbench.config import LoraSettings, PolicyConfig
from workbench.errors import PolicyError, RunError
from workbench.policy import load_policy
from workbench.policy.source import content_hash

FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family_dir(tmp_path_factory.mktemp("models") / "qwen3", "qwen3")


def edit_config(path: Path, **changes: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


NORM = "model.norm.weight"
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an adapter": (lambda path: (path / "config.json").rename(path / "adapter_config.json"), "is an adapter"),
    "a pickle": (
        lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"),
        r"add weights \(\*\.safetensors\)",
    ),
    "quantised already": (
        lambda path: edit_config(path, quantization_config={"quant_method": "gptq", "bits": 4}),
        r"already quantised \(gptq\)",
    ),
    "code of its own": (
        lambda path: edit_config(path, model_type="novel", auto_map={"AutoConfig": "code.Novel"}),
        "program code of its own, which is never run",
    ),
    "an unknown architecture": (lambda path: edit_config(path, model_type="novel"), "cannot be loaded"),
    "an encoder": (
        lambda path: edit_config(path, model_type="bert", architectures=["BertForMaskedLM"]),
        "is a BertForMaskedLM, not a causal",
    ),
    "an encoder and decoder": (
        lambda path: edit_config(path, model_type="t5", architectures=["T5ForConditionalGeneration"]),
        "is a T5ForConditionalGeneration, not a causal",
    ),
    "another shape": (
        lambda path: edit_tensors(path, lambda tensors: tensors.update({NORM: torch.ones(65)})),
        r"model.norm.weight in model.safetensors has shape \[65\], expected \[64\]",
    ),
    "whole numbers": (
        lambda path: edit_tensors(path, lambda tensors: tensors.update({NORM: tensors[NORM].to(torch.int8)})),
        r"are of type I8 \(model.norm.weight",
    ),
    "truncated": (
        lambda path: (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:-9]),
        "damaged or truncated",
    ),
    "a template that fails": (
        lambda path: (path / "chat_template.jinja").write_text("{{ messages[7].content }}"),
        "The chat template of .* cannot be used",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unfit_model_is_one_sentence(model_dir: Path, tmp_path: Path, name: str) -> None:
    spoil, says = REFUSED[name]
    path = tmp_path / "model"
    shutil.copytree(model_dir, path)
    spoil(path)
    with pytest.raises(PolicyError, match=says) as caught:
        load_policy(PolicyConfig(str(path), "none", "cpu"))
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")


def test_the_hash_is_of_what_decides_the_answers(model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(model_dir, path)
    first = content_hash(path)
    assert first == content_hash(model_dir)
    (path / "README.md").write_text("A card.")
    (path / "training_log.jsonl").write_text("{}")
    assert content_hash(path) == first
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        content = bytearray((path / name).read_bytes())
        content[-1] ^= 1
        (path / name).write_bytes(bytes(content))
        assert content_hash(path) != first
        content[-1] ^= 1
        (path / name).write_bytes(bytes(content))
    assert content_hash(path) == first


def test_a_run_whose_model_changed_is_not_opened(model_dir: Path, tmp_path: Path) -> None:
    """Fails when `enter` does not call `_check_same_files`."""
    path = tmp_path / "model"
    shutil.copytree(model_dir, path)
    with Workbench.open(tmp_path / "run", model=str(path)) as workbench:
        made_with = workbench.events()[0].data["policy"]
    assert made_with["content_sha256"] == content_hash(path) and made_with["commit"] is None
    assert (made_with["dtype"], made_with["attention"]) == ("float32", "sdpa")
    edit_tensors(path, lambda tensors: tensors[NORM].add_(1e-3))
    with pytest.raises(RunError, match=r"have changed since the run in .* was made"):
        Workbench.open(tmp_path / "run", model=str(path))
    shutil.copy(model_dir / "model.safetensors", path)
    with Workbench.open(tmp_path / "run", model=str(path)):
        pass


def test_a_run_keeps_the_settings_it_was_made_with(model_dir: Path, tmp_path: Path) -> None:
    run, model = tmp_path / "run", str(model_dir)
    with Workbench.open(run, model=model, quantization="nf4", lora=LoraSettings(3, variant="dora")):
        pass
    with Workbench.open(run, model=model) as workbench:
        facts = workbench.policy.facts
        assert facts["quantization"] == "nf4"
        assert (facts["lora"]["rank"], facts["lora"]["variant"]) == (3, "dora")
    with pytest.raises(RunError, match="was made with quantization 'nf4', not 'none'"):
        Workbench.open(run, model=model, quantization="none")
    with Workbench.open(run, model=model, quantization="nf4", lora=LoraSettings(3, variant="dora")):
        pass


# The hub, as it lies in its cache: nothing is downloaded, everything else is the real way -----------------------


@pytest.fixture
def hub(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cached hub model `someone/tiny` with two commits, main at the first."""
    repository = tmp_path / "cache" / "models--someone--tiny"
    for commit, change in ((FIRST, 0.0), (SECOND, 0.5)):
        shutil.copytree(model_dir, repository / "snapshots" / commit)
        edit_tensors(repository / "snapshots" / commit, lambda tensors, by=change: tensors[NORM].add_(by))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(FIRST)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repository


def norm(workbench: Workbench) -> torch.Tensor:
    return workbench.policy.bare.model.norm.weight


def test_a_hub_model_is_pinned_to_its_commit(hub: Path, tmp_path: Path) -> None:
    """main moves on, the run does not. Fails when `resumed` does not hand the recorded commit on."""
    with Workbench.open(tmp_path / "run", model="someone/tiny") as workbench:
        made_with = workbench.events()[0].data["policy"]
        assert (made_with["commit"], made_with["content_sha256"]) == (FIRST, None)
        first = norm(workbench).clone()
    (hub / "refs" / "main").write_text(SECOND)
    with Workbench.open(tmp_path / "run", model="someone/tiny") as workbench:
        assert workbench.policy.facts["commit"] == FIRST and torch.equal(norm(workbench), first)
    with Workbench.open(tmp_path / "new", model="someone/tiny") as workbench:
        assert workbench.policy.facts["commit"] == SECOND
        torch.testing.assert_close(norm(workbench), first + 0.5)
    with Workbench.open(tmp_path / "named", model="someone/tiny", revision=FIRST) as workbench:
        assert workbench.policy.facts["commit"] == FIRST and torch.equal(norm(workbench), first)


def test_a_hub_model_of_pickles_is_not_opened(hub: Path) -> None:
    """A harmless one, with every tensor. Fails when `use_safetensors=True` is left out: it would simply be loaded."""
    snapshot = hub / "snapshots" / FIRST
    torch.save(load_file(snapshot / "model.safetensors"), snapshot / "pytorch_model.bin")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(PolicyError):
        load_policy(PolicyConfig("someone/tiny", "none", "cpu"))


def test_an_unknown_hub_model_or_revision_without_internet_is_one_sentence(hub: Path) -> None:
    for model, revision in (("someone/tiny", "nonsense"), ("someone/else", None)):
        with pytest.raises(
            PolicyError, match=f"{model!r} is not on this machine and the hub cannot be reached"
        ) as caught:
            load_policy(PolicyConfig(model, "none", "cpu", revision=revision))
        assert str(caught.value).count("\n") == 0
