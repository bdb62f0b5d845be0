"""One update of the policy, as a transaction: it happens whole, or the policy is bit for bit what it was.

SDPO (paper, section 3) and its relatives: the teacher's distributions are fixed at the start of the update, the loss
is the mean over the active tokens of all items; `objective` says what that loss is. Knows nothing of tasks, feedback
or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import Route
from workbench.errors import UpdateError
from workbench.policy.objective import (
    MicroBatch,
    Plan,
    UpdateItem,
    distillation_of,
    make_plan,
    weigh_by_entropy,
)
from workbench.policy.policy import Policy
from workbench.policy.scoring import completion_logits, sampled_logps
from workbench.policy.teacher import teacher_logits

_LOGITS_BYTES = 512 * 2**20  # of one side's fp32 logits in a micro-batch; a handful of such tensors live at once

Cancel = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What an update did. The lists run over `used`; each tensor is (T,) float32 on the CPU."""

    used: tuple[int, ...]  # indices of the items that gave signal
    loss_before: float  # nats per active token
    loss_after: float  # the same loss, same tokens, same teacher, after the step
    grad_norm: float  # of the first step, before clipping
    predicted: list[Tensor]  # minus the loss's gradient to each sampled token's logit, times the active tokens
    realised: list[Tensor]  # change of each sampled token's log-probability, nats
    student_logps_before: list[Tensor]  # nats
    student_logps_after: list[Tensor]


