"""The probe: fixed prompts and completions on which an update's side effects are measured.

The completions are drawn once from the base (adapter off) with a generator of their own, so every update of a run
is measured on the same tokens. Knows nothing of tasks and files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from workbench.config import SamplingConfig
from workbench.policy import Policy
from workbench.policy.sampling import sample
from workbench.policy.scoring import completion_logits


@contextmanager
def own_randomness(policy: Policy, seed: int) -> Iterator[None]:
    """Inside the block the policy samples from `seed`; afterwards its random state is what it was."""
    state = policy.generator.get_state()
    policy.generator.manual_seed(seed)
    try:
        yield
    finally:
        policy.generator.set_state(state)


class Probe:
    """Fixed tokens, and the policy's distributions on them."""

    def __init__(self, policy: Policy, prompts: Sequence[Sequence[int]], *, max_new_tokens: int = 48) -> None:
        self._prompts = [tuple(prompt) for prompt in prompts]
        with own_randomness(policy, 0):
            drawn = sample(policy, self._prompts, SamplingConfig(max_new_tokens=max_new_tokens), use_adapter=False)
        self._completions = [one.token_ids for one in drawn]

    def measure(self, policy: Policy) -> Tensor:
        """Log-probabilities (N, V) at the probe's N tokens, nats."""
        with torch.no_grad(), policy.untouched():
            logits, _, mask = completion_logits(policy.bare, self._prompts, self._completions, 1.0)
        return torch.log_softmax(logits[mask], dim=-1)


def entropy(logps: Tensor) -> float:
    """Mean entropy in nats per token of (N, V) log-probabilities."""
    return float(-(logps.exp() * logps).sum(-1).mean())


def divergence(before: Tensor, after: Tensor) -> float:
    """Mean KL(before || after) in nats per token."""
    return float((before.exp() * (before - after)).sum(-1).mean().clamp(min=0.0))
