"""The probe: fixed prompts and completions on which an update's side effects are measured.

The completions are drawn once from the reference policy (adapter off), from a seed of their own, so that every update
of a run is measured on the same tokens. Knows nothing of tasks and files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from workbench.config import SamplingConfig
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import two_sided
from workbench.policy import Policy
from workbench.policy.sampling import BASE, sample
from workbench.policy.scoring import completion_places, student_side
from workbench.records import SideEffects


@contextmanager
def own_randomness(policy: Policy, seed: int) -> Iterator[None]:
    """Sample from `seed` inside the block; restore the policy's random state afterwards."""
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
        self._last: tuple[object, Side] | None = None
        with own_randomness(policy, 0):
            drawn = sample(policy, self._prompts, SamplingConfig(max_new_tokens=max_new_tokens), weights=BASE)
        self._completions = [completion.token_ids for completion in drawn]
        with policy.reference():
            self.base = self.measure(policy)  # the reference policy, which no update changes

    def measure(self, policy: Policy) -> Side:
        """Capture the policy on the probe's N tokens, to be compared with itself later.

        Where the policy is as it was at the last capture, that one is returned.
        """
        version = policy.fingerprint()
        if self._last is None or self._last[0] != version:
            with torch.no_grad(), policy.untouched():
                places = completion_places(policy, self._prompts, self._completions)
                self._last = version, student_side(policy, places, 1.0)
        return self._last[1]


def side_effects(before: Side, after: Side, base: Side) -> SideEffects:
    """Changes of the distributions at the probe's tokens: means over the tokens, nats."""
    tokens = torch.zeros(len(before.hidden), dtype=torch.long, device=before.hidden.device)  # any will do
    both = two_sided(before, after, tokens)
    return SideEffects(
        kl_to_before=float(both.kl_student_teacher.mean()),
        entropy_before=float(both.entropy_student.mean()),
        entropy_after=float(both.entropy_teacher.mean()),
        kl_to_base=float(two_sided(base, after, tokens).kl_student_teacher.mean()),
    )
