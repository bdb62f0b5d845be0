"""The update as a transaction: right gradient, exact micro-batches, exact undo; traps 1, 10 and 11."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from policy_factory import make_policy, nudge
from safetensors.torch import load, save
from whole_logits import completion_logits, sampled_logps, teacher_logits

from workbench.config import SamplingConfig, SDPOConfig
from workbench.credit import logit_push, sdpo_loss
from workbench.credit.statistics import sign_agreement
from workbench.errors import ConfigError, NoSignalError, PolicyError, UpdateError
from workbench.policy import Policy, passes, update
from workbench.policy.sampling import sample
from workbench.policy.update import StepResult, UpdateItem, sdpo_step

PROMPT, TEACHER = (1, 40, 50, 60), (1, 40, 50, 60, 90, 91, 92, 93, 60)


def make(path: Path, quantization: str = "none") -> Policy:
    policy = make_policy(path, hidden=64, quantization=quantization)
    nudge(policy, 0.02)
    return policy


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return make(tmp_path_factory.mktemp("qwen3"))


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> object:
    """Every test finds the shared policy as the first one did."""
    if "policy" not in request.fixturenames:
        yield
        return
    shared: Policy = request.getfixturevalue("policy")
    state = shared.state()
    yield
    shared.load_state(state)


def draw(policy: Policy, lengths: tuple[int, ...] = (12, 5, 9, 7)) -> list[UpdateItem]:
    """Attempts of different lengths, sampled; their rewards alternate."""
    attempts = sample(policy, [PROMPT] * len(lengths), SamplingConfig(max_new_tokens=max(lengths)))
    return [
        UpdateItem(PROMPT, TEACHER, attempt.token_ids[:length], float(index % 2), "g")
        for index, (attempt, length) in enumerate(zip(attempts, lengths, strict=True))
    ]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def logps(policy: Policy, item: UpdateItem) -> torch.Tensor:
    with torch.no_grad():
        logits, ids, _ = completion_logits(policy.bare, [item.prompt_ids], [item.token_ids], 1.0)
    return sampled_logps(logits, ids)[0]


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_repeated_steps_lower_the_loss(tmp_path: Path, quantization: str) -> None:
    policy = make(tmp_path, quantization)
    items = draw(policy)
    config = SDPOConfig(learning_rate=3e-3, teacher="frozen")
    results = [sdpo_step(policy, items, config, 1.0) for _ in range(6)]
    losses = [results[0].loss_before, *(result.loss_after for result in results)]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert losses[-1] < 0.7 * losses[0]
    # What an update ends with is what the next one starts from: the target does not move within or between them.
    for earlier, later in itertools.pairwise(results):
        assert later.loss_before == pytest.approx(earlier.loss_after, abs=1e-5)


def test_realised_is_what_the_step_did(policy: Policy) -> None:
    items = draw(policy)
    before = [logps(policy, item) for item in items]
    result = sdpo_step(policy, items, SDPOConfig(), 1.0)
    for item, old, realised, stored in zip(items, before, result.realised, result.student_logps_before, strict=True):
        torch.testing.assert_close(stored, old, atol=1e-4, rtol=0)
        torch.testing.assert_close(realised, logps(policy, item) - old, atol=1e-4, rtol=0)
    assert max(float(row.abs().max()) for row in result.realised) > 1e-3


@pytest.mark.parametrize(
    ("method", "mode"),
    [("sdpo", "topk_logits"), ("sdpo", "full_logits"), ("sdpo", "sequence"), ("grpo", "topk_logits")],
)
def test_predicted_is_the_closed_form_of_the_push(policy: Policy, method: str, mode: str) -> None:
    """Against the formulas of the credit package, which know nothing of autograd."""
    items = draw(policy)
    config = SDPOConfig(method=method, distillation_mode=mode, teacher="live")  # type: ignore[arg-type]
    prompts, completions = [i.prompt_ids for i in items], [i.token_ids for i in items]
    with torch.no_grad():
        logits, ids, mask = completion_logits(policy.bare, prompts, completions, 0.8)
    if method == "grpo":
        advantages = torch.tensor([[item.reward] for item in items]) - 0.5
        expected = advantages * (1.0 - sampled_logps(logits, ids).exp())
    else:
        q = teacher_logits(policy, [TEACHER] * 4, completions, teacher="live", rate=1.0, temperature=0.8)
        expected = logit_push(logits, q, ids, mask, distillation_mode=mode)
    result = sdpo_step(policy, items, config, 0.8)
    for row, predicted in enumerate(result.predicted):
        torch.testing.assert_close(predicted, expected[row][mask[row]], atol=1e-5, rtol=1e-3)


def test_predicted_and_realised_agree(policy: Policy) -> None:
    """Where the loss speaks of the sampled token alone, the step does what the push says."""
    items = draw(policy)
    config = SDPOConfig(distillation_mode="sampled_token", learning_rate=1e-3)
    result = sdpo_step(policy, items, config, 1.0)
    predicted, realised = torch.cat(result.predicted), torch.cat(result.realised)
    strong = predicted.abs() >= predicted.abs().median()
    assert sign_agreement(predicted[strong].tolist(), realised[strong].tolist(), noise_floor=1e-5) >= 0.9
    # With the divergence over all tokens the others' gradients weigh in; the mass of the push still goes its way.
    policy_items = draw(policy)
    full = sdpo_step(policy, policy_items, SDPOConfig(distillation_mode="full_logits", teacher="frozen"), 1.0)
    push, change = torch.cat(full.predicted), torch.cat(full.realised)
    assert float((push.abs() * (push * change > 0)).sum() / push.abs().sum()) > 0.6


@pytest.mark.parametrize("method", ["sdpo", "grpo", "blend", "srpo", "rlsd"])
def test_micro_batches_equal_the_full_batch(policy: Policy, method: str) -> None:
    """Fails when each micro-batch is averaged over its own tokens: the attempts' lengths differ."""
    items, state = draw(policy), policy.state()
    if method != "sdpo":  # one attempt of which the teacher knows nothing, and one of which only a part counts
        items[1] = dataclasses.replace(items[1], teacher_prompt_ids=None)
        items[2] = dataclasses.replace(items[2], spans=((1, 4),))
    config = SDPOConfig(method=method, steps=2)  # type: ignore[arg-type]
    results: list[tuple[StepResult, dict[str, torch.Tensor]]] = []
    for size in (4, 3, 1):
        policy.load_state(state)
        results.append((sdpo_step(policy, items, config, 1.0, micro_batch=size), policy.state()))
    whole, moved = results[0]
    for result, after in results[1:]:
        assert result.loss_before == pytest.approx(whole.loss_before, rel=1e-5)
        assert result.grad_norm == pytest.approx(whole.grad_norm, rel=1e-4)
        torch.testing.assert_close(torch.cat(result.predicted), torch.cat(whole.predicted), atol=1e-5, rtol=1e-4)
        for key in moved:
            if "exp_avg" in key:  # the moments are the gradients; AdamW's sign-like step would magnify rounding
                torch.testing.assert_close(after[key], moved[key], atol=1e-6, rtol=1e-3)


