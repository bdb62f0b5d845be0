"""One update of the policy, as a transaction: it happens whole, or the policy is bit for bit what it was.

SDPO (paper, section 3): the teacher's distributions are fixed at the start of the update, the loss is the mean over
the active tokens of all items. GRPO for comparison, on the same items. Knows nothing of tasks, feedback or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import grpo_advantage, grpo_loss, sdpo_loss
from workbench.errors import NoSignalError, UpdateError
from workbench.policy.policy import Policy
from workbench.policy.scoring import completion_logits, sampled_logps
from workbench.policy.teacher import teacher_logits

_LOGITS_BYTES = 512 * 2**20  # of one side's fp32 logits in a micro-batch; a handful of such tensors live at once

Cancel = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """One attempt that an update may learn from."""

    prompt_ids: tuple[int, ...]
    teacher_prompt_ids: tuple[int, ...] | None  # None: the teacher knows nothing; SDPO leaves the item out (trap 10)
    token_ids: tuple[int, ...]  # the attempt, end token included if it was sampled
    reward: float  # 0 to 1; GRPO only
    group_id: str  # GRPO's baseline is the mean reward of the group
    old_logps: tuple[float, ...] | None = None  # nats, by the scoring path; None: of the policy before the update


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


@dataclass(slots=True)
class _MicroBatch:
    """Some of the used items, with what stays fixed during the update."""

    items: list[UpdateItem]
    advantages: Tensor  # (B,), GRPO's
    teacher: Tensor | None  # (B, T, V) on the CPU, SDPO's
    old_logps: Tensor | None = None  # (B, T), of the first pass unless the items bring their own
    log_ratios: Tensor | None = None  # (B, T), student - old in the first pass: 0 unless the items bring their own


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
        NoSignalError: no item carries signal. UpdateError: cancelled, not finite, or out of memory. Whatever is
        raised, the policy is exactly what it was before.
    """
    used = _with_signal(items, config)
    advantages = _advantages(items)
    size = micro_batch or _fitting(policy, [items[index] for index in used])
    snapshot = policy.state()
    while True:
        try:
            return _update(policy, items, used, advantages, config, temperature, size, cancel)
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
    used: tuple[int, ...],
    advantages: Tensor,
    config: SDPOConfig,
    temperature: float,
    size: int,
    cancel: Cancel | None,
) -> StepResult:
    batches = []
    for start in range(0, len(used), size):
        _check_cancel(cancel)
        chunk = used[start : start + size]
        batches.append(_prepared(policy, [items[i] for i in chunk], advantages[list(chunk)], config, temperature))
    active = sum(len(items[i].token_ids) for i in used)
    first = None
    for _ in range(config.steps):
        passed = _optimiser_step(policy, batches, active, config, temperature, cancel)
        first = first or passed
    assert first is not None
    after = _Pass()
    with torch.no_grad():
        for batch in batches:
            _check_cancel(cancel)
            after.add(batch, *_losses(policy, batch, config, temperature, first_weights=True)[:2])
    result = StepResult(
        used=used,
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

    def add(self, batch: _MicroBatch, losses: Tensor, logps: Tensor) -> None:
        self.loss += float(losses.detach().double().sum())
        self.logps += _rows(batch, logps)


def _optimiser_step(
    policy: Policy,
    batches: list[_MicroBatch],
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
        losses, logps, logits, token_ids = _losses(policy, batch, config, temperature)
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
    policy: Policy, batch: _MicroBatch, config: SDPOConfig, temperature: float, *, first_weights: bool = False
) -> tuple[Tensor, Tensor, _Logits, Tensor]:
    """Loss of each token (B, T), the student's log-probabilities (B, T) detached, logits, token ids (B, T).

    With `first_weights` the importance weights are those of the first pass: a loss after the step is the same loss
    as before it only if the weights have not moved with the policy.
    """
    prompts, completions = [i.prompt_ids for i in batch.items], [i.token_ids for i in batch.items]
    root, token_ids, mask = completion_logits(policy.bare, prompts, completions, temperature)
    leaf = root.detach().requires_grad_(torch.is_grad_enabled())
    logps = sampled_logps(leaf.detach(), token_ids)
    if batch.old_logps is None or batch.log_ratios is None:
        batch.old_logps = _given_logps(batch.items, logps)
        batch.log_ratios = logps - batch.old_logps
    old_logps = logps - batch.log_ratios if first_weights else batch.old_logps
    if config.method == "grpo":
        _, losses = grpo_loss(
            leaf, token_ids, mask, batch.advantages.to(leaf.device), old_logps=old_logps, is_clip=config.is_clip
        )
    else:
        assert batch.teacher is not None
        _, losses = sdpo_loss(
            leaf,
            batch.teacher.to(leaf.device),
            token_ids,
            mask,
            old_logps=old_logps,
            distillation_mode=config.distillation_mode,
            distillation_alpha=config.distillation_alpha,
            distillation_topk=min(config.distillation_topk, leaf.shape[-1]),
            distillation_add_tail=config.distillation_add_tail,
            is_clip=config.is_clip,
        )
    return losses, logps, _Logits(root, leaf), token_ids


def _prepared(
    policy: Policy, items: list[UpdateItem], advantages: Tensor, config: SDPOConfig, temperature: float
) -> _MicroBatch:
    """A micro-batch with its teacher's logits, which are computed once: the target of an update does not move."""
    if config.method == "grpo":
        return _MicroBatch(items, advantages, None)
    logits = teacher_logits(
        policy,
        [item.teacher_prompt_ids or () for item in items],
        [item.token_ids for item in items],
        teacher=config.teacher,
        rate=config.teacher_rate,
        temperature=temperature,
    )
    return _MicroBatch(items, advantages, logits.cpu())


def _given_logps(items: list[UpdateItem], logps: Tensor) -> Tensor:
    """(B, T): an item's own old log-probabilities where it has them, else those of this first pass."""
    given = logps.clone()
    for row, item in enumerate(items):
        if item.old_logps is not None:
            given[row, : len(item.token_ids)] = torch.tensor(item.old_logps, device=given.device)
    return given


def _with_signal(items: Sequence[UpdateItem], config: SDPOConfig) -> tuple[int, ...]:
    """Items that an update can learn from: the others do not dilute the mean (trap 10)."""
    advantages = _advantages(items)
    if config.method == "grpo":
        # A constant reward is no signal; within a group that has one, an average attempt stays in the mean.
        live = {item.group_id for item, a in zip(items, advantages.tolist(), strict=True) if a != 0.0}
        used = [i for i, item in enumerate(items) if item.token_ids and item.group_id in live]
        why = "all rewards of each group are equal; sample more attempts or a harder task"
    else:
        used = [i for i, item in enumerate(items) if item.token_ids and item.teacher_prompt_ids is not None]
        why = "none has feedback or a demonstration; give feedback to one"
    if not used:
        raise NoSignalError(f"No attempt carries any signal: {why}.")
    return tuple(used)


def _advantages(items: Sequence[UpdateItem]) -> Tensor:
    """(N,) reward minus the group's mean; exactly 0 where a group's rewards are all equal."""
    advantages = torch.zeros(len(items))
    for group_id in {item.group_id for item in items}:
        members = [index for index, item in enumerate(items) if item.group_id == group_id]
        rewards = [items[index].reward for index in members]
        if len(set(rewards)) > 1:
            advantages[members] = grpo_advantage(torch.tensor(rewards, dtype=torch.float64)).float()
    return advantages


def _fitting(policy: Policy, items: Sequence[UpdateItem]) -> int:
    longest = max(len(item.token_ids) for item in items)
    row = 4 * longest * int(policy.facts["vocabulary"])
    return max(1, min(len(items), _LOGITS_BYTES // row))


def _rows(batch: _MicroBatch, values: Tensor) -> list[Tensor]:
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
