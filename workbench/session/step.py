"""One update, measured: predicted and realised change of each token, and side effects.

Knows nothing of runs: the caller commits the report, or puts the policy back.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence

from workbench.config import TEACHERS, SDPOConfig
from workbench.errors import UpdateError
from workbench.policy import Policy
from workbench.policy.average import Average
from workbench.policy.update import OnProgress, StepResult, UpdateItem, sdpo_step
from workbench.probe import Probe, side_effects
from workbench.records import Attempt, SideEffects, SignalReport, UpdateReport
from workbench.statistics import agreement


def measured_step(
    policy: Policy,
    attempts: Sequence[Attempt],
    items: Sequence[UpdateItem],
    ledger: Sequence[SignalReport],
    config: SDPOConfig,
    probe: Probe,
    *,
    parent_id: str,
    cancel: Callable[[], bool] | None = None,
    on_progress: OnProgress | None = None,
) -> UpdateReport:
    """Update the policy on `items` (one per attempt) and report on it under a new update id.

    Raises NoSignalError, UpdateError (also where the policy moved further than `config.kl_limit` on the probe); the
    caller then puts the policy back.
    """
    started = time.monotonic()
    temperatures = {attempt.temperature for attempt in attempts}
    if len(temperatures) > 1:
        raise UpdateError(
            "These attempts were sampled at different temperatures; update on those of one temperature at a time."
        )
    # The average starts as the policy before its first update and moves once per update, not per optimiser step.
    averaged = TEACHERS[config.teacher].averaged
    average = (policy.average or Average.start(policy.adapter)) if averaged else None
    before = probe.measure(policy)

    def elsewhere() -> float:
        return side_effects(before, probe.measure(policy), probe.base).kl_to_before

    result = sdpo_step(
        policy, items, config, temperatures.pop(), cancel=cancel, elsewhere=elsewhere, on_progress=on_progress
    )
    after = probe.measure(policy)
    if average is not None:
        average = policy.average = average.moved(policy.adapter, config.teacher_rate)
    effects = side_effects(before, after, probe.base)
    _check_moved(effects, config.kl_limit)
    predicted, realised = _by_attempt(attempts, result)
    share, rank = agreement(predicted, realised)
    return UpdateReport(
        update_id=f"u-{uuid.uuid4().hex[:10]}",
        parent_id=parent_id,
        method=config.method,
        loss_before=result.loss_before,
        loss=result.loss_after,
        grad_norm=result.grad_norm,
        predicted=predicted,
        realised=realised,
        agreement=share,
        rank_correlation=rank,
        side_effects=effects,
        ledger=tuple(ledger),
        seconds_s=time.monotonic() - started,
        teacher_error=average.relative_error if average is not None else None,
        reach=result.reach,
    )


def _check_moved(effects: SideEffects, limit: float | None) -> None:
    moved = effects.kl_to_before
    if not math.isfinite(moved):
        raise UpdateError(
            "The update led to numbers that are not finite; lower the learning rate. The policy is unchanged."
        )
    if limit is not None and moved > limit:
        raise UpdateError(
            f"The update moved the policy by {moved:.2g} nats per token on its probe, more than kl_limit allows "
            f"({limit:g}); lower the learning rate or the steps, or raise the limit. The policy is unchanged."
        )


def _by_attempt(
    attempts: Sequence[Attempt], result: StepResult
) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[float, ...]]]:
    """Logit push on each sampled token, and the change of its log-probability in nats, by the id of the attempt."""
    ids = [attempts[index].id for index in result.used]
    predicted = {attempt_id: tuple(push.tolist()) for attempt_id, push in zip(ids, result.predicted, strict=True)}
    realised = {attempt_id: tuple(change.tolist()) for attempt_id, change in zip(ids, result.realised, strict=True)}
    return predicted, realised
