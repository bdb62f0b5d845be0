"""Loading a policy: the embedded model, a local directory or a hub model, all through the same code.

Only safetensors weights, never remote code. Every way in which a model can be missing, broken or unfit is one
sentence (`PolicyError`). Knows nothing of prompts' contents, losses or runs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from workbench.config import PolicyConfig
from workbench.errors import PolicyError
from workbench.policy.policy import Policy

EMBEDDED_WEIGHTS = Path(__file__).parents[1] / "embedded" / "weights"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")


def load_policy(config: PolicyConfig) -> Policy:
    """Load the model named by `config` with a fresh, seeded LoRA adapter whose policy equals the base.

    Raises PolicyError: unknown model, missing files, no internet, no chat template, broken weights, no such
    device, too little memory.
    """
    device = _device(config.device)
    source = _source(config.model)
    quantization = _quantization(config.quantization, device)
    dtype = _dtype(device, quantization)
    tokenizer = _load_tokenizer(config, source)
    model = _load_model(config, source, device, quantization, dtype)
    disable_cpu_repacking(model)
    model = _add_adapter(model, config)
    eos_ids = end_ids(model, tokenizer)
    _check_weights(model, config.model)
    facts = _facts(model, tokenizer, config, device, quantization, dtype)
    return Policy(model, tokenizer, device=device, eos_ids=eos_ids, facts=facts, seed=config.seed)


def disable_cpu_repacking(model: torch.nn.Module) -> int:
    """Keep NF4 layers in the layout that has a gradient (trap 13); returns how many layers it found.

    bitsandbytes 0.50.2 repacks the weights of an NF4 layer in place in the first no-grad forward pass in eval mode
    on a CPU with AVX512-BF16; the repacked path is not differentiable, so later LoRA gradients are silently wrong.
    """
    layers = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    return len(layers)


def end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every id that ends an attempt: of the generation settings, the tokenizer and the chat template."""
    found: set[int] = set()
    for value in (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config, "eos_token_id", None),
        tokenizer.eos_token_id,
        _turn_end_id(tokenizer),
    ):
        found.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
    return tuple(sorted(int(i) for i in found))


def _turn_end_id(tokenizer: Any) -> int | None:
    """The special token that the chat template writes after an assistant's words, if it writes one."""
    words = "SAID"
    chat = [{"role": "user", "content": "ASKED"}, {"role": "assistant", "content": words}]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    after = text.rpartition(words)[2].lstrip()
    added = {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = [content for content in added if after.startswith(content)]
    return added[max(ends, key=len)] if ends else None


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PolicyError(f"There is no device {name!r}; choose auto, cpu or cuda.") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise PolicyError(f"Device {name!r} is not available on this machine; choose auto or cpu.")
    return device


def _source(model: str) -> str:
    """The directory or hub id to load from; local directories are checked for what they must hold."""
    if model == "embedded":
        directory = EMBEDDED_WEIGHTS
    elif Path(model).expanduser().exists() or model.startswith((".", "/", "~")):
        directory = Path(model).expanduser()
    else:
        return model
    if not directory.is_dir():
        raise PolicyError(f"There is no model directory {model!r}; give 'embedded', a directory or a hub id.")
    missing = [] if (directory / "config.json").is_file() else ["config.json"]
    missing += [] if any(directory.glob("*.safetensors")) else ["weights (*.safetensors)"]
    missing += [] if any((directory / name).is_file() for name in _TOKENIZER_FILES) else ["a tokenizer"]
    if missing:
        raise PolicyError(f"The model directory {model!r} is incomplete: add {', '.join(missing)}.")
    return str(directory)


def _quantization(choice: str, device: torch.device) -> str:
    if choice == "auto":
        return "nf4" if device.type == "cuda" else "none"
    return choice


def _dtype(device: torch.device, quantization: str) -> torch.dtype:
    """fp32 on the CPU (its bf16 is slow and coarse); bf16, or fp16 on older cards, on CUDA."""
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _load_tokenizer(config: PolicyConfig, source: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # in notebooks; no bar is shown anyway
        from transformers import AutoTokenizer

    with _one_sentence(config):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=config.revision, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise PolicyError(
            f"The tokenizer of {config.model!r} has no chat template, so a question cannot be put to it; "
            "choose an instruction-tuned model."
        )
    # Without this, `sanitize_control_tokens` lets added tokens through that the template does not mention and that
    # are not marked as special (such as `<think>`): a person could write them (trap 5). White space stays a token.
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if not token.content.isspace()]
    tokenizer.chat_control_tokens = added
    return tokenizer


def _load_model(
    config: PolicyConfig, source: str, device: torch.device, quantization: str, dtype: torch.dtype
) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"revision": config.revision, "dtype": dtype, "device_map": {"": device}}
    if quantization != "none":
        options["quantization_config"] = _bitsandbytes(quantization, dtype)
    with _one_sentence(config), _quiet():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
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
        # On float32 activations it repeats, for every layer of every pass, that it casts them to float16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _add_adapter(model: Any, config: PolicyConfig) -> Any:
    """LoRA on all linear layers but the head; B starts at 0, A from `config.seed`, no dropout (trap 9)."""
    with _quiet():
        from peft import LoraConfig, TaskType, get_peft_model

        lora = LoraConfig(
            r=config.lora.rank,
            lora_alpha=config.lora.lora_alpha,  # type: ignore[arg-type]  # annotated int, fractions work
            lora_dropout=0.0,
            target_modules="all-linear",
            bias="none",
            task_type=TaskType.CAUSAL_LM,
        )
        cuda = list(range(torch.cuda.device_count()))
        with torch.random.fork_rng(devices=cuda):  # library code leaves the global seed alone
            torch.manual_seed(config.seed)
            adapted = get_peft_model(model, lora)
    adapted.requires_grad_(False)
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return adapted.eval()


