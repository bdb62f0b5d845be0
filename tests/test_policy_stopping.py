"""Stopping within a pass of the model: at every layer, forwards and backwards, with everything as it was before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from policy_factory import make_model_dir, make_policy

from workbench import Workbench
from workbench.config import LoraSettings, SamplingConfig, SDPOConfig
from workbench.errors import StoppedError, UpdateError
from workbench.policy import Policy
from workbench.policy.pace import measure
from workbench.policy.sampling import sample
from workbench.policy.scoring import completion_logps
from workbench.records import Pace, Task, duration

PROMPT = [5, 6, 7, 8]
TASK = Task("pack/one", "Write f(xs): sort.", "exact", answer={"text": "never"})


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return make_policy(tmp_path_factory.mktemp("model"))


def after(calls: int) -> Callable[[], bool]:
    """A stop that says True from the given question on, counted from 0."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= calls


def hooks(policy: Policy) -> int:
    return sum(len(module._forward_pre_hooks) for module in policy.model.modules())


@pytest.mark.parametrize("calls", [0, 1])
def test_sampling_stops_while_the_prompt_is_read(policy: Policy, calls: int) -> None:
    before = hooks(policy)
    drawn = sample(policy, [PROMPT] * 2, SamplingConfig(1.0, 8), stop=after(calls))
    assert [one.token_ids for one in drawn] == [(), ()] and not any(one.finished for one in drawn)
    assert hooks(policy) == before


def test_sampling_stops_within_a_position_and_keeps_what_was_drawn(policy: Policy) -> None:
    """Two layers: the prompt asks twice, then each position asks once by itself and twice in its pass."""
    positions: list[int] = []
    drawn = sample(
        policy, [PROMPT], SamplingConfig(1.0, 8), on_token=lambda _, i: positions.append(i), stop=after(2 + 3 + 2)
    )
    assert len(positions) == 2 == len(drawn[0].token_ids)


def test_a_backward_pass_stops_too(policy: Policy) -> None:
    ids = torch.tensor([PROMPT])
    asked: list[bool] = []
    with policy.stopping(lambda: bool(asked.append(True)), StoppedError("stopped")):
        policy.bare(input_ids=ids).logits.sum().backward()
    forwards = 2
    assert len(asked) == 2 * forwards - 1  # nothing is learned before the first layer: its input has no gradient
    with pytest.raises(StoppedError), policy.stopping(after(forwards), StoppedError("stopped")):
        policy.bare(input_ids=ids).logits.sum().backward()
    policy.optimizer.zero_grad(set_to_none=True)


def test_what_is_stopped_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    with Workbench.open(tmp_path / "run", model=str(model), lora=LoraSettings(rank=4, lora_alpha=8.0)) as wb:
        attempts = wb.attempt(TASK, n=2, sampling=SamplingConfig(1.0, 6))
        before, events, stop = wb.policy.state(), len(wb.events()), threading.Event()
        stop.set()
        with pytest.raises(StoppedError), wb.stoppable(stop):
            wb.credit(attempts[0])
        with pytest.raises(UpdateError, match="exactly what it was before"):
            wb.update(attempts, SDPOConfig(steps=1), stop=stop)
        assert [event.kind for event in wb.events()[events:]] == ["failed"]
        now = wb.policy.state()
        assert all(torch.equal(now[name], tensor) for name, tensor in before.items())
        wb.credit(attempts[0])  # nothing is left behind that would stop this


def test_a_pace_is_measured_and_said(policy: Policy) -> None:
    pace = Pace(**policy.facts["pace"])
    assert pace.step_s >= 0 and pace.row_s >= 0 and pace.seconds(8, 100) > 0
    measured = measure(policy)
    assert measured.seconds(8, 100) < 50 * pace.seconds(8, 100)
    assert Pace(0.1, 0.05).seconds(8, 64) == pytest.approx(32.0)
    assert Pace(0.1, 0.05).scaled(2.0).seconds(8, 64) == pytest.approx(64.0)
    assert [duration(seconds) for seconds in (40.2, 150.0, 7200.0)] == ["40 s", "2 min", "2.0 h"]


def test_no_hook_changes_a_number(policy: Policy) -> None:
    plain = completion_logps(policy, [PROMPT], [[9, 10]], 1.0)
    with policy.stopping(lambda: False, StoppedError("stopped")):
        assert torch.equal(completion_logps(policy, [PROMPT], [[9, 10]], 1.0), plain)
