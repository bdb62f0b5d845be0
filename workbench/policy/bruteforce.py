"""The truth about an attempt's scores: a second computation in float64 on the CPU that shares no code with the first.

A float64 copy of the model with plain attention, whose weights are the base model's (quantised layers as
bitsandbytes' own functions dequantise them) plus the adapter's change, written out; one prompt at a time, one token
at a time, so that no later token exists when an earlier one is scored; probabilities, divergences and entropies by
Python's own exp, log and fsum. Slow, and meant to be: everything that scoring does for speed (batches, padding, PEFT's
layers, half precision, kernels) is absent here. The two share transformers' definition of the architecture only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from workbench.errors import PolicyError
from workbench.policy.policy import Policy

Ids = Sequence[int]
# Allowed error of a precision, nats: its noise floor against float64, several times what was measured (embedded policy
# and small random models, all quantities: 9e-6, 0.02, 0.13, 0.14). NF4 weights are exact once dequantised, so they add
# nothing; int8 layers also round their activations, which float64 does not imitate.
BOUNDS: Mapping[str, float] = MappingProxyType({"float32": 1e-4, "float16": 0.1, "bfloat16": 0.5, "int8": 0.5})
# The teachers whose formulas `recompute` has, written a second time on purpose.
_TEACHERS = ("frozen", "live", "ema", "trust_region")
_PREFIX = "base_model.model."  # PEFT's prefix to the name of a module
_NARROW = (torch.float32, torch.float16, torch.bfloat16)


def precision_of(policy: Policy) -> str:
    """The key of BOUNDS that a policy's arithmetic belongs to."""
    return "int8" if policy.facts["quantization"] == "int8" else str(policy.facts["dtype"])


@dataclass(frozen=True, slots=True)
class Truth:
    """Scores of an attempt's T tokens, nats; rows are log-probabilities over the whole vocabulary."""

    contexts: Mapping[str, tuple[float, ...]]
    kl: tuple[float, ...]  # KL(pi || q)
    jsd: tuple[float, ...]
    entropy_student: tuple[float, ...]
    entropy_teacher: tuple[float, ...]
    student_rows: Tensor  # (T, V) float64
    teacher_rows: Tensor


class Float64Model:
    """A float64 copy of a policy's model, without an adapter until one is written in."""

    @torch.no_grad()
    def __init__(self, policy: Policy) -> None:
        self._config = policy.model.peft_config["default"]
        self._layers = {
            name: module for name, module in policy.bare.named_modules() if hasattr(module, "lora_A")
        }  # PEFT's layers, for their base weights only
        with _all_in_float64():
            config = copy.deepcopy(policy.bare.config)
            config._attn_implementation = "eager"
            self._model = type(policy.bare)(config).double().eval()
        for name, parameter in self._model.named_parameters():
            value = _weight(policy.bare, name)
            parameter.copy_(value.T if self._is_transposed(policy.bare, name) else value)
        for name, buffer in self._model.named_buffers():
            if name in self._model.state_dict():  # those that are computed were computed in float64 above
                buffer.copy_(_weight(policy.bare, name))
        self._base = {name: self._matrix(name).clone() for name in self._layers}

    @torch.no_grad()
    def write(self, adapter: Mapping[str, Tensor]) -> None:
        """Set every adapted layer to W + s BA (DoRA: its rows scaled to m), from tensors by PEFT's names; {} = W.

        Raises PolicyError for a tensor that is none of these.
        """
        used: set[str] = set()
        for name, base in self._base.items():
            keys = {part: f"{_PREFIX}{name}.{part}.default.weight" for part in ("lora_A", "lora_B")}
            keys["magnitude"] = f"{_PREFIX}{name}.lora_magnitude_vector.default.weight"
            parts = {part: adapter[key].cpu().double() for part, key in keys.items() if key in adapter}
            used |= keys.values() & adapter.keys()
            weight = base
            if "lora_A" in parts:
                weight = base + self._scale() * (parts["lora_B"] @ parts["lora_A"])  # (out, in)
            if "magnitude" in parts:
                norms = weight.square().sum(1).sqrt()
                weight = weight * (parts["magnitude"] / norms).unsqueeze(1)
            self._matrix(name).copy_(weight)
        unknown = sorted(adapter.keys() - used)
        if unknown:
            raise PolicyError(
                f"The adapter's {unknown[0]} cannot be applied by hand, so its credit cannot be checked; "
                "use LoRA, rsLoRA or DoRA on linear layers."
            )

    def _is_transposed(self, bare: Any, name: str) -> bool:
        """True where a quantised layer holds as (out, in) the weight that GPT-2's Conv1D has as (in, out)."""
        path, _, attribute = name.rpartition(".")
        copied, original = (model.get_submodule(path) for model in (self._model, bare))
        original = getattr(original, "base_layer", original)
        return attribute == "weight" and type(copied).__name__ == "Conv1D" and isinstance(original, torch.nn.Linear)

    def _scale(self) -> float:
        rank = self._config.r
        return float(self._config.lora_alpha) / (math.sqrt(rank) if self._config.use_rslora else rank)

    def _matrix(self, name: str) -> Tensor:
        """The weight of a layer as (out, in); GPT-2's Conv1D keeps it the other way round."""
        module: Any = self._model.get_submodule(name)
        return module.weight.data if isinstance(module, torch.nn.Linear) else module.weight.data.T

    @torch.no_grad()
    def rows(self, prompt: Ids, token_ids: Ids, temperature: float) -> Tensor:
        """Log-probabilities (T, V) that predict each token after the prompt and the tokens before it."""
        rows, cache, read = [], None, list(prompt)
        for length, token_id in enumerate(token_ids, start=len(prompt)):
            full_mask = torch.ones((1, length), dtype=torch.long)
            with _all_in_float64():
                out = self._model(
                    input_ids=torch.tensor([read]), attention_mask=full_mask, past_key_values=cache, use_cache=True
                )
            rows.append(_log_softmax([value / temperature for value in out.logits[0, -1].tolist()]))
            cache, read = out.past_key_values, [token_id]
        return torch.tensor(rows, dtype=torch.float64)


