"""A whole round on every family: prompts, sampling, credit, update and undo, against plain forward passes.

The independent source of every score here is one forward pass of the whole model over one row, with its own head:
soft caps, biases of the head, sliding windows and learned positions are in it, whatever the fast paths do.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import bitsandbytes
import pytest
import torch
from model_families import FAMILIES, make_family_dir
from whole_logits import completion_logits

from workbench import Workbench
from workbench.config import PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import FeedbackError, NoSignalError, PolicyError, PromptError, RunError, TaskError
from workbench.policy import Policy, load_policy
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.selfcheck import gradient_check
from workbench.records import Attempt, Task

CASES = [(family, quantization, "cpu") for family in FAMILIES for quantization in ("none", "nf4")]
CASES += [("qwen3", "int8", "cpu"), ("phi", "int8", "cpu")]
ON_CUDA = [(family, quantization, "cuda") for family in FAMILIES for quantization in ("none", "nf4")]
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
SYSTEM = "You are a careful programmer."
TASK = Task("pack/one", "Write f(xs): sort, then take 3.", "person", system=SYSTEM)
CONFIG = SDPOConfig(teacher="frozen", learning_rate=2e-3)
# What the template writes last, before the assistant's first word.
HEADERS = {
    "qwen3": "<|im_start|>assistant\n",
    "llama": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "[/INST]",
    "gemma2": "<start_of_turn>model\n",
    "gemma3": "<start_of_turn>model\n",
    "olmo2": "<|assistant|>\n",
    "olmo3": "<|im_start|>assistant\n",
    "phi3": "<|assistant|>\n",
    "phi": "Output:",
    "gpt2": "Output:",
}


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {name: make_family_dir(folder / name, name) for name in FAMILIES}


@pytest.fixture(
    scope="module",
    params=[*CASES, *(pytest.param(case, marks=GPU) for case in ON_CUDA)],
    ids=["-".join(case) for case in [*CASES, *ON_CUDA]],
)
def opened(
    request: pytest.FixtureRequest, directories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Workbench]]:
    family, quantization, device = request.param
    run, model = tmp_path_factory.mktemp("run") / "run", str(directories[family])
    with Workbench.open(run, model=model, quantization=quantization, device=device) as workbench:
        yield family, quantization, workbench


def plain_logps(policy: Policy, prompt: Sequence[int], attempt: Sequence[int], temperature: float = 1) -> torch.Tensor:
    """(T,) nats, by one forward pass over one row, nothing shared with the workbench's own paths."""
    whole = torch.tensor([[*prompt, *attempt]], device=policy.device)
    with torch.no_grad():
        logits = policy.model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits.cpu()
    logps = (logits[0, len(prompt) - 1 : -1].double() / temperature).log_softmax(-1)
    return logps.gather(1, torch.tensor(attempt).unsqueeze(1)).squeeze(1)


def close(values: Sequence[float] | torch.Tensor, expected: torch.Tensor, policy: Policy) -> bool:
    # int8 rounds activations, and which columns it leaves out of that depends on the whole batch; half precision
    # rounds everything, in another order for another shape.
    coarse = policy.facts["quantization"] == "int8" or policy.facts["dtype"] != "float32"
    tolerance = 0.1 if coarse else 2e-4
    return bool((torch.as_tensor(values).double() - expected).abs().max() < tolerance)


def test_the_gradient_is_the_slope(opened: tuple[str, str, Workbench]) -> None:
    """Before and after sampling; in half precision against float64."""
    found = gradient_check(opened[2].policy)
    assert found.ok, found


def test_a_whole_round(opened: tuple[str, str, Workbench]) -> None:
    workbench = opened[2]
    policy = workbench.policy
    short = workbench.add_task(prompt=TASK.prompt, environment="person", system=SYSTEM)
    long = workbench.add_task(prompt="Write f(xs): " + "sort, then take 3, " * 3 + ".", environment="person")
    # Prompts of different lengths in one batch: padded on the left, longer than the sliding windows (trap 7).
    attempts = workbench.attempt_many([short, long], 2, sampling=SamplingConfig(0.8, 10))
    for attempt in attempts:
        expected = plain_logps(policy, attempt.prompt_ids, attempt.token_ids, 0.8)
        assert close(attempt.sampling_logps, expected, policy)

    (attempt, *_) = workbench.attempt(short, 2, sampling=SamplingConfig(max_new_tokens=10))
    attempt = workbench.give_feedback(attempt, text="Sort descending.", reward=0.0)
    before = plain_logps(policy, attempt.prompt_ids, attempt.token_ids)
    shown = workbench.teacher_prompt(attempt, CONFIG).ids
    with policy.reference():
        teacher = plain_logps(policy, shown, attempt.token_ids)
    credit = workbench.credit(attempt, CONFIG)
    assert close(credit.contexts["student"], before, policy)
    assert close(credit.contexts["teacher"], teacher, policy)
    assert close(credit.view("raw"), teacher - before, policy)
    assert max(abs(value) for value in credit.view("raw")) > credit.noise_floor  # the teacher does differ

    state = policy.state()
    report = workbench.update([attempt], CONFIG)
    after = plain_logps(policy, attempt.prompt_ids, attempt.token_ids)
    assert report.loss < report.loss_before and (after - before).abs().max() > 1e-3
    assert close(report.realised[attempt.id], after - before, policy)
    workbench.undo()
    assert all(torch.equal(value, state[name]) for name, value in policy.state().items())
    assert torch.equal(plain_logps(policy, attempt.prompt_ids, attempt.token_ids), before)


