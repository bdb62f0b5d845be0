"""Small random causal language models in real formats, written to disk and loaded like any other.

Each directory holds what a hub model holds: config.json, model.safetensors, tokenizer.json (a byte-level BPE
trained on the sentences below) with a chat template, and generation_config.json. Nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from workbench.config import LoraSettings, PolicyConfig
from workbench.policy import Policy, load_policy

Family = Literal["qwen3", "llama", "gpt2"]
SPECIALS = ("<|end|>", "<|start|>", "<|stop|>")  # chat end (also padding), turn start, a second end of text
THINK = ("<think>", "</think>")  # added, but not special: as in real reasoning models

TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SENTENCES = (
    "Write f(xs): sort, then take 3, then pick the best.",
    "def f(xs):\n    xs = sorted(xs, reverse=True)\n    xs = xs[:3]\n    return max(xs)\n",
    "The following is feedback from your unsuccessful earlier attempt:",
    "Correctly solve the original question.\nCorrect solution:\n\n",
    "f([3, 3, 7, 4, 0, 6]) returned 6, expected 1",
    "You are a careful programmer. Sort descending. Take from the end. <think> hm </think>",
)


def make_tokenizer(chat_template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 400 tokens with special tokens and, unless None, a chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(SENTENCES, trainer)
    backend.add_tokens(list(THINK))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIALS[1:])})
    tokenizer.chat_template = chat_template
    return tokenizer


def _model(family: Family, vocabulary: int, hidden: int, context: int, bias: bool) -> PreTrainedModel:
    shared: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
        "attention_bias": bias,
        # Larger than the usual 0.02, so that a random model has opinions and differences are visible.
        "initializer_range": 0.15,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shared))
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared))
    gpt2 = GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=hidden,
        n_layer=2,
        n_head=4,
        initializer_range=0.15,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return GPT2LMHeadModel(gpt2)


def make_model_dir(
    path: Path,
    family: Family = "qwen3",
    *,
    hidden: int = 32,
    context: int = 512,
    seed: int = 0,
    bias: bool = False,
    chat_template: str | None = TEMPLATE,
) -> Path:
    """Write a complete random model to `path` and return it."""
    tokenizer = make_tokenizer(chat_template)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _model(family, len(tokenizer), hidden, context, bias)
    model.generation_config.eos_token_id = [0, tokenizer.convert_tokens_to_ids("<|stop|>")]
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_policy(path: Path, family: Family = "qwen3", *, quantization: Any = "none", **options: Any) -> Policy:
    """Write a random model and load it as a policy on the CPU, with a LoRA of rank 4."""
    model = str(make_model_dir(path, family, **options))
    lora = LoraSettings(rank=4, lora_alpha=8.0)
    return load_policy(PolicyConfig(model=model, quantization=quantization, device="cpu", lora=lora))


def nudge(policy: Policy, scale: float = 0.1, seed: int = 1) -> None:
    """Give the adapter random weights, so that the policy differs from its base."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
