"""One update of the policy, as a transaction: it happens as a whole, or the policy is bit for bit what it was.

SDPO (paper, section 3) and its relatives: the teacher's distributions are fixed at the start of the update, and the
loss is the mean over the active tokens of all items; `objective` defines it. Knows nothing of tasks, feedback or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import Route, Targets
from workbench.errors import UpdateError
from workbench.kernels.learning import learn, losses_of
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import sampled_logps
from workbench.policy.devices import ran_out_of_memory, release, wide
from workbench.policy.memory import free_bytes, gigabytes
from workbench.policy.objective import (
    MicroBatch,
    Plan,
    UpdateItem,
    distillation_of,
    make_plan,
    weigh_by_entropy,
)
from workbench.policy.policy import Policy
from workbench.policy.scoring import Places, completion_places, student_side
from workbench.policy.teacher import teacher_side

_KEPT_NUMBERS = 2**29  # numbers that autograd may keep of one micro-batch: 2 GiB in fp32

Cancel = Callable[[], bool]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outcome of an update. The lists run over `used`; each tensor is (T,) float32 on the CPU."""

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
    on_progress: OnProgress | None = None,
    micro_batch: int | None = None,
) -> StepResult:
    """Apply one update (`config.steps` optimiser steps on the same items) to the policy.

    Args:
        temperature: of the sampling; divides the logits of both sides (trap 6).
        cancel: called between micro-batches; True takes everything back.
        on_progress: called with (micro-batches done, in all) after each: the teacher reads all of them once, every
            step learns from all, and all are read once more afterwards. Where memory runs out it starts over, with
            more of them.
        micro_batch: items per pass, None = as many as fit; changes memory, not the result. Halved when the GPU's
            memory runs out.

    Raises:
        NoSignalError: no item carries a signal. ConfigError: K above the vocabulary, a span outside its attempt.
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
            gate = _Gate(cancel, on_progress, -(-len(used) // size) * (config.steps + 2))
            return _update(policy, items, plan, config, temperature, size, gate)
        except BaseException as error:
            if not ran_out_of_memory(error):
                policy.load_state(snapshot)
                raise
            policy.optimizer.zero_grad(set_to_none=True)
        # Outside the handler, where the traceback no longer holds the failed pass's tensors.
        release(policy.device)
        policy.load_state(snapshot)
        if size == 1:
            longest = max(len(items[i].token_ids) + len(items[i].teacher_prompt_ids or ()) for i in used)
            raise UpdateError(
                f"There is not enough memory for one attempt of {longest} tokens, prompt included{_room(policy)}; "
                "sample fewer new tokens, use quantization 'nf4' or a smaller model. The policy is unchanged."
            )
        size = max(1, size // 2)


def _update(
    policy: Policy,
    items: Sequence[UpdateItem],
    plan: Plan,
    config: SDPOConfig,
    temperature: float,
    size: int,
    gate: _Gate,
) -> StepResult:
    batches = []
    for start in range(0, len(plan.used), size):
        gate.check()
        chunk = list(plan.used[start : start + size])
        routes = [plan.routes[i] for i in chunk]
        batches.append(
            _prepared(policy, [items[i] for i in chunk], routes, plan.advantages[chunk], config, temperature)
        )
        gate.passed()
    weigh_by_entropy(batches, config)
    active = sum(int(batch.counts.sum()) for batch in batches)
    first = None
    for _ in range(config.steps):
        passed = _optimiser_step(policy, batches, active, config, temperature, gate)
        first = first or passed
    assert first is not None
    after = _Pass()
    with torch.no_grad():
        for batch in batches:
            gate.check()
            student = _read(policy, batch, temperature, first_weights=True)
            losses, _ = losses_of(student.active, batch.teacher, batch.token_ids, batch.row_losses(student.targets))
            after.add(batch, losses, student.logps)
            gate.passed()
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
    """Results gathered over the micro-batches of one pass."""

    def __init__(self) -> None:
        self.loss = 0.0  # sum over the active tokens
        self.grad_norm = 0.0
        self.logps: list[Tensor] = []
        self.pushes: list[Tensor] = []

    def add(self, batch: MicroBatch, losses: Tensor, logps: Tensor) -> None:
        self.loss += float(wide(losses).sum())
        self.logps += _by_item(batch, logps)


def _optimiser_step(
    policy: Policy,
    batches: list[MicroBatch],
    active: int,
    config: SDPOConfig,
    temperature: float,
    gate: _Gate,
) -> _Pass:
    """Take one AdamW step on the mean over all active tokens, accumulated exactly over the micro-batches."""
    optimizer, passed = policy.optimizer, _Pass()
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = config.learning_rate, config.weight_decay
    optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        gate.check()
        student = _read(policy, batch, temperature)
        learned = learn(student.active, batch.teacher, batch.token_ids, batch.row_losses(student.targets))
        passed.add(batch, learned.losses, student.logps)
        push = torch.zeros_like(student.logps)
        push[student.counts] = learned.push
        passed.pushes += _by_item(batch, push)
        student.places.rows()[student.counts].backward(learned.grad_hidden / active)
        gate.passed()
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
class _StudentPass:
    """Results of one pass of the student over a micro-batch: M tokens in all, N of them active."""

    places: Places
    logps: Tensor  # (M,) of the sampled tokens, nats
    counts: Tensor  # (M,) bool: the active ones
    active: Side  # N rows, detached
    targets: Targets  # of the N


def _read(policy: Policy, batch: MicroBatch, temperature: float, *, first_weights: bool = False) -> _StudentPass:
    """Read a micro-batch as the student. `first_weights` as in `MicroBatch.targets`."""
    places = completion_places(policy, [i.prompt_ids for i in batch.items], [i.token_ids for i in batch.items])
    side = student_side(policy, places, temperature)
    logps = sampled_logps(side, places.ids())
    counts = batch.counts[places.mask]
    targets = batch.targets(logps[counts], first_weights=first_weights)
    return _StudentPass(places, logps, counts, side.take(counts), targets)


def _prepared(
    policy: Policy,
    items: list[UpdateItem],
    routes: list[Route],
    advantages: Tensor,
    config: SDPOConfig,
    temperature: float,
) -> MicroBatch:
    """Make a micro-batch with its teacher, which reads once: the target of an update does not move."""
    taught = [item for item, item_route in zip(items, routes, strict=True) if item_route.taught]
    teacher = None
    if taught:
        side = teacher_side(
            policy,
            [item.teacher_prompt_ids or () for item in taught],
            [item.token_ids for item in taught],
            teacher=config.teacher,
            rate=config.teacher_rate,
            temperature=temperature,
        )
        teacher = side.take(torch.cat([item.counts() for item in taught]).to(policy.device))
    return MicroBatch(items, routes, advantages, teacher, config, policy.device)


def _fitting(policy: Policy, items: Sequence[UpdateItem]) -> int:
    """Items per pass, by what autograd keeps of the longest.

    About 34 numbers per hidden feature, layer and token (arXiv 2205.05198, without attention's scores), and the input
    of the head.
    """
    longest = max(len(item.prompt_ids) + len(item.token_ids) for item in items)
    config = policy.bare.config.get_text_config()
    numbers_per_token = 34 * config.num_hidden_layers * config.hidden_size + policy.width
    return max(1, min(len(items), _KEPT_NUMBERS // (numbers_per_token * longest)))


def _room(policy: Policy) -> str:
    """Sentence part on what would fit, by the estimate made on loading; "" where free memory is unknown."""
    free, planned = free_bytes(policy.device), policy.facts["memory"]
    if free is None:
        return ""
    fits = max(0, free - planned["logits_bytes"]) * planned["tokens"] // planned["activations_bytes"]
    return f" ({gigabytes(free)} are free on {policy.device}, enough for {fits} tokens at most)"


def _by_item(batch: MicroBatch, values: Tensor) -> list[Tensor]:
    """Split (M,) into one tensor (T_i,) per item, on the CPU."""
    return [part.clone() for part in values.float().cpu().split([len(item.token_ids) for item in batch.items])]


class _Gate:
    """Cancellation and progress between two micro-batches."""

    def __init__(self, cancel: Cancel | None, on_progress: OnProgress | None, total: int) -> None:
        self.cancel, self.on_progress, self.done, self.total = cancel, on_progress, 0, total

    def check(self) -> None:
        if self.cancel is not None and self.cancel():
            raise UpdateError("The update was stopped; the policy is exactly what it was before.")

    def passed(self) -> None:
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)


def _check_finite(policy: Policy, result: StepResult) -> None:
    scores = [result.loss_before, result.loss_after, *(float(row.sum()) for row in result.realised)]
    finite = all(bool(torch.isfinite(parameter).all()) for parameter in policy.parameters())
    if not (finite and bool(torch.isfinite(torch.tensor(scores)).all())):
        raise UpdateError(
            "The update led to numbers that are not finite; lower the learning rate. The policy is unchanged."
        )