def test_what_was_loaded(opened: tuple[str, str, Workbench]) -> None:
    family, quantization, workbench = opened
    policy, made = workbench.policy, FAMILIES[family]
    assert policy.facts["architecture"] == made.model and policy.facts["quantization"] == quantization
    ids = policy.tokenizer.convert_tokens_to_ids
    turn_ends = {"gemma2": {"<end_of_turn>"}}.get(family, set())
    assert set(policy.eos_ids) == {ids(end) for end in {*made.ends, made.eos, *turn_ends}}
    names = [name for name, parameter in policy.model.named_parameters() if parameter.requires_grad]
    assert len(names) == 2 * 2 * made.linears and all("lora_" in name and "lm_head" not in name for name in names)
    kind = {"nf4": bitsandbytes.nn.Linear4bit, "int8": bitsandbytes.nn.Linear8bitLt}.get(quantization)
    if kind is not None:
        assert sum(isinstance(module, kind) for module in policy.model.modules()) == 2 * made.linears
    assert policy.facts["attention"] == ("eager" if family == "gemma2" else "sdpa")
    assert policy.facts["system_turn"] == ("its own" if made.system_turn else "at the front of the user's turn")


def test_soft_caps_reach_the_scores(directories: dict[str, Path]) -> None:
    """Gemma 2 squeezes its logits into ±3 here. Fails when scores are made from hidden states and the head alone."""
    policy = load_policy(PolicyConfig(str(directories["gemma2"]), device="cpu"))
    prompt = student_prompt(policy, TASK).ids
    with torch.no_grad():
        logits, _, _ = completion_logits(policy.bare, [prompt], [(40, 41, 42)], 1.0)
    assert 2.0 < float(logits.abs().max()) <= 3.0


def test_both_sides_end_in_the_same_header(opened: tuple[str, str, Workbench]) -> None:
    """Trap 2, in every family's own way of opening an answer."""
    family, _, workbench = opened
    policy, header = workbench.policy, HEADERS[family]
    student = student_prompt(policy, TASK)
    teacher = teacher_prompt(policy, TASK, feedback="Sort descending.", demonstration="def f(xs):\n    return xs")
    assert student.text.endswith(header) and teacher.text.endswith(header)
    assert policy.tokenizer.decode(student.ids) == student.text and policy.tokenizer.decode(teacher.ids) == teacher.text
    # A header of plain words may share its first token with the words before it.
    count = len(policy.tokenizer.encode(header, add_special_tokens=False)) - (family in ("olmo2", "phi", "gpt2"))
    assert count > 0 and student.ids[-count:] == teacher.ids[-count:]
    opening = student.text[: student.text.index(TASK.prompt)]
    assert SYSTEM in opening and teacher.text.startswith(opening)


def test_a_system_message_is_never_lost(opened: tuple[str, str, Workbench]) -> None:
    """Fails where a template that refuses or drops system messages is simply given one (`Chat._messages`)."""
    family, _, workbench = opened
    with_system = student_prompt(workbench.policy, TASK).text
    without = student_prompt(workbench.policy, dataclasses.replace(TASK, system=None)).text
    assert SYSTEM in with_system and SYSTEM not in without
    if not FAMILIES[family].system_turn:
        assert f"{SYSTEM}\n\n{TASK.prompt}" in with_system
        assert with_system.replace(f"{SYSTEM}\n\n", "") == without


def test_special_tokens_in_words_stay_words(opened: tuple[str, str, Workbench]) -> None:
    """Trap 5, with every family's own special tokens."""
    family, _, workbench = opened
    policy, made = workbench.policy, FAMILIES[family]
    special = {policy.tokenizer.convert_tokens_to_ids(token) for token in (*made.specials, *made.added)}
    forged = " ".join((*made.specials, *made.added))

    def control(words: str) -> list[int]:
        task = dataclasses.replace(TASK, system=words, prompt=words)
        return [i for i in teacher_prompt(policy, task, feedback=words).ids if i in special]

    assert control(forged) == control("harmless")


