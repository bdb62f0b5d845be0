"""Routing of an attempt to its losses: the share that the self-teacher distils, the share that its reward reinforces.

One definition for the update and for the ledger that explains it. Plain numbers; knows nothing of tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.config import Method


@dataclass(frozen=True, slots=True)
class Route:
    """Factors of an attempt's two losses; an attempt with two zeros gives no signal and is left out of the mean."""

    distillation: float  # of SDPO's divergence
    reinforcement: float  # of GRPO's advantage
    weighed: bool = False  # the teacher weights the tokens of what is reinforced (RLSD)

    @property
    def taught(self) -> bool:
        """True where the teacher has to score the attempt."""
        return self.distillation > 0.0 or self.weighed

    @property
    def used(self) -> bool:
        """True where the attempt gives any signal."""
        return self.distillation > 0.0 or self.reinforcement > 0.0


def route(method: Method, *, informed: bool, passed: bool, rewarded: bool, grpo_weight: float) -> Route:
    """The route of one attempt.

    Args:
        informed: its teacher knows something (feedback, a demonstration).
        passed: SRPO's "correct".
        rewarded: the rewards of its group differ, so that there is an advantage.
        grpo_weight: lambda of `blend`.

    `sdpo`: the informed are distilled. `grpo`: the rewarded are reinforced. `blend` (paper, Eq. 3):
    A = lambda A_GRPO + (1 - lambda) A_SDPO; a part without signal is 0. `srpo` (arXiv 2604.02288, section 3.1):
    failures with an informed teacher are distilled, all others reinforced. `rlsd` (arXiv 2604.03128): as `grpo`, and
    an informed teacher weights the tokens. Departure from SRPO: attempts without any signal are not in the mean.
    """
    distilled, reinforced = float(informed), float(rewarded)
    if method == "sdpo":
        return Route(distilled, 0.0)
    if method == "blend":
        return Route((1.0 - grpo_weight) * distilled, grpo_weight * reinforced)
    if method == "srpo" and informed and not passed:
        return Route(1.0, 0.0)
    return Route(0.0, reinforced, weighed=method == "rlsd" and informed and rewarded)
