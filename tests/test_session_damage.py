"""Blobs that are lost while a run is open or between two openings: named when they are read, nothing else is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from policy_factory import make_model_dir

from workbench import Workbench
from workbench.config import LoraSettings, SamplingConfig, SDPOConfig
from workbench.errors import CreditError, RunError
from workbench.records import Attempt
from workbench.service.actions.round import AttemptDetail
from workbench.service.publish import publish_opened
from workbench.service.queue import JobQueue
from workbench.service.snapshot import wanted_credit

SHORT = SamplingConfig(max_new_tokens=12)
CONFIG = SDPOConfig()
WAIT_S = 300.0

damages = pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])


def spoil(file: Path, damage: str) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[:-3] if damage == "truncated" else content)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_dir(tmp_path_factory.mktemp("model") / "model", hidden=64)


@pytest.fixture
def workbench(model: Path, tmp_path: Path) -> Iterator[Workbench]:
    """A run with two updates; the attempts are still those of the root."""
    lora = LoraSettings(rank=4, lora_alpha=8.0)
    with Workbench.open(tmp_path / "run", model=str(model), quantization="none", device="cpu", lora=lora) as workbench:
        task = workbench.add_task(prompt="Sort.", environment="contains", answer={"text": "impossible"})
        group = workbench.attempt(task, 3, sampling=SHORT)
        workbench.credit(group[0], CONFIG)
        for _ in range(2):
            workbench.update(group, CONFIG)
        yield workbench


def state_file(workbench: Workbench, update_id: str) -> Path:
    return workbench.run.blobs.path(workbench.run.state_blob(update_id))


def credit_file(workbench: Workbench) -> Path:
    (event,) = workbench.run.events("credit")
    return workbench.run.blobs.path(event.blobs[0])


def policy(workbench: Workbench) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in workbench.policy.state().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def nodes(workbench: Workbench) -> list[str]:
    return [node.update_id for node in workbench.timeline()]


@damages
def test_a_move_onto_a_lost_state_changes_neither_policy_nor_head(workbench: Workbench, damage: str) -> None:
    root, first, second = nodes(workbench)
    spoil(state_file(workbench, first), damage)
    before, events = policy(workbench), workbench.events()
    with pytest.raises(RunError, match=f"state of update '{first}' cannot be used: blob .* is (missing|damaged)"):
        workbench.undo()
    with pytest.raises(RunError, match=f"'{first}' is missing or damaged"):
        workbench.checkout(first)
    assert workbench.head == second and workbench.events() == events and equal(policy(workbench), before)
    assert workbench.undo() == root and workbench.redo() == second and equal(policy(workbench), before)


def test_a_branch_whose_newest_state_is_lost_is_not_entered(workbench: Workbench) -> None:
    root, first, second = nodes(workbench)
    workbench.branch("onwards")
    report = workbench.update(workbench.attempts(), CONFIG)
    workbench.checkout(root)
    spoil(state_file(workbench, report.update_id), "flipped")
    before = policy(workbench)
    with pytest.raises(RunError, match=f"'{report.update_id}' cannot be used"):
        workbench.checkout("onwards")
    assert workbench.head == root and equal(policy(workbench), before)
    assert workbench.checkout(second) == second and workbench.undo() == first


def test_the_random_state_alone_is_lost_with_the_update_that_is_undone(workbench: Workbench) -> None:
    _, first, second = nodes(workbench)
    spoil(state_file(workbench, second), "flipped")
    assert workbench.undo() == first
    with pytest.raises(RunError, match="nothing to redo"):
        workbench.redo()


def test_what_is_compared_with_a_lost_state_is_refused(workbench: Workbench) -> None:
    root, _, second = nodes(workbench)
    spoil(state_file(workbench, root), "flipped")
    before = policy(workbench)
    with pytest.raises(RunError, match="state of update 'root' cannot be used: blob"):
        workbench.compare_nodes(second, root)
    with pytest.raises(RunError, match="state of update 'root' cannot be used: blob"):
        workbench.check_credit()
    assert workbench.head == second and equal(policy(workbench), before)


@damages
def test_a_lost_credit_is_named_and_scored_again(workbench: Workbench, damage: str) -> None:
    attempt = workbench.attempts()[0]
    workbench.checkout("root")
    (stored,) = workbench.credits()
    spoil(credit_file(workbench), damage)
    with Workbench.replay(workbench.run.path) as replay:
        with pytest.raises(CreditError, match=f"stored credit of attempt {attempt.id} is damaged; open the run with"):
            replay.credit(attempt, CONFIG)
        with pytest.raises(CreditError, match="No credit of attempt"):
            replay.credit(workbench.attempts()[1], CONFIG)
        assert replay.run.set_aside[0][1].startswith("blob ") and replay.head == "root"
    assert workbench.credits() == [] and len(workbench.run.set_aside) == 1
    with pytest.raises(CreditError, match="no stored credit"):
        workbench.check_credit()
    assert workbench.credit(attempt, CONFIG).token_ids == stored.credit.token_ids
    (again,) = workbench.credits()
    assert again.credit.contexts == stored.credit.contexts and workbench.run.set_aside == []
    assert workbench.check_credit()[0].ok
    with Workbench.replay(workbench.run.path) as replay:
        assert replay.credit(attempt, CONFIG).contexts == stored.credit.contexts


def test_a_page_over_a_damaged_run_says_so_and_goes_on(workbench: Workbench) -> None:
    attempt, path = workbench.attempts()[0], workbench.run.path
    spoil(credit_file(workbench), "flipped")
    spoil(state_file(workbench, workbench.head), "flipped")
    first = nodes(workbench)[1]
    workbench.close()
    queue = JobQueue(lambda: Workbench.replay(path), publish_opened).start()
    try:
        assert queue.settled.wait(WAIT_S) and queue.status == "ready"
        assert "of this run cannot be used: blob" in queue.state.damage
        assert queue.state.head == first
        shown = wanted(queue, attempt)
        assert isinstance(shown, CreditError) and "is damaged; open the run with its model" in str(shown)
    finally:
        queue.close()


def wanted(queue: JobQueue, attempt: Attempt) -> AttemptDetail | Exception | None:
    deadline = time.monotonic() + WAIT_S
    while (found := wanted_credit(queue, attempt, CONFIG, shown=False)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