def sdpo_step(
    policy: Policy,
    items: Sequence[UpdateItem],
    config: SDPOConfig,
    temperature: float,
    *,
    cancel: Cancel | None = None,
    micro_batch: int | None = None,
) -> StepResult:
    """Apply one update (`config.steps` optimiser steps on the same items) to the policy.

    Args:
        temperature: of the sampling; divides the logits of both sides (trap 6).
        cancel: asked between micro-batches; True takes everything back.
        micro_batch: items per pass, None = as many as fit; changes memory, not the result. Halved when the GPU's
            memory runs out.

    Raises:
        NoSignalError: no item carries signal. ConfigError: K above the vocabulary, a span outside of its attempt.
        UpdateError: cancelled, not finite, or out of memory. Whatever is raised, the policy is exactly what it was
        before.
    """
    if config.method not in ("grpo", "rlsd"):  # these compare no distributions
        distillation_of(config).check_vocabulary(int(policy.facts["vocabulary"]))
    plan = make_plan(items, config)
    used = plan.used
    size = micro_batch or _fitting(policy, [items[index] for index in used])
    snapshot = policy.state()
    while True:
        try:
            return _update(policy, items, plan, config, temperature, size, cancel)
        except torch.OutOfMemoryError:
            policy.optimizer.zero_grad(set_to_none=True)
        except BaseException:
            policy.load_state(snapshot)
            raise
        # Outside of the handler, where the failed pass's tensors are no longer held by its traceback.
        torch.cuda.empty_cache()
        policy.load_state(snapshot)
        if size == 1:
            longest = max(len(items[i].token_ids) + len(items[i].teacher_prompt_ids or ()) for i in used)
            raise UpdateError(
                f"There is not enough GPU memory for one attempt of {longest} tokens, prompt included; sample fewer "
                "new tokens, use quantization 'nf4' or a smaller model. The policy is unchanged."
            )
        size = max(1, size // 2)


def _update(
    policy: Policy,
    items: Sequence[UpdateItem],
    plan: Plan,
    config: SDPOConfig,
    temperature: float,
    size: int,
    cancel: Cancel | None,
) -> StepResult:
    batches = []
    for start in range(0, len(plan.used), size):
        _check_cancel(cancel)
        chunk = list(plan.used[start : start + size])
        routes = [plan.routes[i] for i in chunk]
        batches.append(
            _prepared(policy, [items[i] for i in chunk], routes, plan.advantages[chunk], config, temperature)
        )
    weigh_by_entropy(batches, config)
    active = sum(int(batch.counts.sum()) for batch in batches)
    first = None
    for _ in range(config.steps):
        passed = _optimiser_step(policy, batches, active, config, temperature, cancel)
        first = first or passed
    assert first is not None
    after = _Pass()
    with torch.no_grad():
        for batch in batches:
            _check_cancel(cancel)
            after.add(batch, *_losses(policy, batch, temperature, first_weights=True)[:2])
    result = StepResult(
        used=plan.used,
        loss_before=first.loss / active,
        loss_after=after.loss / active,
        grad_norm=first.grad_norm,
        predicted=first.pushes,
        realised=[new - old for new, old in zip(after.logps, first.logps, strict=True)],
        student_logps_before=first.logps,
        student_logps_after=after.logps,
    )
    _check_finite(policy, result)
    return result


class _Pass:
    """What is gathered over the micro-batches of one pass."""

    def __init__(self) -> None:
        self.loss = 0.0  # sum over the active tokens
        self.grad_norm = 0.0
        self.logps: list[Tensor] = []
        self.pushes: list[Tensor] = []

    def add(self, batch: MicroBatch, losses: Tensor, logps: Tensor) -> None:
        self.loss += float(losses.detach().double().sum())
        self.logps += _rows(batch, logps)


def _optimiser_step(
    policy: Policy,
    batches: list[MicroBatch],
    active: int,
    config: SDPOConfig,
    temperature: float,
    cancel: Cancel | None,
) -> _Pass:
    """One AdamW step on the mean over all active tokens, accumulated exactly over the micro-batches."""
    optimizer, passed = policy.optimizer, _Pass()
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = config.learning_rate, config.weight_decay
    optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        _check_cancel(cancel)
        losses, logps, logits, token_ids = _losses(policy, batch, temperature)
        passed.add(batch, losses, logps)
        # In two stages, because the gradient at the logits is what the update predicts for each token.
        (gradient,) = torch.autograd.grad(losses.sum() / active, logits.leaf)
        push = -active * gradient.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)  # (B, T)
        passed.pushes += _rows(batch, push)
        logits.root.backward(gradient)
    try:
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm, error_if_nonfinite=True)
    except RuntimeError as error:
        raise UpdateError(
            "The update's gradient is not finite; lower the learning rate or undo earlier updates. The policy is "
            "unchanged."
        ) from error
    passed.grad_norm = float(norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return passed


@dataclass(frozen=True, slots=True)
class _Logits:
    """The same numbers twice: the end of the model's graph, and the start of the loss's."""

    root: Tensor  # (B, T, V)
    leaf: Tensor


def _losses(
    policy: Policy, batch: MicroBatch, temperature: float, *, first_weights: bool = False
) -> tuple[Tensor, Tensor, _Logits, Tensor]:
    """Loss of each token that counts (N,), the student's log-probabilities (B, T) detached, logits, token ids (B, T).

    `first_weights` as in `MicroBatch.targets`.
    """
    prompts, completions = [i.prompt_ids for i in batch.items], [i.token_ids for i in batch.items]
    root, token_ids, _ = completion_logits(policy.bare, prompts, completions, temperature)
    leaf = root.detach().requires_grad_(torch.is_grad_enabled())
    logps = sampled_logps(leaf.detach(), token_ids)
    targets = batch.targets(logps[batch.counts], first_weights=first_weights)
    return batch.losses(leaf[batch.counts], targets), logps, _Logits(root, leaf), token_ids


def _prepared(
    policy: Policy,
    items: list[UpdateItem],
    routes: list[Route],
    advantages: Tensor,
    config: SDPOConfig,
    temperature: float,
) -> MicroBatch:
    """A micro-batch with its teacher's logits, which are computed once: the target of an update does not move."""
    taught = [item for item, way in zip(items, routes, strict=True) if way.taught]
    rows = None
    if taught:
        logits = teacher_logits(
            policy,
            [item.teacher_prompt_ids or () for item in taught],
            [item.token_ids for item in taught],
            teacher=config.teacher,
            rate=config.teacher_rate,
            temperature=temperature,
        )  # (B', T', V)
        counts = torch.nn.utils.rnn.pad_sequence([item.counts() for item in taught], batch_first=True)
        rows = logits[counts.to(logits.device)]  # (K, V)
    return MicroBatch(items, routes, advantages, rows, config, policy.device)


def _fitting(policy: Policy, items: Sequence[UpdateItem]) -> int:
    longest = max(len(item.token_ids) for item in items)
    row = 4 * longest * int(policy.facts["vocabulary"])
    return max(1, min(len(items), _LOGITS_BYTES // row))


def _rows(batch: MicroBatch, values: Tensor) -> list[Tensor]:
    """(B, T) -> B tensors (T_i,) without the padding, on the CPU."""
    cpu = values.detach().float().cpu()
    return [row[: len(item.token_ids)].clone() for row, item in zip(cpu, batch.items, strict=True)]


def _check_cancel(cancel: Cancel | None) -> None:
    if cancel is not None and cancel():
        raise UpdateError("The update was stopped; the policy is exactly what it was before.")


def _check_finite(policy: Policy, result: StepResult) -> None:
    scores = [result.loss_before, result.loss_after, *(float(row.sum()) for row in result.realised)]
    finite = all(bool(torch.isfinite(parameter).all()) for parameter in policy.parameters())
    if not (finite and bool(torch.isfinite(torch.tensor(scores)).all())):
        raise UpdateError(
            "The update led to numbers that are not finite; lower the learning rate. The policy is unchanged."
        )
