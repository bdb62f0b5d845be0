"""Checks of a loaded policy's arithmetic, and of the hardware it runs on. Knows nothing of runs and pages."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.config import SamplingConfig
from workbench.credit.divergence import sampled_logps
from workbench.errors import PolicyError
from workbench.kernels.learning import learn
from workbench.policy.bruteforce import BOUNDS, Float64Model, precision_of
from workbench.policy.devices import wide
from workbench.policy.memory import free_bytes, gigabytes
from workbench.policy.policy import Policy
from workbench.policy.sampling import sample
from workbench.policy.scoring import completion_logps, completion_places, null_noise_floor, student_side

_SAME_DIRECTION = 0.9999  # cosine of two gradients that should be the same
_PROMPT, _COMPLETION = "Write f(xs): sort, then take 3.", "def f(xs):\n    return sorted(xs)[:3]"


@dataclass(frozen=True, slots=True)
class NullTest:
    """Credit where there is nothing to credit (trap 8): teacher and student read the same prompt."""

    credit: float  # largest |credit| of a token between two passes of the same prompt, nats
    noise_floor: float  # nats

    @property
    def ok(self) -> bool:
        """True where the credit stays below the noise floor."""
        return self.credit <= self.noise_floor


def null_test(policy: Policy) -> NullTest:
    """Score a fixed program twice under the same prompt, once alone and once beside another row."""
    prompt, completion = _ids(policy)
    alone = completion_logps(policy, [prompt], [completion], 1.0)
    twice = completion_logps(policy, [prompt, prompt], [completion] * 2, 1.0).view(2, -1)
    return NullTest(float((twice[1] - alone).abs().max()), null_noise_floor(policy, prompt, completion))


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """Comparison of the adapter's gradient with a measured slope, and with itself after sampling (trap 13)."""

    cosine: float  # of the gradients before and after sampling
    slope: float  # measured slope of the log-probability along the gradient, over the gradient's norm; 1 is right
    tolerance: float  # of the slope: rounding limits how well a difference can be measured

    @property
    def ok(self) -> bool:
        """True where the two gradients agree, and have the right length in the right direction."""
        return self.cosine > _SAME_DIRECTION and abs(self.slope - 1.0) <= self.tolerance


def gradient_check(policy: Policy) -> GradientCheck:
    """Compare the gradient with a central difference, and with itself after sampling a few tokens.

    The difference is the independent source: once bitsandbytes has repacked a layer, all later gradients are wrong in
    the same way. In half precision it is taken in float64, because the policy itself cannot show it: a layer's output
    is rounded after the adapter's change is added, and a small change is rounded away. Policy and random state are
    left as they were, bit for bit. Raises PolicyError where there is no memory for a float64 copy.
    """
    if policy.facts["dtype"] != "float32":
        measure, change_nats, tolerance = _float64_slope, 0.1, 0.1
    elif policy.facts["quantization"] == "int8":  # rounds activations: a longer step is measured, less exactly
        measure, change_nats, tolerance = _slope, 1.0, 0.25
    else:
        measure, change_nats, tolerance = _slope, 0.1, 0.01
    before, random = _gradient(policy), policy.generator.get_state()
    norm = float(before.norm())
    slope = measure(policy, before / norm, change_nats / norm)
    try:
        sample(policy, [_ids(policy)[0]], SamplingConfig(max_new_tokens=4))
    finally:
        policy.generator.set_state(random)
    cosine = float(torch.nn.functional.cosine_similarity(before, _gradient(policy), dim=0))
    return GradientCheck(cosine, slope / norm, tolerance)


@torch.no_grad()
def _slope(policy: Policy, direction: Tensor, step: float) -> float:
    """Central difference of the program's log-probability along a direction (P,) of the adapter, per unit of it."""
    prompt, completion = _ids(policy)
    parameters = policy.parameters()
    originals = [parameter.clone() for parameter in parameters]
    parts = direction.split([parameter.numel() for parameter in parameters])
    values = []
    try:
        for sign in (1.0, -1.0):
            for parameter, original, part in zip(parameters, originals, parts, strict=True):
                moved = wide(original) + sign * step * part.view_as(original)
                parameter.copy_(moved.to(original.dtype))
            values.append(float(wide(completion_logps(policy, [prompt], [completion], 1.0)).sum()))
    finally:
        for parameter, original in zip(parameters, originals, strict=True):
            parameter.copy_(original)
    return (values[0] - values[1]) / (2.0 * step)


def _float64_slope(policy: Policy, direction: Tensor, step: float) -> float:
    """The same central difference, by a float64 copy of the model."""
    model = _float64_model(policy)
    adapter = {name: wide(value.detach()) for name, value in policy.adapter.items()}
    parts = dict(zip(adapter, direction.split([value.numel() for value in adapter.values()]), strict=True))
    values = []
    for sign in (1.0, -1.0):
        model.write({name: old + sign * step * parts[name].view_as(old) for name, old in adapter.items()})
        values.append(float(_float64_logps(policy, model).sum()))
    return (values[0] - values[1]) / (2.0 * step)


