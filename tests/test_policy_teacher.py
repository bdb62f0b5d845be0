"""The self-teacher of each kind: closed forms in float64, a student left alone, and a place in the run's state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import torch
from policy_factory import make_model_dir, make_policy, nudge
from safetensors.torch import load, save
from transformers import AutoModelForCausalLM
from whole_logits import completion_logits, teacher_logits

from workbench import Workbench
from workbench.config import LoraSettings, LoraVariant, PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import ConfigError, PolicyError, RunError
from workbench.policy import Policy, load_policy
from workbench.policy.average import Average
from workbench.policy.contexts import credit_of
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.sampling import sample
from workbench.policy.teacher import teacher_side, teacher_weights
from workbench.records import Attempt, Task, report_from_json
from workbench.runs import Run

PROMPTS, COMPLETIONS = [[1, 40, 50], [1, 30, 40, 50, 60, 70, 80]], [[60, 61, 62, 0], [63, 64]]
Factors = Mapping[str, torch.Tensor]


def products(factors: Factors) -> dict[str, torch.Tensor]:
    """What each layer's weight is changed by (up to its scale), in float64, by the name of its A."""
    return {
        name: factors[name.replace("lora_A", "lora_B")].detach().double() @ factors[name].detach().double()
        for name in factors
        if "lora_A" in name
    }


def norm(parts: Mapping[str, torch.Tensor]) -> float:
    return float(torch.stack([part.square().sum() for part in parts.values()]).sum().sqrt())


def closed_form(states: list[Factors], rate: float) -> dict[str, torch.Tensor]:
    """(1 - w)^n B_0 A_0 + sum over t of w (1 - w)^(n - t) B_t A_t: the weights written out, nothing recursive."""
    last = len(states) - 1
    weights = [(1 - rate) ** last, *(rate * (1 - rate) ** (last - t) for t in range(1, last + 1))]
    parts = [products(state) for state in states]
    return {
        name: sum((w * part[name] for w, part in zip(weights, parts, strict=True)), torch.zeros(1, dtype=torch.float64))
        for name in parts[0]
    }


def distance(average: Average, expected: Mapping[str, torch.Tensor]) -> float:
    """Relative Frobenius distance over all layers."""
    found = products(average.tensors)
    return norm({name: found[name] - expected[name] for name in expected}) / norm(expected)


def walk(steps: int, rank: int, shape: tuple[int, int], seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """States of an adapter of two layers on a random walk from B = 0."""
    draws = torch.Generator().manual_seed(seed)

    def drawn(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=draws)

    states = [
        {f"{n}.lora_A.w": drawn(rank, shape[1]), f"{n}.lora_B.w": torch.zeros(shape[0], rank), f"{n}.m": drawn(3)}
        for n in "xy"
    ]
    path = [states[0] | states[1]]
    for _ in range(steps):
        path.append({name: tensor + 0.2 * drawn(*tensor.shape) for name, tensor in path[-1].items()})
    return path


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5, 1.0])
def test_one_move_is_exactly_the_rate(rate: float) -> None:
    """Against float64 by hand on BA. Fails when B and A are averaged each by itself."""
    path = walk(2, 4, (40, 30))
    average = Average.start(path[1]).moved(path[2], rate)
    before, now, found = products(path[1]), products(path[2]), products(average.tensors)
    for name in now:
        torch.testing.assert_close(
            found[name], (1 - rate) * before[name] + rate * now[name], rtol=0, atol=2e-6 * float(now[name].abs().max())
        )
    assert distance(average, closed_form(path[1:], rate)) <= average.relative_error < 1e-6
    magnitude = (1 - rate) * path[1]["x.m"].double() + rate * path[2]["x.m"].double()
    torch.testing.assert_close(average.tensors["x.m"].double(), magnitude, atol=1e-6, rtol=0)


