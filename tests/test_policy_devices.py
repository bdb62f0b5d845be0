"""Devices: which is chosen, what is refused, and that Apple's GPU is used only where the self-checks pass on it.

No Apple hardware runs here. The tests named `pretended` patch `torch.backends.mps.is_available` and hold the choice
alone; that arithmetic on such a GPU is right is for `doctor` to see there.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from workbench.cli import main
from workbench.config import PolicyConfig
from workbench.errors import PolicyError
from workbench.policy import load_policy, loading
from workbench.policy.devices import dtype_on, named, placed, quantization_on, ran_out_of_memory, wide

ROOT = Path(__file__).resolve().parents[1]
MPS, CPU, CUDA = torch.device("mps"), torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def pretended_mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Apple's GPU as far as PyTorch says that it is there; nothing can be put on it."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loading.mps_problem.cache_clear()
    yield monkeypatch
    loading.mps_problem.cache_clear()


def test_pretended_a_gpu_that_computes_right_is_chosen(pretended_mps: pytest.MonkeyPatch) -> None:
    """The checks are made, on the embedded policy, here on the CPU in the place of the GPU."""
    asked = []

    def load(config: PolicyConfig, device: torch.device) -> object:
        asked.append((config.model, config.quantization, device))
        return load_on(config, CPU)

    load_on = loading._load
    pretended_mps.setattr(loading, "_load", load)
    assert loading.auto_device() == MPS and loading.mps_problem() is None
    assert asked == [("embedded", "none", MPS)]  # once per process


@pytest.mark.parametrize("check", ["null_test", "gradient_check", "brute_force"])
def test_pretended_a_gpu_that_fails_a_check_is_not_chosen(pretended_mps: pytest.MonkeyPatch, check: str) -> None:
    load_on = loading._load
    pretended_mps.setattr(loading, "_load", lambda config, device: load_on(config, CPU))
    pretended_mps.setattr(loading, check, lambda policy: SimpleNamespace(ok=False))
    assert loading.auto_device() == CPU
    words = {"null_test": "null test", "gradient_check": "gradient check", "brute_force": "float64 check"}
    assert loading.mps_problem() == f"failed on the embedded policy: {words[check]}"


def test_pretended_a_gpu_that_cannot_be_used_leaves_the_cpu_and_doctor_says_so(
    pretended_mps: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Really tried: PyTorch has no Apple GPU here, so the embedded policy does not load on it."""
    assert load_policy(PolicyConfig("embedded")).facts["device"] == "cpu"
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policy"]["device"] == "cpu"
    assert found["devices"]["mps"].startswith("NOT trusted, so auto is the CPU: the embedded policy does not run on it")


def test_pretended_cuda_comes_before_apples_gpu(pretended_mps: pytest.MonkeyPatch) -> None:
    pretended_mps.setattr(torch.cuda, "is_available", lambda: True)
    assert loading.auto_device() == CUDA


def test_pretended_quantised_layers_are_refused_on_apples_gpu(pretended_mps: pytest.MonkeyPatch) -> None:
    for choice in ("nf4", "int8"):
        with pytest.raises(PolicyError, match="not used on Apple's GPU; choose 'none', or device 'cpu'"):
            load_policy(PolicyConfig("embedded", choice, "mps"))  # type: ignore[arg-type]
    assert quantization_on(MPS, "auto") == quantization_on(MPS, "none") == "none"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has Apple's GPU")
def test_apples_gpu_is_refused_where_there_is_none() -> None:
    with pytest.raises(PolicyError, match="'mps' is Apple's GPU, which is not available here; choose auto or cpu"):
        load_policy(PolicyConfig("embedded", "none", "mps"))


@pytest.mark.parametrize("name", ["xpu", "meta", "tpu", "", "cpu:x"])
def test_other_devices_are_refused_with_the_choices(name: str) -> None:
    with pytest.raises(PolicyError, match=r"choose auto, cpu, cuda or mps\.$"):
        named(name)


def test_precision_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dtype_on(CPU) == dtype_on(MPS) == torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert dtype_on(CUDA) == torch.float16


@pytest.mark.parametrize("choice", ["nf4", "int8"])
def test_without_bitsandbytes_quantised_layers_are_one_sentence(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # type: ignore[arg-type]  # as if it were not installed
    with pytest.raises(PolicyError, match=f"'{choice}' needs bitsandbytes, which is not installed; install it"):
        load_policy(PolicyConfig("embedded", choice, "cpu"))  # type: ignore[arg-type]
    assert quantization_on(CPU, "auto") == quantization_on(CUDA, "auto") == "none"
    assert load_policy(PolicyConfig("embedded", "auto", "cpu")).facts["quantization"] == "none"


def test_memory_that_runs_out_is_recognised_on_every_device() -> None:
    assert ran_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert ran_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, max allowed: 9 GB)."))
    assert not ran_out_of_memory(RuntimeError("shapes do not fit"))
    assert not ran_out_of_memory(ValueError("MPS backend out of memory"))


def test_float64_only_where_the_device_has_it() -> None:
    values = torch.tensor([0.1, 0.2])
    assert wide(values).dtype == torch.float64 and torch.equal(wide(values), values.double())
    half = torch.tensor([0.5], dtype=torch.float64)
    assert placed(half, CPU).dtype == torch.float64
    with pytest.MonkeyPatch.context() as patch:
        moved = []
        patch.setattr(torch.Tensor, "to", lambda tensor, device: moved.append((tensor.dtype, device)) or tensor)
        placed(half, MPS)
        placed(torch.tensor([True]), MPS)
    assert moved == [(torch.float32, MPS), (torch.bool, MPS)]


def test_only_the_devices_module_widens_tensors_of_a_policy() -> None:
    """`.double()` elsewhere fails on Apple's GPU, unless the tensor was put on the CPU just before."""
    wrong = []
    for path in sorted((ROOT / "workbench" / "policy").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "double":
                before = ast.unparse(node.func.value)
                if path.name != "devices.py" and not before.endswith(".cpu()") and "type(policy.bare)" not in before:
                    wrong.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert wrong == []
