"""Extensions: registered by code or found by entry points; a broken one costs one sentence and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import plugins
from workbench.errors import PluginError, TaskError
from workbench.plugins import Registry
from workbench.records import Judgement, Task
from workbench.tasks import (
    Environment,
    PackFacts,
    find_pack,
    judge,
    known_environments,
    load_pack,
    pack_names,
    register_environment,
    register_pack,
    registry,
)
from workbench.tasks.drawing import held_out_tasks, train_tasks
from workbench.tasks.sandbox import SandboxResult

ROOT = Path(__file__).resolve().parents[1]
GROUP = "sdpo_workbench.environments"


class Loud(Environment):
    name = "loud"
    needs = "nothing"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        return self.judgement(text.isupper(), "Speak up.")


class Shouts:
    """A pack that makes its tasks."""

    name = "shouts"

    def train(self, count: int, seed: int = 0) -> list[Task]:
        return [Task(f"shouts/{seed}-{n}", f"Shout {seed} {n}.", "exact", {"text": "A"}) for n in range(count)]

    def held_out(self, count: int) -> list[Task]:
        return [Task(f"shouts/held-out-{n}", f"Shout then {n}.", "exact", {"text": "A"}) for n in range(min(count, 3))]

    def describe(self) -> PackFacts:
        return PackFacts("Shouting.", None, 3, ("exact",))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries in which nothing was registered by another test."""
    monkeypatch.setattr(plugins, "_REGISTRIES", [])
    for name in ("_ENVIRONMENTS", "_PACKS"):
        old = getattr(registry, name)
        fresh_registry = Registry(old.kind, old.group, old._accept, old._built_in.values())
        monkeypatch.setattr(registry, name, fresh_registry)


def distribution(folder: Path, name: str, group: str, **points: str) -> None:
    """Install the metadata of a package: its name and its entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("fresh")
def test_an_environment_of_one_s_own_judges_once_it_is_registered() -> None:
    task = Task("mine/one", "Shout.", "loud")
    with pytest.raises(TaskError, match="no environment named 'loud'"):
        judge(task, "HEY")
    assert register_environment(Loud) is Loud  # so that it can stand above a class
    assert judge(task, "HEY").passed and judge(task, "hey").feedback == "Speak up."
    assert [environment.name for environment in known_environments()][-1] == "loud"
    with pytest.raises(PluginError, match="already an environment named 'loud'"):
        register_environment(Loud())
    register_environment(Loud(), replace=True)
    for taken in ("exact", "person"):
        with pytest.raises(PluginError, match=f"already an environment named '{taken}'"):
            register_environment(type("Taken", (Loud,), {"name": taken}), replace=True)


@pytest.mark.usefixtures("fresh")
def test_a_pack_of_one_s_own_is_drawn_from_once_it_is_registered() -> None:
    with pytest.raises(TaskError, match="There is no pack 'shouts'"):
        find_pack("shouts")
    register_pack(Shouts())
    assert pack_names() == ["house-rules", "science", "tools", "programs", "shouts"]
    assert [task.id for task in train_tasks(find_pack("shouts"), 2, 7)] == ["shouts/7-0", "shouts/7-1"]
    assert len(held_out_tasks(find_pack("shouts"), 60)) == 3
    assert len(load_pack("shouts")) > 3


class NoTasks(Shouts):
    def train(self, count: int, seed: int = 0) -> list[Task]:
        return ["a", "b"]  # type: ignore[list-item]  # a mistake of its author


class OtherName(Shouts):
    def train(self, count: int, seed: int = 0) -> list[Task]:
        return [Task("elsewhere/1", "Shout.", "exact", {"text": "A"})]


class Raises(Shouts):
    def train(self, count: int, seed: int = 0) -> list[Task]:
        raise ConnectionError("nobody answers")


class NoAnswer(Shouts):
    def train(self, count: int, seed: int = 0) -> list[Task]:
        return [Task("shouts/1", "Shout.", "exact", {})]


class ByHand(Shouts):
    def train(self, count: int, seed: int = 0) -> list[Task]:
        return [Task("shouts/1", "Shout.", "person")]


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        (NoTasks(), "something other than a list of tasks"),
        (OtherName(), "ids must be shouts/NAME"),
        (Raises(), r"failed \(ConnectionError: nobody answers\)"),
        (NoAnswer(), "Judging by 'exact' needs text"),
        (ByHand(), "judged by a person"),
    ],
)
def test_a_pack_that_fails_later_is_one_sentence(pack: Shouts, says: str) -> None:
    with pytest.raises(TaskError, match=says) as caught:
        train_tasks(pack, 2)
    assert "\n" not in str(caught.value)


def broken(verdict: object) -> Environment:
    return type("Broken", (Loud,), {"verdict": lambda self, task, text, result: verdict})()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (broken(None), "returned no valid judgement for an attempt at 'p/t'"),
        (broken(Judgement(7.0, True, "")), "its reward is 7.0, and must be from 0 to 1"),
        (broken(Judgement(0.0, False, None)), "its feedback is not text"),  # type: ignore[arg-type]
        (broken(Judgement(0.0, False, "", {"a": object()})), "not JSON serializable"),
        (type("Raises", (Loud,), {"verdict": lambda self, task, text, result: 1 / 0}), "ZeroDivisionError"),
        (type("Asks", (Loud,), {"program": lambda self, task, text: task.answer["code"]}), "KeyError: 'code'"),
    ],
)
def test_a_verdict_that_fails_is_one_sentence(environment: object, says: str) -> None:
    register_environment(environment)
    with pytest.raises(TaskError, match=says) as caught:
        judge(Task("p/t", "Shout.", "loud"), "A")
    assert "'loud'" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.usefixtures("fresh")
def test_a_check_that_fails_says_what_the_answer_needs() -> None:
    class Between(Loud):
        name = "between"
        needs = 'two numbers, as {"low": 1, "high": 2}'

        def check(self, task: Task) -> None:
            self.require(task.answer["low"] < task.answer["high"])

    register_environment(Between)
    assert not judge(Task("p/t", "Shout.", "between", {"low": 1, "high": 2}), "a").passed
    for answer in ({"low": 2, "high": 1}, {"low": 1}, {"low": 1, "high": "a"}):
        with pytest.raises(TaskError, match=r"Judging by 'between' needs two numbers"):
            judge(Task("p/t", "Shout.", "between", answer), "a")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (object(), "of type object, and must be a subclass of"),
        ("text", "of type str"),
        (type("Nameless", (Loud,), {"name": ""}), "its name is ''"),
        (type("Spaced", (Loud,), {"name": "a b"}), "its name is 'a b'"),
        (type("Silent", (Environment,), {"name": "silent"}), "no method verdict"),
        (type("Short", (Loud,), {"verdict": lambda self, text: None}), r"cannot be called as verdict\(task, text, res"),
        (type("Asking", (Loud,), {"__init__": lambda self, model: None}), r"Asking\(\) cannot be created"),
    ],
)
def test_what_is_no_environment_is_refused(given: object, says: str) -> None:
    with pytest.raises(PluginError, match=says) as caught:
        register_environment(given)
    assert str(caught.value).startswith("This environment cannot be registered: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (object(), "its name is None"),
        (type("Named", (), {"name": "named"}), r"no method train\(count, seed\)"),
        (type("Seedless", (Shouts,), {"train": lambda self, count: []}), r"called as train\(count, seed\)"),
    ],
)
def test_what_is_no_pack_is_refused(given: object, says: str) -> None:
    with pytest.raises(PluginError, match=says):
        register_pack(given)


MODULE = """
from workbench.records import Judgement, Task
from workbench.tasks import Environment