def test_moves_add_up_to_the_closed_form() -> None:
    """Layers no wider than twice the rank: nothing is left out, so twelve moves are exact to rounding."""
    path = walk(12, 4, (8, 30))
    average = Average.start(path[0])
    for state in path[1:]:
        average = average.moved(state, 0.1)
    assert distance(average, closed_form(path, 0.1)) <= average.relative_error < 1e-5


def test_what_is_left_out_is_bounded_and_said() -> None:
    """Fails when the singular values that are dropped, or those dropped earlier, do not count."""
    path = walk(12, 4, (40, 30))
    average = Average.start(path[0])
    apart = {name: tensor.double() for name, tensor in path[0].items()}
    for state in path[1:]:
        average = average.moved(state, 0.1)
        apart = {name: 0.9 * tensor + 0.1 * state[name].double() for name, tensor in apart.items()}
    expected = closed_form(path, 0.1)
    off = distance(average, expected)
    assert 1e-3 < off <= 1.001 * average.relative_error < 3 * off
    of_factors = products(apart)
    assert norm({n: of_factors[n] - expected[n] for n in expected}) / norm(expected) > 3 * off


# On a policy ---------------------------------------------------------------------------------------------------------


def with_average(path: Path, quantization: str = "none") -> Policy:
    """A policy that has moved on from its average, which has moved once."""
    return moved_on(make_policy(path, hidden=64, quantization=quantization))


def moved_on(policy: Policy) -> Policy:
    nudge(policy, 0.05)
    start = Average.start(policy.adapter)
    nudge(policy, 0.1, seed=2)
    policy.average = start.moved(policy.adapter, 0.3)
    nudge(policy, 0.1, seed=3)
    return policy


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return with_average(tmp_path_factory.mktemp("averaged"))


def score(policy: Policy, teacher: str, rate: float = 0.3) -> torch.Tensor:
    return teacher_logits(policy, PROMPTS, COMPLETIONS, teacher=teacher, rate=rate, temperature=0.8)  # type: ignore[arg-type]


def same(first: Factors, second: Factors) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("variant", get_args(LoraVariant))
def test_the_average_scores_as_weights_that_were_written_into_the_model(tmp_path: Path, variant: str) -> None:
    """A plain model whose weights are made in float64 without PEFT: W + s T, and for DoRA its rows at the averaged
    magnitudes' length."""
    directory = make_model_dir(tmp_path, hidden=64)
    lora = LoraSettings(4, 8.0, variant)  # type: ignore[arg-type]
    policy = moved_on(load_policy(PolicyConfig(model=str(directory), quantization="none", device="cpu", lora=lora)))
    plain = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    assert policy.average is not None
    weights, scale = dict(plain.named_parameters()), 8.0 / (2 if variant == "rslora" else 4)
    for name, change in products(policy.average.tensors).items():
        weight = weights[name.removeprefix("base_model.model.").replace(".lora_A.default", "")]
        written = weight.data.double() + scale * change
        if variant == "dora":
            magnitude = policy.average.tensors[name.replace("lora_A", "lora_magnitude_vector")].double()
            written *= (magnitude / written.norm(dim=1)).unsqueeze(1)
        weight.data = written.float()
    with torch.no_grad():
        expected, _, mask = completion_logits(plain, PROMPTS, COMPLETIONS, 0.8)
    expected = expected.log_softmax(-1)
    found, live, frozen = (score(policy, teacher) for teacher in ("ema", "live", "frozen"))
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-4, rtol=0)
    assert (found - live)[mask].abs().max() > 1e-2 < (found - frozen)[mask].abs().max()


