"""Small random models of every family that the workbench claims to load, as directories like those of a hub.

Each has its real architecture class, a tokenizer of its family's kind (byte-level BPE, or SentencePiece-like BPE
with byte fallback) trained on a few sentences, and a chat template in its family's manner. What differs between real
families differs here: biases, tied heads, learned positions, sliding windows, soft caps, fused projections, several
end ids, a pad id that equals the end or is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import chat_templates as templates
import torch
import transformers
from policy_factory import SENTENCES
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CONTEXT = 512


@dataclass(frozen=True)
class Family:
    """One family: which class, which tokenizer, and what is peculiar to it."""

    model: str  # transformers' class; its config class is found through it
    template: str
    kind: Literal["bytes", "pieces"]  # of the tokenizer
    specials: tuple[str, ...]  # the ids 0, 1, 2 ...
    eos: str
    ends: tuple[str, ...]  # what generation_config.json lists; one that differs from `eos` must be found too
    bos: str | None = None
    pad: str | None = None
    added: tuple[str, ...] = ()  # added, but not special
    options: Mapping[str, Any] = field(default_factory=dict)  # of the model's configuration
    linears: int = 7  # per decoder layer
    system_turn: bool = True


CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CAPS = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0, "sliding_window": 16}
FAMILIES: dict[str, Family] = {
    "qwen3": Family(
        "Qwen3ForCausalLM",
        templates.QWEN3,
        "bytes",
        CHATML,
        eos="<|im_end|>",
        ends=("<|im_end|>", "<|endoftext|>"),
        pad="<|endoftext|>",
        added=("<think>", "</think>"),
        options={"tie_word_embeddings": True},
    ),
    "llama": Family(
        "LlamaForCausalLM",
        templates.LLAMA3,
        "bytes",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        eos="<|end_of_text|>",
        ends=("<|end_of_text|>", "<|eot_id|>"),
        bos="<|begin_of_text|>",
        options={"tie_word_embeddings": False},
    ),
    "mistral": Family(
        "MistralForCausalLM",
        templates.MISTRAL,
        "pieces",
        ("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
        eos="</s>",
        ends=("</s>",),
        bos="<s>",
        options={"tie_word_embeddings": False, "sliding_window": 16},
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        templates.GEMMA2,
        "pieces",
        ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        eos="<eos>",
        ends=("<eos>",),  # the end of a turn is known from the template alone
        bos="<bos>",
        pad="<pad>",
        options={"tie_word_embeddings": True, "query_pre_attn_scalar": 16, **_CAPS},
        system_turn=False,
    ),
    "gemma3": Family(
        "Gemma3ForCausalLM",
        templates.GEMMA3,
        "pieces",
        ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        eos="<eos>",
        ends=("<eos>", "<end_of_turn>"),
        bos="<bos>",
        pad="<pad>",
        options={"tie_word_embeddings": True, "query_pre_attn_scalar": 16, "sliding_window": 16, "layer_types": None},
    ),
    "olmo2": Family(
        "Olmo2ForCausalLM",
        templates.OLMO2,
        "bytes",
        ("<|endoftext|>", "<|pad|>"),
        eos="<|endoftext|>",
        ends=("<|endoftext|>",),
        bos="<|endoftext|>",
        pad="<|pad|>",
        options={"tie_word_embeddings": False},
    ),
    "olmo3": Family(
        "Olmo3ForCausalLM",
        templates.OLMO3,
        "bytes",
        CHATML,
        eos="<|im_end|>",
        ends=("<|im_end|>", "<|endoftext|>"),
        pad="<|endoftext|>",
        options={"tie_word_embeddings": False, "sliding_window": 16},
    ),
    "phi3": Family(
        "Phi3ForCausalLM",
        templates.PHI3,
        "pieces",
        ("<unk>", "<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        eos="<|endoftext|>",
        ends=("<|endoftext|>", "<|assistant|>", "<|end|>"),
        bos="<s>",
        pad="<|endoftext|>",
        options={"tie_word_embeddings": False},
        linears=4,
    ),
    "phi": Family(
        "PhiForCausalLM",
        templates.PLAIN,
        "bytes",
        ("<|endoftext|>",),
        eos="<|endoftext|>",
        ends=("<|endoftext|>",),
        bos="<|endoftext|>",
        pad="<|endoftext|>",
        options={"tie_word_embeddings": False},
        linears=6,
        system_turn=False,
    ),
    "gpt2": Family(
        "GPT2LMHeadModel",
        templates.PLAIN,
        "bytes",
        ("<|endoftext|>",),
        eos="<|endoftext|>",
        ends=("<|endoftext|>",),
        bos="<|endoftext|>",
        pad="<|endoftext|>",
        linears=4,
        system_turn=False,
    ),
}


def make_family_dir(path: Path, name: str, *, hidden: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Write a complete random model of a family to `path` and return it."""
    family = FAMILIES[name]
    tokenizer = make_family_tokenizer(family)
    ids = tokenizer.convert_tokens_to_ids
    # Larger than the usual 0.02, so that a random model has opinions and differences are visible.
    config: dict[str, Any] = {"initializer_range": 0.15, "vocab_size": len(tokenizer), **family.options}
    config |= {"eos_token_id": ids(family.eos)}
    config |= {"bos_token_id": ids(family.bos) if family.bos else None}
    config |= {"pad_token_id": ids(family.pad) if family.pad else None}
    if name == "gpt2":
        config |= {"n_embd": hidden, "n_layer": layers, "n_head": 4, "n_positions": CONTEXT}
    else:
        config |= {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers}
        config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT}
    if name in ("qwen3", "gemma2", "gemma3"):
        config |= {"head_dim": hidden // 4}
    model_class = getattr(transformers, family.model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(model_class.config_class(**config))
        with torch.no_grad():
            for parameter in model.parameters():  # norms and biases start at 1 and 0, which would hide mistakes
                if parameter.ndim == 1:
                    parameter += 0.1 * torch.randn_like(parameter)
    model.generation_config.eos_token_id = [ids(end) for end in family.ends]
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_family_tokenizer(family: Family, size: int = 0) -> PreTrainedTokenizerFast:
    """A tokenizer of a family's kind, of about 400 tokens, or filled up to `size` with ones that no text becomes."""
    backend = {"bytes": _bytes, "pieces": _pieces}[family.kind](family.specials)
    if size:
        written = json.loads(backend.to_str())
        vocabulary = written["model"]["vocab"]
        for number in range(len(vocabulary), size - len(family.added)):
            vocabulary[f"\uf8ff{number}"] = number
        backend = Tokenizer.from_str(json.dumps(written))
    backend.add_special_tokens(list(family.specials))
    backend.add_tokens(list(family.added))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=family.bos, eos_token=family.eos, pad_token=family.pad
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [s for s in family.specials if s != family.eos]})
    tokenizer.chat_template = family.template
    return tokenizer


def _bytes(specials: tuple[str, ...]) -> Tokenizer:
    """Byte-level BPE, as in GPT-2, Llama 3, Qwen, Olmo and Phi 2."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return backend


def _pieces(specials: tuple[str, ...]) -> Tokenizer:
    """BPE over characters with a visible space and bytes for what it does not know, as SentencePiece makes it."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=list(specials), show_progress=False)
    trained.train_from_iterator([sentence.replace("\n", " ") for sentence in SENTENCES], trainer)
    learned = json.loads(trained.to_str())["model"]
    vocabulary = dict(learned["vocab"])
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    merges = [tuple(pair) for pair in learned["merges"]]
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend
