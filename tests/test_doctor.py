"""`python -m workbench doctor`: what it reports is what is there, and a failed check is exit status 1."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from model_families import FAMILIES, make_family_dir
from policy_factory import nudge

from workbench.cli import bug_report, main
from workbench.config import PolicyConfig
from workbench.errors import PolicyError
from workbench.policy import devices, load_policy, loading
from workbench.policy.selfcheck import brute_force, gradient_check
from workbench.tasks.sandbox.tiers import BOUNDARIES


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["doctor", "--device", "cpu", "--json", *arguments])
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") == 1
    return status, json.loads(out)


def test_the_embedded_policy_and_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = doctor(capsys)
    assert status == 0 and found["ok"]
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3])) and found["sandbox"]
    checks = found["checks"]
    assert checks["null_test"]["ok"] and checks["null_test"]["credit_nats"] < 1e-3
    assert checks["gradient_check"]["ok"]
    assert checks["brute_force"]["ok"] and 0 < checks["brute_force"]["difference_nats"] < 1e-4
    # None: with a reason, where 4-bit layers cannot run
    assert checks["nf4_gradient_check"]["ok"] in (True, None) and checks["nf4_gradient_check"]["says"]


@pytest.mark.parametrize("family", ["qwen3", "phi"])
def test_a_quantised_policy(capsys: pytest.CaptureFixture[str], tmp_path: Path, family: str) -> None:
    model = make_family_dir(tmp_path / family, family)
    status, found = doctor(capsys, "--model", str(model), "--quantization", "nf4")
    assert status == 0 and found["checks"].keys() == {"null_test", "gradient_check", "brute_force"}
    policy, parts = found["policy"], {part["kind"]: part for part in found["held"]}
    assert (policy["quantization"], policy["dtype"], policy["attention"]) == ("nf4", "float32", "sdpa")
    assert policy["lora"]["variant"] == "lora" and policy["content_sha256"]
    assert parts["linear layers as nf4"]["layers"] == 2 * FAMILIES[family].linears
    weights = sum(part["bytes"] for kind, part in parts.items() if not kind.startswith("adapter"))
    assert weights == policy["memory"]["weights_bytes"]


def test_one_table_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    for words in ("torch", "sandbox", "attention", "LoRA", "linear layers as float32", "null test", "passed"):
        assert words in out


def test_a_report_for_a_bug_says_all_and_names_nobody(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / "ann-smith"
    model = make_family_dir(home / "models" / "qwen3", "qwen3")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ann-smith")
    capsys.readouterr()
    assert main(["doctor", "--device", "cpu", "--report", "--model", str(model)]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "ann-smith" not in out and str(tmp_path) not in out
    assert f"model: ~{os.sep}models{os.sep}qwen3" in out
    for words in (
        *(
            "platform: ",
            f"python: {platform.python_version()}",
            f"torch: {torch.__version__}",
            "home directory: writable",
        ),
        *("exclusive, free again", "in use: ", "cuda: ", "mps: ", "gradient check: passed", "brute force: passed"),
        *(f"\n  {tier}: " for tier in BOUNDARIES),
    ):
        assert words in out, words


def test_a_report_is_made_although_the_policy_cannot_be_loaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bug_report, "tiers", lambda: {"wasm": "holds"})  # tried by the test above
    missing = str(tmp_path / "missing")
    assert main(["doctor", "--device", "cpu", "--report", "--model", missing]) == 1
    out = capsys.readouterr().out
    assert "error: PolicyError: There is no model directory '" in out and "wasm: holds" in out
    assert main(["doctor", "--device", "cpu", "--model", missing]) == 2  # without --report it is one sentence
    status, found = doctor(capsys, "--report", "--model", missing)
    assert status == 1 and found["report"].startswith("sdpo-workbench doctor --report") and not found["ok"]


@pytest.mark.parametrize(
    ("home", "text", "expected"),
    [
        ("/home/ann", "at /home/ann/runs/x and '/home/ann'", "at ~/runs/x and '~'"),
        ("/home/ann", "at /home/annabel/x", "at /home/annabel/x"),
        ("/home/ann", "the file /data/ann/x, by Ann", "the file /data/(user)/x, by (user)"),
        ("/home/ann", "annotated, planned", "annotated, planned"),
        ("/", "at /usr/lib/x", "at /usr/lib/x"),
    ],
)
def test_what_a_report_leaves_out(home: str, text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, home)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ann")
    assert bug_report.without_names(text) == expected


@pytest.mark.parametrize(
    "text", [r"C:\Users\ann\runs", "C:/Users/ann/runs", r"'C:\\Users\\ann\\runs'", r"c:\users\ANN\runs"]
)
def test_a_home_of_windows_in_any_spelling(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bug_report, "Path", SimpleNamespace(home=lambda: WindowsHome(r"C:\Users\ann")))
    assert bug_report.without_names(text).strip("'")[:2] in ("~\\", "~/")
    assert "ann" not in bug_report.without_names(text).lower()


class WindowsHome(PureWindowsPath):
    """A path of Windows that is there."""

    def resolve(self) -> WindowsHome:
        return self


@pytest.mark.filterwarnings("ignore:bitsandbytes")  # PyTorch says that no gradient was registered
@pytest.mark.parametrize("family", ["qwen3", "phi"])
def test_a_failed_check_is_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """With the guard of trap 13 taken away: on a CPU that repacks NF4 weights the gradients are then wrong, from the
    first pass without gradient on, which loading itself makes; layers with a bias (phi) refuse to have one."""
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("this CPU has no AVX512-BF16, so bitsandbytes does not repack NF4 weights on it")
    model = make_family_dir(tmp_path / family, family)
    monkeypatch.setattr(loading, "disable_cpu_repacking", lambda model: 0)
    status, found = doctor(capsys, "--model", str(model), "--quantization", "nf4")
    assert status == 1 and not found["ok"] and found["checks"]["gradient_check"]["ok"] is False


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_in_float64(tmp_path: Path, family: str, quantization: str) -> None:
    """Soft caps, sliding windows, biases, learned positions, an adapter that does something."""
    policy = load_policy(PolicyConfig(str(make_family_dir(tmp_path / family, family)), quantization, "cpu"))
    nudge(policy, 0.05)
    found = brute_force(policy)
    assert found.ok and 0 < found.largest < 1e-4


def test_a_model_too_large_for_a_float64_copy_is_not_checked(tmp_path: Path) -> None:
    policy = load_policy(PolicyConfig(str(make_family_dir(tmp_path / "qwen3", "qwen3")), "none", "cpu"))
    policy.facts["parameters"] = 10**12
    with pytest.raises(PolicyError, match=r"needs 8000.0 GB, but .* are free"):
        brute_force(policy)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_trap_16_in_half_precision_a_small_change_is_rounded_away(
    quantization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy itself rounds a small change of the adapter away: its own slope was half of the gradient's."""
    monkeypatch.setattr(devices, "dtype_on", lambda device: torch.bfloat16)
    policy = load_policy(PolicyConfig("embedded", quantization, "cpu"))
    found = gradient_check(policy)
    assert policy.facts["dtype"] == "bfloat16" and found.ok and found.slope == pytest.approx(1.0, abs=0.1)
    policy.facts["parameters"] = 10**12
    with pytest.raises(PolicyError, match=r"needs 8000.0 GB"):
        gradient_check(policy)


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_the_gradient_check_passes_where_gradients_are_right_and_leaves_no_trace(
    tmp_path: Path, family: str, quantization: str
) -> None:
    policy = load_policy(PolicyConfig(str(make_family_dir(tmp_path / family, family)), quantization, "cpu"))
    nudge(policy, 0.02)
    before = policy.state()
    found = gradient_check(policy)
    assert found.ok and found.tolerance == (0.25 if quantization == "int8" else 0.01)
    assert all(torch.equal(value, before[name]) for name, value in policy.state().items())
