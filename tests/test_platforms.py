"""Systems other than Linux, as far as one can be pretended here (`bare_platform.py` says how far), and files for them.

docs/platforms.md says what only a real Mac or Windows machine can tell.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bare_platform import LINUX_PROGRAMS, PLATFORMS

from workbench.cli import main
from workbench.policy.source import content_hash
from workbench.runs import files
from workbench.runs.files import put_in_place, sync_directory, sync_file
from workbench.tasks import parse_pack
from workbench.tasks.sandbox.tiers import TIERS

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 900.0  # on a busy machine; it takes some twenty seconds
LINUX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Platform -> the outcome of a whole round on it."""
    if sys.platform != "linux":
        pytest.skip("pretends to be another system by forking on Linux; here the round is played by the other tests")
    command = [sys.executable, "-X", "warn_default_encoding", str(ROOT / "tests" / "bare_platform.py")]
    folder = tmp_path_factory.mktemp("elsewhere")
    ended = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=PATIENCE_S)
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(PLATFORMS), ended.stderr
    return {line["platform"]: line for line in lines}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_whole_round_without_what_only_linux_has(outcomes: dict[str, dict[str, Any]], platform: str) -> None:
    outcome = outcomes[platform]
    assert "traceback" not in outcome, outcome["traceback"]
    assert outcome["modules"] > 200 and outcome["cpu"] and outcome["free"]
    assert outcome["tiers"] == ["wasm"] and outcome["tokens"] > 0
    assert outcome["update"] and outcome["moved"] and outcome["undone"] and outcome["kept"]
    assert outcome["refusal"].startswith("This run is open in process ") and "(unknown)" not in outcome["refusal"]
    assert outcome["leftovers"] == []


def test_only_the_linux_sandbox_imports_what_other_systems_lack() -> None:
    guilty = set()
    for path in (ROOT / "workbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if LINUX_ONLY & set(names):
                guilty.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert guilty and guilty <= LINUX_PROGRAMS


def test_the_tier_that_needs_no_linux_is_one_of_the_tiers() -> None:
    assert "wasm" in TIERS


def test_a_directory_that_cannot_be_opened_is_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "missing")
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    sync_directory(tmp_path / "missing")


def test_a_file_is_synced_through_a_handle_that_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to sync any other."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    modes = []

    def fsync(descriptor: int) -> None:
        modes.append(os.write(descriptor, b""))  # raises where the handle only reads

    monkeypatch.setattr(os, "fsync", fsync)
    sync_file(path)
    assert modes == [0] and path.read_bytes() == b"content"


@pytest.mark.parametrize(("platform", "busy", "expected"), [("win32", 3, 4), ("win32", 99, 8), ("linux", 1, 1)])
def test_windows_is_asked_again_while_someone_reads_the_old_file(
    platform: str, busy: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []
    rename = os.replace

    def replace(source: Path, target: Path) -> None:
        tries.append(0.0)
        if len(tries) <= busy:
            raise PermissionError(13, "is being used by another process")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(files.sys, "platform", platform)
    (tmp_path / "new").write_text("new", encoding="utf-8")
    (tmp_path / "old").write_text("old", encoding="utf-8")
    if busy >= expected:
        with pytest.raises(PermissionError):
            put_in_place(tmp_path / "new", tmp_path / "old")
    else:
        put_in_place(tmp_path / "new", tmp_path / "old")
        assert (tmp_path / "old").read_text(encoding="utf-8") == "new"
    assert len(tries) == expected


def test_a_model_has_one_hash_whatever_the_order_of_its_files(tmp_path: Path) -> None:
    """Paths sort without case on Windows, and their names decide the hash."""
    for name in ("config.json", "tokenizer.json", "tokenizer_Config.json", "tokenizerA.json", "tokenizer_b.json"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    combined = hashlib.sha256()
    for name in sorted(path.name for path in tmp_path.iterdir()):
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        combined.update(f"{name}\0{digest}\n".encode())
    assert content_hash(tmp_path) == combined.hexdigest()


def test_a_pack_that_begins_with_a_mark_and_has_the_line_ends_of_windows() -> None:
    row = '{"prompt": "Say yes.", "environment": "contains", "answer": {"text": "yes"}}'
    tasks = parse_pack("own.jsonl", f"\ufeff{row}\r\n{row.replace('yes', 'no')}\r\n")
    assert [task.prompt for task in tasks] == ["Say yes.", "Say no."]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_an_older_terminal_gets_its_own_letters(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding=encoding))
    assert main(["字"]) == 2
    sys.stderr.flush()
    assert b"No such command '?'" in written.getvalue()


def test_git_keeps_the_bytes_of_what_is_hashed() -> None:
    """Else a checkout on Windows would have other line ends, and the embedded policy another hash."""
    rules = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert "* text=auto eol=lf" in rules
    assert {f"*.{kind} binary" for kind in ("safetensors", "png", "zip")} <= set(rules)


def test_the_workflow_for_three_systems_is_whole_and_not_switched_on() -> None:
    assert not (ROOT / ".github" / "workflows").exists()
    workflow = yaml.safe_load((ROOT / "docs" / "ci" / "three-systems.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert set(job["strategy"]["matrix"]["os"]) == {"ubuntu-latest", "macos-latest", "windows-latest"}
    commands = " ".join(step.get("run", "") for step in job["steps"])
    assert "doctor --report" in commands and "pytest" in commands and "attempt" in commands


def test_nothing_waits_for_what_windows_cannot_interrupt() -> None:
    """The page ends by Ctrl-C: on Windows a lock's wait without a limit does not."""
    tree = ast.parse((ROOT / "workbench" / "launch.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    waits = [call for call in calls if call.func.attr in ("wait", "sleep")]
    assert waits and all(call.args for call in waits)