def test_trap_10_the_mean_is_over_active_tokens(policy: Policy) -> None:
    """Trap 10. Fails when items without a teacher's knowledge, or without tokens, count in the denominator."""
    items = draw(policy)
    silent = [UpdateItem(PROMPT, None, (61, 62, 63), 1.0, "g"), UpdateItem(PROMPT, TEACHER, (), 0.0, "g")]
    state = policy.state()
    alone = sdpo_step(policy, items, SDPOConfig(), 1.0)
    first = policy.state()
    policy.load_state(state)
    mixed = sdpo_step(policy, [silent[0], *items, silent[1]], SDPOConfig(), 1.0)
    assert mixed.used == (1, 2, 3, 4) and alone.used == (0, 1, 2, 3)
    assert mixed.loss_before == alone.loss_before and same(policy.state(), first)


def test_only_selected_tokens_are_learnt_from(policy: Policy) -> None:
    """As if the others were not there; what happens to them is measured all the same."""
    items, state = draw(policy), policy.state()
    chosen = [dataclasses.replace(item, spans=((0, 2), (3, 4))) for item in items[:3]]
    chosen.append(dataclasses.replace(items[3], spans=()))
    result = sdpo_step(policy, chosen, SDPOConfig(steps=1), 1.0)
    assert result.used == (0, 1, 2)
    for item, push, change in zip(chosen, result.predicted, result.realised, strict=False):
        counted = item.counts()
        assert (push[~counted] == 0).all() and (push[counted] != 0).all() and len(change) == len(item.token_ids)
        assert (change != 0).all()
    policy.load_state(state)
    completions = [item.token_ids for item in items[:3]]
    with torch.no_grad():
        logits, ids, _ = completion_logits(policy.bare, [PROMPT] * 3, completions, 1.0)
    q = teacher_logits(policy, [TEACHER] * 3, completions, teacher="trust_region", rate=0.5, temperature=1.0)
    mask = torch.nn.utils.rnn.pad_sequence([item.counts() for item in chosen[:3]], batch_first=True)
    expected, _ = sdpo_loss(logits, q, ids, mask)
    assert result.loss_before == pytest.approx(float(expected), rel=1e-4)


