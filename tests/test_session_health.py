"""Alarms: silent on healthy updates, one sentence each on a policy that is being lost."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import RunError, UpdateError
from workbench.records import SideEffects, UpdateReport, report_from_json, to_json
from workbench.session.health import alarms

HEALTHY = UpdateReport(
    update_id="u-1",
    parent_id="root",
    method="sdpo",
    loss_before=0.2,
    loss=0.1,
    grad_norm=0.5,
    predicted={"a": (0.1,) * 30},
    realised={"a": (0.1,) * 30},
    agreement=0.9,
    rank_correlation=0.8,
    side_effects=SideEffects(0.01, 0.05, 0.04, kl_to_base=0.02),
    ledger=(),
    seconds_s=0.1,
)


def changed(**effects: float | None) -> UpdateReport:
    return replace(HEALTHY, side_effects=replace(HEALTHY.side_effects, **effects))


def of_length(tokens: int) -> UpdateReport:
    return replace(HEALTHY, realised={"a": (0.1,) * tokens, "b": (0.1,) * tokens})


@pytest.mark.parametrize(
    ("report", "name", "words"),
    [
        (changed(entropy_after=0.002), "entropy", "fell from 0.05 to 0.002"),
        (changed(entropy_after=0.21), "entropy", "rose from 0.05 to 0.21"),
        (changed(kl_to_base=0.6), "kl", "0.6 nats per token away"),
        (of_length(91), "length", "91 tokens on average where they had 30"),
        (of_length(9), "length", "9 tokens on average where they had 30"),
        (replace(HEALTHY, loss_before=0.03, loss=0.19), "overshoot", "rise, from 0.03 to 0.19 nats per token"),
        (replace(HEALTHY, grad_norm=math.inf), "non-finite", "not finite"),
        (changed(entropy_after=math.nan), "non-finite", "not finite"),
    ],
)
def test_each_sign_is_one_alarm(report: UpdateReport, name: str, words: str) -> None:
    (alarm,) = alarms(report, [HEALTHY])
    assert alarm.name == name and words in alarm.sentence


@pytest.mark.parametrize(
    "report",
    [
        HEALTHY,
        changed(entropy_after=0.005),  # where successful learning runs end
        changed(entropy_after=0.19, kl_to_base=0.49),
        replace(HEALTHY, loss_before=0.009, loss=0.0166),  # the largest rise in a run that learned
        replace(HEALTHY, method="grpo", loss_before=0.0, loss=-0.1),
        changed(kl_to_base=None),  # of a run from before it was measured
        of_length(45),
        of_length(10),
        of_length(90),
    ],
)
def test_healthy_updates_raise_none(report: UpdateReport) -> None:
    assert alarms(report, [HEALTHY]) == []
    assert alarms(HEALTHY) == []


def test_ordinary_is_what_the_first_updates_were() -> None:
    """Fails when the comparison is with the update before: a slow drift would never be seen."""
    shrinking = [of_length(length) for length in (30, 30, 30, 30, 30, 20, 15, 12)]
    assert [len(alarms(report, shrinking[:count])) for count, report in enumerate(shrinking)] == [0] * 8
    assert [alarm.name for alarm in alarms(of_length(9), shrinking)] == ["length"]
    fading = [changed(entropy_before=0.05, entropy_after=0.01), changed(entropy_before=0.01, entropy_after=0.004)]
    assert [alarm.name for alarm in alarms(changed(entropy_before=0.004, entropy_after=0.002), fading)] == ["entropy"]


def test_a_session_measures_drift_and_raises_alarms_on_the_way_to_the_head(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        task = workbench.add_task(
            prompt="Write f(xs): sort, then take 3.", environment="contains", answer={"text": "impossible"}
        )
        attempts = workbench.attempt(task, 3, sampling=SamplingConfig(max_new_tokens=16))
        assert workbench.alarms() == []
        first = workbench.update(attempts, SDPOConfig(steps=1))
        # The adapter starts as nothing, so before the first update policy and base are one.
        assert first.side_effects.kl_to_base == pytest.approx(first.side_effects.kl_to_before, rel=1e-3, abs=1e-7)
        second = workbench.update(attempts, SDPOConfig(steps=1))
        assert second.side_effects.kl_to_base > second.side_effects.kl_to_before > 0
        assert workbench.alarms() == alarms(second, [first]) == [] and workbench.alarms("root") == []
        assert report_from_json(json.loads(json.dumps(to_json(second)))) == second
        with pytest.raises(RunError, match="There is no update"):
            workbench.alarms("nowhere")
        with pytest.raises(UpdateError, match="more than kl_limit allows"):
            workbench.update(attempts, SDPOConfig(kl_limit=1e-9))
        assert workbench.head == second.update_id
