"""The adapter: LoRA, rsLoRA or DoRA on a model, started afresh or from a PEFT directory, and written as one.

A directory is checked against the model before any of it is loaded: each of its settings must be understood, its
weights must be safetensors, and every tensor must belong to a layer and have its shape. Knows nothing of devices and
runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from workbench.config import LoraSettings, LoraVariant
from workbench.errors import PolicyError
from workbench.policy.memory import Linear
from workbench.policy.source import Source, content_hash, tensor_headers

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Parts of the names of tensors that PEFT saves of layers which it enlarged or trained as a whole.
_EMBEDDINGS = ("embed_tokens", "wte.", "lm_head", "embed_out", "modules_to_save", "lora_embedding")
# What to do with an adapter that is right but holds more than is understood here.
_MERGE = "merge it into its model with PEFT (merge_and_unload), save that, and load the merged model instead"
# Fields of a PEFT configuration that change nothing here: descriptions, and how weights were once initialised.
_IDLE = {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "megatron_core", "peft_version"}
_IDLE |= {"revision", "qalora_group_size", "layers_pattern", "fan_in_fan_out"}
# Fields that say which layers carry the adapter. The tensors' names say the same, and are what is trusted.
_PLACES = {"target_modules", "exclude_modules", "layers_to_transform"}
_READ = {"peft_type", "task_type", "r", "lora_alpha", "use_rslora", "use_dora", "bias", "init_lora_weights"}
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A PEFT adapter on disk, checked to fit the model."""

    path: Path
    settings: LoraSettings
    content_hash: str  # SHA-256 over its configuration and weights


def read_adapter(directory: str | Path, linears: tuple[Linear, ...], source: Source) -> AdapterFile:
    """Check an adapter's directory against its model, without loading weights.

    `linears`: every layer of the model, `source`, that may carry an adapter. Raises PolicyError: missing or pickled
    files, not LoRA, made for another base, parts that would be ignored silently, tensors that do not fit.
    """
    path = Path(directory).expanduser()
    if not path.is_dir():
        raise PolicyError(f"There is no adapter directory {str(directory)!r}; give one that PEFT wrote.")
    if not (path / CONFIG).is_file():
        raise PolicyError(f"The adapter {str(directory)!r} has no {CONFIG}; give a directory that PEFT wrote.")
    if not (path / WEIGHTS).is_file():
        pickled = " (its adapter_model.bin is a pickle, which is never opened)" if any(path.glob("*.bin")) else ""
        raise PolicyError(f"The adapter {str(directory)!r} has no {WEIGHTS}{pickled}; save it again as safetensors.")
    rank, lora_alpha, variant, base = _settings(path)
    _check_base(path, base, source)
    targets = _targets(path, rank, variant, {linear.name: linear for linear in linears})
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((path / name).read_bytes())
    return AdapterFile(path, LoraSettings(rank, lora_alpha, variant, targets), digest.hexdigest())


def _settings(path: Path) -> tuple[int, float, LoraVariant, str]:
    """Rank, lora_alpha, variant and the name of the base. Raises PolicyError unless every field is known."""
    try:
        settings = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        rank, lora_alpha = settings["r"], float(settings["lora_alpha"])
        kind, task = settings["peft_type"], settings.get("task_type") or "CAUSAL_LM"
        rank_is_whole = isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _unfit(path, f"its {CONFIG} cannot be read ({reason})") from error
    if kind != "LORA":
        raise _unfit(path, f"it is of type {kind}, and only LORA is understood", _MERGE)
    if task != "CAUSAL_LM":
        raise _unfit(path, f"it was made for the task {task}, not for CAUSAL_LM")
    if not rank_is_whole:
        raise _unfit(path, f"its rank is {rank!r}")
    if settings.get("modules_to_save"):
        modules = ", ".join(map(str, settings["modules_to_save"]))
        raise _unfit(path, f"it brings whole layers of its own (modules_to_save: {modules})", _MERGE)
    if settings.get("bias", "none") != "none":
        raise _unfit(path, f"it changes biases of the model (bias: {settings['bias']!r})", _MERGE)
    if settings.get("init_lora_weights", True) not in (True, False, None, "gaussian", "orthogonal"):
        # The others (PiSSA, OLoRA, ...) also change the model itself, without which the adapter means something else.
        initialisation = settings["init_lora_weights"]
        raise _unfit(path, f"it belongs to a model changed by its initialisation ({initialisation})", _MERGE)
    unknown = sorted(key for key in settings.keys() - _IDLE - _PLACES - _READ if settings[key])
    if unknown:
        raise _unfit(path, f"it uses {', '.join(unknown)}, which the workbench does not know", _MERGE)
    if settings.get("use_rslora") and settings.get("use_dora"):
        raise _unfit(path, "it uses rsLoRA and DoRA at once, which the workbench does not know", _MERGE)
    variant: LoraVariant = "dora" if settings.get("use_dora") else "rslora" if settings.get("use_rslora") else "lora"
    return rank, lora_alpha, variant, str(settings.get("base_model_name_or_path") or "")


