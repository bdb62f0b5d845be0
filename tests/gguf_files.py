"""GGUF files of small models, written with the package gguf as llama.cpp's converter writes them.

The source is a directory of `model_families`, so that what a file gives can be compared with what the directory gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # kinds of tokens


def write_gguf(
    directory: Path,
    path: Path,
    *,
    architecture: str,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    fields: Mapping[str, Any] | None = None,
    cut: str = "gpt-2",
    leave_out: str = "",
) -> Path:
    """Write the model in `directory` (of the family Llama or Qwen 3) as a GGUF file and return its path.

    `kind`: type of its matrices; `fields`: texts and numbers to add or replace, by key; `leave_out`: a tensor to omit.
    """
    config = json.loads((directory / "config.json").read_text())
    writer = gguf.GGUFWriter(path, architecture)
    texts = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": cut, "general.type": "model"}
    numbers = {
        f"{architecture}.{name}": config[key]
        for name, key in {
            "block_count": "num_hidden_layers",
            "context_length": "max_position_embeddings",
            "embedding_length": "hidden_size",
            "feed_forward_length": "intermediate_size",
            "attention.head_count": "num_attention_heads",
            "attention.head_count_kv": "num_key_value_heads",
            "attention.key_length": "head_dim",
        }.items()
    }
    for key, value in {**texts, **numbers, **(fields or {})}.items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    _add_tokenizer(writer, directory, config)
    tensors = load_file(directory / "model.safetensors")
    names = gguf.get_tensor_name_map(
        next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), config["num_hidden_layers"]
    )
    for name, numbers_of in tensors.items():
        stored = names.get_name(name, try_suffixes=(".weight",))
        if stored == leave_out:
            continue
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            numbers_of = _halves_interleaved(numbers_of, heads)
        of_kind = kind if numbers_of.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(stored, gguf.quantize(numbers_of, of_kind), raw_dtype=of_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _halves_interleaved(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head in the order in which llama.cpp turns pairs of neighbours."""
    halves = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, matrix.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(matrix.shape))


def _add_tokenizer(writer: gguf.GGUFWriter, directory: Path, config: Mapping[str, Any]) -> None:
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    words = {number: word for word, number in tokenizer["model"]["vocab"].items()}
    words |= {number: token["content"] for number, token in added.items()}
    kinds = [
        (_CONTROL if added[number]["special"] else _USER_DEFINED) if number in added else _NORMAL
        for number in range(len(words))
    ]
    writer.add_token_list([words[number] for number in range(len(words))])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(config["bos_token_id"])
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(config["pad_token_id"])
    writer.add_chat_template((directory / "chat_template.jinja").read_text())
