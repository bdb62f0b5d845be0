"""A replay that others can reach without a password: it shows one run, changes nothing, and runs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import serving

from workbench import Workbench
from workbench.benchmarks.browser import ROOT
from workbench.benchmarks.client import Broken, Page, Refused
from workbench.benchmarks.load import wait_until_ready
from workbench.errors import RunError

ARCHIVE = Path(__file__).parent / "fixtures" / "run-eac016f.zip"
PATIENCE_S = 240.0
BESIDE = "a-run-that-is-nobodys-business"
# Endpoints that only look, and so must answer; every other is refused with a sentence.
LOOKING = {
    *(
        "tasks",
        "credit",
        "status",
        "stop",
        "alarms",
        "rewards",
        "compare",
        "closest_task",
        "export_pack",
        "runs",
        "share",
    ),
    *("top", "attempts", "ledger", "credit_tests", "timeline", "update_report", "experiments", "experiment"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    for name in ("shown", BESIDE):
        Workbench.import_run(ARCHIVE, folder / name)
    return folder


@pytest.fixture(scope="module")
def before(runs: Path) -> dict[str, str]:
    return files(runs)


@pytest.fixture(scope="module")
def app(runs: Path, before: dict[str, str]) -> Iterator[str]:
    with serving(runs / "shown", ["--host", "0.0.0.0", "--replay", str(runs / "shown")]) as address:
        wait_until_ready(address, PATIENCE_S)
        yield address


@pytest.fixture
def page(app: str) -> Iterator[Page]:
    with Page(app, PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def right(runs: Path) -> dict[str, Any]:
    """Values that an argument of this name is right with."""
    with Workbench.replay(runs / "shown") as replay:
        scored = replay.credits()[-1].credit.attempt_id
        attempt = next(one for one in replay.attempts() if one.id == scored)
        group = [one.id for one in replay.attempts() if one.group_id == attempt.group_id]
        update = next(node.update_id for node in replay.timeline() if node.update_id != "root")
    return {
        "task": attempt.task_id,
        "tasks": [attempt.task_id],
        "attempt": attempt.id,
        "attempts": group,
        "update_id": update,
        "first": "root",
        "second": update,
        "text": "def f(xs):\n    return xs",
        "prompt": "Write f(xs): sort, then take 3.",
        "pack": "house-rules",
        "file_name": "own.jsonl",
        "data_set": "owner/name",
        "position": 1,
        "token_id": 1,
        "other": BESIDE,
        "archive": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    }


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, and its content's hash; folders, too."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"
        for path in sorted(folder.rglob("*"))
    }


def arguments(name: str, endpoint: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """A right value for each argument that needs one."""
    wanted = [one["parameter_name"] for one in endpoint["parameters"] if not one["parameter_has_default"]]
    named = {"experiment": "learn-1", "resume_experiment": "learn-1", "open_run": BESIDE, "branch": "mine"}
    return {one: named[name] if one == "name" and name in named else right[one] for one in wanted}


def test_every_endpoint_looks_or_is_refused_and_no_file_changes(
    page: Page, right: dict[str, Any], runs: Path, before: dict[str, str]
) -> None:
    looked, said = set(), []
    endpoints = page.endpoints()
    assert len(endpoints) > 30
    for path, endpoint in endpoints.items():
        name = path.strip("/")
        try:
            said.append(page.result(f"call/v2{path}", arguments(name, endpoint, right)))
            looked.add(name)
        except Refused as refusal:
            assert str(refusal).endswith("."), (name, str(refusal))
            said.append(str(refusal))
        except Broken:
            assert name == "import_run"  # Gradio itself refuses a file that nobody has uploaded
    assert looked == LOOKING
    everything = json.dumps(said)
    assert str(runs) not in everything and str(ROOT) not in everything
    assert BESIDE not in everything
    assert files(runs) == before


def test_every_handler_behind_a_control_changes_nothing(
    page: Page, right: dict[str, Any], runs: Path, before: dict[str, str]
) -> None:
    """With what the page itself would send, and with what a visitor could make of it."""
    config = page.http.get("../config").json()
    values = {component["id"]: component["props"].get("value") for component in config["components"]}
    tried = 0
    for handler in config["dependencies"]:
        if not handler["backend_fn"]:
            continue
        shown = [values.get(number) for number in handler["inputs"]]
        filled = [right["task"] if isinstance(value, str | None) else value for value in shown]
        named = [right["attempt"] if isinstance(value, str | None) else value for value in shown]
        for data, event in (
            (shown, None),
            (shown, {"id": right["attempt"]}),
            (filled, {"id": BESIDE}),
            (named, {"value": right["update_id"], "index": 0}),
        ):
            body = {"data": data, "fn_index": handler["id"], "session_hash": "visitor", "event_data": event}
            try:
                answer = page.result("queue/join", body)
            except (Refused, Broken) as refusal:
                answer = str(refusal)
            tried += 1
            assert BESIDE not in json.dumps(answer), handler["api_name"]
            assert str(runs) not in json.dumps(answer), handler["api_name"]
    assert tried > 100
    assert files(runs) == before


def test_no_code_is_run_and_no_file_is_taken(page: Page, app: str, right: dict[str, Any]) -> None:
    for endpoint, values in (
        ("judge", {"task": right["task"], "text": right["text"]}),
        ("add_task", {"prompt": "Q", "environment": "python", "answer": {"tests": []}}),
        ("import_pack", {"file_name": "own.jsonl", "text": "{}"}),
        ("preview_pack", {"file_name": "own.jsonl", "text": "{}"}),
        ("import_data_set", {"data_set": "owner/name"}),
        ("preview_data_set", {"data_set": "owner/name"}),
        ("sample", {"task": right["task"]}),
    ):
        with pytest.raises(Refused):
            page.ask(endpoint, **values)
    sent = httpx.post(f"{app}gradio_api/upload", files={"files": ("a.txt", b"x")}, trust_env=False)
    assert (sent.status_code, sent.text) == (403, "This page accepts no files.")


def test_the_runs_beside_it_are_not_there(page: Page) -> None:
    assert [one["name"] for one in page.ask("runs")] == ["shown"]
    with pytest.raises(Refused, match="shows one run only"):
        page.ask("compare_runs", other=BESIDE)
    for name in (BESIDE, "another"):
        with pytest.raises(Refused, match="This is a replay of one run"):
            page.result("call/v2/open_run", {"name": name})
    with pytest.raises(Refused, match="offers no archives"):
        page.ask("export_run")


def test_a_replay_of_one_s_own_still_has_its_neighbours(runs: Path, tmp_path: Path) -> None:
    with Workbench.replay(runs / "shown") as own:
        assert [one.name for one in own.runs()] == [BESIDE, "shown"] and own.runs_beside() == [BESIDE]
        assert own.compare_runs(BESIDE).runs[1].name == BESIDE
        assert own.export_run(tmp_path / "own.zip").stat().st_size > 0
    with Workbench.replay(runs / "shown", public=True) as public:
        assert [one.name for one in public.runs()] == ["shown"] and public.runs_beside() == []
        with pytest.raises(RunError, match="offers no archives"):
            public.export_run(tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()
