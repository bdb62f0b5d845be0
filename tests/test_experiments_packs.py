"""Experiments on a pack of one's own: a JSONL file of Python tests that the embedded policy sometimes passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import own_pack
import pytest

from workbench import Workbench
from workbench.config import SDPOConfig
from workbench.errors import ConfigError, PolicyError, TaskError
from workbench.experiments import learn as learning
from workbench.experiments.arms import Arm, ablation
from workbench.experiments.learn import to_json
from workbench.experiments.resuming import how_far
from workbench.experiments.settings import CreditStudySettings, LearnSettings, UpdateStudySettings
from workbench.records import Task
from workbench.session.held_out_rates import HELD_OUT
from workbench.statistics import HeldOut
from workbench.tasks import TaskPack
from workbench.tasks.drawing import feedback_kinds

README = Path(__file__).resolve().parents[1] / "README.md"
SMALL = LearnSettings(rounds=1, questions=2, attempts=4, held_out=60)
ONE_STEP = SDPOConfig(steps=1)


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("packs") / "run") as opened:
        yield opened


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve tasks, of which two are held out."""
    return str(own_pack.write(tmp_path_factory.mktemp("files") / "mine.jsonl", *own_pack.rows(12)))


def test_the_three_lines_of_the_readme_learn_from_one_s_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = [block for block in blocks if "mine.jsonl" in block]
    assert len(lines.strip().splitlines()) == 3
    own_pack.write(tmp_path / "mine.jsonl", *own_pack.rows(12))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(learning, "LearnSettings", partial(replace, SMALL))  # a round that is quick
    names: dict = {"Workbench": Workbench}
    exec(compile(lines, "README.md", "exec"), names)
    with names["wb"] as opened:
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == 2 and all(re.match(r"\d of 2 pass, .*60 were requested", line) for line in printed)
        report = opened.timeline()[-1].report
        assert report is not None and report.loss_before > 0  # it learned from the tests' own feedback
        assert {attempt.task_id.partition("/")[0] for attempt in opened.attempts()} == {"mine"}
        assert any(attempt.passed for attempt in opened.attempts()) and opened.pack == "mine"


def test_a_file_is_learned_and_its_held_out_rows_are_never_trained_on(workbench: Workbench, mine: str) -> None:
    workbench.checkout("root")
    pack = workbench.open_pack(mine)
    held_out = {task.id for task in pack.held_out(99)}
    before = len(workbench.attempts())
    points = list(workbench.learn(mine, settings=replace(SMALL, rounds=2, questions=7), config=ONE_STEP, name="mine"))
    assert [point.generations for point in points] == [0, 28, 56]
    trained = [attempt.task_id for attempt in workbench.attempts()[before:]]
    assert not held_out & set(trained) and len(set(trained)) == 10  # 14 tasks in all: four of the ten were seen again
    assert all(trained.count(task_id) <= 8 for task_id in trained)
    assert [(point.held_out.total, point.held_out.requested) for point in points if point.held_out] == [(2, 60)] * 3
    assert to_json(points[0])["held_out"]["requested"] == 60
    rates = workbench.held_out_rates()["mine"]
    assert rates[points[-1].update_id] == points[-1].held_out and workbench.pack == "mine"
    events = [event.data for event in workbench.events() if event.kind == HELD_OUT]
    assert events[-1]["pack"] == "mine" and events[-1]["requested"] == 60
    assert workbench.held_out() == points[-1].held_out  # the pack that the run works in


def test_an_experiment_goes_on_without_the_file_but_not_on_other_tasks(workbench: Workbench, tmp_path: Path) -> None:
    workbench.checkout("root")
    path = own_pack.write(tmp_path / "brief.jsonl", *own_pack.rows(6))
    settings = replace(SMALL, questions=1)
    points = workbench.learn(str(path), settings=settings, config=ONE_STEP, name="brief")
    first = next(points)
    points.close()  # type: ignore[attr-defined]  # a generator
    path.unlink()
    resumed = list(workbench.resume("brief"))
    assert resumed[0] == first and [point.round for point in resumed] == [0, 1]
    workbench.add_task(prompt="Write f(xs): sort.", environment="exact", answer={"text": "x"}, pack="brief")
    with pytest.raises(ConfigError, match="begun with other settings"):
        list(workbench.resume("brief"))


def test_the_feedback_of_any_environment_with_kinds_is_ablated(workbench: Workbench, mine: str) -> None:
    workbench.checkout("root")
    kinds = feedback_kinds(workbench.open_pack(mine))
    arms = ablation("feedback", ONE_STEP, kinds=kinds)
    names = [name for kind in kinds for name in (kind, f"{kind} and own solution")]
    assert set(kinds) == {"format", "error", "timeout", "example", "outcome"}
    assert [arm.name for arm in arms if arm.name != "the same and the failed attempt"] == ["own solution", *names]
    chosen = [arm for arm in arms if arm.name in ("own solution", "example")]
    points = list(workbench.compare_learning(chosen, mine, settings=replace(SMALL, measure_every=0)))
    assert workbench.head == "root" and [point.arm for point in points] == ["own solution"] * 2 + ["example"] * 2
    assert points[0].held_out == points[2].held_out  # the same tasks, whatever is said of the others
    feedback_by_arm = {
        kind: [attempt for attempt in workbench.attempts() if attempt.task_id.startswith(f"mine:{kind}/")]
        for kind in ("none", "example")
    }
    assert len(feedback_by_arm["none"]) == len(feedback_by_arm["example"]) == 8
    failed = [attempt for attempt in feedback_by_arm["none"] if not attempt.passed]
    assert failed and not any(attempt.feedback for attempt in failed)
    assert any("expected" in attempt.feedback for attempt in feedback_by_arm["example"])
    assert workbench.pack == "mine"  # the kind of feedback is no other pack


