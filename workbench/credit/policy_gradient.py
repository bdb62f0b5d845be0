"""GRPO's advantage, the policy-gradient loss, and the objective that joins it with SDPO's distillation.

Every method of the workbench is a sum of two losses per token, -a_t log pi(y_t) with a fixed advantage a_t, and
w_t D(pi, q) with a fixed weight w_t: GRPO has w = 0, SDPO a = 0, the blend both (paper, Eq. 3: A = lambda A_GRPO +
(1 - lambda) A_SDPO, which for losses is the same sum), SRPO one of them per attempt, RLSD an advantage of its own
for each token. Works on the N tokens that count, row by row, so that any slice of them can be computed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.credit.divergence import sampled_logps
from workbench.credit.loss import Distillation, distillation_losses, distillation_push
from workbench.kernels.projection import working_dtype


def grpo_advantage(rewards: Tensor) -> Tensor:
    """r_i - mean(r) within one group, (G,) -> (G,). No division by the standard deviation (paper, footnote 3)."""
    return rewards - rewards.mean()


def policy_gradient_losses(student_logits: Tensor, token_ids: Tensor, advantages: Tensor) -> Tensor:
    """-a_t log pi(y_t), nats: (N, V), (N,), (N,) -> (N,). Advantages carry no gradient; + = more of this token."""
    logps = sampled_logps(student_logits, token_ids)
    return -advantages.detach().to(logps.dtype) * logps


def policy_gradient_push(student_logits: Tensor, token_ids: Tensor, advantages: Tensor) -> Tensor:
    """a_t (1 - pi(y_t)): minus the derivative of that loss with respect to the sampled token's own logit, (N,)."""
    probabilities = sampled_logps(student_logits.detach(), token_ids).exp()
    return advantages.detach().to(probabilities.dtype) * (1.0 - probabilities)


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of an update for N tokens. Nothing here carries a gradient."""

    token_ids: Tensor  # (N,)
    advantages: Tensor | None  # (N,), 0 = not reinforced; None: no token is
    distilled: Tensor  # (N,) bool: the M tokens that the teacher's logits belong to, in order
    distillation_weights: Tensor  # (M,)
    mean_credit: Tensor | None = None  # (M,) nats; for `sequence`
    importance_weights: Tensor | None = None  # (N,); None = 1

    def at(self, rows: Tensor) -> Targets:
        """Those of some of the tokens, by ascending indices (n,)."""

        def of(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rows]

        distilled = self.distilled[rows]
        among = (self.distilled.cumsum(0) - 1)[rows[distilled]]  # which of the M
        return Targets(
            self.token_ids[rows],
            of(self.advantages),
            distilled,
            self.distillation_weights[among],
            None if self.mean_credit is None else self.mean_credit[among],
            of(self.importance_weights),
        )


def objective_losses(
    student_logits: Tensor, teacher_logits: Tensor | None, targets: Targets, distillation: Distillation
) -> Tensor:
    """Loss of each token, nats: student (N, V), teacher (M, V) or None where M = 0 -> (N,). The caller takes the mean.

    Gradient reaches the student's logits only.
    """
    return _sum_of_both(
        policy_gradient_losses, distillation_losses, student_logits, teacher_logits, targets, distillation
    )


def objective_push(
    student_logits: Tensor, teacher_logits: Tensor | None, targets: Targets, distillation: Distillation
) -> Tensor:
    """Logit push: minus the gradient of the summed `objective_losses` at each sampled token's logit, closed form, (N,).

    + = a descent step makes the token likelier. Arguments as `objective_losses`; carries no gradient.
    """
    with torch.no_grad():
        return _sum_of_both(
            policy_gradient_push, distillation_push, student_logits, teacher_logits, targets, distillation
        )


def _sum_of_both(
    reinforce: Callable[[Tensor, Tensor, Tensor], Tensor],
    distil: Callable[..., Tensor],
    student_logits: Tensor,
    teacher_logits: Tensor | None,
    targets: Targets,
    distillation: Distillation,
) -> Tensor:
    """Policy gradient plus weighted distillation, importance weights on the whole; losses and pushes add up alike."""
    ids, some = targets.token_ids, targets.distilled
    if targets.advantages is not None:
        values = reinforce(student_logits, ids, targets.advantages)
    else:
        values = torch.zeros(ids.shape, dtype=working_dtype(student_logits), device=ids.device)
    if teacher_logits is not None:
        distilled = distil(
            student_logits[some], teacher_logits, ids[some], distillation, mean_credit=targets.mean_credit
        )
        weighted = targets.distillation_weights.to(distilled.dtype) * distilled
        values = values.index_put(some.nonzero(as_tuple=True), weighted, accumulate=True)
    return values if targets.importance_weights is None else values * targets.importance_weights
