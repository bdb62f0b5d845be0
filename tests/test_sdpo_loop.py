"""The algorithm in one file, `examples/sdpo_loop.py`: the same teacher and update as the workbench; it learns."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from workbench import Workbench
from workbench.benchmarks.programs import Program
from workbench.config import PolicyConfig, SamplingConfig, SDPOConfig
from workbench.policy import Policy, load_policy
from workbench.policy.sampling import sample
from workbench.records import Attempt, Judgement

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "sdpo_loop.py"
LEARNING_RATE = 1e-3


@pytest.fixture
def loop() -> ModuleType:
    """The script as a module of its own, so that a test may set its constants."""
    spec = importlib.util.spec_from_file_location("sdpo_loop", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, list[Attempt], Policy]]:
    """A run, a group of it in which some attempts passed and some failed, and a second policy for the script.

    Both policies are in float64: AdamW divides each gradient by its own size, so that in float32 an element whose
    gradient is nearly 0 moves by what rounding makes of it, up to 3 % of a step.
    """
    with Workbench.open(tmp_path_factory.mktemp("runs") / "run", device="cpu", seed=0) as wb:
        groups = (wb.attempt(task, n=8) for task in wb.tasks("house-rules"))
        mixed = next(group for group in groups if 2 <= sum(attempt.passed for attempt in group) <= 6)
        policy = load_policy(PolicyConfig(device="cpu", seed=0))
        for each in (wb.policy, policy):
            each.model.double()
            each.head = replace(each.head, weight=each.bare.get_output_embeddings().weight.detach())
        yield wb, mixed, policy


def examples_of(loop: ModuleType, wb: Workbench, policy: Policy, attempts: list[Attempt]) -> list[tuple]:
    """The script's examples, made by the script itself of the workbench's attempts."""
    task, texts = wb.task(attempts[0].task_id), [attempt.text for attempt in attempts]
    verdicts = [Judgement(attempt.reward, attempt.passed, attempt.feedback) for attempt in attempts]
    chat = loop.Chat(policy.tokenizer)
    questions = [loop.teacher_question(task.prompt, index, texts, verdicts) for index in range(len(attempts))]
    return [
        (chat.render(None, task.prompt)[1], chat.render(None, question)[1], attempt.token_ids)
        for question, attempt in zip(questions, attempts, strict=True)
        if question is not None
    ]


def distances(adapter: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest difference of each tensor."""
    return {name: float((adapter[name] - other[name]).detach().abs().max()) for name in adapter}


def test_it_asks_the_self_teacher_the_same(loop: ModuleType, opened: tuple[Workbench, list[Attempt], Policy]) -> None:
    wb, attempts, policy = opened
    examples = examples_of(loop, wb, policy, attempts)
    assert len(examples) == len(attempts)  # in a mixed group each failed one has feedback, each passed one another
    for (prompt, teacher_prompt, _), attempt in zip(examples, attempts, strict=True):
        assert prompt == attempt.prompt_ids
        assert teacher_prompt == wb.teacher_prompt(attempt).ids


def test_it_draws_the_same_tokens(loop: ModuleType, opened: tuple[Workbench, list[Attempt], Policy]) -> None:
    _, attempts, policy = opened
    prompt = attempts[0].prompt_ids
    loop.MAX_NEW_TOKENS = 16  # hardly any ends so soon; the workbench drops rows that have, the script does not
    policy.generator.manual_seed(5)
    drawn = loop.sample(policy, prompt)
    policy.generator.manual_seed(5)
    expected = sample(policy, [prompt] * loop.GROUP, SamplingConfig(max_new_tokens=16))
    assert drawn == [completion.token_ids for completion in expected]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(
    ("steps", "rho", "max_grad_norm", "updates"),
    [(1, 0.5, 1.0, 1), (8, 0.5, 1.0, 1), (3, 0.0, 0.005, 2)],
    ids=["one step", "the defaults", "frozen teacher, clipped gradients, two updates"],
)
def test_its_update_is_the_workbenchs(
    loop: ModuleType,
    opened: tuple[Workbench, list[Attempt], Policy],
    steps: int,
    rho: float,
    max_grad_norm: float,
    updates: int,
) -> None:
    wb, attempts, policy = opened
    loop.STEPS, loop.RHO, loop.LEARNING_RATE, loop.MAX_GRAD_NORM = steps, rho, LEARNING_RATE, max_grad_norm
    start = {name: tensor.detach().clone() for name, tensor in wb.policy.adapter.items()}
    with torch.no_grad():
        for name, tensor in policy.adapter.items():
            tensor.copy_(start[name])
    optimizer = torch.optim.AdamW(policy.parameters(), lr=LEARNING_RATE, weight_decay=loop.WEIGHT_DECAY)
    examples = examples_of(loop, wb, policy, attempts)
    config = SDPOConfig(steps=steps, teacher_update_rate=rho, learning_rate=LEARNING_RATE, max_grad_norm=max_grad_norm)
    try:
        for _ in range(updates):
            report = wb.update(attempts, config)
            before, _ = loop.update(policy, optimizer, examples)
            assert before == pytest.approx(report.loss_before, abs=1e-6)
        assert policy.adapter.keys() == wb.policy.adapter.keys()
        differences = distances(policy.adapter, wb.policy.adapter)
        moved = distances(policy.adapter, start)
    finally:
        for _ in range(updates):
            wb.undo()
    # The first step moves no A, because every B is 0 then.
    assert min(moved[name] for name in start if steps > 1 or "lora_B" in name) > 0.5 * LEARNING_RATE
    assert max(differences.values()) <= 1e-5


def test_it_runs_and_learns(tmp_path: Path) -> None:
    program = Program([str(SCRIPT)], tmp_path / "printed")
    assert program.wait_until(lambda: len(program.lines()) >= 5), program.lines()
    program.kill()  # five of its eight rounds show it
    rates = [
        int(passed) / int(count) for passed, count in re.findall(r"(\d+) of (\d+) attempts", "\n".join(program.lines()))
    ]
    # Each round's tasks are new, so these are pass rates on tasks that nothing was learned from.
    assert sum(rates[2:5]) / 3 >= sum(rates[:2]) / 2 + 0.2
