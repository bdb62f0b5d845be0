"""What is built, and what is installed from it, works: in an environment of its own, from another folder, offline.

An environment is empty but for the workbench; a `.pth` file lets it share the dependencies of the one that runs this.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import Parser
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_kernels_name import LIBRARY

from workbench import __version__
from workbench.benchmarks.browser import free_port
from workbench.benchmarks.client import Page

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
CARD = {"gradio", "torch", "transformers", "peft", "bitsandbytes", "plotly", "jupyterlab"}
PATIENCE_S = 240.0
TASK = "house-rules/sort-take-1"

# Prints where each module comes from; null where it cannot be found. Nothing heavy is imported.
WHERE = """
import importlib.util, json, sys
def origin(name):
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return spec and (spec.origin or "a folder")
print(json.dumps({name: origin(name) for name in sys.argv[1:]}))
"""


def environment_of(**more: str) -> dict[str, str]:
    """The variables of a process that finds no checkout by them."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "HF_HUB_OFFLINE": "1", **more}


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, env=environment_of(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr


class Installed:
    """An environment with the workbench in it, used from a folder that holds nothing."""

    def __init__(self, folder: Path, *what: object) -> None:
        self.bin, self.elsewhere = folder / "env" / "bin", folder / "elsewhere"
        venv.create(folder / "env", symlinks=True)
        (self.packages,) = (folder / "env").glob("lib/python*/site-packages")
        shared = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (self.packages / "shared.pth").write_text("\n".join(shared) + "\n")
        self.elsewhere.mkdir()
        pip("--python", self.bin / "python", "install", *OFFLINE, *what)

    def run(self, program: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / program), *map(str, arguments)],
            cwd=self.elsewhere,
            env=environment_of(**variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def command(self, *arguments: object) -> dict[str, Any]:
        """The summary that a command prints for programs."""
        done = self.run("sdpo-workbench", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return summary

    def where(self, *modules: str, **variables: str) -> dict[str, str | None]:
        done = self.run("python", "-c", WHERE, *modules, **variables)
        assert done.returncode == 0, done.stderr
        origins: dict[str, str | None] = json.loads(done.stdout)
        return origins


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ROOT, *OFFLINE, "--wheel-dir", folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("editable"), "--editable", ROOT)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder with the unrelated package named `kernels`."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text(LIBRARY)
    return tmp_path


def sources() -> Iterator[str]:
    """The path in the wheel of each file that belongs into it."""
    for folder, inside in (("workbench", "workbench"), ("kernels", "workbench/kernels")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"sdpo_workbench-{__version__}.dist-info"
    metadata = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == {*sources(), *metadata}
    weights = "workbench/embedded/weights"
    parts = {"workbench/py.typed", "workbench/kernels/two_sided.py", f"{weights}/model.safetensors"}
    assert parts <= names and {name.rpartition(".")[2] for name in names} >= {"js", "css"}


def test_the_wheel_says_what_an_index_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith("METADATA"))
        said = Parser().parsestr(archive.read(info).decode())
    assert (said["Name"], said["Version"], said["License-Expression"]) == ("sdpo-workbench", __version__, "Apache-2.0")
    assert said.get_all("License-File") == ["LICENSE"] and said["Description-Content-Type"] == "text/markdown"
    assert str(said.get_payload()).startswith("# SDPO Workbench") and said["Summary"] and said["Keywords"]
    assert said.get_all("Classifier") and said.get_all("Provides-Extra") == ["bench", "dev", "packs"]
    required = [Requirement(line) for line in said.get_all("Requires-Dist", [])]
    ordinary = {one.name for one in required if not (one.marker and "extra" in str(one.marker))}
    assert ordinary >= CARD
    assert "kernels" not in {one.name for one in required}  # an unrelated package


def listed(name: str) -> dict[str, Requirement]:
    """The requirements in a file, without those of the file that it includes."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-r")]
    return {canonicalize_name(one.name): one for one in found}


def declared(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def test_what_make_installs_is_what_the_package_asks_for() -> None:
    wanted = declared(PROJECT["dependencies"])
    assert listed("requirements.txt").keys() == wanted.keys()
    assert str(listed("requirements.txt")["torch"].specifier).startswith("==")  # replay is bit for bit on one version
    assert not str(wanted["torch"].specifier).startswith("==")
    for name, one in wanted.items():
        assert one.specifier, f"{name} has no bound"
        for pinned in re.findall(r"==([\d.]+)$", str(listed("requirements.txt")[name].specifier)):
            assert pinned in one.specifier
    extras = PROJECT["optional-dependencies"]
    assert listed("requirements-dev.txt").keys() == declared(extras["dev"]).keys()
    assert declared(extras["bench"]).keys() <= declared(extras["dev"]).keys()


@pytest.mark.parametrize("how", ["wheel", "editable", "checkout"])
@pytest.mark.parametrize("with_library", [False, True], ids=["alone", "beside another kernels"])
def test_only_our_own_modules_are_there_and_kernels_is_not_taken(
    how: str, with_library: bool, library: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, repository = "workbench.kernels.two_sided", ("app", "tests", "notebooks", "docs")
    asked = ["workbench", ours, "kernels", *(f"workbench.{name}" for name in repository)]
    variables = {"PYTHONPATH": str(library)} if with_library else {}
    if how == "checkout":
        done = subprocess.run(
            [sys.executable, "-c", WHERE, *asked],
            cwd=ROOT,
            env=environment_of(**variables),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        where, source, kernels = json.loads(done.stdout), ROOT / "workbench", ROOT / "kernels"
    else:
        place: Installed = request.getfixturevalue({"wheel": "installed", "editable": "editable"}[how])
        where = place.where(*asked, **variables)
        source = place.packages / "workbench" if how == "wheel" else ROOT / "workbench"
        kernels = source / "kernels" if how == "wheel" else ROOT / "kernels"
    assert where.pop("workbench") == str(source / "__init__.py")
    assert where.pop(ours) == str(kernels / "two_sided.py")
    unrelated = where.pop("kernels")
    if with_library:
        assert unrelated == str(library / "kernels" / "__init__.py")
    elif how == "wheel":
        assert unrelated is None
    assert where == dict.fromkeys(where)  # nothing of the repository is a part of the package


def test_nothing_but_the_package_is_added_to_an_environment(installed: Installed) -> None:
    added = {path.name for path in installed.packages.iterdir()} - {"shared.pth", "__pycache__"}
    assert added == {"workbench", f"sdpo_workbench-{__version__}.dist-info"}
    assert installed.run("sdpo-workbench", "--version").stdout == f"sdpo-workbench {__version__}\n"


def test_a_round_by_the_installed_command(installed: Installed) -> None:
    report = installed.command("doctor")
    assert report["ok"] and report["versions"]["workbench"] == __version__
    group = installed.command("attempt", TASK, "-n", "4", "--max-new-tokens", "32", "--seed", "1")
    assert len(group["attempts"]) == 4
    scored = installed.command("credit", "--html", "credit.html")
    page = (installed.elsewhere / "credit.html").read_text(encoding="utf-8")
    assert len(scored["values"]) == len(scored["tokens"]) and "hm-" in page and "<script" in page
    report = installed.command("update", "--steps", "1")
    assert report["parent"] == "root" and report["update"] and len(report["ledger"]) == 4
    assert sorted(path.name for path in installed.elsewhere.iterdir()) == ["credit.html", "runs"]


def test_the_installed_page_answers(installed: Installed) -> None:
    with served(installed, "--run", "runs/page") as page:
        html = page.http.get("..").text
        assert "SDPO Workbench" in html and "hm-" in html and "wb-" in html  # its scripts and styles came along
        while (state := page.ask("status")["state"]) == "loading":
            time.sleep(0.2)
        assert state == "ready"  # the embedded policy was found
        assert len(page.ask("sample", task=TASK, n=1, max_new_tokens=8)["attempts"]) == 1


def test_the_editable_command_is_the_checkout_s(editable: Installed) -> None:
    assert editable.run("sdpo-workbench", "--version").stdout == f"sdpo-workbench {__version__}\n"
    listed = editable.command("tasks")["tasks"]
    assert TASK in {task["id"] for task in listed}


class served:
    """The installed page on a free port, ended with the block, which must be by itself and in order."""

    def __init__(self, installed: Installed, *flags: str, variables: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.log = installed.elsewhere.parent / f"page-{self.port}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(installed.bin / "sdpo-workbench"), "app", "--port", str(self.port), *flags],
                cwd=installed.elsewhere,
                env=environment_of(**(variables or {})),
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Page:
        address, deadline = f"http://127.0.0.1:{self.port}/", time.monotonic() + PATIENCE_S
        while True:
            try:
                assert httpx.get(address, trust_env=False, timeout=PATIENCE_S).status_code == 200
                break
            except httpx.TransportError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)
        self.page = Page(address, PATIENCE_S)
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.http.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(60) == 0, self.log.read_text()
        finally:
            self.process.kill()
