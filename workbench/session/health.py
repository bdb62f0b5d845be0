"""Alarms: signs in the reports of updates that a policy is being lost, each a sentence that says what to do.

Pure functions over reports; the caller decides what to do about an alarm. The thresholds are wide on purpose: in
the learning runs under docs/evidence, which succeed, entropy falls to a tenth, attempts grow by half, and KL to the
reference policy stays below 0.2 nats per token. Knows nothing of runs, models and pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.records import UpdateReport

ENTROPY_LOW = 0.05  # of the entropy before the first update
ENTROPY_HIGH = 4.0
KL_TO_BASE = 0.5  # nats per token on the probe
LENGTH_FACTOR = 3.0  # of the first updates' mean length, up or down
FIRST_UPDATES = 5  # whose attempts define the ordinary length
# Nats per token, of the loss from before an update to after it. Of the 326 updates of five methods in one comparison it
# rose by more than a thousandth in one, by .008; the two that were seen to lose a policy raised it by .1 and .16.
OVERSHOT = 0.01

AlarmName = Literal["non-finite", "overshoot", "entropy", "kl", "length"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One sign that something goes wrong."""

    name: AlarmName
    sentence: str


def alarms(report: UpdateReport, history: Sequence[UpdateReport] = ()) -> list[Alarm]:
    """Alarms about an update; none for a healthy one.

    `history`: the reports of the updates on the way from the root to this one, oldest first, this one excluded.
    """
    if not _finite(report):
        return [Alarm("non-finite", "The update's numbers are not finite; undo it and lower the learning rate.")]
    raised = (_overshoot(report), _entropy(report, history), _drift(report), _length(report, history))
    return [alarm for alarm in raised if alarm is not None]


def _finite(report: UpdateReport) -> bool:
    effects = report.side_effects
    numbers = (report.loss_before, report.loss, report.grad_norm, effects.kl_to_before, effects.entropy_after)
    return all(math.isfinite(number) for number in numbers)


def _overshoot(report: UpdateReport) -> Alarm | None:
    if report.loss <= report.loss_before + OVERSHOT:
        return None
    return Alarm(
        "overshoot",
        f"The update made the loss of its own attempts rise, from {report.loss_before:.2g} to {report.loss:.2g} nats "
        "per token: it went too far; undo it, and take fewer steps or a lower learning rate.",
    )


def _entropy(report: UpdateReport, history: Sequence[UpdateReport]) -> Alarm | None:
    start, now = (*history, report)[0].side_effects.entropy_before, report.side_effects.entropy_after
    if now < ENTROPY_LOW * start:
        return Alarm(
            "entropy",
            f"Entropy on the probe fell from {start:.3g} to {now:.3g} nats per token: attempts hardly differ any more, "
            "so there is little left to learn from; undo some updates, or raise the temperature.",
        )
    if now > ENTROPY_HIGH * start:
        return Alarm(
            "entropy",
            f"Entropy on the probe rose from {start:.3g} to {now:.3g} nats per token: the policy is losing what it "
            "knew; undo some updates and lower the learning rate.",
        )
    return None


def _drift(report: UpdateReport) -> Alarm | None:
    drift = report.side_effects.kl_to_base
    if drift is None or drift <= KL_TO_BASE:  # None: committed before it was measured
        return None
    return Alarm(
        "kl",
        f"The policy is {drift:.2g} nats per token away from the reference policy (adapter off) on the "
        "probe; compare held-out pass rates, and undo some updates if they fell.",
    )


def _length(report: UpdateReport, history: Sequence[UpdateReport]) -> Alarm | None:
    usual = [length for earlier in history[:FIRST_UPDATES] for length in _lengths(earlier)]
    lengths = _lengths(report)
    if not (usual and lengths):
        return None
    ordinary, now = sum(usual) / len(usual), sum(lengths) / len(lengths)
    if ordinary / LENGTH_FACTOR <= now <= ordinary * LENGTH_FACTOR:
        return None
    return Alarm(
        "length",
        f"Attempts have {now:.0f} tokens on average where they had {ordinary:.0f} at first; read some, and undo "
        "updates if they ramble or say nothing.",
    )


def _lengths(report: UpdateReport) -> list[int]:
    return [len(changes) for changes in report.realised.values()]
