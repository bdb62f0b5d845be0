"""Experiments as the page makes them: one job each on the real policy, stopped, resumed, drawn. No browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import own_pack
import pytest

from workbench import Workbench
from workbench.config import SDPOConfig
from workbench.errors import ConfigError, StoppedError, TaskError, WorkbenchError
from workbench.experiments import credit_study
from workbench.experiments.arms import COMPARISONS
from workbench.experiments.journal import Point, Record
from workbench.experiments.settings import (
    DISCOVERY_METHODS,
    LEARN_DEFAULTS,
    TEST_TIME,
    CreditStudySettings,
    DiscoverySettings,
    LearnSettings,
    UpdateStudySettings,
)
from workbench.service import make_queue
from workbench.service.actions.discovery import at_test_time, discover, found_hard, hard_tasks
from workbench.service.actions.experiments import resume_experiment
from workbench.service.actions.learning import learn
from workbench.service.actions.round import sample, update
from workbench.service.actions.studies import study_credit, study_update
from workbench.service.actions.tasks import add_task, import_pack
from workbench.service.experiment_job import progress_of
from workbench.service.job import AHEAD
from workbench.service.queue import JobQueue
from workbench.ui.choices import COMPARED, DISCOVERY, FEEDBACK_KINDS
from workbench.ui.tabs import studies
from workbench.ui.tabs.discover import as_python as race_code
from workbench.ui.tabs.experiments import REPORTS, Mark, alarms, race, tables, weight
from workbench.ui.tabs.learn import as_python, chosen_pack, planned

WAIT_S = 300.0
SHAPE = {"rounds": 1, "questions": 1, "attempts": 4, "held_out": 2, "measure_every": 1}
PACK = "house-rules@11:remark"


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobQueue]:
    """The page's queue on the real embedded policy."""
    run = tmp_path_factory.mktemp("runs") / "experiments"
    queue = make_queue(lambda: Workbench.open(run)).start()
    assert queue.settled.wait(WAIT_S) and queue.status == "ready"
    yield queue
    queue.close()


