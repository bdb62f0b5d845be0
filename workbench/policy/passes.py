"""Passes of the student over the micro-batches of one update: they learn, or only read.

A pass that learns leads to the gradient of the mean loss over all active tokens, accumulated exactly over the
micro-batches; `Passes.step` then takes an optimiser step along it. Knows nothing of how many steps an update takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import Targets
from workbench.errors import UpdateError
from workbench.kernels.learning import learn, losses_of
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import sampled_logps, two_sided
from workbench.policy.devices import wide
from workbench.policy.objective import MicroBatch
from workbench.policy.policy import Policy
from workbench.policy.scoring import Places, completion_places, student_side

Cancel = Callable[[], bool]
OnProgress = Callable[[int, int], None]


class Gate:
    """Cancellation and progress between two micro-batches."""

    def __init__(self, cancel: Cancel | None, on_progress: OnProgress | None, total: int) -> None:
        self.cancel, self.on_progress, self.done, self.total = cancel, on_progress, 0, total

    def check(self) -> None:
        """Raise UpdateError where someone wants the update to stop."""
        if self.cancel is not None and self.cancel():
            raise UpdateError("The update was stopped; the policy is exactly what it was before.")

    def passed(self) -> None:
        """Count a micro-batch; passes beyond the number that was foreseen count as its last."""
        self.done = min(self.done + 1, self.total)
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)


@dataclass(slots=True)
class Pass:
    """Results of one pass; the lists of tensors run over the items, each (T,) float32 on the CPU."""

    loss: float = 0.0  # sum over the active tokens, nats
    logps: list[Tensor] = field(default_factory=list)  # of the sampled tokens, nats
    pushes: list[Tensor] = field(default_factory=list)  # logit push on each of them; of a pass that learns
    sides: list[Side] = field(default_factory=list)  # rows of the active tokens, one side per micro-batch


class Passes:
    """The passes of an update over its micro-batches."""

    def __init__(
        self, policy: Policy, batches: Sequence[MicroBatch], config: SDPOConfig, temperature: float, gate: Gate
    ) -> None:
        self.policy, self.batches, self.config = policy, batches, config
        self.temperature, self.gate = temperature, gate
        self.active = sum(int(batch.counts.sum()) for batch in batches)  # tokens
        self._backward: Callable[[], None] | None = None  # what is left of a pass that learns
        self._last_read: tuple[object, Pass] | None = None

    def learn(self) -> Pass:
        """Read everything such that `step` finds the gradient of the mean loss over the active tokens.

        Of a single micro-batch the backward pass waits for the step, which may never be taken.
        """
        self.policy.optimizer.zero_grad(set_to_none=True)
        self._backward = None
        result = Pass()
        for batch in self.batches:
            self.gate.check()
            student = self._student(batch)
            learned = learn(student.active, batch.teacher, batch.token_ids, batch.row_losses(student.targets))
            self._add(result, batch, student, learned.losses)
            push = torch.zeros_like(student.logps)
            push[student.counts] = learned.push
            result.pushes += _by_item(batch, push)
            backward = partial(student.places.rows()[student.counts].backward, learned.grad_hidden / self.active)
            if len(self.batches) == 1:
                self._backward = backward
            else:
                backward()
            self.gate.passed()
        return result

    def read(self) -> Pass:
        """Read everything without gradient, under the importance weights of the first pass (`MicroBatch.targets`).

        Where the policy is as it was at the last reading, that one is returned.
        """
        self._backward = None
        version = self.policy.fingerprint()
        if self._last_read is not None and self._last_read[0] == version:
            return self._last_read[1]
        result = Pass()
        with torch.no_grad():
            for batch in self.batches:
                self.gate.check()
                student = self._student(batch, first_weights=True)
                losses, _ = losses_of(student.active, batch.teacher, batch.token_ids, batch.row_losses(student.targets))
                self._add(result, batch, student, losses)
                self.gate.passed()
        self._last_read = version, result
        return result

    def step(self, learning_rate: float) -> float:
        """Take one AdamW step along the gradient of the pass before, clipped; return its norm before clipping."""
        policy, config = self.policy, self.config
        if self._backward is not None:
            self.gate.check()
            self._backward()
            self._backward = None
        for group in policy.optimizer.param_groups:
            group["lr"], group["weight_decay"] = learning_rate, config.weight_decay
        try:
            norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm, error_if_nonfinite=True)
        except RuntimeError as error:
            raise UpdateError(
                "The update's gradient is not finite; lower the learning rate or undo earlier updates. The policy is "
                "unchanged."
            ) from error
        policy.optimizer.step()
        policy.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def gap(self, result: Pass) -> float | None:
        """KL(student || teacher), mean over the tokens that are distilled, nats; None where none is."""
        total, tokens = 0.0, 0
        for batch, student in zip(self.batches, result.sides, strict=True):
            if batch.teacher is not None:
                both = two_sided(student, batch.teacher, batch.token_ids, mask=batch.taught)
                total += float(wide(both.kl_student_teacher).sum())
                tokens += int(batch.taught.sum())
        return total / tokens if tokens else None

    def moved(self, before: Pass, now: Pass) -> float:
        """KL(before || now), mean over the active tokens, nats."""
        total = 0.0
        for batch, old, new in zip(self.batches, before.sides, now.sides, strict=True):
            total += float(wide(two_sided(old, new, batch.token_ids).kl_student_teacher).sum())
        return total / self.active

    def _student(self, batch: MicroBatch, *, first_weights: bool = False) -> _StudentPass:
        prompts, completions = [i.prompt_ids for i in batch.items], [i.token_ids for i in batch.items]
        places = completion_places(self.policy, prompts, completions)
        side = student_side(self.policy, places, self.temperature)
        logps = sampled_logps(side, places.ids())
        counts = batch.counts[places.mask]
        targets = batch.targets(logps[counts], first_weights=first_weights)
        return _StudentPass(places, logps, counts, side.take(counts), targets)

    def _add(self, result: Pass, batch: MicroBatch, student: _StudentPass, losses: Tensor) -> None:
        result.loss += float(wide(losses).sum())
        result.logps += _by_item(batch, student.logps)
        result.sides.append(student.active)


@dataclass(frozen=True, slots=True)
class _StudentPass:
    """Results of one pass of the student over a micro-batch: M tokens in all, N of them active."""

    places: Places
    logps: Tensor  # (M,) of the sampled tokens, nats
    counts: Tensor  # (M,) bool: the active ones
    active: Side  # N rows, detached
    targets: Targets  # of the N


def _by_item(batch: MicroBatch, values: Tensor) -> list[Tensor]:
    """Split (M,) into one tensor (T_i,) per item, on the CPU."""
    return [part.clone() for part in values.float().cpu().split([len(item.token_ids) for item in batch.items])]
