"""Sampling: the right distribution, the right ids kept, determinism; traps 1, 6 and 7."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from policy_factory import Family, make_policy, nudge
from whole_logits import completion_logits, sampled_logps, scored_logits

from workbench.config import SamplingConfig
from workbench.errors import PolicyError, PromptError
from workbench.policy import Policy
from workbench.policy.sampling import BASE, Sampled, completion_text, sample

SHORT, MIDDLE, LONG = [1, 40], [1, 40, 50, 60], [1, 30, 40, 50, 60, 70, 80, 90, 100]


@pytest.fixture(scope="module", params=["qwen3", "llama", "gpt2"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return family_policy(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return family_policy(tmp_path_factory.mktemp("qwen3"), "qwen3")


def family_policy(path: Path, family: Family) -> Policy:
    policy = make_policy(path, family)
    nudge(policy)
    return policy


def no_cache_logps(policy: Policy, prompt: list[int], attempt: Sampled, temperature: float) -> torch.Tensor:
    """The independent source: one plain forward pass per token, no cache, no padding, no batch."""
    logps = []
    for place, token_id in enumerate(attempt.token_ids):
        ids = torch.tensor([[*prompt, *attempt.token_ids[:place]]])
        with torch.no_grad():
            logits = policy.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
        logps.append((logits / temperature).log_softmax(-1)[token_id])
    return torch.stack(logps)


@pytest.mark.parametrize("prompts", [[SHORT, LONG, MIDDLE], [LONG] * 3], ids=["padded", "shared"])
def test_trap_06_07_logits_per_step_equal_a_plain_forward_pass(policy: Policy, prompts: list[list[int]]) -> None:
    """Traps 6 and 7. Fails when `position_ids` or the mask are left out for padded rows (GPT-2's positions are
    learned), and when the temperature is not applied to the recorded log-probabilities."""
    attempts = sample(policy, prompts, SamplingConfig(temperature=0.7, max_new_tokens=12))
    for prompt, attempt in zip(prompts, attempts, strict=True):
        expected = no_cache_logps(policy, prompt, attempt, 0.7)
        torch.testing.assert_close(torch.tensor(attempt.logps), expected, atol=1e-4, rtol=0)


def test_trap_06_scoring_agrees_with_sampling_at_the_same_temperature_only(policy: Policy) -> None:
    """Trap 6. Fails when `Side` of the kernels does not divide by the temperature."""
    prompts = [SHORT, LONG, MIDDLE]
    attempts = sample(policy, prompts, SamplingConfig(temperature=0.5, max_new_tokens=12))
    completions = [attempt.token_ids for attempt in attempts]
    for temperature, close in ((0.5, True), (1.0, False)):
        logits, ids, mask = scored_logits(policy, prompts, completions, temperature)
        scored = sampled_logps(logits, ids)[mask]
        sampled = torch.tensor([logp for attempt in attempts for logp in attempt.logps])
        assert ((scored - sampled).abs().max() < 1e-4) == close


def test_draws_follow_the_distribution(qwen3: Policy) -> None:
    """The first token of 6,000 attempts against softmax(logits / temperature), by total variation."""
    draws = 6000
    attempts = sample(qwen3, [MIDDLE] * draws, SamplingConfig(temperature=0.6, max_new_tokens=1))
    with torch.no_grad():
        expected = (qwen3.bare(input_ids=torch.tensor([MIDDLE])).logits[0, -1] / 0.6).softmax(-1)
    counted = torch.bincount(torch.tensor([a.token_ids[0] for a in attempts]), minlength=len(expected)) / draws
    # The expected distance of a true sample is at most the sum of the standard errors over two.
    noise = float((expected * (1 - expected) / draws).sqrt().sum() / 2)
    assert float((counted - expected).abs().sum() / 2) < 1.5 * noise
    uniform = torch.full_like(expected, 1 / len(expected))
    assert float((uniform - expected).abs().sum() / 2) > 5 * noise  # the test could have failed


def test_same_seed_same_attempts(qwen3: Policy) -> None:
    config = SamplingConfig(max_new_tokens=10)

    def draw(seed: int) -> list[Sampled]:
        qwen3.generator.manual_seed(seed)
        return sample(qwen3, [SHORT, LONG], config)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    draw(1)
    assert torch.equal(torch.rand(2), expected)  # the global generator is not touched


def test_trap_01_end_tokens_are_kept_and_never_appended(qwen3: Policy) -> None:
    """Trap 1. Fails when the sampled end is dropped, when one is appended to a truncated attempt, or when only one
    of the end ids is heeded."""
    vocabulary = qwen3.facts["vocabulary"]
    ends, all_ids = set(qwen3.eos_ids), qwen3.eos_ids
    try:
        # Many ids end an attempt here, so that both cases are frequent and several different ends are drawn.
        qwen3.eos_ids = tuple({*ends, *range(0, vocabulary, 12)})
        attempts = sample(qwen3, [MIDDLE] * 64, SamplingConfig(max_new_tokens=12))
        ended = set(qwen3.eos_ids)
    finally:
        qwen3.eos_ids = all_ids
    finished = [a for a in attempts if a.finished]
    truncated = [a for a in attempts if not a.finished]
    assert len(finished) >= 8 and len(truncated) >= 8
    assert len({a.token_ids[-1] for a in finished}) > 2
    for attempt in finished:
        assert attempt.token_ids[-1] in ended and not ended & set(attempt.token_ids[:-1])
    for attempt in truncated:
        assert len(attempt.token_ids) == 12 and not ended & set(attempt.token_ids)
    assert all(len(a.token_ids) == len(a.logps) for a in attempts)


def test_rows_stay_right_when_finished_ones_leave_the_batch(policy: Policy) -> None:
    """Padded rows, of which more than half finish early: the others' log-probabilities are still their own."""
    before = policy.eos_ids
    prompts = [SHORT, LONG, MIDDLE] * 8
    try:
        policy.eos_ids = tuple(range(0, policy.facts["vocabulary"], 4))
        attempts = sample(policy, prompts, SamplingConfig(max_new_tokens=12))
    finally:
        policy.eos_ids = before
    survivors = [(p, a) for p, a in zip(prompts, attempts, strict=True) if len(a.token_ids) >= 6]
    assert 0 < len(survivors) < 12
    for prompt, attempt in survivors[:3]:
        expected = no_cache_logps(policy, prompt, attempt, 1.0)
        torch.testing.assert_close(torch.tensor(attempt.logps), expected, atol=1e-4, rtol=0)


