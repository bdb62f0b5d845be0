"""Loading a policy: the embedded model, a local directory, a GGUF file or a hub model, all through the same code.

In this order, so that nothing is loaded in vain: find and check the model, predict its memory, check the adapter,
then load tokenizer, weights and adapter. Whatever is missing, broken or unfit is reported in one sentence
(`PolicyError`). Knows nothing of the contents of prompts, losses or runs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch

from workbench.config import LoraSettings, PolicyConfig
from workbench.errors import PolicyError
from workbench.policy import devices, gguf_model, memory
from workbench.policy.adapter import AdapterFile, add_adapter, read_adapter
from workbench.policy.chat import Chat
from workbench.policy.chat_check import check_embedding, end_tokens, end_warning
from workbench.policy.checkpointing import install
from workbench.policy.merged import can_merge
from workbench.policy.pace import measure
from workbench.policy.policy import Policy
from workbench.policy.selfcheck import brute_force, gradient_check, null_test
from workbench.policy.source import Source, as_policy_error, check_headers, find, skeleton


def load_policy(config: PolicyConfig) -> Policy:
    """Load the model named by `config` with an adapter: a fresh, seeded one that changes nothing yet, or a given one.

    The device "auto" is CUDA where there is any, else Apple's GPU where it is trusted (`mps_problem`), else the CPU.
    Raises PolicyError: unknown model, missing files, no internet, no chat template, broken weights, a wrong adapter,
    no such device, too little memory.
    """
    return _load(config, auto_device() if config.device == "auto" else devices.named(config.device))


def auto_device() -> torch.device:
    """The device that "auto" stands for on this machine."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if devices.has_mps() and mps_problem() is None else "cpu")


@lru_cache(maxsize=1)
def mps_problem() -> str | None:
    """Why Apple's GPU is not trusted here, or None: the embedded policy is checked on it, once per process.

    The checks compare its scores with float64 on the CPU, its gradient with a measured slope, and two passes of the
    same prompt with each other.
    """
    try:
        policy = _load(PolicyConfig("embedded", "none", "mps"), torch.device("mps"))
        passed = {
            "null test": null_test(policy).ok,
            "gradient check": gradient_check(policy).ok,
            "float64 check": brute_force(policy).ok,
        }
    except Exception as error:  # whatever the device does with it is what is reported
        return f"the embedded policy does not run on it ({' '.join(str(error).split())[:200]})"
    failed = [name for name, ok in passed.items() if not ok]
    return f"failed on the embedded policy: {', '.join(failed)}" if failed else None


def _load(config: PolicyConfig, device: torch.device) -> Policy:
    quantization = devices.quantization_on(device, config.quantization)
    dtype = devices.dtype_on(device)
    with _quiet():
        source = find(config)
        attention = _attention(source)
        outline = skeleton(source, config, dtype=dtype, attention=attention)
    shape = memory.shape_of(outline)
    start = None if config.adapter is None else read_adapter(config.adapter, shape.linears, source)
    lora = config.lora if start is None else start.settings
    if lora.variant == "dora" and quantization == "int8" and device.type == "cpu":
        # PEFT 0.21 moves an int8 layer's weights to read their norm and loses their scales on the way back.
        raise PolicyError("DoRA cannot be put on int8 layers on the CPU; choose quantization 'nf4' or 'none'.")
    need = memory.check_fits(
        config.model, shape, quantization, dtype, lora, memory.free_bytes(device), devices.described(device)
    )
    check_headers(source, outline)
    tokenizer = _load_tokenizer(config, source)
    chat = Chat(tokenizer, config.thinking)
    chat.check(config.model)
    check_embedding(chat, outline.get_input_embeddings().weight.shape[0], config.model)
    model = _load_model(config, source, device, quantization, dtype, attention, outline)
    disable_cpu_repacking(model)
    free = memory.free_bytes(device)
    budget = None if free is None else free // 2
    layers = install(model, config.gradient_checkpointing, shape, dtype, budget)
    with _quiet():
        model = add_adapter(model, lora, seed=config.seed, start=start)
    eos_ids = end_ids(model, tokenizer)
    _check_weights(model, config.model)
    end_problem = end_warning(tokenizer, eos_ids, _names_end(source), config.model)
    if end_problem is not None:
        warnings.warn(end_problem, stacklevel=3)
    facts = _facts(model, tokenizer, config, source, device, quantization, dtype, lora, start) | {
        "thinking": config.thinking,
        "end_tokens": end_tokens(tokenizer, eos_ids),
        "end_warning": end_problem,
        "system_turn": "its own" if chat.has_system_turn() else "at the front of the user's turn",
        "memory": asdict(need) | {"total_bytes": need.total_bytes, "free_bytes": free},
        "gradient_checkpointing": {
            "mode": config.gradient_checkpointing if layers else "off",
            "budget_bytes": budget,
        },
        "merged_sampling": can_merge(model, free),
    }
    policy = Policy(model, tokenizer, device=device, eos_ids=eos_ids, facts=facts, seed=config.seed)
    policy.facts["pace"] = asdict(measure(policy))
    return policy


def disable_cpu_repacking(model: torch.nn.Module) -> int:
    """Keep NF4 layers in the layout that has a gradient (trap 13); return the number of such layers.

    bitsandbytes 0.50.2 repacks the weights of an NF4 layer in place in the first no-grad forward pass in eval mode
    on a CPU with AVX512-BF16; the repacked path is not differentiable, so later LoRA gradients are silently wrong.
    """
    layers = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    return len(layers)