def test_before_its_first_update_the_average_is_the_policy(tmp_path: Path) -> None:
    """A copy and never zeros: B = 0 would be the reference."""
    fresh = make_policy(tmp_path)
    nudge(fresh)
    assert fresh.average is None and torch.equal(score(fresh, "ema"), score(fresh, "live"))
    fresh.average = Average.start(fresh.adapter)
    assert torch.equal(score(fresh, "ema"), score(fresh, "live"))
    nudge(fresh, seed=2)
    assert not torch.equal(score(fresh, "ema"), score(fresh, "live"))


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("teacher", ["frozen", "live", "ema", "trust_region"])
def test_trap_09_no_teacher_changes_the_student(tmp_path: Path, teacher: str, quantization: str) -> None:
    """Remove `requires_grad_` from `Policy.base`, or the last loop of `Policy.averaged`, to see it fail."""
    policy = with_average(tmp_path, quantization)
    loss = completion_logits(policy.bare, PROMPTS, COMPLETIONS, 1.0)[0].logsumexp(-1).sum()
    loss.backward()
    policy.optimizer.step()
    policy.optimizer.zero_grad()
    policy.parameters()[0].requires_grad_(False)  # not what PEFT would set
    before, state = policy.state(), policy.fingerprint()
    trainable = {name: p.requires_grad for name, p in policy.model.named_parameters()}
    groups = [{**group, "params": list(map(id, group["params"]))} for group in policy.optimizer.param_groups]
    global_state = torch.get_rng_state()
    logits = score(policy, teacher)
    assert torch.isfinite(logits).all() and not logits.requires_grad
    assert same(policy.state(), before) and any(key.startswith("optimizer/") for key in before)
    assert policy.fingerprint() == state
    assert {name: p.requires_grad for name, p in policy.model.named_parameters()} == trainable
    assert policy.model.active_adapters == ["default"] and list(policy.model.peft_config) == ["default"]
    assert not any(module.training for module in policy.model.modules())
    assert [{**g, "params": list(map(id, g["params"]))} for g in policy.optimizer.param_groups] == groups
    assert all(parameter.grad is None for parameter in policy.parameters())
    assert torch.equal(torch.get_rng_state(), global_state)


def test_a_failing_pass_gives_the_student_its_weights_back(policy: Policy) -> None:
    before = policy.fingerprint()
    with pytest.raises(KeyError), policy.averaged():
        assert policy.fingerprint() != before and not torch.is_grad_enabled()
        raise KeyError("something goes wrong inside")
    assert policy.fingerprint() == before


def test_the_average_is_no_parameter(policy: Policy) -> None:
    assert policy.average is not None
    held = {tensor.data_ptr() for tensor in policy.average.tensors.values()}
    assert not held & {p.data_ptr() for p in policy.model.parameters()}
    assert not any(tensor.requires_grad for tensor in policy.average.tensors.values())