def test_srpo_weighs_the_failures_by_the_teacher_s_entropy(policy: Policy) -> None:
    """Fails when the weights do not reach the step. Successes are reinforced, not distilled."""
    items = [dataclasses.replace(item, passed=item.reward == 1.0) for item in draw(policy)]
    completions = [item.token_ids for item in items]
    with torch.no_grad():
        logits, ids, mask = completion_logits(policy.bare, [PROMPT] * 4, completions, 1.0)
    q = teacher_logits(policy, [TEACHER] * 4, completions, teacher="frozen", rate=0.0, temperature=1.0).softmax(-1)
    p = logits.softmax(-1)
    failures = mask & torch.tensor([[not item.passed] for item in items])
    weights = torch.exp(2.0 * (q * q.log()).sum(-1))[failures]
    distilled = (p * (p / q).log()).sum(-1)[failures]
    reinforced = -0.5 * sampled_logps(logits, ids)[mask & ~failures]  # reward 1, in a group with a mean of 0.5
    expected = ((weights / weights.mean() * distilled).sum() + reinforced.sum()) / mask.sum()
    config = SDPOConfig(method="srpo", distillation_mode="full_logits", teacher="frozen", entropy_beta=2.0, steps=1)
    result = sdpo_step(policy, items, config, 1.0, micro_batch=2)
    assert result.loss_before == pytest.approx(float(expected), rel=1e-4)