def _check_base(path: Path, base: str, source: Source) -> None:
    """Raise PolicyError where an adapter names another base: layers of equal shapes would take it without a word.

    Models that are both here are compared by their content, others by the last part of their names.
    """
    if not base or base == source.name:
        return
    if source.is_local and Path(base).expanduser().is_dir():
        same = content_hash(Path(base).expanduser()) == source.content_hash
    else:
        same = _last_part(base) in {_last_part(source.name), _last_part(source.place)}
    if not same:
        raise _unfit(
            path,
            f"it was made for {base!r}, and this model is {source.name!r}",
            f"load {base!r}, or, if both are the same, write this model's name into base_model_name_or_path of its "
            f"{CONFIG}",
        )


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()


def _targets(path: Path, rank: int, variant: LoraVariant, linears: Mapping[str, Linear]) -> tuple[str, ...]:
    """The layers that the adapter's tensors belong to, in the shortest form that names exactly these."""
    headers = tensor_headers(path / WEIGHTS)
    parts = {"lora_A.weight", "lora_B.weight"} | ({"lora_magnitude_vector"} if variant == "dora" else set())
    layer_parts: dict[str, set[str]] = {}
    for key, (dtype, shape) in headers.items():
        part = next((part for part in parts if key.endswith(f".{part}")), None)
        name = key.removeprefix(_PREFIX).removesuffix(f".{part}")
        if any(mark in key for mark in _EMBEDDINGS):
            raise _unfit(path, f"it brings an embedding or head of its own ({key})", _MERGE)
        if part is None or not key.startswith(_PREFIX) or name not in linears:
            raise _unfit(path, f"its tensor {key} belongs to no layer that can carry an adapter")
        layer = linears[name]
        expected = {
            "lora_A.weight": (rank, layer.in_features),
            "lora_B.weight": (layer.out_features, rank),
            "lora_magnitude_vector": (layer.out_features,),
        }[part]
        if shape != expected:
            raise _unfit(path, f"its tensor {key} has shape {list(shape)}, expected {list(expected)}")
        if dtype not in _FLOATS:
            raise _unfit(path, f"its tensor {key} is of type {dtype}")
        layer_parts.setdefault(name, set()).add(part)
    if not layer_parts:
        raise _unfit(path, "it holds no tensors")
    for name, present in layer_parts.items():
        if present != parts:
            raise _unfit(path, f"of layer {name} it has no {', '.join(sorted(parts - present))}")
    suffixes = tuple(sorted({name.rpartition(".")[2] for name in layer_parts}))
    matching = {name for name in linears if name.rpartition(".")[2] in suffixes}
    return suffixes if matching == set(layer_parts) else tuple(sorted(layer_parts))


def settings_of(facts: Mapping[str, Any]) -> LoraSettings:
    """The LoRA settings among a policy's facts, or among those that a run has recorded (fewer in older runs)."""
    lora = facts["lora"]
    return LoraSettings(**{field.name: lora[field.name] for field in fields(LoraSettings) if field.name in lora})


def add_adapter(model: Any, settings: LoraSettings, *, seed: int, start: AdapterFile | None = None) -> Any:
    """Add an adapter to a model: the only trainable part, in eval mode, without dropout (trap 9).

    A fresh one leaves the policy equal to the reference (B starts at 0; A is drawn from `seed`); `start` brings its
    own weights. The adapter is in float32, whatever the model is in.
    """
    from peft import LoraConfig, TaskType, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    everywhere = settings.target_modules == "all-linear"
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # annotated int, fractions work
        lora_dropout=0.0,
        target_modules="all-linear" if everywhere else list(settings.target_modules),
        use_rslora=settings.variant == "rslora",
        use_dora=settings.variant == "dora",
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):  # leave the global seed alone
            torch.manual_seed(seed)
            adapted = get_peft_model(model, lora)
    except ValueError as error:  # PEFT: a name that fits no layer, or a layer that cannot carry an adapter
        reason = " ".join(str(error).split())[:200]
        raise PolicyError(f"LoRA cannot be put on these target_modules ({reason}); name linear layers.") from error
    if start is not None:
        tensors = load_file(start.path / WEIGHTS)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise _unfit(start.path, "it holds infinite or undefined numbers")
        result: Any = set_peft_model_state_dict(adapted, tensors)
        assert not result.unexpected_keys, result.unexpected_keys  # `read_adapter` has checked every one
    adapted.requires_grad_(False)
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return adapted.eval()


def export_adapter(model: Any, path: Path) -> Path:
    """Write a policy's adapter as a directory that plain PEFT loads. Raises PolicyError where it cannot be written."""
    try:
        # Without the last option PEFT would ask the hub whether the vocabulary had ever been enlarged.
        model.save_pretrained(str(path), selected_adapters=["default"], save_embedding_layers=False)
    except (OSError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PolicyError(f"The adapter cannot be written to {path} ({reason}); choose another directory.") from error
    if not (path / WEIGHTS).is_file():  # PEFT only warns about a path that is a file
        raise PolicyError(f"The adapter cannot be written to {path}; choose a directory that is new or empty.")
    return path


def _unfit(path: Path, why: str, advice: str = "choose one that was made for this model") -> PolicyError:
    return PolicyError(f"The adapter {str(path)!r} cannot be used: {why}; {advice}.")