def test_tokens_stream_in_the_order_they_are_kept(qwen3: Policy) -> None:
    streamed: dict[int, list[int]] = {0: [], 1: [], 2: []}
    attempts = sample(
        qwen3, [SHORT, LONG, LONG], SamplingConfig(max_new_tokens=9), on_token=lambda row, i: streamed[row].append(i)
    )
    assert [tuple(streamed[row]) for row in range(3)] == [attempt.token_ids for attempt in attempts]


def test_stop_keeps_what_is_there(qwen3: Policy) -> None:
    rows: list[int] = []
    attempts = sample(
        qwen3,
        [LONG] * 2,
        SamplingConfig(max_new_tokens=30),
        on_token=lambda row, _: rows.append(row),
        stop=lambda: rows.count(0) == 4 or rows.count(1) == 4,
    )
    assert all(len(a.token_ids) <= 4 and (a.finished or len(a.token_ids) == 4) for a in attempts)


def test_the_base_can_be_sampled_and_leaves_the_policy_alone(qwen3: Policy) -> None:
    before = qwen3.fingerprint()
    (attempt,) = sample(qwen3, [MIDDLE], SamplingConfig(max_new_tokens=8), weights=BASE)
    assert qwen3.fingerprint() == before
    with torch.no_grad(), qwen3.reference():
        logits, ids, _ = completion_logits(qwen3.bare, [MIDDLE], [attempt.token_ids], 1.0)
    torch.testing.assert_close(sampled_logps(logits, ids)[0], torch.tensor(attempt.logps), atol=1e-4, rtol=0)


def test_impossible_requests_are_one_sentence(qwen3: Policy) -> None:
    assert sample(qwen3, [], SamplingConfig()) == []
    with pytest.raises(PromptError, match="without tokens"):
        sample(qwen3, [[]], SamplingConfig())
    with pytest.raises(PromptError, match=r"500 tokens and 96 new ones do not fit .* 512"):
        sample(qwen3, [[5] * 500], SamplingConfig(max_new_tokens=96))


def test_broken_weights_are_named_and_not_sampled_from(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    nudge(policy, scale=float("inf"))
    with pytest.raises(PolicyError, match="not finite"):
        sample(policy, [MIDDLE], SamplingConfig(max_new_tokens=3))


def test_only_the_end_token_is_no_part_of_the_text(policy: Policy) -> None:
    """A reply may open with a special token, such as that of a call: without it nobody could read the rest."""
    encode, start = policy.tokenizer.encode, policy.tokenizer.convert_tokens_to_ids("<|start|>")
    words = encode("sort, then", add_special_tokens=False)
    for end in policy.eos_ids:
        assert completion_text(policy, [start, *words, end]) == "<|start|>sort, then"
        assert completion_text(policy, [*words, start, *words, end]) == "sort, then<|start|>sort, then"
        assert completion_text(policy, [end]) == ""
    assert start not in policy.eos_ids and completion_text(policy, [*words, start]) == "sort, then<|start|>"
    assert completion_text(policy, []) == ""
