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
from workbench.credit import Route
from workbench.errors import UpdateError
from workbench.policy.devices import ran_out_of_memory, release
from workbench.policy.memory import free_bytes, gigabytes
from workbench.policy.objective import (
    MicroBatch,
    Plan,
    UpdateItem,
    distillation_of,
    make_plan,
    weigh_by_entropy,
)
from workbench.policy.passes import Cancel, Gate, OnProgress, Passes
from workbench.policy.policy import Policy
from workbench.policy.strength import fixed_steps, steps_to_limit
from workbench.policy.teacher import teacher_side
from workbench.records import Reach

_KEPT_NUMBERS = 2**29  # numbers that autograd may keep of one micro-batch: 2 GiB in fp32


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
    reach: Reach  # how far the update went


def sdpo_step(
    policy: Policy,
    items: Sequence[UpdateItem],
    config: SDPOConfig,
    temperature: float,
    *,
    cancel: Cancel | None = None,
    elsewhere: Callable[[], float] = lambda: 0.0,
    on_progress: OnProgress | None = None,
    micro_batch: int | None = None,
) -> StepResult:
    """Apply one update to the policy: as far as `config` allows, or the steps that it names, on the same items.

    Args:
        temperature: of the sampling; divides the logits of both sides (trap 6).
        cancel: called between micro-batches; True takes everything back.
        elsewhere: KL(before || now) on other text than the attempts, nats per token (`strength.steps_to_limit`).
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
            gate = Gate(cancel, on_progress, -(-len(used) // size) * (config.most_steps + 2))
            return _update(policy, items, plan, config, temperature, size, gate, elsewhere)
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
    gate: Gate,
    elsewhere: Callable[[], float],
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
    passes = Passes(policy, batches, config, temperature, gate)
    walk = steps_to_limit(passes, elsewhere) if config.by_strength else fixed_steps(passes)
    first, after = walk.first, passes.read()
    result = StepResult(
        used=plan.used,
        loss_before=first.loss / passes.active,
        loss_after=after.loss / passes.active,
        grad_norm=walk.grad_norm,
        predicted=first.pushes,
        realised=[new - old for new, old in zip(after.logps, first.logps, strict=True)],
        student_logps_before=first.logps,
        student_logps_after=after.logps,
        reach=walk.reach,
    )
    _check_finite(policy, result)
    return result


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


def _check_finite(policy: Policy, result: StepResult) -> None:
    scores = [result.loss_before, result.loss_after, *(float(row.sum()) for row in result.realised)]
    finite = all(bool(torch.isfinite(parameter).all()) for parameter in policy.parameters())
    if not (finite and bool(torch.isfinite(torch.tensor(scores)).all())):
        raise UpdateError(
            "The update led to numbers that are not finite; lower the learning rate. The policy is unchanged."
        )