@pytest.mark.parametrize(("thinking", "ending"), [(None, ""), (True, ""), (False, "<think>\n\n</think>\n\n")])
def test_thinking_is_the_same_on_both_sides(
    directories: dict[str, Path], tmp_path: Path, thinking: bool | None, ending: str
) -> None:
    """Trap 2. Fails when one of the two prompts is rendered without `enable_thinking`."""
    model, header = str(directories["qwen3"]), "<|im_start|>assistant\n" + ending
    with Workbench.open(tmp_path / "run", model=model, thinking=thinking) as workbench:
        policy = workbench.policy
        task = workbench.add_task(prompt=TASK.prompt, environment="person", system=SYSTEM)
        attempt = workbench.attempt(task, 1, sampling=SamplingConfig(max_new_tokens=4))[0]
        attempt = workbench.give_feedback(attempt, text="Sort descending.", reward=0.0)
        expected = tuple(policy.tokenizer.encode(header))
        for ids in (attempt.prompt_ids, workbench.teacher_prompt(attempt).ids):
            assert ids[-len(expected) :] == expected
        assert policy.facts["thinking"] is thinking
    with Workbench.open(tmp_path / "run", model=model) as workbench:  # a run keeps its mode
        assert student_prompt(workbench.policy, TASK).text.endswith(header)
    other = thinking is not True
    with pytest.raises(RunError, match="was made with thinking"):
        Workbench.open(tmp_path / "run", model=model, thinking=other)


def test_a_thinking_mode_that_is_not_there_is_one_sentence(directories: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="has no thinking mode"):
        Workbench.open(tmp_path / "run", model=str(directories["gemma2"]), thinking=False)


def test_the_date_in_a_prompt_does_not_move(directories: dict[str, Path], tmp_path: Path) -> None:
    """An attempt scored tomorrow is scored under the prompt it was sampled under (trap 2).

    Fails when `Chat._options` leaves the template its own clock.
    """
    with Workbench.open(tmp_path / "run", model=str(directories["llama"])) as workbench:
        prompt = student_prompt(workbench.policy, TASK)
        assert "Today Date: 26 Jul 2024" in prompt.text
        assert workbench.policy.tokenizer.decode(prompt.ids) == prompt.text


def test_an_attempt_without_tokens(directories: dict[str, Path], tmp_path: Path) -> None:
    """What was sampled before an early stop is nothing at all."""
    stop = threading.Event()
    stop.set()
    with Workbench.open(tmp_path / "run", model=str(directories["gpt2"])) as workbench:
        task = workbench.add_task(prompt="Say nothing.", environment="person")
        (attempt,) = workbench.attempt(task, 1, stop=stop)
        assert attempt.token_ids == () and not attempt.finished
        attempt: Attempt = workbench.give_feedback(attempt, text="Say something.", reward=0.0)
        with pytest.raises(FeedbackError, match="has no tokens"):
            workbench.credit(attempt)
        with pytest.raises(NoSignalError, match="it has no tokens"):
            workbench.update([attempt])


def test_prompts_that_do_not_fit_are_one_sentence(directories: dict[str, Path], tmp_path: Path) -> None:
    """An over-long question is refused with numbers; an over-long feedback is shortened, and it is said."""
    with Workbench.open(tmp_path / "run", model=str(directories["olmo2"])) as workbench:
        long = workbench.add_task(prompt="sort, then take 3, " * 200, environment="person")
        with pytest.raises(PromptError, match=r"takes \d+ tokens, but 511 fit; shorten it"):
            workbench.attempt(long, 1)
        task = workbench.add_task(prompt=TASK.prompt, environment="person")
        with pytest.raises(PromptError, match=r"and 600 new ones do not fit the model's context of 512"):
            workbench.attempt(task, 1, sampling=SamplingConfig(max_new_tokens=600))
        with pytest.raises(TaskError, match="empty"):
            workbench.add_task(prompt=" \n", environment="person")
        (attempt,) = workbench.attempt(task, 1, sampling=SamplingConfig(max_new_tokens=4))
        attempt = workbench.give_feedback(attempt, text="Sort descending. " * 400, reward=0.0)
        prompt = workbench.teacher_prompt(attempt)
        assert prompt.shortened == ("feedback",) and len(prompt.ids) + 4 <= 512
        workbench.credit(attempt)