@dataclass(frozen=True, slots=True)
class BruteForce:
    """Comparison of the policy's scores with a second computation in float64 that shares no code with them."""

    largest: float  # difference of a log-probability, nats
    bound: float  # allowed error of the policy's precision, nats

    @property
    def ok(self) -> bool:
        """True where the scores agree within the bound."""
        return self.largest <= self.bound


def brute_force(policy: Policy) -> BruteForce:
    """Score a fixed program both ways. Raises PolicyError where there is no memory for a float64 copy."""
    (prompt, completion), model = _ids(policy), _float64_model(policy)
    logps = completion_logps(policy, [prompt], [completion], 1.0)
    model.write(policy.adapter)
    difference = logps.cpu().double() - _float64_logps(policy, model)
    return BruteForce(float(difference.abs().max()), BOUNDS[precision_of(policy)])


def _float64_model(policy: Policy) -> Float64Model:
    needed, free = 8 * int(policy.facts["parameters"]), free_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise PolicyError(
            f"A float64 copy of {policy.facts['model']!r} needs {gigabytes(needed)}, but {gigabytes(free)} are free; "
            "check it on a machine with more memory."
        )
    return Float64Model(policy)


def _float64_logps(policy: Policy, model: Float64Model) -> Tensor:
    """Log-probabilities (T,) of the program's tokens, nats."""
    prompt, completion = _ids(policy)
    return model.rows(prompt, completion, 1.0).gather(1, torch.tensor(completion).unsqueeze(1)).squeeze(1)


@dataclass(frozen=True, slots=True)
class Held:
    """A kind of the policy's layers, with its precision and size in memory."""

    kind: str  # "linear layers as nf4", "adapter as float32", ...
    layers: int
    size_bytes: int


def held(policy: Policy) -> list[Held]:
    """Precision and size of the policy's layers by kind, measured on the tensors, scales of quantised ones included.

    Every tensor counts once, where it is met first: a tied head is part of the embeddings.
    """
    adapter = {parameter.data_ptr() for parameter in policy.parameters()}
    counted: set[int] = set()
    layers: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for module in policy.model.modules():
        kinds = set()
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.data_ptr() in counted:
                continue
            counted.add(parameter.data_ptr())
            kind = _kind(module, name, parameter, parameter.data_ptr() in adapter)
            sizes[kind] = sizes.get(kind, 0) + _bytes(module, parameter)
            kinds.add(kind)
        for kind in kinds:
            layers[kind] = layers.get(kind, 0) + 1
    return [Held(kind, layers[kind], sizes[kind]) for kind in sizes]


def _kind(module: torch.nn.Module, name: str, parameter: Tensor, is_adapter: bool) -> str:
    dtype = {torch.uint8: "nf4", torch.int8: "int8"}.get(parameter.dtype, str(parameter.dtype).removeprefix("torch."))
    if is_adapter:
        return f"adapter as {dtype}"
    if name == "weight" and parameter.ndim == 2 and isinstance(module, torch.nn.Embedding):
        return f"embeddings as {dtype}"
    return f"linear layers as {dtype}" if name == "weight" and parameter.ndim == 2 else f"norms and biases as {dtype}"


def _bytes(module: Any, parameter: Any) -> int:
    total = parameter.numel() * parameter.element_size()
    scales = []
    if parameter.dtype == torch.uint8:  # a scale per block, and the 16 levels
        scales = [parameter.quant_state.absmax, parameter.quant_state.code]
    elif parameter.dtype == torch.int8:  # a scale per row, which moves into the layer's state in its first pass
        scales = [parameter.SCB if parameter.SCB is not None else module.state.SCB]
    return int(total + sum(scale.numel() * scale.element_size() for scale in scales))


def hardware() -> dict[str, Any]:
    """Facts that a measurement depends on, as plain data."""
    cuda = torch.cuda.is_available()
    return {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "gpu_memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1) if cuda else None,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _ids(policy: Policy) -> tuple[list[int], list[int]]:
    encoded = policy.tokenizer([_PROMPT, _COMPLETION], add_special_tokens=False)["input_ids"]
    return encoded[0], encoded[1]


def _gradient(policy: Policy) -> Tensor:
    """Gradient (P,) of the program's log-probability with respect to the adapter, flat; nothing is accumulated."""
    prompt, completion = _ids(policy)
    places = completion_places(policy, [prompt], [completion])
    rows, ids = places.rows(), places.ids()

    def minus_logps(logits: Tensor, teacher: Tensor | None, indices: Tensor) -> Tensor:
        return -sampled_logps(logits, ids[indices])

    learned = learn(student_side(policy, places, 1.0), None, ids, minus_logps)
    gradients = torch.autograd.grad(rows, policy.parameters(), grad_outputs=-learned.grad_hidden)
    return wide(torch.cat([gradient.flatten() for gradient in gradients]))