def recompute(
    model: Float64Model,
    state: Mapping[str, Tensor],
    prompts: Mapping[str, Ids],
    token_ids: Ids,
    *,
    temperature: float,
    teacher: str,
    rate: float,
) -> Truth:
    """Score an attempt again.

    `state`: a policy's, of which the adapter and the average are read; `prompts`: ids by context, "student" read by the
    policy, "base" by the reference policy, every other by the self-teacher. Raises PolicyError for a teacher whose
    formula is not written here.
    """
    if teacher not in _TEACHERS:
        raise PolicyError(
            f"The second computation does not know the teacher {teacher!r}, so its credit cannot be checked; write its "
            "formula into policy/bruteforce.py."
        )
    live = {key.removeprefix("adapter/"): value for key, value in state.items() if key.startswith("adapter/")}
    average = {key.removeprefix("teacher/"): value for key, value in state.items() if key.startswith("teacher/")}
    average.pop("error", None)  # a number about it, not a weight
    rows: dict[str, Tensor] = {}
    model.write(live)
    for name, ids in prompts.items():
        if name == "student" or (name != "base" and teacher in ("live", "trust_region")):
            rows[name] = model.rows(ids, token_ids, temperature)
    if teacher == "ema":
        model.write(average or live)
        for name, ids in prompts.items():
            if name not in ("student", "base"):
                rows[name] = model.rows(ids, token_ids, temperature)
    model.write({})
    for name, ids in prompts.items():
        if name == "base" or (name != "student" and teacher == "frozen"):
            rows[name] = model.rows(ids, token_ids, temperature)
        elif name != "student" and teacher == "trust_region":
            reference = model.rows(ids, token_ids, temperature)
            rows[name] = _mixed(reference, rows[name], rate)
    student, teacher_rows = rows["student"], rows["teacher"]
    pairs = [
        _compare(p, q) for p, q in zip(student.tolist(), teacher_rows.tolist(), strict=True)
    ]  # per token: kl, jsd, both entropies
    kl, jsd, entropy_student, entropy_teacher = (tuple(column) for column in zip(*pairs, strict=True))
    return Truth(
        contexts={
            name: tuple(row[token_id] for row, token_id in zip(rows[name].tolist(), token_ids, strict=True))
            for name in prompts
        },
        kl=kl,
        jsd=jsd,
        entropy_student=entropy_student,
        entropy_teacher=entropy_teacher,
        student_rows=student,
        teacher_rows=teacher_rows,
    )


def _log_softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    total = largest + math.log(math.fsum(math.exp(value - largest) for value in logits))
    return [value - total for value in logits]


def _mixed(reference: Tensor, live: Tensor, rate: float) -> Tensor:
    """(T, V): q proportional to q_ref^(1 - rate) q_live^rate."""
    rows = zip(reference.tolist(), live.tolist(), strict=True)
    mixed = [_log_softmax([(1 - rate) * a + rate * b for a, b in zip(p, q, strict=True)]) for p, q in rows]
    return torch.tensor(mixed, dtype=torch.float64)


def _compare(student: list[float], teacher: list[float]) -> tuple[float, float, float, float]:
    """KL(pi || q), Jensen-Shannon divergence, entropies of pi and q, from two rows of log-probabilities."""
    p, q = [math.exp(value) for value in student], [math.exp(value) for value in teacher]
    middle = [math.log((a + b) / 2) if a + b > 0 else 0.0 for a, b in zip(p, q, strict=True)]

    def mean(weights: list[float], values: Iterator[float]) -> float:
        return math.fsum(w * v for w, v in zip(weights, values, strict=True) if w > 0)

    kl = mean(p, (a - b for a, b in zip(student, teacher, strict=True)))
    jsd = (
        mean(p, (a - m for a, m in zip(student, middle, strict=True)))
        + mean(q, (b - m for b, m in zip(teacher, middle, strict=True)))
    ) / 2
    return kl, jsd, -mean(p, iter(student)), -mean(q, iter(teacher))


def _weight(model: Any, name: str) -> Tensor:
    """A weight or buffer of the policy's base by its plain name, in float64 on the CPU, without any adapter."""
    path, _, attribute = name.rpartition(".")
    module = model.get_submodule(path)
    module = getattr(module, "base_layer", module)
    value = getattr(module, attribute)
    quantised = getattr(value, "quant_state", None)
    if quantised is not None:
        from bitsandbytes.functional import dequantize_4bit

        value = dequantize_4bit(value.data, quantised)
    elif value.dtype == torch.int8:
        from bitsandbytes.functional import int8_vectorwise_dequant

        scales = module.state.SCB if module.state.SCB is not None else value.SCB
        value = int8_vectorwise_dequant(value.data, scales)
    return value.detach().cpu().double()


class _Float64Mode(TorchFunctionMode):
    """Replaces narrower floats by float64: architectures round norms, angles and softmax to float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float:
            func = Tensor.double
        return func(*map(_widened, args), **{key: _widened(value) for key, value in (kwargs or {}).items()})


def _widened(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value


@contextmanager
def _all_in_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64Mode():
            yield
    finally:
        torch.set_default_dtype(before)