def test_hard_tasks_of_a_file_are_found_and_searched(workbench: Workbench, tmp_path: Path) -> None:
    workbench.checkout("root")
    impossible = {"function": "f", "args": [[1]], "expected": "never"}
    row = own_pack.rows(1)[0]
    hopeless = {**row, "prompt": "Write f(xs): add up.", "answer": {"tests": [impossible]}}
    path = str(own_pack.write(tmp_path / "hard.jsonl", *own_pack.rows(3), hopeless))
    screened = list(workbench.hard_tasks(4, pack=path, attempts=4, name="hard"))
    assert {task.task.id.partition("/")[0] for task in screened} == {"hard"} and len(screened) == 4
    hard = [task for task in screened if task.is_hard]
    assert hopeless["prompt"] in [task.task.prompt for task in hard] and len(hard) < 4
    count = len(hard)
    assert how_far(workbench.experiments()["hard"]) == (count, count, "hard tasks")  # there are no more: finished
    assert list(workbench.resume("hard")) == screened
    (hardest,) = [hardest for hardest in hard if hardest.task.prompt == hopeless["prompt"]]
    points = list(workbench.discover(hardest, ("sdpo", "best_of_k"), budget=4, group=2))
    assert [(point.method, point.found_at) for point in points if point.done] == [("sdpo", None), ("best_of_k", None)]


def test_updates_are_studied_on_a_file(workbench: Workbench, mine: str) -> None:
    workbench.checkout("root")
    settings = UpdateStudySettings(groups=1, attempts=3, learning_rates=(2e-3,))
    (point,) = workbench.study_update(settings, pack=mine, name="update-mine")
    trained = {task.prompt for task in workbench.open_pack(mine).train(99)}
    assert point.data["task"] in trained and len(point.data["updates"]) == 10 and workbench.head == "root"
    assert list(workbench.resume("update-mine")) == [point]


def person(number: int) -> Task:
    return Task(f"asked/{number}", f"Say {number}.", "person")


def exact(number: int, pack: str = "plain") -> Task:
    return Task(f"{pack}/{number}", f"Say {number}.", "exact", {"text": "x"})


def test_what_cannot_be_measured_is_refused_before_anything_is_sampled(workbench: Workbench, tmp_path: Path) -> None:
    workbench.checkout("root")
    missing = [replace(exact(n, "lost"), environment="model", answer={"model": str(tmp_path / "no")}) for n in range(4)]
    plain = TaskPack("plain", [exact(n) for n in range(5)])
    lone, lost = TaskPack("lone", [exact(0, "lone")]), TaskPack("lost", missing)
    by_hand = TaskPack("asked", [person(n) for n in range(5)])
    silent = [Arm("a", ONE_STEP, "none")]
    refused = [
        (lambda: workbench.learn(lone, settings=SMALL), TaskError, "'lone' has no held-out tasks"),
        (lambda: workbench.learn(by_hand, settings=SMALL), TaskError, "'asked/.' is judged by a person"),
        (lambda: workbench.learn(lost, settings=SMALL), PolicyError, "The judge cannot be loaded"),
        (lambda: workbench.learn("nonsense"), TaskError, "There is no pack 'nonsense'"),
        (lambda: workbench.compare_learning(silent, plain), TaskError, "'exact' has no kinds"),
        (lambda: workbench.hard_tasks(1, pack=by_hand), TaskError, "judged by a person"),
        (lambda: workbench.hard_tasks(1, pack=plain, feedback="remark"), TaskError, "'exact' has no kinds"),
        (lambda: workbench.discover([person(1)]), TaskError, "judged by a person"),
        (lambda: workbench.discover(missing), PolicyError, "The judge cannot be loaded"),
        (lambda: workbench.study_update(pack=lost), PolicyError, "The judge cannot be loaded"),
        (lambda: workbench.study_credit(CreditStudySettings(), pack="plain"), TaskError, "wrong tokens are known"),
    ]  # fmt: skip
    sampled, known = len(workbench.attempts()), set(workbench.experiments())
    for ask, kind, says in refused:
        with pytest.raises(kind, match=says) as caught:
            list(ask())
        assert "\n" not in str(caught.value)
    for pack in (lone, by_hand, lost):
        with pytest.raises((TaskError, PolicyError)):
            workbench.held_out(pack)
    assert len(workbench.attempts()) == sampled and set(workbench.experiments()) == known


def test_a_rate_says_where_fewer_tasks_were_there() -> None:
    assert HeldOut(1, 2).to_json().keys() == {"passed", "total", "rate", "low", "high"}
    assert HeldOut(1, 2, 60).to_json()["requested"] == 60
    assert "60 were requested" in str(HeldOut(1, 2, 60)) and "requested" not in str(HeldOut(1, 2))
