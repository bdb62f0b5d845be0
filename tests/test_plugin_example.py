"""examples/plugin, installed as anyone would install it, found by its entry points, and learned from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from workbench.benchmarks.programs import Program

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the plugin, without a network."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")  # building leaves files behind
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stderr
    return folder / "site"


def run(site: Path, cwd: Path, *arguments: str) -> tuple[int | None, str]:
    """Exit status and output of a module that is run where the plugin is installed."""
    printed = cwd / "printed"
    program = Program(["-m", *arguments], printed, partial(_from, cwd, site))
    status = program.end()
    return status, printed.read_text(encoding="utf-8")


def _from(cwd: Path, site: Path) -> None:
    os.chdir(cwd)
    sys.path.insert(0, str(site))


def test_its_own_test_passes(site: Path, tmp_path: Path) -> None:
    shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    status, printed = run(site, tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert status == 0 and "10 passed" in printed, printed


def test_it_is_learned_from_by_name(site: Path, tmp_path: Path) -> None:
    small = ["--rounds", "1", "--questions", "2", "--attempts", "4", "--held-out", "9", "--steps", "1"]
    status, printed = run(site, tmp_path, "workbench", "learn", "code-style", *small, "--run", "run", "--json")
    assert status == 0, printed
    points = json.loads(printed.splitlines()[-1])["points"]
    assert [(point["held_out"]["total"], point["held_out"]["requested"]) for point in points] == [(3, 9)] * 2
    assert points[1]["loss"] is not None and points[1]["generations"] == 8
    (tmp_path / "printed").unlink()
    printed = run(site, tmp_path, "workbench", "tasks", "--run", "run", "--json")[1]
    ids = [task["id"] for task in json.loads(printed.splitlines()[-1])["tasks"]]
    assert "code-style/0" in ids and "house-rules/sort-take-1" in ids


def test_doctor_lists_what_it_brought(site: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    code = "import json; from workbench.cli.doctor import _plugins; print(json.dumps(_plugins()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout) == {
        "views of other packages": ["surprise"],
        "environments of other packages": ["style"],
        "packs of other packages": ["code-style"],
        "plugins left out": [],
    }


def test_without_it_its_name_is_unknown(tmp_path: Path) -> None:
    status, printed = run(tmp_path, tmp_path, "workbench", "learn", "code-style")
    assert status == 2 and "There is no pack 'code-style'" in printed
