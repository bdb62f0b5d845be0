"""Memory needs of a policy, predicted from the shapes of its layers alone, before any weight is loaded.

Bytes throughout. The figures for weights and adapter are exact; that for activations is an estimate with measured
constants (tests/test_policy_memory.py compares it with what autograd really keeps). Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch

from workbench.config import LoraSettings
from workbench.errors import PolicyError
from workbench.kernels.projection import PROJECTED_ELEMENTS

_BLOCK = 64  # weights that share one scale in NF4
_CODE_BYTES = 16 * 4  # the 16 levels of NF4, kept with each layer
_FP32 = 4
LOGITS_COPIES = 6  # fp32 tensors of a chunk of rows in a step: both sides' logits, their log-softmax, the gradient
PLANNED_TOKENS = 512  # length of the one attempt, prompt included, that must fit for a model to be worth loading


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer that is quantised and carries the adapter: all but the output head."""

    name: str
    in_features: int
    out_features: int
    has_bias: bool

    @property
    def weights(self) -> int:
        """Numbers in its matrix."""
        return self.in_features * self.out_features


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a model on which its memory depends."""

    linears: tuple[Linear, ...]
    other_weights: int  # parameters outside of those matrices: embeddings, head (once if tied), norms, biases
    hidden: int
    layers: int
    heads: int
    vocabulary: int
    context: int  # tokens
    eager_attention: bool  # keeps the scores of every pair of places


@dataclass(frozen=True, slots=True)
class Need:
    """Memory needs of one policy: at rest, and for one step on one attempt of `tokens` tokens."""

    quantization: str
    tokens: int
    weights_bytes: int
    adapter_bytes: int
    optimizer_bytes: int  # gradient and both moments of the adapter
    activations_bytes: int  # estimated
    logits_bytes: int  # of a chunk of rows; a head that cannot be taken out of its model needs whole attempts

    @property
    def total_bytes(self) -> int:
        """The sum of all parts."""
        parts = (self.weights_bytes, self.adapter_bytes, self.optimizer_bytes, self.activations_bytes)
        return sum(parts) + self.logits_bytes


def shape_of(model: Any) -> Shape:
    """The shape of a transformers model, on the meta device or loaded without quantisation."""
    from transformers.pytorch_utils import Conv1D

    config, head = model.config.get_text_config(), model.get_output_embeddings()
    linears = []
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head:
            sizes = tuple(module.weight.shape)
            n_out, n_in = sizes if isinstance(module, torch.nn.Linear) else reversed(sizes)
            linears.append(Linear(name, n_in, n_out, module.bias is not None))
    everything = sum(parameter.numel() for parameter in model.parameters())  # tied ones are there once
    return Shape(
        linears=tuple(linears),
        other_weights=everything - sum(linear.weights for linear in linears),
        hidden=int(config.hidden_size),
        layers=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        vocabulary=int(head.weight.shape[0]),
        context=int(getattr(config, "max_position_embeddings", None) or PLANNED_TOKENS),
        eager_attention=model.config._attn_implementation == "eager",
    )


def weights_bytes(shape: Shape, quantization: str, dtype: torch.dtype) -> int:
    """Weights at rest. NF4: half a byte and a 64th of an fp32 scale each; int8: a byte each, an fp32 scale per row."""
    other = shape.other_weights * dtype.itemsize
    if quantization == "nf4":
        blocks = (-(-linear.weights // _BLOCK) for linear in shape.linears)
        packed = (-(-linear.weights // 2) for linear in shape.linears)
        return other + sum(packed) + _FP32 * sum(blocks) + _CODE_BYTES * len(shape.linears)
    if quantization == "int8":
        return other + sum(linear.weights + _FP32 * linear.out_features for linear in shape.linears)
    return other + dtype.itemsize * sum(linear.weights for linear in shape.linears)


def adapter_weights(shape: Shape, lora: LoraSettings) -> int:
    """Numbers in the adapter: A (r, in) and B (out, r) of each layer, and for DoRA its magnitudes (out,)."""
    total = 0
    for linear in shape.linears:
        if lora.target_modules == "all-linear" or _is_named(linear.name, lora.target_modules):
            total += lora.rank * (linear.in_features + linear.out_features)
            total += linear.out_features if lora.variant == "dora" else 0
    return total


def activations_bytes(shape: Shape, rows: int, width: int, dtype: torch.dtype, *, checkpointing: bool = False) -> int:
    """Estimate the bytes that autograd keeps of one pass over (rows, width) tokens.

    Per token and layer: the input of each linear layer in fp32 (the adapter's type), its output in the model's, and
    some 24 bytes per hidden feature around the norms; with eager attention two fp32 scores per head and place.
    With checkpointing the hidden states between the layers, and one layer in full.
    """
    features = sum(_FP32 * linear.in_features + dtype.itemsize * linear.out_features for linear in shape.linears)
    layer = features // shape.layers + 24 * shape.hidden
    layer += 2 * _FP32 * shape.heads * width if shape.eager_attention else 0
    if checkpointing:
        return rows * width * (shape.layers * shape.hidden * dtype.itemsize + layer)
    return rows * width * shape.layers * layer


def need(
    shape: Shape,
    quantization: str,
    dtype: torch.dtype,
    lora: LoraSettings,
    *,
    tokens: int = PLANNED_TOKENS,
    checkpointing: bool = False,
) -> Need:
    """Memory needs of a step on one attempt of `tokens` tokens."""
    tokens = min(tokens, shape.context)
    adapter = _FP32 * adapter_weights(shape, lora)
    return Need(
        quantization=quantization,
        tokens=tokens,
        weights_bytes=weights_bytes(shape, quantization, dtype),
        adapter_bytes=adapter,
        optimizer_bytes=3 * adapter,
        activations_bytes=activations_bytes(shape, 1, tokens, dtype, checkpointing=checkpointing),
        logits_bytes=LOGITS_COPIES * _FP32 * min(tokens * shape.vocabulary, PROJECTED_ELEMENTS),
    )


def check_fits(
    name: str, shape: Shape, quantization: str, dtype: torch.dtype, lora: LoraSettings, free: int | None, device: str
) -> Need:
    """The least that the model needs: for the shorter of 512 tokens and its context, with checkpointing.

    Raises PolicyError, with the numbers and with what would fit, where `free` bytes are not enough (None: unknown).
    """
    least = need(shape, quantization, dtype, lora, checkpointing=True)
    if free is None or least.total_bytes <= free:
        return least
    smaller = [need(shape, choice, dtype, lora, checkpointing=True) for choice in ("int8", "nf4")]
    fitting = [alternative for alternative in smaller if alternative.total_bytes <= free]
    if fitting:
        advice = f"quantization {fitting[0].quantization!r} needs {gigabytes(fitting[0].total_bytes)}"
    elif least.quantization == "nf4":
        advice = "choose a smaller model"
    else:
        advice = f"even 'nf4' needs {gigabytes(smaller[-1].total_bytes)}, so choose a smaller model"
    raise PolicyError(
        f"The model {name!r} needs {gigabytes(least.total_bytes)} with quantization {quantization!r} "
        f"({gigabytes(least.weights_bytes)} weights, {gigabytes(least.adapter_bytes + least.optimizer_bytes)} adapter "
        f"and optimiser, {gigabytes(least.activations_bytes + least.logits_bytes)} for an attempt of {least.tokens} "
        f"tokens), but {gigabytes(free)} are free on {device}; {advice}."
    )


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device now; None where the system does not tell. Apple's GPU shares the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return int(psutil.virtual_memory().available)
    except (psutil.Error, OSError, ValueError, KeyError):  # a container without /proc, for example
        return None


def gigabytes(count: int) -> str:
    """Format bytes for people: 15.3 GB, 420 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def _is_named(name: str, targets: tuple[str, ...] | str) -> bool:
    """PEFT's rule: a target is a layer's name or ends it after a dot."""
    return any(name == target or name.endswith(f".{target}") for target in targets)
