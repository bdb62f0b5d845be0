"""Targets of an update for each token: from attempts and a configuration to the input of `credit.objective_losses`.

Everything that needs more than one row of logits is computed here, without gradient: the route of each attempt, GRPO's
advantages, SRPO's weights (their mean is over the whole update), RLSD's weights, the mean credit of an attempt,
importance weights. The rest is a function of rows, so that any slice of the tokens can be computed alone. Knows no
model. "Tokens" are the active ones: of used attempts, and selected where a person selected some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import Distillation, Route, Targets, grpo_advantage, objective_losses, route
from workbench.credit.weights import (
    Span,
    attempt_means,
    entropy_weights,
    evidence_weights,
    importance_weights,
    span_mask,
)
from workbench.errors import NoSignalError
from workbench.kernels.learning import RowLoss
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import entropies, sampled_logps
from workbench.policy.devices import placed


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """One attempt that an update may learn from."""

    prompt_ids: tuple[int, ...]
    teacher_prompt_ids: tuple[int, ...] | None  # None: there is no teacher context for this attempt (trap 10)
    token_ids: tuple[int, ...]  # the attempt, end token included if it was sampled
    reward: float  # 0 to 1
    group_id: str  # GRPO's baseline is the mean reward of the group
    old_logps: tuple[float, ...] | None = None  # nats, by the scoring path; None: of the policy before the update
    passed: bool = False  # SRPO distils the failed ones only
    spans: tuple[Span, ...] | None = None  # the tokens that count; None: all

    def counts(self) -> Tensor:
        """(T,) bool: the active tokens."""
        length = len(self.token_ids)
        return torch.ones(length, dtype=torch.bool) if self.spans is None else span_mask(self.spans, length)

    @property
    def informed(self) -> bool:
        """True where the teacher is shown something that the student is not."""
        return self.teacher_prompt_ids is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """The items that an update uses, and the route of each."""

    used: tuple[int, ...]
    routes: tuple[Route, ...]  # of all items
    advantages: Tensor  # (items,) GRPO's, float64, of all items


def distillation_of(config: SDPOConfig) -> Distillation:
    """The settings of the divergence."""
    return Distillation(
        config.distillation_mode,
        config.distillation_alpha,
        config.distillation_topk,
        config.distillation_add_tail,
        config.distillation_normalised,
        config.advantage_clip,
    )


def make_plan(items: Sequence[UpdateItem], config: SDPOConfig) -> Plan:
    """Leave out items without signal or active tokens, so that they do not dilute the mean (trap 10).

    Raises NoSignalError.
    """
    advantages = torch.zeros(len(items), dtype=torch.float64)
    rewarded: set[str] = set()  # groups; within one, an average attempt stays in the mean
    for group_id in {item.group_id for item in items}:
        members = [index for index, item in enumerate(items) if item.group_id == group_id]
        rewards = [items[index].reward for index in members]
        if len(set(rewards)) > 1:
            rewarded.add(group_id)
            advantages[members] = grpo_advantage(torch.tensor(rewards, dtype=torch.float64))
    routes = tuple(
        route(
            config.method,
            informed=item.informed,
            passed=item.passed,
            rewarded=item.group_id in rewarded,
            grpo_weight=config.grpo_weight,
        )
        for item in items
    )
    used = tuple(i for i, item in enumerate(items) if routes[i].used and bool(item.counts().any()))
    if not used:
        raise NoSignalError(f"No attempt carries any signal: {_missing(config)}.")
    return Plan(used, routes, advantages)


def _missing(config: SDPOConfig) -> str:
    if config.method == "sdpo":
        return "none has feedback or a demonstration; give feedback to one"
    if config.method in ("grpo", "rlsd"):
        return "all rewards of each group are equal; sample more attempts or a harder task"
    return "none has feedback or a demonstration, and all rewards of each group are equal; give feedback to one"


class MicroBatch:
    """Some of the used items, and everything about their N tokens that stays fixed during an update.

    K of the tokens are taught: the teacher scored them. All tensors are on the policy's device.
    """

    def __init__(
        self,
        items: Sequence[UpdateItem],
        routes: Sequence[Route],
        advantages: Tensor,
        teacher: Side | None,
        config: SDPOConfig,
        device: torch.device,
    ) -> None:
        """`advantages` (B,) are GRPO's. `teacher`: K rows, the taught tokens in order; None = no K."""
        self.items, self.config = list(items), config
        counts = [item.counts() for item in items]
        self.counts = torch.nn.utils.rnn.pad_sequence(counts, batch_first=True).to(device)  # (B, T) bool
        self.attempts = self.counts.nonzero()[:, 0]  # (N,)
        ids = [torch.tensor(item.token_ids)[active] for item, active in zip(items, counts, strict=True)]
        self.token_ids = torch.cat(ids).to(device)  # (N,)
        # Factors in double precision; they take the losses' precision where they meet them.
        shares = torch.tensor([(r.distillation, r.reinforcement) for r in routes], dtype=torch.float64)  # (B, 2)
        self.taught = self._per_token(torch.tensor([r.taught for r in routes]))  # (N,) bool
        self.distillation_weights = self._per_token(shares[:, 0])[self.taught]  # (K,)
        self.advantages = self._per_token(shares[:, 1] * advantages) if shares[:, 1].any() else None  # (N,)
        self.teacher: Side | None = None  # N rows, meaningful for the tokens that are distilled
        self.teacher_logps: Tensor | None = None  # (K,) nats, of the sampled tokens
        self.teacher_entropies: Tensor | None = None  # (K,) nats
        if teacher is not None:
            self.teacher_logps = sampled_logps(teacher, self.token_ids[self.taught])
            if config.method == "srpo":
                self.teacher_entropies = entropies(teacher)
            if config.method != "rlsd":
                self.teacher = teacher.spread(self.taught)
        self._old_logps: Tensor | None = None  # (N,), of the first pass unless the items bring their own
        self._log_ratios: Tensor | None = None  # (N,), student - old in the first pass

    def _per_token(self, values: Tensor) -> Tensor:
        """Repeat a value of each item for its tokens: (B,) -> (N,)."""
        return placed(values, self.attempts.device)[self.attempts]

    def targets(self, logps: Tensor, *, first_weights: bool = False) -> Targets:
        """Targets of the tokens, given the student's log-probabilities of them in this pass (N,), nats.

        The first call fixes the old log-probabilities of the importance weights, and RLSD's weights. With
        `first_weights` the importance weights are those of the first pass: the loss after the step is comparable with
        the one before it only if the weights have not moved with the policy.
        """
        logps = logps.detach()
        if self._old_logps is None or self._log_ratios is None:
            self._fix_weights(logps)
        assert self._old_logps is not None and self._log_ratios is not None
        mean_credit = importance = None
        if self.config.is_clip is not None:
            old_logps = logps - self._log_ratios if first_weights else self._old_logps
            importance = importance_weights(logps, old_logps, self.config.is_clip)
        if self.config.distillation_mode == "sequence" and self.teacher_logps is not None:
            mean_credit = attempt_means(self.teacher_logps - logps[self.taught], self.attempts[self.taught])
        distilled = self.taught if self.teacher is not None else torch.zeros_like(self.taught)
        return Targets(self.token_ids, self.advantages, distilled, self.distillation_weights, mean_credit, importance)

    def _fix_weights(self, logps: Tensor) -> None:
        old_logps = torch.full(self.counts.shape, math.nan)
        for row, item in enumerate(self.items):
            if item.old_logps is not None:
                old_logps[row, : len(item.old_logps)] = torch.tensor(item.old_logps)
        old = old_logps.to(logps)[self.counts]  # (N,)
        self._old_logps = torch.where(old.isnan(), logps, old)
        self._log_ratios = logps - self._old_logps
        if self.config.method == "rlsd" and self.advantages is not None and self.teacher_logps is not None:
            weights = torch.ones_like(self.advantages)  # 1 for tokens that are not taught
            credit = (self.teacher_logps - logps[self.taught]).to(self.advantages)
            weights[self.taught] = evidence_weights(credit, self.advantages[self.taught], self.config.evidence_clip)
            self.advantages = self.advantages * weights

    def row_losses(self, targets: Targets) -> RowLoss:
        """The loss as a function of rows, for `kernels.learning`. The gradient reaches the student's logits only."""
        distillation = distillation_of(self.config)

        def losses(student_logits: Tensor, teacher_logits: Tensor | None, rows: Tensor) -> Tensor:
            row_targets = targets.at(rows)
            if teacher_logits is not None:
                teacher_logits = teacher_logits[row_targets.distilled]
            return objective_losses(student_logits, teacher_logits, row_targets, distillation)

        return losses


def weigh_by_entropy(batches: Sequence[MicroBatch], config: SDPOConfig) -> None:
    """Apply SRPO's weights, whose mean over all distilled tokens of the update is 1, however it is divided."""
    weighted = [batch for batch in batches if batch.teacher_entropies is not None]
    if not weighted:
        return
    entropies = [batch.teacher_entropies for batch in weighted if batch.teacher_entropies is not None]
    weights = entropy_weights(torch.cat(entropies), config.entropy_beta)
    for batch, part in zip(weighted, weights.split([len(values) for values in entropies]), strict=True):
        batch.distillation_weights = batch.distillation_weights * part