@torch.no_grad()
def _check_weights(model: Any, name: str) -> None:
    """NaN or infinite weights show here and not in the middle of an update.

    The logits alone would not tell: PyTorch's attention on the CPU turns undefined scores into zeros.
    """
    for key, parameter in model.named_parameters():
        if parameter.is_floating_point() and not torch.isfinite(parameter.sum(dtype=torch.float32)):
            raise PolicyError(f"The weights of {name!r} are broken: {key} holds infinite or undefined numbers.")
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    if not torch.isfinite(model(input_ids=ids).logits).all():  # what a quantised layer holds shows here
        raise PolicyError(f"The weights of {name!r} are broken: they give infinite or undefined logits.")


def _facts(
    model: Any, tokenizer: Any, config: PolicyConfig, device: torch.device, quantization: str, dtype: torch.dtype
) -> dict[str, Any]:
    base = model.get_base_model()
    adapter = sum(p.numel() for p in model.parameters() if p.requires_grad)
    text_config = base.config.get_text_config()
    context = getattr(text_config, "max_position_embeddings", None) or tokenizer.model_max_length
    return {
        "model": config.model,
        "architecture": type(base).__name__,
        # Counts what a packed 4-bit weight stands for, not its bytes.
        "parameters": base.num_parameters() - adapter,
        "adapter_parameters": adapter,
        "dtype": str(dtype).removeprefix("torch."),
        "quantization": quantization,
        "lora": asdict(config.lora) | {"targets": "all linear layers except the output head"},
        "revision": config.revision,
        "commit": getattr(base.config, "_commit_hash", None),
        "attention": base.config._attn_implementation,
        "context_length": int(context),
        "vocabulary": int(base.get_output_embeddings().weight.shape[0]),
        "device": str(device),
        "seed": config.seed,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what a person cannot act on: bitsandbytes' hint at optional kernels, PEFT's remarks, a bar of 10 ms."""
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


@contextmanager
def _one_sentence(config: PolicyConfig) -> Iterator[None]:
    """Turn what the loading libraries raise into a PolicyError that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise PolicyError(
            f"There is not enough GPU memory for {config.model!r} with quantization {config.quantization!r}; "
            "use quantization 'nf4', a smaller model, or device 'cpu'."
        ) from error
    except Exception as error:
        raise PolicyError(_reason(config, error)) from error


def _reason(config: PolicyConfig, error: Exception) -> str:
    from huggingface_hub import errors as hub

    model, causes = config.model, list(_causes(error))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(hub.GatedRepoError):
        return f"The model {model!r} needs an accepted licence; accept it on its hub page and log in."
    if caused_by(hub.RevisionNotFoundError):
        return f"The model {model!r} has no revision {config.revision!r}; name a branch, tag or commit that exists."
    if caused_by(hub.RepositoryNotFoundError, hub.HFValidationError):
        return f"There is no model {model!r}; give 'embedded', a directory or the id of a hub model."
    if caused_by(hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError):
        return (
            f"The model {model!r} is not on this machine and the hub cannot be reached; "
            "connect to the internet, or use 'embedded' or a local directory."
        )
    what = " ".join(str(error).split())[:200]
    return f"The model {model!r} cannot be loaded ({what}); check its files or get the model again."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
