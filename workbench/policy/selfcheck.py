"""Checks of a loaded policy's own arithmetic, and the hardware it runs on. Knows nothing of runs and pages."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.policy.policy import Policy
from workbench.policy.scoring import completion_logits, null_noise_floor, sampled_logps

_PROMPT, _COMPLETION = "Write f(xs): sort, then take 3.", "def f(xs):\n    return sorted(xs)[:3]"


@dataclass(frozen=True, slots=True)
class NullTest:
    """Credit where there is nothing to credit (trap 8): the teacher is asked exactly what the student is."""

    credit: float  # largest |credit| of a token between two passes of the same prompt, nats
    noise_floor: float  # nats

    @property
    def ok(self) -> bool:
        """Whether what is left stays below the noise floor."""
        return self.credit <= self.noise_floor


def null_test(policy: Policy) -> NullTest:
    """Scores a fixed program twice under the same prompt, once beside another row."""
    prompt, completion = _ids(policy)
    with torch.no_grad():
        alone, ids, _ = completion_logits(policy.bare, [prompt], [completion], 1.0)
        twice, _, _ = completion_logits(policy.bare, [prompt, prompt], [completion] * 2, 1.0)
    credit = sampled_logps(twice[1], ids[0]) - sampled_logps(alone[0], ids[0])
    return NullTest(float(credit.abs().max()), null_noise_floor(policy, prompt, completion))


def gradient_check(policy: Policy) -> float:
    """Cosine of the adapter's gradient before and after a pass without gradient; 1 is right (trap 13)."""
    before = _gradient(policy)
    prompt, completion = _ids(policy)
    with torch.no_grad():
        completion_logits(policy.bare, [prompt], [completion], 1.0)
    return float(torch.nn.functional.cosine_similarity(before, _gradient(policy), dim=0))


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
    """(P,) gradient of the program's log-probability with respect to the adapter, flat; nothing is accumulated."""
    prompt, completion = _ids(policy)
    logits, ids, _ = completion_logits(policy.bare, [prompt], [completion], 1.0)
    gradients = torch.autograd.grad(sampled_logps(logits, ids).sum(), policy.parameters())
    return torch.cat([gradient.flatten() for gradient in gradients]).double()