def test_credit_and_update_hear_the_same_teacher(policy: Policy) -> None:
    task = Task("pack/one", "Write f(xs): sort, then take 3.", "person")
    student, shown = student_prompt(policy, task), teacher_prompt(policy, task, feedback="sort descending")
    ids = (60, 61, 62, 63)
    attempt = Attempt(
        "a", task.id, "g", "root", student.ids, ids, "", (-1.0,) * 4, False, 1.0, 0.0, False, "sort descending"
    )
    credit = credit_of(
        policy, attempt, {"student": student.ids, "teacher": shown.ids}, temperature=0.8, teacher="ema", rate=0.05
    )
    logits = teacher_logits(policy, [shown.ids], [ids], teacher="ema", rate=0.05, temperature=0.8)[0]
    expected = logits.log_softmax(-1).gather(-1, torch.tensor(ids).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(torch.tensor(credit.contexts["teacher"]), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("teacher", "rate"), [("frozen", 0.0), ("live", 1.0), ("ema", 0.3), ("trust_region", 0.3)])
def test_what_a_teacher_writes_is_drawn_from_what_it_scores_with(policy: Policy, teacher: str, rate: float) -> None:
    """The log-probability of each token as it was drawn is the one that the same teacher's scoring gives it."""
    before = policy.fingerprint()
    sampling = SamplingConfig(temperature=0.7, max_new_tokens=6)
    drawn = sample(policy, PROMPTS, sampling, weights=teacher_weights(teacher, rate))
    assert policy.fingerprint() == before
    written = [one.token_ids for one in drawn]
    side = teacher_side(policy, PROMPTS, written, teacher=teacher, rate=rate, temperature=0.7)
    flat = torch.tensor([token for ids in written for token in ids])
    scored = side.logits(torch.arange(len(flat))).log_softmax(-1).gather(1, flat.unsqueeze(1)).squeeze(1)
    logps = torch.tensor([logp for one in drawn for logp in one.logps])
    torch.testing.assert_close(logps, scored, atol=1e-4, rtol=0)


def test_trap_11_the_average_is_part_of_the_state(policy: Policy) -> None:
    """Leave the `teacher/` tensors out of `Policy.state`, or of `load_state`, to see it fail."""
    state, scores = load(save(policy.state())), score(policy, "ema")
    without = {key: tensor for key, tensor in state.items() if not key.startswith("teacher/")}
    policy.load_state(without)  # as every state was written before there were averages
    assert policy.average is None and not torch.equal(score(policy, "ema"), scores)
    policy.load_state(state)
    assert same(policy.state(), state) and torch.equal(score(policy, "ema"), scores)


def test_an_average_of_another_adapter_is_refused_whole(policy: Policy) -> None:
    before = policy.state()
    a = next(key for key in before if key.startswith("teacher/") and "lora_A" in key)
    b = a.replace("lora_A", "lora_B")
    for wrong in (
        {key: tensor for key, tensor in before.items() if key != a},
        {key: tensor for key, tensor in before.items() if key != "teacher/error"},
        before | {"teacher/stranger": before[a]},
        before | {a: before[a][:, 1:].contiguous()},
        before | {b: before[b][1:].contiguous()},
        before | {a: before[a][1:].contiguous()},  # a rank that its B does not have
    ):
        with pytest.raises(PolicyError, match="does not fit this policy"):
            policy.load_state(wrong)
        assert same(policy.state(), before)


# In a run ------------------------------------------------------------------------------------------------------------

FEW = SamplingConfig(max_new_tokens=8)
EMA = SDPOConfig(teacher="ema", teacher_update_rate=0.2, steps=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_model_dir(tmp_path_factory.mktemp("model"), hidden=64))


def opened(path: Path, model: str) -> Workbench:
    return Workbench.open(path, model=model, quantization="none", device="cpu")


def told(workbench: Workbench) -> list[Attempt]:
    """Two attempts with a person's words on each."""
    attempts = workbench.attempt(workbench.add_task(prompt="Write f(xs): sort."), 2, sampling=FEW)
    return [workbench.give_feedback(attempt, "Sort descending.", 0.0) for attempt in attempts]


def adapter(workbench: Workbench) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in workbench.policy.adapter.items()}


def test_it_moves_once_with_every_update_made_under_it(tmp_path: Path, model: str) -> None:
    """Each update takes two optimiser steps. Fails when the average moves with each step, or starts after one."""
    with opened(tmp_path / "run", model) as workbench:
        workbench.update(told(workbench))
        path = [adapter(workbench)]  # the average starts here: where the policy is, not at zero
        errors = []
        for number in range(1, 5):
            report = workbench.update(told(workbench), EMA)
            path.append(adapter(workbench))
            average = workbench.policy.average
            assert average is not None
            expected = closed_form(path, 0.2)
            errors.append(report.teacher_error)
            assert report.teacher_error == average.relative_error
            assert distance(average, expected) <= 1.001 * average.relative_error < (1e-6 if number == 1 else 0.05)
            assert norm({n: p - expected[n] for n, p in products(path[-1]).items()}) > 0.1 * norm(expected)
        still = average.tensors
        other = workbench.update(told(workbench))  # under the trust region
        assert other.teacher_error is None and workbench.policy.average is not None
        assert same(workbench.policy.average.tensors, still)
        stored = [one.teacher_error for one in workbench.run.state().reports.values()]
        assert stored == [None, *errors, None]


