"""Scoring, the self-teacher and contexts: traps 1, 8 and 9, the trust region's closed form, display strings."""

from __future__ import annotations

import dataclasses
import math
from contextlib import nullcontext

import pytest
import torch
from model_families import FAMILIES, make_family_tokenizer
from policy_factory import make_policy, nudge
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode
from whole_logits import sampled_logps, scored_logits, teacher_logits

from workbench.config import Teacher
from workbench.credit import CONTEXTS
from workbench.errors import FeedbackError, PromptError
from workbench.policy import Policy
from workbench.policy.contexts import credit_of, token_strings, token_text
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.scoring import completion_logps, completion_places, null_noise_floor
from workbench.records import Attempt, Task

PROMPTS = [[1, 40, 50], [1, 30, 40, 50, 60, 70, 80], [1, 40, 50]]
COMPLETIONS = [[60, 61, 62, 0], [63, 64], [65, 66, 67]]  # the first ends in an end token, which equals the padding
TASK = Task("pack/one", "Write f(xs): sort, then take 3.", "person")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    policy = make_policy(tmp_path_factory.mktemp("qwen3"))
    nudge(policy)
    return policy


def attempt_of(policy: Policy, token_ids: tuple[int, ...]) -> Attempt:
    return Attempt(
        id="a1",
        task_id=TASK.id,
        group_id="g1",
        update_id="root",
        prompt_ids=student_prompt(policy, TASK).ids,
        token_ids=token_ids,
        text=policy.tokenizer.decode(token_ids),
        sampling_logps=(-1.0,) * len(token_ids),
        finished=False,
        temperature=1.0,
        reward=0.0,
        passed=False,
        feedback="sort descending",
    )


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_trap_01_07_batched_logits_equal_one_row_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, family: str
) -> None:
    """Traps 1 and 7: every row by itself, without padding, through the wrapped model. Fails when the places at which
    tokens are predicted are off by one, or when a padded row's positions are shifted."""
    policy = make_policy(tmp_path_factory.mktemp(family), family)  # type: ignore[arg-type]
    logits, ids, mask = scored_logits(policy, PROMPTS, COMPLETIONS, 0.7)
    assert logits.dtype == torch.float32 and logits.shape == (3, 4, policy.facts["vocabulary"])
    assert mask.sum(1).tolist() == [4, 2, 3]  # the sampled end counts, though its id is the padding's
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        assert ids[row][mask[row]].tolist() == completion
        whole = torch.tensor([[*prompt, *completion]])
        with torch.no_grad():
            alone = policy.model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0] / 0.7
        torch.testing.assert_close(logits[row][mask[row]], alone[len(prompt) - 1 : -1], atol=1e-4, rtol=0)


def test_empty_completions_and_prompts(policy: Policy) -> None:
    places = completion_places(policy, [[5], [6]], [[], []])
    assert places.hidden.shape == (2, 0, 32) and places.token_ids.shape == places.mask.shape == (2, 0)
    assert completion_logps(policy, [[5], [6]], [[], []], 1.0).shape == (0,)
    with pytest.raises(PromptError, match="without tokens"):
        completion_places(policy, [[]], [[1]])


def test_gradient_flows_into_the_adapter_where_it_is_enabled(policy: Policy) -> None:
    assert completion_places(policy, PROMPTS, COMPLETIONS).hidden.requires_grad
    with torch.no_grad():
        assert not completion_places(policy, PROMPTS, COMPLETIONS).hidden.requires_grad


def test_trap_08_the_null_test_gives_credit_below_the_noise_floor(policy: Policy) -> None:
    """Trap 8. Fails when the two sides are scored differently (another temperature, mode or id sequence)."""
    ids = student_prompt(policy, TASK)
    attempt = attempt_of(policy, (60, 61, 62, 63, 64, 0))
    credit = credit_of(
        policy, attempt, {"student": ids.ids, "teacher": ids.ids}, temperature=0.8, teacher="live", rate=1.0
    )
    assert 0 < credit.noise_floor < 1e-4
    assert max(abs(value) for value in credit.view("raw")) <= credit.noise_floor
    teacher = teacher_prompt(policy, TASK, feedback="sort descending")
    real = credit_of(
        policy, attempt, {"student": ids.ids, "teacher": teacher.ids}, temperature=0.8, teacher="live", rate=1.0
    )
    assert max(abs(value) for value in real.view("raw")) > 100 * real.noise_floor