def test_k_above_the_vocabulary_is_refused_before_anything_happens(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, before, size = draw(policy), policy.state(), policy.facts["vocabulary"]
    with monkeypatch.context() as patched:
        patched.setattr(update, "teacher_side", lambda *_, **__: pytest.fail("the teacher was asked in vain"))
        with pytest.raises(ConfigError, match=f"distillation_topk is {size + 1}; .* vocabulary's {size}"):
            sdpo_step(policy, items, SDPOConfig(distillation_topk=size + 1), 1.0)
    assert same(policy.state(), before)
    sdpo_step(policy, items, SDPOConfig(distillation_topk=size, steps=1), 1.0)


def test_the_loss_is_the_published_mean(policy: Policy) -> None:
    items = draw(policy)
    completions = [item.token_ids for item in items]
    with torch.no_grad():
        logits, ids, mask = completion_logits(policy.bare, [PROMPT] * 4, completions, 1.0)
    q = teacher_logits(policy, [TEACHER] * 4, completions, teacher="trust_region", rate=0.5, temperature=1.0)
    expected, _ = sdpo_loss(logits, q, ids, mask)
    assert sdpo_step(policy, items, SDPOConfig(), 1.0).loss_before == pytest.approx(float(expected), rel=1e-4)


def test_old_logps_weigh_the_loss_and_default_to_one(policy: Policy) -> None:
    items, state = draw(policy), policy.state()
    plain = sdpo_step(policy, items, SDPOConfig(), 1.0)
    policy.load_state(state)
    # The policy now gives each token e times what it gave when the attempt was sampled: clipped at 2.
    older = [
        UpdateItem(i.prompt_ids, i.teacher_prompt_ids, i.token_ids, i.reward, i.group_id, tuple((row - 1).tolist()))
        for i, row in zip(items, plain.student_logps_before, strict=True)
    ]
    weighted = sdpo_step(policy, older, SDPOConfig(is_clip=2.0), 1.0)
    assert weighted.loss_before == pytest.approx(2 * plain.loss_before, rel=1e-4)
    policy.load_state(state)
    free = sdpo_step(policy, items, SDPOConfig(is_clip=None), 1.0)
    assert free.loss_before == pytest.approx(plain.loss_before, rel=1e-6)  # on the first step the weight is 1


def test_grpo_uses_the_group_and_raises_what_passed(policy: Policy) -> None:
    items = draw(policy)
    result = sdpo_step(policy, items, SDPOConfig(method="grpo", learning_rate=1e-3), 1.0)
    for item, predicted in zip(items, result.predicted, strict=True):
        assert bool((predicted > 0).all()) == (item.reward == 1.0)
    change = torch.stack([row.mean() for row in result.realised])
    assert change[[1, 3]].min() > change[[0, 2]].max()


def test_no_signal_is_said(policy: Policy) -> None:
    with pytest.raises(NoSignalError, match="none has feedback"):
        sdpo_step(policy, [UpdateItem(PROMPT, None, (61,), 0.0, "g")], SDPOConfig(), 1.0)
    equal = [UpdateItem(PROMPT, TEACHER, (61, 62), 0.1, "g") for _ in range(3)]
    with pytest.raises(NoSignalError, match="rewards of each group are equal"):
        sdpo_step(policy, equal, SDPOConfig(method="grpo"), 1.0)


def test_trap_11_undo_is_bit_exact_for_state_samples_and_the_next_update(policy: Policy) -> None:
    """Trap 11. Fails when moments, step counts or the generator are left out of `Policy.state`."""
    config, sampling = SDPOConfig(), SamplingConfig(max_new_tokens=10)
    sdpo_step(policy, draw(policy), config, 1.0)  # so that there are moments to lose
    items = draw(policy)
    saved = save(policy.state())  # through the very bytes that a run stores
    states, samples = [], []
    for _ in range(2):
        policy.load_state(load(saved))
        assert same(policy.state(), load(saved))
        samples.append(sample(policy, [PROMPT] * 3, sampling))
        sdpo_step(policy, items, config, 1.0)
        states.append(policy.state())
    assert samples[0] == samples[1]
    assert same(*states) and not same(states[0], load(saved))


def test_trap_11_undoing_the_first_update_forgets_its_moments(policy: Policy) -> None:
    """Trap 11. Fails when `load_state` does not clear the optimiser: the root has no moments."""
    root, items = policy.state(), draw(policy)
    assert not any(key.startswith("optimizer/") for key in root)
    policy.load_state(root)
    sdpo_step(policy, items, SDPOConfig(), 1.0)
    first = policy.state()
    policy.load_state(root)
    assert same(policy.state(), root)
    sdpo_step(policy, items, SDPOConfig(), 1.0)
    assert same(policy.state(), first)


def test_another_models_state_is_refused_whole(policy: Policy, tmp_path: Path) -> None:
    other, before = make_policy(tmp_path, hidden=32), policy.state()
    for foreign in (other.state(), {}, {k: v for k, v in before.items() if not k.startswith("random")}):
        with pytest.raises(PolicyError, match="does not fit this policy"):
            policy.load_state(foreign)
    assert same(policy.state(), before)


def test_cancelling_at_any_point_takes_everything_back(policy: Policy) -> None:
    sdpo_step(policy, draw(policy), SDPOConfig(), 1.0)
    items, before, asked = draw(policy), policy.state(), 0
    before = policy.state()
    for patience in range(1, 40):
        asked = 0

        def cancel(limit: int = patience) -> bool:
            nonlocal asked
            asked += 1
            return asked >= limit

        try:
            far = []
            sdpo_step(
                policy,
                items,
                SDPOConfig(steps=2),
                1.0,
                cancel=cancel,
                on_progress=lambda *told: far.append(told),  # noqa: B023  # called before the next round of the loop
                micro_batch=2,
            )
        except UpdateError as error:
            assert "stopped" in str(error) and same(policy.state(), before)
            assert far == [(done, 8) for done in range(1, patience)]
        else:
            break
    assert patience == 1 + 2 * 4  # asked once per micro-batch: teacher, two steps, re-scoring
    assert not same(policy.state(), before)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("a bug"), torch.OutOfMemoryError("full")])
