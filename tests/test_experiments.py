"""Experiments on the real embedded policy, as small as they can be and still be able to fail."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench
from workbench.benchmarks.programs import Program
from workbench.config import SDPOConfig
from workbench.errors import ConfigError
from workbench.experiments import credit_study
from workbench.experiments.arms import ABLATIONS, RECIPES, Arm, ablation, methods, stability
from workbench.experiments.gate_study import FEEDBACK
from workbench.experiments.journal import Journal, read
from workbench.experiments.learn import LearnPoint, to_json
from workbench.experiments.localise import Located, localise, locate, wrong_tokens
from workbench.experiments.resuming import how_far, resume
from workbench.experiments.settings import (
    LEARN_DEFAULTS,
    LOSSES,
    CreditStudySettings,
    GateStudySettings,
    LearnSettings,
    UpdateStudySettings,
)
from workbench.records import Attempt
from workbench.runs import Run

ROOT = Path(__file__).resolve().parents[1]
SMALL = LearnSettings(rounds=2, questions=2, attempts=4, held_out=4, measure_every=2)
ONE_STEP = SDPOConfig(steps=1)


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """One policy for the tests that leave it as it was, or say in which state they begin."""
    with Workbench.open(tmp_path_factory.mktemp("experiments") / "run") as opened:
        yield opened


@pytest.mark.parametrize(
    ("attempt", "right", "wrong"),
    [
        ([1, 2, 3], [1, 2, 3], [False, False, False]),
        ([1, 9, 3], [1, 2, 3], [False, True, False]),  # another token
        ([1, 9, 2, 3], [1, 2, 3], [False, True, False, False]),  # one too many
        ([1, 3], [1, 2, 3], [False, True]),  # one missing: what stands in its place
    ],
)
def test_wrong_tokens_are_those_that_differ_by_alignment(
    attempt: list[int], right: list[int], wrong: list[bool]
) -> None:
    assert wrong_tokens(attempt, right) == wrong


def test_blame_is_measured_against_the_wrong_tokens() -> None:
    wrong = [False, True, True, False]
    assert locate([0.0, 1.0, 3.0, 2.0], wrong) == Located(0.75, 1.0, 0.0)
    assert locate([0.0, 0.0, 0.0, 0.0], wrong) == Located(0.5, 0.5, 0.25)  # a constant finds what chance finds
    choices = [False, True, True, True]
    assert locate([9.0, 1.0, 3.0, 2.0], wrong, choices).auroc_choices == 0.5  # the first token chooses nothing
    assert locate([0.0, 1.0, 3.0, 2.0], wrong, wrong).auroc_choices is None


def test_negative_credit_finds_the_wrong_token(tmp_path: Path) -> None:
    """A constant credit would give 0.5 and find nothing; the sign of the credit turned round would give about 0."""
    with Workbench.open(tmp_path / "run") as workbench:
        located = localise(workbench, "remark", count=8)
        assert located["programs"] == 8
        assert located["auroc"] > 0.9 and located["worst_is_wrong"] >= 0.75
        with pytest.raises(ConfigError, match="no kind of evidence"):
            localise(workbench, "gossip")


def test_a_learning_run_yields_a_point_per_round_and_updates_the_policy(workbench: Workbench) -> None:
    workbench.checkout("root")
    points = list(workbench.learn("house-rules@11:remark", settings=SMALL))
    assert [point.round for point in points] == [0, 1, 2]
    assert [point.generations for point in points] == [0, 8, 16]
    assert points[0].held_out is not None and points[1].held_out is None and points[2].held_out is not None
    assert workbench.head == points[2].update_id != "root"
    assert to_json(points[2])["held_out"]["total"] == 4
    assert points[0].kl_to_base == pytest.approx(0.0, abs=1e-5) and points[2].kl_to_base > 1e-4


def test_arms_begin_alike_and_none_stays_in_force(workbench: Workbench) -> None:
    workbench.checkout("root")
    arms = [Arm("silent", SDPOConfig(steps=1), "none"), Arm("grpo", SDPOConfig(method="grpo", steps=1), attempts=2)]
    settings = LearnSettings(rounds=1, questions=2, attempts=4, held_out=2, measure_every=0)
    points = {
        (point.arm, point.round): point
        for point in workbench.compare_learning(arms, "house-rules@11:remark", settings=settings)
    }
    assert workbench.head == "root"
    start, other_start = points["silent", 0], points["grpo", 0]
    assert (start.held_out, start.entropy, start.update_id) == (other_start.held_out, other_start.entropy, "root")
    groups: dict[str, int] = {}
    for attempt in workbench.attempts()[-8:]:
        groups[attempt.group_id] = groups.get(attempt.group_id, 0) + 1
    assert list(groups.values()) == [2, 2, 2, 2]  # the same 8 attempts a round, in groups of 2
    silent = [attempt for attempt in workbench.attempts()[-16:-8] if not attempt.passed]
    assert silent and all(attempt.feedback == "" for attempt in silent)


def test_every_ablation_has_arms_that_differ(workbench: Workbench) -> None:
    for name in ABLATIONS:
        arms = ablation(name, SDPOConfig(steps=1))
        assert len({arm.name for arm in arms}) == len(arms) > 1
        assert len({json.dumps(asdict(arm) | {"name": ""}) for arm in arms}) == len(arms)
    defaults, longer, live = stability(SDPOConfig(steps=3))
    assert defaults.config == SDPOConfig(steps=3)
    assert longer.config == replace(defaults.config, learning_rate=3e-3)  # three times what steps alone imply
    assert live.config == replace(defaults.config, teacher="live", kl_limit=None)
    with pytest.raises(ConfigError, match="no ablation 'luck'"):
        ablation("luck", SDPOConfig())


def test_methods_are_compared_each_at_its_best_or_all_alike() -> None:
    given = SDPOConfig(learning_rate=2e-3, steps=2)
    best = {arm.name: arm for arm in methods(given)}
    assert (best["grpo"].attempts, best["grpo"].config.steps) == (RECIPES["grpo"].attempts, RECIPES["grpo"].steps)
    assert best["sdpo"].config == SDPOConfig(learning_rate=3e-3, steps=8)  # the recipe of a short run
    alike = methods(given, alike=True)
    assert {(arm.attempts, arm.config.steps, arm.config.learning_rate) for arm in alike} == {(None, 2, 2e-3)}
    assert [arm.config.method for arm in alike] == list(best) == list(RECIPES)


def test_a_stopped_step_counts_for_nothing(workbench: Workbench) -> None:
    workbench.checkout("root")
    stop, points = threading.Event(), []
    for point in workbench.learn("house-rules@11:remark", settings=SMALL, config=ONE_STEP, name="stopped", stop=stop):
        points.append(point)
        if point.round == 1:
            stop.set()
    assert [point.round for point in points] == [0, 1]
    assert len(read(workbench.events())["stopped"].arms["sdpo"]) == 2


def test_what_was_stopped_goes_on_with_its_own_settings(workbench: Workbench) -> None:
    workbench.checkout("root")
    arms = [Arm("sdpo", SDPOConfig(steps=1, learning_rate=1e-3)), Arm("grpo", SDPOConfig(method="grpo", steps=1))]
    settings = LearnSettings(rounds=1, questions=1, attempts=4, held_out=2)
    stop = threading.Event()
    points = workbench.compare_learning(arms, "house-rules@11:remark", settings=settings, name="half", stop=stop)
    first = next(points)
    stop.set()
    assert list(points) == [] and how_far(workbench.experiments()["half"]) == (0, 2, "rounds")
    resumed = list(workbench.resume("half"))
    assert resumed[0] == first and [(point.arm, point.round) for point in resumed] == list(
        itertools.product(("sdpo", "grpo"), (0, 1))
    )
    assert workbench.experiments()["half"].settings["arms"][0]["config"]["learning_rate"] == 1e-3
    assert how_far(workbench.experiments()["half"]) == (2, 2, "rounds") and workbench.head == "root"
    assert list(workbench.resume("half")) == resumed  # finished: nothing is made again
    with pytest.raises(ConfigError, match="no experiment 'none'"):
        workbench.resume("none")


def test_a_killed_comparison_leaves_the_policy_where_it_was(workbench: Workbench, tmp_path: Path) -> None:
    """The log as a kill in the middle of an arm leaves it, opened again; then what a person does there stays."""
    workbench.checkout("root")
    arms = [Arm("sdpo", SDPOConfig(steps=1)), Arm("grpo", SDPOConfig(method="grpo", steps=1))]
    settings = LearnSettings(rounds=1, questions=1, attempts=4, held_out=2)
    points = workbench.compare_learning(arms, "house-rules@12:remark", settings=settings, name="killed")
    led = [next(points).update_id, next(points).update_id][-1]
    assert workbench.head == led != "root"
    shutil.copytree(workbench.run.path, tmp_path / "killed")
    points.close()  # type: ignore[attr-defined]  # a generator: what drops it does the same
    assert workbench.head == "root"
    with Workbench.open(tmp_path / "killed") as opened:
        assert opened.head == "root" and len(opened.timeline()) > 1
        opened.checkout(led)
    with Workbench.open(tmp_path / "killed") as opened:
        assert opened.head == led
        assert [(point.arm, point.round) for point in opened.resume("killed")] == list(
            itertools.product(("sdpo", "grpo"), (0, 1))
        )
        assert opened.head == led


def test_a_name_resumes_only_the_same_settings(workbench: Workbench) -> None:
    workbench.checkout("root")
    journal = Journal(workbench, "numbers", {"size": 1}, kind="test", seed=0)
    drawn: list[float] = []

    def work(step: int) -> dict[str, Any]:
        import torch

        drawn.append(float(torch.rand(1, generator=workbench.policy.generator)))
        return {"drawn": drawn[-1]}

    first = list(journal.run_arm("a", 2, work))
    again = Journal(workbench, "numbers", {"size": 1}, kind="test", seed=0)
    assert list(again.run_arm("a", 2, work)) == first and len(drawn) == 2  # nothing is made again
    other_arm = list(again.run_arm("b", 2, work))
    assert [point.data for point in other_arm] == [point.data for point in first]  # the same random numbers
    assert drawn[0] != drawn[1]
    with pytest.raises(ConfigError, match="size 1, not 2"):
        Journal(workbench, "numbers", {"size": 2}, kind="test", seed=0)


def _comparable(point: LearnPoint) -> dict[str, Any]:
    """Data that must not depend on a kill: all but ids and times."""
    return asdict(point) | {"update_id": None, "seconds_s": None}


def test_a_killed_experiment_has_the_points_of_one_that_was_not(tmp_path: Path) -> None:
    """SIGKILL in the middle of the second round, after an attempt of it and before its point is on disk."""
    command = ["-m", "workbench", "learn", "house-rules@11:remark", "--rounds", "2", "--questions", "2"]
    command += ["--attempts", "4", "--held-out", "4", "--measure-every", "2", "--steps", "1", "--json"]
    command += ["--run", str(tmp_path / "run")]
    program = Program(command, tmp_path / "printed")

    def in_the_second_round() -> bool:
        kinds = [json.loads(line).get("kind") for line in program.lines()]
        points = [place for place, kind in enumerate(kinds) if kind == "point"]
        return len(points) >= 2 and "attempt" in kinds[points[1] :]

    assert program.wait_until(in_the_second_round) and program.kill()
    with Run.open(tmp_path / "run", read_only=True) as run:
        assert len(read(run.events())["learn"].arms["sdpo"]) == 2
    with Workbench.open(tmp_path / "run") as killed:
        resumed = list(killed.learn("house-rules@11:remark", settings=SMALL, config=ONE_STEP, name="learn"))
    with Workbench.open(tmp_path / "whole") as whole:
        straight = list(whole.learn("house-rules@11:remark", settings=SMALL, config=ONE_STEP, name="learn"))
    assert [_comparable(point) for point in resumed] == [_comparable(point) for point in straight]
    assert straight[-1].loss is not None


def test_a_hard_task_is_searched_by_every_method(workbench: Workbench) -> None:
    workbench.checkout("root")
    screened = list(workbench.hard_tasks(1, stages=(5,), attempts=40, name="screen"))
    assert all(task.pass_rate.total == 40 for task in screened) and [task.is_hard for task in screened].count(True) == 1
    hard = screened[-1]
    assert hard.is_hard and hard.task.prompt.count("then") >= 4
    methods = ("sdpo", "best_of_k", "multi_turn", "multi_turn_feedback")
    points = list(workbench.discover(hard, methods, budget=6, group=3, name="searched"))
    ends = {point.method: point for point in points if point.done}
    assert list(ends) == list(methods) and workbench.head == "root"
    for method, end in ends.items():
        verdicts = [attempt.passed for attempt in _attempts_of(workbench, f"{method} {hard.task.id}")]
        assert len(verdicts) == end.generations <= 6 and (end.found_at is None) == (True not in verdicts)
        assert end.found_at is None or verdicts.index(True) + 1 == end.found_at
    if ends["sdpo"].generations == 6:  # nothing in the first group: the second was drawn after an update
        first, second = (attempt.update_id for attempt in _attempts_of(workbench, f"sdpo {hard.task.id}")[2:4])
        assert first == "root" != second
    turns = _attempts_of(workbench, f"multi_turn {hard.task.id}")
    for earlier, later in itertools.pairwise(turns):  # the prompt grows by what was tried
        assert len(later.prompt_ids) > len(earlier.prompt_ids)
        assert earlier.text in workbench.policy.tokenizer.decode(list(later.prompt_ids))
    again = list(workbench.discover(hard, methods, budget=6, group=3, name="searched"))
    assert again == points == list(workbench.resume("searched"))
    assert list(workbench.resume("screen")) == screened
    known = workbench.experiments()
    assert how_far(known["searched"]) == (24, 24, "attempts") and how_far(known["screen"]) == (1, 1, "hard tasks")
    with pytest.raises(ConfigError, match="no discovery method 'luck'"):
        list(workbench.discover(hard, ("luck",)))


def test_conversations_go_on_side_by_side_and_after_a_stop(workbench: Workbench) -> None:
    """Every turn is made at all tasks at once, each after what was tried at its own; a stop changes nothing."""
    workbench.checkout("root")
    tasks = workbench.tasks("house-rules@300000:examples")[-2:]
    stop, before = threading.Event(), []
    for point in workbench.discover(tasks, ("multi_turn",), budget=4, name="talk", stop=stop):
        before.append(point)
        if point.generations == 2:
            stop.set()
    assert max(point.generations for point in before) == 2  # the step that was under way is whole
    resumed = list(workbench.resume("talk"))
    straight = list(workbench.discover(tasks, ("multi_turn",), budget=4, name="talk again"))

    def by_task(points: list) -> list:
        return sorted((_comparable(point) for point in points), key=lambda one: (one["task_id"], one["generations"]))

    assert by_task(resumed) == by_task(straight) and workbench.head == "root"
    assert [point.task_id for point in straight[:2]] == [task.id for task in tasks]
    for task in tasks:
        for earlier, later in itertools.pairwise(_attempts_of(workbench, f"multi_turn {task.id}", "talk again")):
            read_by_later = workbench.policy.tokenizer.decode(list(later.prompt_ids))
            assert earlier.text in read_by_later and task.prompt in read_by_later


def _attempts_of(workbench: Workbench, arm: str, search: str = "searched") -> list[Attempt]:
    """The attempts of an arm of the search, in order."""
    known = {attempt.id: attempt for attempt in workbench.attempts()}
    points = read(workbench.events())[search].arms[arm]
    return [known[attempt_id] for point in points for attempt_id in point.data["attempts"]]


def test_the_study_of_credit_reads_programs_in_every_way(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit_study, "LEARN_DEFAULTS", replace(LEARN_DEFAULTS, questions=2))  # a round that is quick
    workbench.checkout("root")
    settings = CreditStudySettings(programs=2, rounds=1, programs_per_teacher=1, tests=1, continuations=2)
    points = list(workbench.study_credit(settings, name="credit"))
    arms = {arm: [point for point in points if point.arm == arm] for arm in dict.fromkeys(p.arm for p in points)}
    assert list(arms) == ["views", *(f"teacher {name}" for name in ("frozen", "trust_region", "ema", "live")), "causal"]
    programs = arms["views"][0].data["programs"]
    assert len(programs) == 2
    for program in programs:
        assert program.keys() == {"remark", "demonstration", "examples", "own words"}
        assert program["remark"]["raw"]["auroc"] > program["remark"]["grpo"]["auroc"] == 0.5
        assert {"centred", "control", "divergence", "random", "low probability"} <= program["remark"].keys()
    among = [program["remark"]["raw"]["auroc_choices"] for program in programs]
    assert any(among) and all(value is None or value >= 0.5 for value in among)  # the wrong one of two is blamed
    frozen = arms["teacher frozen"]
    assert frozen[0].data == {"programs": [], "learned": True} and frozen[0].update_id == frozen[1].update_id != "root"
    exchanged = arms["causal"][-1].data["exchanged"]
    assert exchanged and all(-1 <= token["change"] <= 1 for token in exchanged) and workbench.head == "root"
    assert exchanged[0]["credit"] == min(token["credit"] for token in exchanged)


def test_the_study_of_updates_makes_each_from_one_state(workbench: Workbench) -> None:
    workbench.checkout("root")
    settings = UpdateStudySettings(groups=1, attempts=3, learning_rates=(2e-3,))
    (point,) = workbench.study_update(settings, name="update")
    assert point.update_id == workbench.head == "root" and [entry["loss"] for entry in point.data["updates"]] == list(
        LOSSES
    )
    measured = [entry for entry in point.data["updates"] if "refused" not in entry]
    assert measured and all(0.0 <= entry["agreement"] <= 1.0 and entry["kl_to_before"] > 0.0 for entry in measured)
    nodes = [node for node in workbench.timeline() if node.parent_id == "root"][-len(measured) :]
    assert [node.report.side_effects.kl_to_before for node in nodes if node.report] == [
        entry["kl_to_before"] for entry in measured
    ]


def test_the_study_of_the_gate_compares_each_verdict_with_what_was_measured(workbench: Workbench) -> None:
    """Feedback of the environment, and feedback that belongs to another house; the policy stays where it is."""
    workbench.checkout("root")
    points = list(workbench.study_gate(GateStudySettings(updates=2, attempts=4, samples=8), name="gate"))
    assert [point.data["feedback"] for point in points] == list(FEEDBACK)[:2] and workbench.head == "root"
    for point in points:
        gate, lift = point.data["gate"], point.data["lift"]
        assert gate["attempts"] == lift["attempts"] and gate["teacher"]["total"] % gate["attempts"] == 0
        assert 8 <= lift["teacher"]["total"] == lift["student"]["total"] < 8 + lift["attempts"]
        assert gate["verdict"] in ("better", "not better", "unknown") and gate["tokens"] > 0
    assert points[0].data["gate"]["verdict"] == "better"
    assert how_far(workbench.experiments()["gate"]) == (2, 2, "updates")
    assert list(resume(workbench, "gate")) == points  # finished: nothing is measured again