class Good(Environment):
    name = "good"
    def verdict(self, task, text, result):
        return Judgement(1.0, True, "")

class Again(Good):
    name = "exact"

class Wrong(Good):
    name = "wrong"
    def verdict(self, text):
        return None

def leave():
    pass
"""
BROKEN = {
    "absent": ("no_such_module:Thing", "ModuleNotFoundError"),
    "missing": ("plugged:Nothing", "AttributeError"),
    "quits": ("quitting:Thing", "SystemExit"),
    "syntax": ("misspelt:Thing", "SyntaxError"),
    "twice": ("plugged:Again", "already an environment named 'exact'"),
    "kind": ("plugged:leave", "of type function"),
    "signature": ("plugged:Wrong", "cannot be called as verdict(task, text, result)"),
}


@pytest.fixture
def broken_plugins(tmp_path: Path) -> Path:
    """A folder of installed packages: one plugin that works among seven that do not."""
    folder = tmp_path / "site"
    points = {name: target for name, (target, _) in BROKEN.items()}
    distribution(folder, "strange", GROUP, works="plugged:Good", **points)
    (folder / "plugged.py").write_text(MODULE)
    (folder / "quitting.py").write_text("raise SystemExit(3)\n")
    (folder / "misspelt.py").write_text("class Thing(\n")
    distribution(folder, "packs", "sdpo_workbench.packs", sums="plugged:Good")
    return folder


def run(folder: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_a_broken_plugin_is_one_sentence_and_the_rest_works(broken_plugins: Path, tmp_path: Path) -> None:
    code = (
        "import json\n"
        "from workbench import plugins\n"
        "from workbench.records import Task\n"
        "from workbench.tasks import judge\n"
        "reward = judge(Task('p/t', 'Q', 'good'), 'x').reward\n"
        "print(json.dumps([reward, [[p.group, p.name, p.package, p.sentence] for p in plugins.problems()]]))\n"
    )
    done = run(broken_plugins, "-c", code, cwd=tmp_path)
    reward, problems = json.loads(done.stdout)
    assert reward == 1.0
    assert {(group, name, package) for group, name, package, _ in problems} == {
        *((GROUP, name, "strange") for name in BROKEN),
        ("sdpo_workbench.packs", "sums", "packs"),
    }
    for _, name, package, sentence in problems:
        assert f"plugin {name!r} of {package} was left out" in sentence and "\n" not in sentence
        assert name == "sums" or BROKEN[name][1] in sentence
    assert sorted(done.stderr.splitlines()) == sorted(sentence for *_, sentence in problems)


def test_the_command_line_says_it_and_goes_on(broken_plugins: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "environment": name, "answer": {"text": "A"}} for name in ("good", "exact")]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = run(broken_plugins, "-m", "workbench", "tasks", "mine.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 0 and [task["environment"] for task in json.loads(done.stdout)["tasks"]] == [
        "good",
        "exact",
    ]
    lines = done.stderr.splitlines()
    assert len(lines) == len(BROKEN) + 1 and all("was left out" in line for line in lines)


def test_nothing_is_loaded_on_import(broken_plugins: Path, tmp_path: Path) -> None:
    done = run(broken_plugins, "-c", "import sys, workbench.tasks\nprint('plugged' in sys.modules)", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("False\n", "")