def test_any_failure_after_the_step_takes_everything_back(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """Fails when the restore only covers the user-facing errors, or only what happens before the step."""
    items, before = draw(policy), policy.state()

    def fail(*_: object) -> None:
        assert not same(policy.state(), before)  # the step has been made
        raise failure

    monkeypatch.setattr(update, "_check_finite", fail)
    expected = UpdateError if isinstance(failure, torch.OutOfMemoryError) else type(failure)
    with pytest.raises(expected):
        sdpo_step(policy, items, SDPOConfig(), 1.0)
    assert same(policy.state(), before)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_a_step_into_infinity_is_taken_back_in_one_sentence(policy: Policy) -> None:
    items, before = draw(policy), policy.state()
    with pytest.raises(UpdateError, match="not finite"):
        sdpo_step(policy, items, SDPOConfig(learning_rate=1e36), 1.0)
    assert same(policy.state(), before)


def test_a_gradient_that_is_not_finite_is_taken_back(policy: Policy) -> None:
    items, before = draw(policy), policy.state()
    handle = policy.parameters()[0].register_hook(lambda gradient: gradient * float("nan"))
    try:
        with pytest.raises(UpdateError, match="gradient is not finite"):
            sdpo_step(policy, items, SDPOConfig(), 1.0)
    finally:
        handle.remove()
    assert same(policy.state(), before)


def test_memory_that_runs_out_halves_the_micro_batch(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    items, state = draw(policy), policy.state()
    whole = sdpo_step(policy, items, SDPOConfig(steps=1), 1.0)
    policy.load_state(state)
    sizes: list[int] = []
    scorer = passes.completion_places

    def small_memory(scored: Policy, prompts: list, completions: list) -> object:
        if torch.is_grad_enabled():
            sizes.append(len(prompts))
            if len(prompts) > 1:
                raise torch.OutOfMemoryError("full")
        return scorer(scored, prompts, completions)

    monkeypatch.setattr(passes, "completion_places", small_memory)
    result = sdpo_step(policy, items, SDPOConfig(steps=1), 1.0)
    assert sizes == [4, 2, 1, 1, 1, 1]
    assert result.loss_before == pytest.approx(whole.loss_before, rel=1e-5)


def test_the_adapter_alone_is_trained(policy: Policy) -> None:
    frozen = {name: p.clone() for name, p in policy.model.named_parameters() if not p.requires_grad}
    fingerprint = policy.fingerprint()[1:]
    sdpo_step(policy, draw(policy), SDPOConfig(), 1.0)
    assert all(torch.equal(p, frozen[name]) for name, p in policy.model.named_parameters() if name in frozen)
    assert policy.fingerprint()[1:] == fingerprint