def end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """All ids that end an attempt: those of the generation settings, the tokenizer and the chat template."""
    ids: set[int] = set()
    for value in (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config, "eos_token_id", None),
        tokenizer.eos_token_id,
        Chat(tokenizer).turn_end_id(),
    ):
        ids.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
    return tuple(sorted(int(i) for i in ids))


def _names_end(source: Source) -> bool:
    """True where config.json names an end token, rather than transformers' default for its class."""
    from transformers import PreTrainedConfig

    if source.gguf is not None:
        return True  # a GGUF file's header names it
    written, _ = PreTrainedConfig.get_config_dict(source.place, revision=source.commit)
    return "eos_token_id" in written or "eos_token_id" in written.get("text_config", {})


def _attention(source: Source) -> str | None:
    """Eager attention where scores are soft-capped, which fused kernels cannot do; else None, transformers' choice."""
    capped = getattr(source.config.get_text_config(), "attn_logit_softcapping", None)
    return "eager" if capped is not None else None


def _load_tokenizer(config: PolicyConfig, source: Source) -> Any:
    from transformers import AutoTokenizer

    with as_policy_error(config):
        if source.gguf is not None:
            tokenizer = gguf_model.tokenizer(source.gguf)
        else:
            tokenizer = AutoTokenizer.from_pretrained(source.place, revision=source.commit, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise PolicyError(
            f"The tokenizer of {config.model!r} has no chat template, so a question cannot be put to it; choose an "
            "instruction-tuned model, or save a chat_template.jinja beside its tokenizer."
        )
    # Otherwise `sanitize_control_tokens` lets through added tokens that the template does not mention and that are not
    # marked as special (such as `<think>`): a person could write them (trap 5). White space stays a token.
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if not token.content.isspace()]
    tokenizer.chat_control_tokens = added
    return tokenizer


def _load_model(
    config: PolicyConfig,
    source: Source,
    device: torch.device,
    quantization: str,
    dtype: torch.dtype,
    attention: str | None,
    outline: Any,
) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}, "output_loading_info": True}
    if attention is not None:
        options["attn_implementation"] = attention
    if quantization != "none":
        options["quantization_config"] = _bitsandbytes(quantization, dtype)
    with as_policy_error(config), _quiet():
        loaded: Any
        if source.gguf is not None:
            tensors = gguf_model.weights(source.gguf, outline, dtype)
            loaded = type(outline).from_pretrained(None, config=source.config, state_dict=tensors, **options)
        else:
            loaded = AutoModelForCausalLM.from_pretrained(
                source.place, revision=source.commit, use_safetensors=True, trust_remote_code=False, **options
            )
    model, missing = loaded[0], sorted(loaded[1]["missing_keys"])
    if missing:  # the library would have filled them with random numbers
        raise PolicyError(
            f"The weights of {config.model!r} are broken: {len(missing)} tensors are missing, {missing[0]} among "
            "them; get the model again."
        )
    return model


def _bitsandbytes(quantization: str, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        # On float32 activations it warns in every layer of every pass that it casts them to float16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


@torch.no_grad()
def _check_weights(model: Any, name: str) -> None:
    """Detect NaN or infinite weights here, and not in the middle of an update.

    The logits alone would not show them: PyTorch's attention on the CPU turns undefined scores into zeros.
    """
    for key, parameter in model.named_parameters():
        if parameter.is_floating_point() and not torch.isfinite(parameter.sum(dtype=torch.float32)):
            raise PolicyError(f"The weights of {name!r} are broken: {key} holds infinite or undefined numbers.")
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    if not torch.isfinite(model(input_ids=ids).logits).all():  # where the weights of quantised layers show
        raise PolicyError(f"The weights of {name!r} are broken: they give infinite or undefined logits.")


def _facts(
    model: Any,
    tokenizer: Any,
    config: PolicyConfig,
    source: Source,
    device: torch.device,
    quantization: str,
    dtype: torch.dtype,
    lora: LoraSettings,
    start: AdapterFile | None,
) -> dict[str, Any]:
    base = model.get_base_model()
    adapter = sum(p.numel() for p in model.parameters() if p.requires_grad)
    text_config = base.config.get_text_config()
    context = getattr(text_config, "max_position_embeddings", None) or tokenizer.model_max_length
    all_linear = lora.target_modules == "all-linear"
    targets = "all linear layers except the output head" if all_linear else ", ".join(lora.target_modules)
    return {
        "model": config.model,
        "architecture": type(base).__name__,
        # Counts the weights that packed 4-bit numbers stand for, not their bytes.
        "parameters": base.num_parameters() - adapter,
        "adapter_parameters": adapter,
        "dtype": str(dtype).removeprefix("torch."),
        "quantization": quantization,
        "lora": asdict(lora) | {"target_modules": _plain(lora.target_modules), "targets": targets},
        "adapter": None if start is None else {"path": str(start.path), "sha256": start.content_hash},
        "revision": config.revision,
        "commit": source.commit,
        "content_sha256": source.content_hash,
        "attention": base.config._attn_implementation,
        "context_length": int(context),
        "vocabulary": int(base.get_output_embeddings().weight.shape[0]),
        "device": str(device),
        "seed": config.seed,
    }


def _plain(targets: str | tuple[str, ...]) -> str | list[str]:
    return targets if isinstance(targets, str) else list(targets)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress output that nobody can act on: hints at optional kernels, PEFT's remarks, a progress bar of 10 ms."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # in notebooks; no bar is shown there
        from transformers.utils import logging as progress

    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, bars = logger.level, progress.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    progress.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        try:
            yield
        finally:
            logger.setLevel(level)
            if bars:
                progress.enable_progress_bar()
