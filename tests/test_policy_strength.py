"""The strength of an update: the limit is met, whatever the steps would have done; see `policy/strength.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from policy_factory import make_policy, nudge
from whole_logits import completion_logits

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import UpdateError
from workbench.policy import Policy, strength
from workbench.policy.sampling import sample
from workbench.policy.update import UpdateItem, sdpo_step

PROMPT, TEACHER = (1, 40, 50, 60), (1, 40, 50, 60, 90, 91, 92, 93, 60)
FAR = {"gap_share": 1.0, "max_kl": 5.0}


class Line:
    """A step along which KL grows as `kl` says; takes the place of the adapter's."""

    def __init__(self, kl: Callable[[float], float]) -> None:
        self.kl, self.share, self.measured = kl, 1.0, 0

    def take(self, share: float) -> None:
        self.share = share

    def measure(self) -> float:
        self.measured += 1
        return self.kl(self.share)


@pytest.mark.parametrize(
    "kl",
    [
        lambda x: 0.5 * x**2,  # from rest
        lambda x: (0.1 + 0.3 * x) ** 2,  # from some way off
        lambda x: 0.02 + 0.4 * x**6,  # a wall
        lambda x: 0.001 * x + (math.inf if x > 0.4 else 0.2 * x),  # not finite beyond a point
        lambda x: math.nan if x > 0.9 else 4.0 * x**2,
    ],
)
def test_the_last_step_is_scaled_back_to_the_limit(kl: Callable[[float], float]) -> None:
    line, allowed = Line(kl), 0.03
    reached = strength._scale_back(line, line.measure, kl(0.0), kl(1.0), allowed)  # type: ignore[arg-type]
    assert reached == pytest.approx(kl(line.share))
    assert 0.8 * allowed <= reached <= allowed
    assert line.measured <= 8


def test_a_step_of_which_nothing_is_finite_is_refused() -> None:
    line = Line(lambda x: 0.0 if x == 0.0 else math.nan)
    with pytest.raises(UpdateError, match="not finite"):
        strength._scale_back(line, line.measure, 0.0, math.nan, 0.03)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    policy = make_policy(tmp_path_factory.mktemp("model"), hidden=64)
    nudge(policy, 0.2)  # far enough from the reference for a teacher with something to say
    return policy


@pytest.fixture
def policy(shared: Policy) -> Policy:
    """Every test finds the shared policy as the first one did."""
    state = shared.state()
    yield shared
    shared.load_state(state)


def items(policy: Policy) -> list[UpdateItem]:
    drawn = sample(policy, [PROMPT] * 4, SamplingConfig(max_new_tokens=12))
    return [UpdateItem(PROMPT, TEACHER, a.token_ids, float(i % 2), "g") for i, a in enumerate(drawn)]


def log_probabilities(policy: Policy, given: list[UpdateItem]) -> torch.Tensor:
    """(N, V) float64, from whole logits."""
    with torch.no_grad():
        logits, _, mask = completion_logits(
            policy.bare, [i.prompt_ids for i in given], [i.token_ids for i in given], 1.0
        )
    return logits[mask].double().log_softmax(-1)


def kl(p: torch.Tensor, q: torch.Tensor) -> float:
    return float((p.exp() * (p - q)).sum(-1).mean())


@pytest.mark.parametrize("limit", [0.003, 0.03, 0.3])
def test_an_update_ends_at_its_limit(policy: Policy, limit: float) -> None:
    """Measured by whole softmaxes in float64, which the rule does not use."""
    given = items(policy)
    before = log_probabilities(policy, given)
    result = sdpo_step(policy, given, SDPOConfig(teacher="frozen", gap_share=1.0, max_kl=limit), 1.0)
    reach, measured = result.reach, kl(before, log_probabilities(policy, given))
    assert reach.moved == pytest.approx(measured, rel=1e-3)
    assert reach.allowed == min(limit, reach.gap)
    if reach.ended_by == "limit":
        assert 0.8 * reach.allowed <= measured <= reach.allowed
    assert result.loss_after < result.loss_before


def test_the_limit_is_a_share_of_the_gap_to_the_teacher(policy: Policy) -> None:
    given = items(policy)
    before = log_probabilities(policy, given)
    with policy.reference():
        asked = [UpdateItem(TEACHER, None, item.token_ids, 0.0, "g") for item in given]
        gap = kl(before, log_probabilities(policy, asked))
    reach = sdpo_step(policy, given, SDPOConfig(teacher="frozen", gap_share=0.1, max_kl=5.0), 1.0).reach
    assert reach.gap == pytest.approx(gap, rel=1e-3)
    assert reach.allowed == pytest.approx(0.1 * gap, rel=1e-3)
    assert reach.moved <= reach.allowed


def test_what_happens_elsewhere_counts_too(policy: Policy) -> None:
    given = items(policy)
    reach = sdpo_step(policy, given, SDPOConfig(**FAR), 1.0, elsewhere=lambda: 0.9 * 5.0).reach
    assert reach.moved == 0.9 * 5.0 if reach.allowed == 5.0 else reach.ended_by == "limit"


def test_a_closed_gap_ends_an_update(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strength, "ENOUGH", 0.9)
    monkeypatch.setattr(strength, "FIRST_STEP", 1.0)
    reach = sdpo_step(policy, items(policy), SDPOConfig(teacher="frozen", **FAR), 1.0).reach
    assert reach.ended_by == "gap" and reach.steps < strength.MOST_STEPS


def test_without_a_teacher_the_limit_alone_counts(policy: Policy) -> None:
    reach = sdpo_step(policy, items(policy), SDPOConfig(method="grpo", max_kl=0.01), 1.0).reach
    assert reach.gap is None and reach.allowed == 0.01 and reach.moved <= 0.01


def test_naming_a_learning_rate_or_steps_switches_the_limit_off(policy: Policy) -> None:
    for config, steps, rate in (
        (SDPOConfig(steps=2), 2, 1e-3),
        (SDPOConfig(learning_rate=2e-3), 8, 2e-3),
    ):
        reach = sdpo_step(policy, items(policy), config, 1.0).reach
        assert (reach.steps, reach.learning_rate) == (steps, rate)
        assert reach.allowed is reach.moved is reach.ended_by is None


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_the_limit_is_met_in_nf4(tmp_path: Path, family: str) -> None:
    policy = make_policy(tmp_path, family=family, hidden=64, quantization="nf4")
    nudge(policy, 0.2)
    reach = sdpo_step(policy, items(policy), SDPOConfig(teacher="frozen", gap_share=1.0, max_kl=0.01), 1.0).reach
    assert reach.ended_by == "limit" and 0.8 * reach.allowed <= reach.moved <= reach.allowed