def learnt(queue: JobQueue, methods: list[str], **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = learn(
        queue, PACK, methods, **SHAPE, config=SDPOConfig(steps=1), alike=True, **options
    ).result(WAIT_S)
    return made


def test_methods_are_compared_and_the_policy_is_afterwards_where_it_was(queue: JobQueue) -> None:
    head = queue.state.head
    progress = learnt(queue, ["sdpo", "grpo"], name=" both ")
    assert (progress["name"], progress["done"], progress["total"], progress["finished"]) == ("both", 2, 2, True)
    assert [arm["config"]["steps"] for arm in progress["settings"]["arms"]] == [1, 1]
    state = queue.state
    assert state.head == head == queue.workbench.head and state.experiment == ""
    assert PACK in state.tasks and len(state.timeline) > 1  # as after opening the run again
    assert {node.name for node in state.timeline if node.parent_id} == {"both sdpo", "both grpo"}
    assert queue.workbench.run.timeline.branch == "main"  # what a person does next is not the experiment's
    report = REPORTS.of(Mark(("run", "both", 4), state.experiments["both"]))
    assert len(report.figures) == 4 and [row[0] for row in tables(report)[0]["rows"]] == ["sdpo", "grpo"]
    with pytest.raises(ConfigError, match="begun with other settings"):
        learnt(queue, ["sdpo"], name="both")
    assert queue.state.head == head
    with pytest.raises(ConfigError, match="is finished"):
        resume_experiment(queue, "both")


def test_one_way_of_learning_stays_in_force_and_a_stopped_one_goes_on(queue: JobQueue) -> None:
    """Stopped in its second step: what that step has left behind is not in force."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(event: Any) -> None:
        if event.kind == "update":  # the first round's step is made, its point is not
            reached.set()
            go_on.wait(WAIT_S)

    queue.workbench.run.add_listener(pause)
    shape = {**SHAPE, "attempts": 8}  # so many that one of them fails, and gives signal
    job = learn(queue, PACK, ["sdpo"], **shape, config=SDPOConfig(steps=1), name="one", seed=3, alike=True)
    assert reached.wait(WAIT_S) and queue.state.experiment == "one"
    assert queue.stop(job.number)
    go_on.set()
    stopped = job.result(WAIT_S)
    assert (stopped["done"], stopped["finished"]) == (0, False)
    assert queue.state.head == queue.state.experiments["one"].start
    resumed = resume_experiment(queue, "one").result(WAIT_S)
    assert (resumed["done"], resumed["finished"]) == (1, True)
    last = queue.state.experiments["one"].arms["sdpo"][-1]
    assert queue.state.head == last.update_id != queue.state.experiments["one"].start


def test_an_ablation_has_arms_and_a_name_of_its_own(queue: JobQueue) -> None:
    job = learn(queue, PACK, [], **{**SHAPE, "attempts": 2}, config=SDPOConfig(steps=1), compared="topk")
    progress = job.result(WAIT_S)
    assert progress["finished"] and progress["name"] == "ablate-topk-1"
    ks = [arm["config"]["distillation_topk"] for arm in progress["settings"]["arms"]]
    assert ks == [1, 5, 20, 100] and {arm["config"]["steps"] for arm in progress["settings"]["arms"]} == {1}


def test_an_imported_pack_is_learned_and_a_file_of_the_machine_is_not(queue: JobQueue, tmp_path: Path) -> None:
    path = own_pack.write(tmp_path / "mine.jsonl", *own_pack.rows(6))
    config, few = SDPOConfig(steps=1), {**SHAPE, "held_out": 1}
    for secret in (str(path), f"{path}:none", "mine.jsonl"):
        with pytest.raises(TaskError, match="There is no pack"):
            learn(queue, secret, ["sdpo"], **few, config=config)
    import_pack(queue, "mine.jsonl", path.read_text()).result(WAIT_S)
    progress = learn(queue, "mine", ["sdpo"], **few, config=config, alike=True).result(WAIT_S)
    assert progress["finished"] and progress["settings"]["pack"] == queue.state.pack == "mine"
    assert {rate.total for rate in queue.state.held_out["mine"].values()} == {1}
    add_task(queue, "Say yes.", "exact", {"text": "yes"}, "plain").result(WAIT_S)
    add_task(queue, "Say no.", "exact", {"text": "no"}, "plain").result(WAIT_S)
    with pytest.raises(TaskError, match="judged by exact, without kinds of feedback"):
        learn(queue, "plain", [], **few, config=config, compared="feedback")


def test_a_study_of_updates_leaves_the_policy_alone(queue: JobQueue) -> None:
    home = queue.state.head
    settings = UpdateStudySettings(1, 2, (2e-3,))
    progress = study_update(queue, 1, 2, "0.002").result(WAIT_S)
    assert (progress["name"], progress["done"], progress["total"], progress["unit"]) == (
        "study-update-1",
        1,
        1,
        "groups",
    )
    record = queue.state.experiments["study-update-1"]
    (updates,) = (point.data["updates"] for points in record.arms.values() for point in points)
    assert len(updates) == settings.updates == 10 and queue.state.head == home
    (table,) = tables(REPORTS.of(Mark(("run", record.name, 1), record)))
    assert [row[0] for row in table["rows"]] == [update["loss"] for update in updates]


def test_a_study_of_credit_is_counted_stopped_and_resumed_as_it_was_begun(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the first round of a teacher: the programs that were read before are kept."""
    monkeypatch.setattr(credit_study, "LEARN_DEFAULTS", replace(LEARN_DEFAULTS, questions=2))  # a round that is quick
    reached, go_on = threading.Event(), threading.Event()
    home = queue.state.head

    def pause(event: Any) -> None:
        if event.kind == "update" and not go_on.is_set():
            reached.set()
            go_on.wait(WAIT_S)

    queue.workbench.run.add_listener(pause)
    job = study_credit(queue, 2, 1, 1, 1, 1, name="credit")
    assert reached.wait(WAIT_S) and queue.stop(job.number)
    go_on.set()
    stopped = job.result(WAIT_S)
    assert (stopped["done"], stopped["total"], stopped["unit"]) == (2, 11, "measurements")
    assert queue.state.head == home
    resumed = resume_experiment(queue, "credit").result(WAIT_S)
    assert resumed["finished"] and resumed["settings"] == stopped["settings"] and queue.state.head == home
    arms = queue.state.experiments["credit"].arms
    assert [name for name in arms if name.startswith("teacher ")] == [
        f"teacher {name}" for name in ("frozen", "trust_region", "ema", "live")
    ]
    assert sum(len(point.data["programs"]) for point in arms["views"]) == 2


def test_hard_tasks_are_found_and_raced_on(queue: JobQueue) -> None:
    home = queue.state.head
    search = hard_tasks(queue, 1, attempts=24).result(WAIT_S)
    assert (search["kind"], search["done"], search["total"]) == ("screen", 1, 1)
    records = queue.state.experiments
    (task_id, screened), *_ = found_hard(records).items()
    assert screened.pass_rate.total == 24 and screened.is_hard
    (table,) = tables(REPORTS.of(Mark(("run", search["name"], 1), records[search["name"]])))
    assert [row[-1] for row in table["rows"]].count("yes") == 1
    raced = discover(queue, [task_id], ["sdpo", "best_of_k"], budget=4, group=2)
    progress = raced.result(WAIT_S)
    assert progress["finished"] and progress["settings"]["config"] == json.loads(json.dumps(asdict(TEST_TIME)))
    assert progress["settings"]["tasks"][0]["total"] == 24 and queue.state.head == home
    record = queue.state.experiments[progress["name"]]
    assert weight(record) == 2 and race(record) == []
    shares, each = tables(REPORTS.of(Mark(("run", progress["name"], 2), record)))
    assert [row[0] for row in shares["rows"]] == ["sdpo", "best_of_k"] and each["rows"][0][0] == screened.task.prompt


def test_a_race_follows_the_recipe_of_test_time_where_settings_are_the_defaults() -> None:
    assert at_test_time(SDPOConfig()) == TEST_TIME
    chosen = SDPOConfig(learning_rate=2e-3, advantage_clip=1.0)
    assert at_test_time(chosen) == chosen
    forward = SDPOConfig(distillation_alpha=0.0)  # for which there is no limit of the credit
    assert at_test_time(forward) == replace(forward, learning_rate=TEST_TIME.learning_rate)


def test_what_is_impossible_is_refused_before_it_is_queued(queue: JobQueue) -> None:
    config = SDPOConfig()
    refused: list[tuple[Any, type[WorkbenchError], str]] = [
        (lambda: learn(queue, "nonsense", ["sdpo"], **SHAPE, config=config), TaskError, "There is no pack"),
        (lambda: learn(queue, PACK, [], **SHAPE, config=config), ConfigError, "No method is chosen"),
        (lambda: learn(queue, PACK, ["luck"], **SHAPE, config=config), ConfigError, "luck"),
        (lambda: learn(queue, PACK, [3], **SHAPE, config=config), ConfigError, "list of names"),  # type: ignore[list-item]
        (
            lambda: learn(queue, PACK, ["sdpo"], **{**SHAPE, "rounds": 0}, config=config),
            ConfigError,
            "rounds is 0; it must be a whole number from 1 to 10,000",
        ),
        (
            lambda: learn(queue, PACK, ["sdpo"], **{**SHAPE, "held_out": None}, config=config),
            ConfigError,
            "held_out is None",
        ),
        (lambda: learn(queue, PACK, ["sdpo"], **SHAPE, config=config, seed=-1), ConfigError, "seed is -1"),
        (lambda: learn(queue, PACK, ["sdpo"], **SHAPE, config=config, name="x" * 61), TaskError, "60 char"),
        (lambda: learn(queue, PACK, ["grpo"], **SHAPE, config=config), ConfigError, "into groups of 8"),
        (lambda: learn(queue, PACK, [], **SHAPE, config=config, compared="luck"), ConfigError, "no comparison"),
        (lambda: study_credit(queue, tests=0), ConfigError, "tests is 0"),
        (lambda: study_update(queue, 1, learning_rates="fast"), ConfigError, "rates must be numbers"),
        (lambda: study_update(queue, 1, learning_rates="0"), ConfigError, "learning_rate"),
        (lambda: hard_tasks(queue, 0), ConfigError, "count is 0"),
        (lambda: hard_tasks(queue, 1, feedback="gossip"), TaskError, "no feedback 'gossip'"),
        (lambda: discover(queue, [], ["sdpo"], config=config), ConfigError, "No task is chosen"),
        (lambda: discover(queue, ["a"], ["luck"], config=config), ConfigError, "no discovery method 'luck'"),
        (lambda: discover(queue, ["a"], ["sdpo"], 1.5, config=config), ConfigError, "budget is 1.5"),
        (lambda: resume_experiment(queue, "<img>"), ConfigError, "no experiment"),
    ]
    for ask, kind, sentence in refused:
        with pytest.raises(kind, match=sentence):
            ask()
    assert queue.waiting() == 0
    mine = add_task(queue, "Say yes.").result(WAIT_S)
    with pytest.raises(TaskError, match="A person judges"):
        discover(queue, [mine.id], ["sdpo"], config=config).result(WAIT_S)


def test_a_button_pressed_twice_is_one_experiment() -> None:
    queue = JobQueue(lambda: None)  # not started: everything waits
    jobs = [hard_tasks.once("me", queue, 1) for _ in range(2)]
    assert jobs[0] is jobs[1] and queue.waiting() == 1


def test_the_plan_says_what_start_would_do() -> None:
    shape = LearnSettings(rounds=5, questions=2, attempts=4, held_out=30, measure_every=2)
    both = planned(["sdpo", "grpo"], shape)
    assert "80 attempts in all, and 8 measurements on 30 held-out tasks" in both and "back where it is now" in both
    assert "stays where this has led it" in planned(["sdpo"], shape)  # rounds 0, 2, 4 and the last, 5
    assert "No method" in planned([], shape)
    assert "40 updates, each undone" in studies.planned(UpdateStudySettings(groups=4, learning_rates=(1e-3,)))
    assert "2 failed attempts with 24 continuations each" in studies.planned(
        CreditStudySettings(tests=2, continuations=3)
    )


def test_a_form_s_house_becomes_a_pack() -> None:
    assert chosen_pack("house-rules/sort-take-1", "round", "example+judge", 0) == "house-rules"
    assert chosen_pack("ad-hoc/task-1", "round", "example+judge", 0) == "ad-hoc"  # any pack can be learned
    assert chosen_pack("house-rules/sort-take-1", "round", "judge", 0) == "house-rules@3:judge"
    assert chosen_pack("house-rules@7:judge/x", "round", "judge", 5) == "house-rules@7:judge"
    assert chosen_pack("house-rules@7:judge/x", "round", "none", 5) == "house-rules@7:none"
    assert chosen_pack("house-rules@7:judge/x", "fresh", "example+judge", 5) == "house-rules@200005:example+judge"


def test_the_code_shown_is_python() -> None:
    hostile = 'x"); import os; os.system("true")'
    texts = [
        as_python(
            "methods",
            ["sdpo"],
            True,
            hostile,
            LearnSettings(rounds=2),
            1,
            SDPOConfig(learning_rate=2e-3, method="grpo"),
        ),
        race_code([hostile], ["sdpo"], DiscoverySettings(), 1, SDPOConfig()),
        as_python("teacher", [], False, hostile, LearnSettings(), 1, SDPOConfig(steps=2)),
        studies.as_python(UpdateStudySettings(learning_rates=(1e-3,)), 2),
    ]
    for text in texts:
        compile(text, "shown", "exec")
    assert (
        "SDPOConfig(learning_rate=0.002), ('sdpo',), alike=True" in texts[0] and "LearnSettings(rounds=2)" in texts[0]
    )
    assert "SDPOConfig(advantage_clip=5.0, learning_rate=0.003)" in texts[1] and repr(hostile) in texts[1]
    assert "comparison('teacher', SDPOConfig(steps=2))" in texts[2]
    assert "wb.study_update(UpdateStudySettings(learning_rates=(0.001,)), seed=2)" in texts[3]


def test_every_choice_is_explained() -> None:
    from workbench.tasks.house_rules.pack import DEFAULT_KIND, KINDS

    assert tuple(DISCOVERY) == DISCOVERY_METHODS and tuple(COMPARED) == COMPARISONS
    assert tuple(name for _, name in FEEDBACK_KINDS) == (*KINDS, DEFAULT_KIND, "none")


def searched(ends: dict[str, dict[str, Any]]) -> Record:
    settings = {"kind": "discover", "seed": 0, "tasks": [{"id": "t", "prompt": "Q"}], "methods": ["sdpo", "best_of_k"]}
    arms = {arm: [Point(arm, 0, "u", data)] for arm, data in ends.items()}
    return Record("race", {**settings, "budget": 20, "group": 2}, "root", arms)


def test_a_race_shows_where_every_method_is() -> None:
    running = searched({"sdpo t": {"generations": 8, "found_at": 7, "done": True}})
    lanes = {lane["method"]: lane for lane in race(running)}
    assert (lanes["sdpo"]["spent"], lanes["sdpo"]["found"], lanes["sdpo"]["done"]) == (8, 7, True)
    assert (lanes["best_of_k"]["spent"], lanes["best_of_k"]["found"], lanes["best_of_k"]["done"]) == (0, None, False)
    assert progress_of(running)["done"] == 20 and progress_of(running)["total"] == 40


def test_alarms_are_named() -> None:
    raised = [[], ["entropy"], [], ["entropy", "kl"]]
    points = [Point("sdpo", step, "u", {"alarms": names}) for step, names in enumerate(raised)]
    record = Record("x", {"kind": "learn", "seed": 0}, "root", {"sdpo": points})
    assert alarms(record) == ["sdpo: alarm “entropy” after round 1, and 1 more later", "sdpo: alarm “kl” after round 3"]


def test_held_out_tasks_are_measured_once_for_all_that_was_done_without_a_pause(queue: JobQueue) -> None:
    task = "house-rules@12:remark/sort-take-1"

    def measured() -> list[str]:
        return [event.data["update_id"] for event in queue.workbench.events() if event.kind == "held-out"]

    before = len(measured())
    jobs = [sample(queue, task, 2, max_new_tokens=24) for _ in range(3)]
    first = jobs[0].result(WAIT_S)
    jobs += [
        update(queue, [attempt.id for attempt in first], SDPOConfig(steps=1)),
        sample(queue, task, 2, max_new_tokens=24),
    ]
    for job in jobs:
        job.result(WAIT_S)
    queue.submit("wait", "", lambda w, j: None, priority=AHEAD + 1).result(WAIT_S)
    assert measured()[before:] == [queue.workbench.head]


def test_a_measurement_that_nobody_asked_for_gives_way_to_a_person_and_is_made_later(queue: JobQueue) -> None:
    task = "house-rules@12:remark/sort-take-1"
    group = sample(queue, task, 2, max_new_tokens=24).result(WAIT_S)
    head = update(queue, [attempt.id for attempt in group], SDPOConfig(steps=1)).result(WAIT_S).update_id
    deadline = time.monotonic() + WAIT_S
    while (running := queue.current) is None or running.kind != "held-out":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    sample(queue, task, 1, max_new_tokens=8).result(WAIT_S)
    assert isinstance(running.future.exception(0), StoppedError)
    queue.submit("wait", "", lambda w, j: None, priority=AHEAD + 1).result(WAIT_S)
    made = [event.data["update_id"] for event in queue.workbench.events() if event.kind == "held-out"]
    assert made.count(head) == 1