def test_trap_11_undo_redo_and_branches_bring_the_average_back(tmp_path: Path, model: str) -> None:
    """Bit for bit, also by another opening. Set `Policy.average` aside in `load_state` to see it fail."""
    with opened(tmp_path / "run", model) as workbench:
        root = workbench.policy.state()
        first = workbench.update(told(workbench), EMA).update_id
        states = {first: workbench.policy.state()}
        second = workbench.update(told(workbench), EMA).update_id
        states[second] = workbench.policy.state()
        assert not any(key.startswith("teacher/") for key in root)
        assert {k for k in states[first] if k.startswith("teacher/")} == {
            k for k in states[second] if k.startswith("teacher/")
        }
        workbench.undo()
        workbench.branch("frozen instead")
        third = workbench.update(told(workbench), SDPOConfig(teacher="frozen")).update_id
        states[third] = workbench.policy.state()
        workbench.checkout(second)
    for at_first in (second, first, third, "root"):
        with opened(tmp_path / "run", model) as workbench:
            if at_first != workbench.head:
                workbench.checkout(at_first)
            expected = states.get(at_first, root)
            found = workbench.policy.state()
            teacher = {key for key in expected if key.startswith("teacher/")}
            assert {key for key in found if key.startswith("teacher/")} == teacher
            assert all(torch.equal(found[key], expected[key]) for key in teacher)
            if at_first == first:
                workbench.redo()
                assert workbench.head == third and same(workbench.policy.state(), states[third])
                workbench.undo()
                undone = workbench.policy.state()
                assert all(torch.equal(undone[key], expected[key]) for key in teacher)


def test_an_old_run_opens_and_its_average_starts_where_it_is(tmp_path: Path, model: str) -> None:
    """Runs from before this teacher have no tensors of one, and reports without its error."""
    with opened(tmp_path / "run", model) as workbench:
        workbench.update(told(workbench))
        state = workbench.policy.state()
    with Run.open(tmp_path / "run", read_only=True) as run:
        (update,) = run.events("update")
        stored = run.blobs.get(update.data["state"])
    assert same(stored, state) and not any(key.startswith("teacher/") for key in stored)
    old = {key: value for key, value in update.data["report"].items() if key != "teacher_error"}
    assert report_from_json(old).teacher_error is None
    with opened(tmp_path / "run", model) as workbench:
        before = adapter(workbench)
        workbench.update(told(workbench), EMA)
        assert workbench.policy.average is not None
        assert distance(workbench.policy.average, closed_form([before, adapter(workbench)], 0.2)) < 1e-6


def test_a_failed_update_leaves_no_average(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(tmp_path / "run", model) as workbench:
        attempts, before = told(workbench), workbench.policy.state()
        monkeypatch.setattr(workbench.run.blobs, "_write", full)  # the average has moved by then
        with pytest.raises(RunError):
            workbench.update(attempts, EMA)
        monkeypatch.undo()
        assert workbench.policy.average is None and same(workbench.policy.state(), before)


def test_each_teacher_has_its_own_rate() -> None:
    assert [SDPOConfig(teacher=kind).teacher_rate for kind in ("frozen", "live", "ema", "trust_region")] == [
        0.0,
        1.0,
        0.05,
        0.5,
    ]
    assert SDPOConfig(teacher="ema", teacher_update_rate=0.01).teacher_rate == 0.01
    assert SDPOConfig(teacher="trust_region", teacher_update_rate=0.0).teacher_rate == 0.0
    assert SDPOConfig(teacher="frozen", teacher_update_rate=0.3).teacher_rate == 0.0
    for kind, rate, says in (("ema", 0.0, "never move"), ("ema", 1.5, "between 0 and 1"), ("trust_region", -0.1, "0")):
        with pytest.raises(ConfigError, match=says):
            SDPOConfig(teacher=kind, teacher_update_rate=rate)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="between 0 and 1"):
        SDPOConfig(teacher="ema", teacher_update_rate=float("nan"))
