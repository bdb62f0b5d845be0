"""The benchmarks: every contender does the same work, and what is measured is what was held."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from workbench.benchmarks import judging, kernels
from workbench.benchmarks.idle import spent
from workbench.benchmarks.kernels import Shape, bench_loss
from workbench.benchmarks.measure import compare
from workbench.cli import main
from workbench.errors import WorkbenchError

CPU = torch.device("cpu")
SMALL = Shape(tokens=40, hidden=16, vocabulary=2003)


def test_contenders_give_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A faster contender that computes something else is no contender."""
    seen: list[dict[str, torch.Tensor]] = []

    def record(contenders: dict, repetitions: int, device: torch.device) -> dict:
        found = {name: work() for name, work in contenders.items() if name != kernels.FLOOR}
        seen.append({name: getattr(result, "grad_hidden", result) for name, result in found.items()})
        return compare(dict.fromkeys(contenders, lambda: None), 1, device)

    monkeypatch.setattr(kernels, "compare", record)
    assert [result.what for result in bench_loss(SMALL, 1, CPU)] == list(kernels.MODES)
    expected = {"workbench", "eager"} | ({"TRL"} if importlib.util.find_spec("trl") else set())
    for gradients in seen:
        assert set(gradients) == expected
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, gradients["eager"], rtol=1e-4, atol=1e-5, msg=name)
    assert not torch.allclose(*(gradients["eager"] for gradients in seen))


def test_time_and_memory_are_those_of_the_work() -> None:
    def allocate(megabytes: int) -> torch.Tensor:
        return torch.ones(megabytes * 2**18)

    costs = compare({"small": lambda: allocate(40), "large": lambda: allocate(160)}, 3, CPU)
    assert 0 < costs["small"].median_s < costs["large"].median_s
    if costs["large"].peak_bytes is not None:  # only Linux tells
        assert costs["small"].peak_bytes == pytest.approx(40 * 2**20, rel=0.2)
        assert costs["large"].peak_bytes == pytest.approx(160 * 2**20, rel=0.2)


@pytest.mark.parametrize("name", ["credit", "loss"])
def test_the_command_ends_with_the_figures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernels, "default_shape", lambda device: SMALL)
    monkeypatch.setattr(kernels, "device_here", lambda: CPU)
    assert main(["bench", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["bench"] == name and found["ratio"] > 0 and found["repetitions"] == 7
    assert found["hardware"]["cores"] and found["shape"]["vocabulary"] == 2003
    assert "workbench" in found["results"][0]["costs"] and found["results"][0]["dtype"] == "float32"


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="only Linux tells what a process spent")
def test_processor_time_is_that_of_the_work() -> None:
    """A process that computes for a third of the time, and one that sleeps."""
    working = (
        "import time\n"
        "while True:\n"
        "    end = time.process_time() + .1\n"
        "    while time.process_time() < end: pass\n"
        "    time.sleep(.2)"
    )
    shares = {}
    for name, code in {"works": working, "sleeps": "import time; time.sleep(60)"}.items():
        with subprocess.Popen([sys.executable, "-c", code]) as process:
            time.sleep(1.0)
            shares[name] = spent(process.pid, 2.0, time.sleep)
            process.kill()
    assert shares["sleeps"]["core_share"] < 0.02 < 0.03 < shares["works"]["core_share"] < 0.4  # less on a busy machine
    assert shares["sleeps"]["wakes_per_s"] < 0.5 < shares["works"]["wakes_per_s"] < 6


def test_an_idle_page_is_measured_for_long_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "idle", "--seconds", "1"]) == 2
    assert "ask for 5 to 3600" in capsys.readouterr().err


def test_judging_is_timed_beside_the_bare_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ATTEMPTS", 2), ("TESTS", 3), ("TEST_S", 0.02)):
        monkeypatch.setattr(judging, name, value)
    times, facts = judging.time_judging(1)
    assert set(times) == {"workbench", "python program < input"}
    assert all(len(seconds) == 1 and seconds[0] >= 2 * 3 * 0.02 / facts["processors"] for seconds in times.values())
    monkeypatch.setattr(judging, "_PROGRAM", "print('no {attempt} {seconds}')")
    with pytest.raises(WorkbenchError, match="A right program did not pass"):
        judging.time_judging(1)