def test_the_noise_floor_is_measured_and_not_a_constant(policy: Policy) -> None:
    floors = {null_noise_floor(policy, [1, *range(30, 30 + n)], list(range(60, 90))) for n in range(4, 16, 3)}
    assert len(floors) > 1 and all(1e-6 <= floor < 1e-4 for floor in floors)
    assert null_noise_floor(policy, [1], []) == 1e-6


def score(policy: Policy, teacher: str, rate: float = 0.3) -> torch.Tensor:
    return teacher_logits(policy, PROMPTS, COMPLETIONS, teacher=teacher, rate=rate, temperature=0.8)  # type: ignore[arg-type]


def test_trust_region_is_the_closed_form(policy: Policy) -> None:
    """q = softmax((1 - rho) log q_ref + rho log q_theta), here by products of probabilities in float64."""
    live, frozen = score(policy, "live"), score(policy, "frozen")
    assert (live - frozen).abs().max() > 1e-2
    p, q = live.double().softmax(-1), frozen.double().softmax(-1)
    product = q**0.7 * p**0.3
    expected = (product / product.sum(-1, keepdim=True)).log()
    torch.testing.assert_close(score(policy, "trust_region").double(), expected, atol=1e-5, rtol=0)
    assert torch.equal(score(policy, "trust_region", 0.0), frozen)
    assert torch.equal(score(policy, "trust_region", 1.0), live)


def test_frozen_is_the_adapter_switched_off(policy: Policy) -> None:
    state = policy.state()
    before = score(policy, "frozen")
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    assert torch.equal(score(policy, "live"), before)
    policy.load_state(state)


def test_trap_09_base_restores_trainability_that_was_not_the_default(policy: Policy) -> None:
    """Trap 9. Fails when `Policy.base` does not put `requires_grad` back: PEFT itself would switch every adapter weight
    to trainable on the way out."""
    first = policy.parameters()[0]
    first.requires_grad_(False)
    try:
        with pytest.raises(KeyError), policy.reference():
            raise KeyError("something goes wrong inside")
        assert not first.requires_grad and policy.parameters()[1].requires_grad
    finally:
        first.requires_grad_(True)


def test_trap_09_a_change_during_scoring_is_noticed(policy: Policy) -> None:
    """Trap 9. Fails when `Policy.untouched` does not compare: an in-place change, a flipped flag and a mode are each
    found."""
    first = policy.parameters()[0]

    def train() -> None:
        policy.bare.train()

    changes = (lambda: first.data.requires_grad_(), lambda: first.requires_grad_(False), train)
    repairs = (lambda: None, lambda: first.requires_grad_(True), lambda: policy.model.eval())
    for change, repair in zip(changes[1:], repairs[1:], strict=True):
        with pytest.raises(AssertionError, match="changed the policy"), policy.untouched():
            change()
        repair()
    with pytest.raises(AssertionError, match="changed the policy"), policy.untouched(), torch.no_grad():
        first.mul_(1.0)


@pytest.mark.parametrize("teacher", ["frozen", "live"])
def test_credit_contexts_are_the_plain_scores(policy: Policy, teacher: Teacher) -> None:
    """Each of the seven contexts against its own forward pass, one row, nothing shared. Fails when two rows of the
    packed pass change places, or when a context is read by another side than its own."""
    attempt = attempt_of(policy, (60, 61, 62, 63, 64))
    student = student_prompt(policy, TASK).ids
    prompts = dict.fromkeys(("student", "base"), student)
    prompts |= {
        name: teacher_prompt(policy, TASK, feedback=f"{name} " * length, question=None if length % 2 else "Sort.").ids
        for length, name in enumerate(name for name in CONTEXTS if name not in prompts)
    }
    assert prompts.keys() == CONTEXTS.keys() and len({len(ids) for ids in prompts.values()}) == 6
    credit = credit_of(policy, attempt, prompts, temperature=0.9, teacher=teacher, rate=0.0, top_k=3)

    def logps(ids: tuple[int, ...]) -> torch.Tensor:
        whole = torch.tensor([[*ids, *attempt.token_ids]])
        with torch.no_grad():
            logits = policy.model(input_ids=whole).logits[0, len(ids) - 1 : -1] / 0.9
        return sampled_logps(logits, torch.tensor(attempt.token_ids))

    for name, ids in prompts.items():
        with policy.reference() if name == "base" or (name != "student" and teacher == "frozen") else nullcontext():
            expected = logps(ids)
        torch.testing.assert_close(torch.tensor(credit.contexts[name]), expected, atol=1e-4, rtol=0)
    assert credit.token_ids == attempt.token_ids and credit.temperature == 0.9
    likeliest = max(credit.top(0), key=lambda token: token.student_logp)
    assert 0 < math.exp(likeliest.student_logp) < 1 and 3 <= len(credit.top(0)) <= 6


def test_an_attempt_without_tokens_is_one_sentence(policy: Policy) -> None:
    attempt = dataclasses.replace(attempt_of(policy, (60,)), token_ids=())
    ids = student_prompt(policy, TASK)
    with pytest.raises(FeedbackError, match="has no tokens"):
        credit_of(policy, attempt, {"student": ids.ids, "teacher": ids.ids}, temperature=1.0, teacher="live", rate=1.0)


@pytest.mark.parametrize("text", ["def f(xs):\n    return xs", "naïve “ꝏ” 🙂 日本 e", "🙂🙂", "  two  spaces\t"])
def test_token_strings_join_to_the_text(policy: Policy, text: str) -> None:
    ids = policy.tokenizer.encode(text)
    strings = token_strings(policy.tokenizer, ids)
    assert len(strings) == len(ids) and "".join(strings) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in string for string in strings)


def test_token_strings_of_special_tokens_and_broken_characters(policy: Policy) -> None:
    half = policy.tokenizer.encode("🙂")[:-1]
    end = policy.tokenizer.convert_tokens_to_ids("<|end|>")
    strings = token_strings(policy.tokenizer, [*half, *policy.tokenizer.encode("a"), end])
    assert strings[-1] == "<|end|>" and strings[-2].endswith("a")
    assert "".join(strings) == policy.tokenizer.decode([*half, *policy.tokenizer.encode("a"), end])
    assert "".join(token_strings(policy.tokenizer, half)) == policy.tokenizer.decode(half)
    space = policy.tokenizer.encode(" f")[0]
    assert token_text(policy.tokenizer, space).startswith(" ")


def bytes_tokenizer(pieces: list[str]) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """A byte-level tokenizer whose tokens are single bytes and the given pieces (in Latin-1), and the pieces' ids."""
    alphabet = bytes_to_unicode()
    written = ["".join(alphabet[ord(c)] for c in piece) for piece in pieces]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*alphabet.values(), *written]))}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend), [vocabulary[word] for word in written]


@pytest.mark.parametrize("text", ["檈軨汨", "🇩🇪🇫🇷", "👨‍👩‍👧‍👦!", "a檈b", "é檈👍 é"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_characters_across_tokens_are_whole(text: str, size: int) -> None:
    """Tokens of `size` bytes each, which end one character and begin the next; fails when a token waits for its end."""
    data = text.encode()
    pieces = [data[i : i + size].decode("latin-1") for i in range(0, len(data), size)]
    strings = token_strings(*bytes_tokenizer(pieces))
    ends, length = [], 0
    for character in text:
        length += len(character.encode())
        ends.append((length - 1) // size)
    expected = ["".join(c for c, end in zip(text, ends, strict=True) if end == i) for i in range(len(pieces))]
    assert list(strings) == expected


def test_neighbouring_characters_of_fallback_bytes_are_whole() -> None:
    """Fails when a character's bytes are decoded behind the last byte of the one before."""
    tokenizer = make_family_tokenizer(FAMILIES["mistral"])
    ids = tokenizer.encode("sort 檈軨👍 sort", add_special_tokens=False)
    strings = token_strings(tokenizer, ids)
    assert "".join(strings) == tokenizer.decode(ids) and {"檈", "軨", "👍"} <= set(strings)
