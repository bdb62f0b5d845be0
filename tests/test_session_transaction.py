"""An update happens whole or not at all: after each way in which it can fail, everything is bit for bit as before."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_factory import make_model_dir

from workbench import Workbench
from workbench.config import LoraSettings, SamplingConfig, SDPOConfig
from workbench.errors import RunError, UpdateError
from workbench.policy import passes
from workbench.probe import Probe
from workbench.records import Attempt
from workbench.runs.failpoints import FAIL_POINTS, no_fail_point

SHORT = SamplingConfig(max_new_tokens=12)
CONFIG = SDPOConfig(teacher="ema", steps=2)  # this teacher has weights of its own, which must come back too
PROMPT = "Write f(xs): sort, then take 3."


@dataclass
class Round:
    """A run with an update behind it, so that there are moments and an average to lose, and a group to learn from."""

    workbench: Workbench
    group: list[Attempt]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("transaction")
    model, lora = str(make_model_dir(folder / "model", hidden=64)), LoraSettings(rank=4, lora_alpha=8.0)
    with Workbench.open(folder / "run", model=model, quantization="none", device="cpu", lora=lora) as workbench:
        task = workbench.add_task(prompt=PROMPT, environment="contains", answer={"text": "impossible"})
        workbench.update(workbench.attempt(task, 3, sampling=SHORT), CONFIG)
        yield Round(workbench, workbench.attempt(task, 3, sampling=SHORT))


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def fingerprint(workbench: Workbench) -> dict[str, Any]:
    """All that an update may change: tensors as bytes, random states, modes, the log but for its failures."""
    policy = workbench.policy
    return {
        **{name: (tensor.dtype, tensor.shape, bits(tensor)) for name, tensor in policy.state().items()},
        "frozen": [bits(p) for p in policy.model.parameters() if not p.requires_grad],
        "gradients": [p.grad for p in policy.model.parameters()],
        "modes": policy.fingerprint()[1:],
        "trainable": [name for name, p in policy.model.named_parameters() if p.requires_grad],
        "optimiser": [len(policy.optimizer.state), [len(group["params"]) for group in policy.optimizer.param_groups]],
        "torch": bits(torch.get_rng_state()),
        "timeline": workbench.run.timeline,
        "nodes": workbench.timeline(),
        "attempts": workbench.attempts(),
        "events": [event for event in workbench.events() if event.kind != "failed"],
    }


# Each makes one thing go wrong inside the block.
Fault = Callable[[Workbench, pytest.MonkeyPatch], Any]


@contextmanager
def gradient_is_not_finite(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
    handle = workbench.policy.parameters()[0].register_hook(lambda gradient: gradient * float("nan"))
    yield
    handle.remove()


@contextmanager
def parameter_is_not_finite(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
    def spoil(*_: object) -> None:
        with torch.no_grad():
            workbench.policy.parameters()[-1].view(-1)[0] = float("inf")

    handle = workbench.policy.optimizer.register_step_post_hook(spoil)
    yield
    handle.remove()


@contextmanager
def loss_is_not_finite(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
    real = passes.losses_of
    patch.setattr(passes, "losses_of", lambda *given: (real(*given)[0] * float("nan"), real(*given)[1]))
    yield


@contextmanager
def no_memory_for_a_pass(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
    real = passes.completion_places

    def full(*given: Any) -> Any:
        if torch.is_grad_enabled():
            raise torch.OutOfMemoryError("full")
        return real(*given)

    patch.setattr(passes, "completion_places", full)
    yield


@contextmanager
def no_memory_for_the_probe(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
    head, real = workbench.policy.state(), Probe.measure

    def full(probe: Probe, policy: Any) -> Any:
        if any(not torch.equal(tensor, head[name]) for name, tensor in policy.state().items()):
            raise torch.OutOfMemoryError("full")  # after the step
        return real(probe, policy)

    patch.setattr(Probe, "measure", full)
    yield


@contextmanager
def a_bug_after_the_step(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    patch.setattr(passes, "_by_item", fail)
    yield


def full_disk(moment: str) -> Fault:
    @contextmanager
    def fault(workbench: Workbench, patch: pytest.MonkeyPatch) -> Iterator[None]:
        def full(name: str) -> None:
            if name == moment:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for part in (workbench.run.blobs, workbench.run._store):
            patch.setattr(part, "_fail_point", full)
        yield
        patch.undo()

    return fault


WRITES = [name for name in FAIL_POINTS if name.startswith(("blob", "event")) and name != "event.committed"]
# What goes wrong, how, which error, its words, and how often it is noted: a log that is full cannot note it.
FAULTS: list[tuple[str, Fault, Any, str, int]] = [
    ("gradient", gradient_is_not_finite, UpdateError, "gradient is not finite", 1),
    ("parameter", parameter_is_not_finite, UpdateError, "not finite", 1),
    ("loss", loss_is_not_finite, UpdateError, "not finite", 1),
    ("memory of a pass", no_memory_for_a_pass, UpdateError, "not enough memory for one attempt of .* tokens", 1),
    ("memory of the probe", no_memory_for_the_probe, UpdateError, "Memory ran out on cpu .*free now", 1),
    ("bug", a_bug_after_the_step, ZeroDivisionError, "a bug", 1),
    *(
        (f"disk full at {name}", full_disk(name), (RunError, OSError), "full|No space", int(name.startswith("blob")))
        for name in WRITES
    ),
]


@pytest.mark.parametrize(
    ("fault", "error", "words", "noted_times"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_a_failed_update_leaves_everything_as_before(
    shared: Round, monkeypatch: pytest.MonkeyPatch, fault: Fault, error: Any, words: str, noted_times: int
) -> None:
    workbench = shared.workbench
    before, failures = fingerprint(workbench), len(workbench.run.events("failed"))
    with fault(workbench, monkeypatch), pytest.raises(error, match=words):
        workbench.update(shared.group, CONFIG)
    monkeypatch.undo()
    assert fingerprint(workbench) == before
    noted = [event.data["why"] for event in workbench.run.events("failed")[failures:]]
    assert len(noted) == noted_times and all(re.search(words, why) for why in noted)


def test_the_fingerprint_sees_an_update(shared: Round) -> None:
    """Otherwise the tests here could not fail."""
    workbench, before = shared.workbench, fingerprint(shared.workbench)
    workbench.update(shared.group, CONFIG)
    after = fingerprint(workbench)
    changed = {name.partition("/")[0] for name in before if before[name] != after[name]}
    assert {"adapter", "optimizer", "teacher", "timeline", "nodes", "events"} <= changed
    workbench.undo()
    again = fingerprint(workbench)
    moved = {"timeline", "nodes", "events"}
    assert {name: again[name] for name in again.keys() - moved} == {
        name: before[name] for name in before.keys() - moved
    }


def test_it_can_be_stopped_between_any_two_micro_batches(shared: Round) -> None:
    class Patience(threading.Event):
        def __init__(self, limit: int) -> None:
            super().__init__()
            self.asked, self.limit = 0, limit

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > self.limit

    workbench, patient = shared.workbench, Patience(10**9)
    workbench.update(shared.group, CONFIG, stop=patient)
    workbench.undo()
    before = fingerprint(workbench)
    for limit in (*range(0, patient.asked - 1, patient.asked // 6), patient.asked - 1):  # within passes, and at the end
        with pytest.raises(UpdateError, match="was stopped"):
            workbench.update(shared.group, CONFIG, stop=Patience(limit))
        assert fingerprint(workbench) == before
        assert "was stopped" in workbench.run.events("failed")[-1].data["why"]


def test_a_callback_that_fails_takes_the_update_back(shared: Round) -> None:
    class Faulty(threading.Event):
        def is_set(self) -> bool:
            raise ValueError("of the caller")

    before = fingerprint(shared.workbench)
    with pytest.raises(ValueError, match="of the caller"):
        shared.workbench.update(shared.group, CONFIG, stop=Faulty())
    assert fingerprint(shared.workbench) == before


def test_an_update_that_moves_too_far_is_taken_back(shared: Round) -> None:
    before = fingerprint(shared.workbench)
    with pytest.raises(UpdateError, match=r"moved the policy by .* more than kl_limit allows \(1e-09\)"):
        shared.workbench.update(shared.group, SDPOConfig(teacher="ema", kl_limit=1e-9))
    assert fingerprint(shared.workbench) == before


@pytest.mark.parametrize("failure", [RuntimeError("of a page"), SystemExit(1)])
def test_a_listener_that_fails_does_not_take_back_what_is_durable(shared: Round, failure: BaseException) -> None:
    def fail(event: object) -> None:
        raise failure

    workbench = shared.workbench
    workbench.run.add_listener(fail)
    try:
        report = workbench.update(shared.group, CONFIG)
    finally:
        workbench.run._store._listeners.remove(fail)
    assert workbench.head == report.update_id and workbench.events()[-1].data["update_id"] == report.update_id
    workbench.undo()


def test_an_interrupt_after_the_commit_does_not_split_policy_and_log(
    shared: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str) -> None:
        if name == "event.committed":
            raise KeyboardInterrupt

    workbench, parent = shared.workbench, shared.workbench.head
    monkeypatch.setattr(workbench.run._store, "_fail_point", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workbench.update(shared.group, CONFIG)
    monkeypatch.setattr(workbench.run._store, "_fail_point", no_fail_point)
    assert workbench.head != parent
    stored = workbench.run.blobs.get(workbench.run.state_blob(workbench.head))
    assert {name: bits(t) for name, t in stored.items()} == {n: bits(t) for n, t in workbench.policy.state().items()}
    workbench.undo()
    assert workbench.head == parent


def test_a_group_is_in_the_log_whole_or_not_at_all(shared: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    workbench, before = shared.workbench, fingerprint(shared.workbench)
    task = workbench.task(shared.group[0].task_id)
    with full_disk("event.inserted")(workbench, monkeypatch), pytest.raises((RunError, OSError)):
        workbench.attempt(task, 3, sampling=SHORT)
    assert fingerprint(workbench) == before

    def fail(index: int, text: str) -> None:
        raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        workbench.attempt(task, 3, sampling=SHORT, on_token=fail)
    assert fingerprint(workbench) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, where this machine lets us make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs for us")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path, tmp_path: Path) -> None:
    model, lora = str(make_model_dir(tmp_path / "model", hidden=64)), LoraSettings(rank=4, lora_alpha=8.0)
    opened = {"model": model, "quantization": "none", "device": "cpu", "lora": lora}
    with Workbench.open(small_disk / "run", **opened) as workbench:  # type: ignore[arg-type]
        task = workbench.add_task(prompt=PROMPT, environment="contains", answer={"text": "impossible"})
        group = workbench.attempt(task, 3, sampling=SHORT)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        before = fingerprint(workbench)
        for attempt in (lambda: workbench.update(group, CONFIG), lambda: workbench.attempt(task, 3, sampling=SHORT)):
            with pytest.raises(RunError, match=r"is full; free some space and try again"):
                attempt()
            assert fingerprint(workbench) == before
        ballast.unlink()
        report = workbench.update(group, CONFIG)
    with Workbench.open(small_disk / "run", model=model) as workbench:
        assert workbench.head == report.update_id and workbench.verify().sound
