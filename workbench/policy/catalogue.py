"""Models worth trying, and whether each fits this machine, predicted from its shape alone without a download.

The sizes are those of the models' public configurations; `memory` turns them into bytes. All of them may be used,
changed and passed on by anyone (Apache 2.0), and none asks for an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import torch

from workbench.config import LoraSettings
from workbench.policy.gguf_model import SMOLLM2, SMOLLM2_BYTES
from workbench.policy.memory import Shape, need, shape_of

_QWEN3 = MappingProxyType({"vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8})
_SMOL = MappingProxyType({"vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True})


def _sizes(hidden: int, layers: int, heads: int, intermediate: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
    }


_SMOLLM2_135M = ("llama", {**_SMOL, **_sizes(576, 30, 9, 1536), "num_key_value_heads": 3})
LICENCE = "Apache 2.0"  # of every model below
# Hub id, or name of a file in a package -> (architecture, its configuration), smallest first.
MODELS: Mapping[str, tuple[str, Mapping[str, int | bool]]] = MappingProxyType(
    {
        SMOLLM2: _SMOLLM2_135M,
        "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
        "HuggingFaceTB/SmolLM2-360M-Instruct": (
            "llama",
            {**_SMOL, **_sizes(960, 32, 15, 2560), "num_key_value_heads": 5},
        ),
        "Qwen/Qwen3-0.6B": ("qwen3", {**_QWEN3, **_sizes(1024, 28, 16, 3072), "tie_word_embeddings": True}),
        "HuggingFaceTB/SmolLM2-1.7B-Instruct": (
            "llama",
            {**_SMOL, **_sizes(2048, 24, 32, 8192), "num_key_value_heads": 32},
        ),
        "Qwen/Qwen3-1.7B": ("qwen3", {**_QWEN3, **_sizes(2048, 28, 16, 6144), "tie_word_embeddings": True}),
        "Qwen/Qwen3-4B": ("qwen3", {**_QWEN3, **_sizes(2560, 36, 32, 9728), "tie_word_embeddings": True}),
        "Qwen/Qwen3-8B": ("qwen3", {**_QWEN3, **_sizes(4096, 36, 32, 12288), "tie_word_embeddings": False}),
        "Qwen/Qwen3-14B": ("qwen3", {**_QWEN3, **_sizes(5120, 40, 40, 17408), "tie_word_embeddings": False}),
        "Qwen/Qwen3-32B": ("qwen3", {**_QWEN3, **_sizes(5120, 64, 64, 25600), "tie_word_embeddings": False}),
    }
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model on this machine."""

    model: str
    licence: str
    parameters: int
    quantization: str  # as "auto" chooses it
    download_bytes: int  # its weights in bfloat16, as the hub holds them; of `smollm2` its package
    needed_bytes: int  # for a step on an attempt of 512 tokens, with gradient checkpointing
    fits: bool | None  # None: free memory is unknown


def candidates(device: torch.device, lora: LoraSettings, free: int | None) -> list[Candidate]:
    """Every model of the catalogue, smallest first, with its needs on a device of which `free` bytes are free."""
    quantization, dtype = ("nf4", torch.bfloat16) if device.type == "cuda" else ("none", torch.float32)
    models = []
    for model in MODELS:
        shape = _shape(model)
        parameters = shape.other_weights + sum(linear.weights for linear in shape.linears)
        needed = need(shape, quantization, dtype, lora, checkpointing=True).total_bytes
        fits = None if free is None else needed <= free
        download = SMOLLM2_BYTES if model == SMOLLM2 else 2 * parameters
        models.append(Candidate(model, LICENCE, parameters, quantization, download, needed, fits))
    return models


@cache
def _shape(model: str) -> Shape:
    from transformers import AutoConfig, AutoModelForCausalLM

    architecture, settings = MODELS[model]
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **settings))
    return shape_of(skeleton)
