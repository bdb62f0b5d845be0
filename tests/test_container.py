"""The Dockerfile's steps without Docker, and the hub Space as `make space` lays it out.

Not covered: the base image, `apt-get`, the download of the requirements (this environment's are shared), the change of
user.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from test_installation import Installed, environment_of

from workbench.benchmarks.browser import free_port, listens
from workbench.benchmarks.client import Page
from workbench.benchmarks.programs import Program

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 240.0
TASK = "house-rules/sort-take-1"
ARCHIVE = ROOT / "tests" / "fixtures" / "run-eac016f.zip"


def steps() -> list[tuple[str, str]]:
    """(instruction, its text) for each step of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def in_context(path: Path) -> bool:
    """Docker sends this file of the repository, by .dockerignore: the last line that fits decides."""
    sent, name = True, path.relative_to(ROOT).as_posix()
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.lstrip("!")
        parts = [name, *map(str, Path(name).parents)]
        if any(fnmatch(part, pattern.removeprefix("**/")) or fnmatch(part, f"*/{pattern[3:]}") for part in parts):
            sent = line.startswith("!")
    return sent


def context(folder: Path) -> Path:
    """What Docker would send to build from."""
    for path in ROOT.rglob("*"):
        top = path.relative_to(ROOT).parts[0]
        if top in (".git", ".venv", "build", "runs") or not path.is_file() or not in_context(path):
            continue
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return folder


@contextmanager
def serving(command: list[str], cwd: Path, port: int, **variables: str) -> Iterator[str]:
    """The address of a program that serves a page; it is ended with the block."""
    log = cwd.parent / f"page-{port}.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=cwd, env=environment_of(**variables), stdout=said, stderr=said)
    try:
        deadline, address = time.monotonic() + PATIENCE_S, f"http://127.0.0.1:{port}/"
        while True:
            try:
                httpx.get(address, trust_env=False, timeout=PATIENCE_S)
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_the_steps_of_the_dockerfile_build_a_page_that_is_healthy(tmp_path: Path) -> None:
    sent, image = context(tmp_path / "sent"), tmp_path / "image"
    assert {path.name for path in sent.iterdir()} == {
        *("requirements.txt", "pyproject.toml", "README.md", "LICENSE", "kernels", "workbench")
    }
    where, data = image / "src", image / "data"
    environment, health, command = None, [], []
    for instruction, text in steps():
        if instruction == "COPY":
            *sources, target = shlex.split(text)
            for source in sources:
                to = where / target / source if target.endswith("/") else where / target
                to.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (sent / source).is_dir() else shutil.copy2)(sent / source, to)
        elif instruction == "WORKDIR":
            where = image / text.strip("/")
            where.mkdir(parents=True, exist_ok=True)
        elif instruction == "RUN" and text.endswith("--no-deps ."):
            environment = Installed(tmp_path / "installed", where)
        elif instruction == "HEALTHCHECK":
            health = json.loads(text.partition("CMD ")[2])
        elif instruction == "CMD":
            command = json.loads(text)
        else:
            assert instruction in ("FROM", "ARG", "USER", "VOLUME", "EXPOSE") or "apt-get" in text or "-r" in text, text
    assert environment is not None and where == data
    shutil.rmtree(image / "src")  # what was installed does not need it
    port = free_port()
    command = [str(environment.bin / command[0]), *[part.replace("/data", str(data)) for part in command[1:]]]
    refused = subprocess.run(command, cwd=data, env=environment_of(), capture_output=True, text=True)
    assert refused.returncode == 2 and "add --auth" in refused.stderr and not list(data.iterdir())
    with serving([*command, "--port", str(port)], data, port, WORKBENCH_AUTH="ann:secret"):
        asked = [str(environment.bin / health[0]), *[part.replace("7860", str(port)) for part in health[1:]]]
        assert subprocess.run(asked, env=environment_of(), timeout=PATIENCE_S).returncode == 0
    assert subprocess.run(asked, env=environment_of(), stderr=subprocess.DEVNULL).returncode != 0
    assert [path.name for path in data.iterdir()] == ["demo"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what `make space` makes."""
    folder = tmp_path_factory.mktemp("space") / "checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "LICENSE", "space", "workbench", "kernels"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, folder / name)
    done = subprocess.run(["make", "space"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return folder / "build" / "space"


def test_the_space_is_whole_and_its_card_is_one_that_the_hub_reads(space: Path) -> None:
    names = {path.name for path in space.iterdir()}
    assert names == {"README.md", "app.py", "requirements.txt", "LICENSE", "workbench", "kernels"}
    assert not list(space.rglob("__pycache__"))
    card = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    gradio = next(line for line in (space / "requirements.txt").read_text().splitlines() if line.startswith("gradio"))
    assert card["sdk_version"] in Requirement(gradio).specifier  # the hub installs this version first
    assert len(card["short_description"]) <= 60  # more is refused by the hub


def _as_there(space: Path, variables: dict[str, str]) -> None:
    """In the program's process: the Space's own copy of the workbench, in its folder, and what its host would set."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "workbench"]:
        del sys.modules[name]
    os.chdir(space)
    sys.path[:0] = [str(space)]
    kept = environment_of(**variables)
    os.environ.clear()
    os.environ |= kept


@contextmanager
def start(space: Path, port: int, **variables: str) -> Iterator[str]:
    """The address of the Space's page, from a process that has imported the libraries; it is ended with the block."""
    printed = space.parent / f"page-{port}.log"
    program = Program(["app.py"], printed, partial(_as_there, space, {**variables, "PORT": str(port)}))
    try:
        assert program.wait_until(lambda: listens(port)), printed.read_text()
        yield f"http://127.0.0.1:{port}/"
    finally:
        program.kill()


def test_a_space_replays_its_archive_without_a_secret(space: Path) -> None:
    shutil.copy2(ARCHIVE, space / "run.zip")
    try:
        port = free_port()
        with start(space, port) as address, Page(address, PATIENCE_S) as page:
            while page.ask("status")["state"] == "loading":
                time.sleep(0.2)
            assert len(page.ask("attempts", task=TASK)) == 6
            policy = httpx.get(address, trust_env=False).headers["content-security-policy"]
            assert "frame-ancestors https://huggingface.co" in policy
    finally:
        (space / "run.zip").unlink()
        shutil.rmtree(space / "runs")


def test_a_space_with_neither_archive_nor_secret_makes_a_round_to_show(space: Path) -> None:
    port = free_port()
    with start(space, port) as address, Page(address, PATIENCE_S) as page:
        while page.ask("status")["state"] == "loading":
            time.sleep(0.2)
        assert len(page.ask("attempts", task=TASK)) == 8 and len(page.ask("timeline")["nodes"]) == 2
    shutil.rmtree(space / "runs")


def test_a_space_is_live_only_behind_a_password(space: Path) -> None:
    port = free_port()
    with start(space, port, WORKBENCH_AUTH="ann:secret") as address:
        assert httpx.get(f"{address}config", trust_env=False).status_code == 401
    shutil.rmtree(space / "runs", ignore_errors=True)
