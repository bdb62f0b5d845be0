"""The page's plain parts: the queue (one worker, a queue), what is shown, and the settings. No browser, no model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import ConfigError, FeedbackError, NoSignalError, PolicyError, RunError, TaskError
from workbench.records import Attempt, SideEffects, Task, UpdateReport
from workbench.service.action import Immediate
from workbench.service.actions import every_action
from workbench.service.actions.round import AttemptDetail, feedback, sample, update
from workbench.service.actions.tasks import add_task
from workbench.service.actions.timeline import checkout
from workbench.service.checks import make_config
from workbench.service.job import AHEAD, SHOWN
from workbench.service.publish import publish_opened
from workbench.service.queue import LONGEST_QUEUE, JobQueue
from workbench.service.rewards import by_policy
from workbench.service.snapshot import pick, wanted_credit
from workbench.service.state import path_to
from workbench.session.history import TimelineNode
from workbench.tasks import check_task
from workbench.tasks.environments import BUILT_IN
from workbench.ui import build_ui, charts
from workbench.ui.api import endpoint
from workbench.ui.tabs.round.attempts import pooled_limit, strip
from workbench.ui.tabs.round.credit import with_report
from workbench.ui.tabs.round.own_task import expected, judges
from workbench.ui.tabs.round.timeline import branches, timeline

WAIT_S = 300.0


class Closable:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(Closable).start()
    assert queue.settled.wait(WAIT_S)
    yield queue
    queue.close()


def held(queue: JobQueue) -> tuple[threading.Event, Future[Any]]:
    """Keep the worker busy until the event is set."""
    started, release = threading.Event(), threading.Event()

    def run(workbench: Any, job: Any) -> str:
        started.set()
        release.wait(WAIT_S)
        return "released"

    job = queue.submit("hold", "Holding", run)
    assert started.wait(WAIT_S)
    return release, job.future


def test_the_page_is_told_what_is_true_by_one_refresh_at_a_time(queue: JobQueue) -> None:
    """Two at once would each leave out what the other has not sent yet; a button would then stay as it was."""
    refreshing = [event for event in build_ui(queue).fns.values() if event.name == "refresh"]
    assert len(refreshing) > 1 and {(handler.concurrency_id, handler.concurrency_limit) for handler in refreshing} == {
        ("show", 1)
    }


def test_jobs_run_one_at_a_time_and_people_come_first(queue: JobQueue) -> None:
    release, _ = held(queue)
    order: list[str] = []
    jobs = [
        queue.submit("credit", "", lambda w, j, name=name: order.append(name), priority=priority)
        for name, priority in (("ahead", AHEAD), ("shown", SHOWN), ("person", 0))
    ]
    release.set()
    for job in jobs:
        job.result(WAIT_S)
    assert order == ["person", "shown", "ahead"]


def test_one_key_is_one_job_and_its_result_is_kept(queue: JobQueue) -> None:
    release, _ = held(queue)
    first, second = (queue.submit("credit", "", lambda w, j: object(), priority=SHOWN, key="k") for _ in range(2))
    assert first is second and queue.known("k") is None
    release.set()
    assert first.result(WAIT_S) is queue.known("k")


def test_a_button_pressed_twice_by_one_session_is_one_job(queue: JobQueue) -> None:
    release, _ = held(queue)
    mine, again = (sample.once("me", queue, "pack/task", 2) for _ in range(2))
    other = sample.once("you", queue, "pack/task", 2)
    assert mine is again and other is not mine
    assert update.once("me", queue, ["a"], SDPOConfig()) is update.once("me", queue, ["a"], SDPOConfig())
    assert update(queue, ["a"], SDPOConfig()) is not update(queue, ["a"], SDPOConfig())  # two programs are two jobs
    release.set()


def test_an_error_is_one_sentence_on_the_board_and_the_desk_goes_on(queue: JobQueue) -> None:
    def fail(workbench: Any, job: Any) -> None:
        raise TaskError("There is no such task; choose another.")

    with pytest.raises(TaskError):
        queue.submit("task", "", fail).result(WAIT_S)
    assert queue.problem == "There is no such task; choose another."
    assert queue.submit("task", "", lambda w, j: 1).result(WAIT_S) == 1
    assert queue.problem == ""


def test_stop_reaches_the_running_job(queue: JobQueue) -> None:
    assert queue.stop() is False
    job = queue.submit("sample", "", lambda w, j: j.stop.wait(WAIT_S))
    while not queue.stop():
        pass
    assert job.result(WAIT_S) is True


def test_a_full_queue_refuses_and_closing_fails_what_waits(queue: JobQueue) -> None:
    release, _ = held(queue)
    waiting = [queue.submit("x", "", lambda w, j: None) for _ in range(LONGEST_QUEUE - 1)]
    with pytest.raises(RunError, match="waiting already"):
        queue.submit("x", "", lambda w, j: None)
    workbench = queue.workbench
    threading.Timer(0.05, release.set).start()
    queue.close()
    assert workbench.closed
    with pytest.raises(RunError):
        waiting[-1].result(WAIT_S)
    with pytest.raises(RunError):
        queue.submit("x", "", lambda w, j: None)


def test_a_workbench_that_cannot_open_says_why() -> None:
    def opener() -> Any:
        raise PolicyError("There is no model in nowhere; name another.")

    queue = JobQueue(opener).start()
    assert queue.settled.wait(WAIT_S)
    assert queue.status == "failed" and isinstance(queue.failure, PolicyError)
    with pytest.raises(RunError, match="There is no model in nowhere"):
        queue.submit("sample", "", lambda w, j: None)


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (SDPOConfig, {"alpha": 1}, "no setting named 'alpha'"),
        (SDPOConfig, {"steps": 1.5}, "whole number"),
        (SDPOConfig, {"learning_rate": "fast"}, "must be a number"),
        (SDPOConfig, {"advantage_clip": "5"}, "must be a number"),
        (SDPOConfig, {"grpo_weight": None}, "must be a number"),
        (SDPOConfig, {"learning_rate": float("nan")}, "finite"),
        (SamplingConfig, {"temperature": None}, "temperature"),
        (SamplingConfig, {"max_new_tokens": None}, "whole number"),
    ],
)
def test_impossible_settings_are_refused(kind: type, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_config(kind, values)


def test_numbers_of_a_form_become_settings() -> None:
    config = make_config(SDPOConfig, {"steps": 2.0, "is_clip": None, "teacher": "frozen"})
    assert config == SDPOConfig(steps=2, is_clip=None, teacher="frozen") and type(config.steps) is int
    assert make_config(SDPOConfig, {"advantage_clip": 5}) == SDPOConfig(advantage_clip=5.0)
    assert make_config(SDPOConfig, {"advantage_clip": None, "teacher_update_rate": None}) == SDPOConfig()
    assert make_config(SDPOConfig, {"teacher_update_rate": 0}) == SDPOConfig(teacher_update_rate=0.0)


def test_bad_requests_are_refused_before_they_are_queued(queue: JobQueue) -> None:
    with pytest.raises(TaskError):
        sample(queue, "", 8)
    with pytest.raises(TaskError):
        sample(queue, "pack/task", 65)
    with pytest.raises(FeedbackError):
        feedback(queue, "a", None, None)
    with pytest.raises(FeedbackError):
        feedback(queue, "a", None, float("nan"))
    with pytest.raises(FeedbackError):
        feedback(queue, "a", "x", None, "append")
    with pytest.raises(NoSignalError):
        update(queue, [], SDPOConfig())
    with pytest.raises(RunError):
        checkout(queue, "")
    assert queue.waiting() == 0


def test_reads_never_wait_behind_the_model(queue: JobQueue) -> None:
    """Fails when an endpoint that only reads is queued: the worker is busy until the end of this test."""
    release, _ = held(queue)
    task = Task("pack/task", "Say yes.", "person", {})
    queue.publish(tasks={"pack": (task,)}, attempts={"pack/task": (attempt("a"), attempt("b"))}, head="root")

    async def asked(name: str, **values: Any) -> Any:
        answer = endpoint(every_action()[name], queue)
        return await asyncio.wait_for(answer(**values), timeout=WAIT_S)

    async def all_of_them() -> list[Any]:
        reads = [("tasks", {}), ("attempts", {"task": "pack/task", "newest": 1}), ("timeline", {}), ("status", {})]
        return [await asked(name, **values) for name, values in reads]

    with ThreadPoolExecutor(1) as pool:  # the browser's tests leave an event loop running in this thread
        tasks, attempts, timeline, status = pool.submit(lambda: asyncio.run(all_of_them())).result()
    assert [one["id"] for one in tasks] == ["pack/task"] and [one["id"] for one in attempts] == ["b"]
    assert timeline["head"] == "root" and status["job"] == "Holding" and queue.waiting() == 1
    reads = {name for name, action in every_action().items() if isinstance(action, Immediate)}
    assert reads >= {"tasks", "attempts", "timeline", "status", "rewards", "credit_tests", "experiments", "alarms"}
    release.set()


def attempt(name: str, *, passed: bool = False, feedback: str = "", tokens: int = 3) -> Attempt:
    logps = (-0.5,) * tokens
    ids = tuple(range(tokens))
    return Attempt(name, "p/t", "g", "root", (1,), ids, "text", logps, True, 1.0, float(passed), passed, feedback)


def test_the_first_shown_attempt_is_one_to_learn_from() -> None:
    group = (attempt("a", passed=True), attempt("b"), attempt("c", feedback="wrong"))
    assert [one.id if one else None for one in (pick(group, "a"), pick(group, "zz"), pick(group[:2], None))] == list(
        "acb"
    )
    assert pick((), None) is None


def detail(values: list[float]) -> AttemptDetail:
    payload = {
        "tokens": [{}] * len(values),
        "views": [{"name": "raw", "values": values}],
        "noise_floor": 0.01,
        "summary": "",
    }
    return AttemptDetail(payload, "prompt", (1, 2), ())


def test_the_scale_is_shared_and_waits_for_all_attempts() -> None:
    assert pooled_limit([detail([1.0]), None]) is None
    many = detail([0.5] * 198 + [3.0, -9.0])
    assert pooled_limit([many]) == 0.5  # 198 of 200: the 99th percentile clips the two extremes
    assert pooled_limit([detail([0.1, -2.0]), detail([1.0])]) == 2.0
    assert strip(detail([1.0, -4.0]), 2.0) == [0.5, -1.0]


def report(update_id: str, parent: str) -> UpdateReport:
    effects = SideEffects(0.02, 0.4, 0.3)
    return UpdateReport(
        update_id, parent, "sdpo", 0.4, 0.2, 1.0, {"a": (1.0, -1.0)}, {"a": (0.5, -0.1)}, 1.0, 1.0, effects, (), 1.0
    )


def test_an_update_adds_predicted_over_realised() -> None:
    payload = with_report(detail([1.0, 2.0]).payload, "a", report("u1", "root"))
    assert (payload["view"], payload["against"], payload["view_key"]) == ("predicted", "realised", "u1")
    assert payload["views"][-1]["values"] == [0.5, -0.1]
    assert "100 %" in payload["summary"]
    other = detail([1.0, 2.0, 3.0]).payload  # tokens that do not match are not coloured with someone else's numbers
    assert with_report(other, "a", report("u1", "root")) == other


def node(name: str, parent: str | None, branch: str = "main") -> TimelineNode:
    return TimelineNode(name, parent, branch, "", False, report(name, parent) if parent else None)


def test_branches_get_lanes_of_their_own() -> None:
    tree = [node("root", None), node("a", "root"), node("b", "a"), node("c", "a"), node("d", "b")]
    placed = {entry["id"]: (entry["x"], entry["y"]) for entry in timeline(tree, "c")["nodes"]}
    assert placed == {"root": (0, 0), "a": (1, 0), "b": (2, 0), "d": (3, 0), "c": (2, 1)}
    assert [entry.update_id for entry in path_to(tree, "c")] == ["root", "a", "c"]


def test_every_branch_is_a_path_and_that_of_the_head_comes_first() -> None:
    tree = [node("root", None), node("a", "root"), node("b", "a"), node("c", "a", "JSD")]
    paths = [(name, [entry.update_id for entry in path]) for name, path in branches(tree, "c")]
    assert paths == [("JSD", ["root", "a", "c"]), ("main", ["root", "a", "b"])]
    assert [entry["id"] for entry in timeline(tree, "c")["nodes"] if entry["begins"]] == ["c"]
    undone = [node("root", None), *(node(name, "root") for name in "abc")]
    assert [name for name, _ in branches(undone, "c")] == ["main", "main, earlier", "main, earlier 2"]
    measured = {key: {"passed": 6, "total": 10, "rate": 0.6, "low": 0.31, "high": 0.83} for key in "bc"}
    drawn = charts.learning_curves(branches(tree, "c"), measured)
    assert [(trace.name, list(trace.x)) for trace in drawn.data] == [("JSD", [2]), ("main", [2])]


def test_the_curve_follows_the_head_and_draws_its_intervals() -> None:
    path = [node("root", None), node("a", "root")]
    assert charts.learning_curves([("main", path)], {}) is None
    measured = {"a": {"passed": 6, "total": 10, "rate": 0.6, "low": 0.31, "high": 0.83}}
    trace = charts.learning_curves([("main", path)], measured).data[0]
    assert charts.learning_curves([("W" * 60, path)], measured).data[0].name == "W" * 23 + "…"  # as wide as a phone
    assert list(trace.x) == [1] and list(trace.y) == [0.6]
    assert list(trace.error_y.array) == [pytest.approx(0.23)] and list(trace.error_y.arrayminus) == [
        pytest.approx(0.29)
    ]


def test_every_policy_on_the_branch_has_a_histogram_of_its_rewards() -> None:
    path = [node("root", None), node("a", "root"), node("b", "a")]
    assert charts.reward_histograms(by_policy({"elsewhere": [1.0]}, path), 2) is None
    shown = by_policy({"root": [0.0, 0.04, 1.0, 0.25], "b": [0.95], "elsewhere": [0.5]}, path)
    assert [(entry["updates"], entry["update_id"], entry["mean"]) for entry in shown] == [
        (0, "root", 0.3225),
        (2, "b", 0.95),
    ]
    assert shown[0]["counts"] == [2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1] and shown[1]["counts"][10] == 1
    bars, means = charts.reward_histograms(shown, 2).data
    assert list(zip(bars.base, bars.y, bars.text, strict=True)) == [
        (0, 0.0, "2"),
        (0, 0.3, "1"),
        (0, 1.0, "1"),
        (2, 1.0, "1"),
    ]
    assert [round(length / bars.x[3], 2) for length in bars.x] == [0.5, 0.25, 0.25, 1.0]  # a full bar: all of them
    assert list(bars.marker.color) == [charts.FORMER] * 3 + [charts.LINE]
    assert (list(means.x), list(means.y)) == ([0, 2], [0.3225, 0.95])
    many = by_policy({name: [1.0] for name in "abcdefghi"}, [node(name, None) for name in "abcdefghi"])
    assert set(charts.reward_histograms(many, 8).data[0].text) == {""}  # no room for counts


def test_typed_answers_take_the_form_that_their_judge_reads() -> None:
    typed = {"exact": "4", "contains": "4", "regex": "4+", "choice": "B", "person": ""}
    typed["python"] = '[{"function": "f", "args": [1], "expected": 2}]'
    for environment, text in typed.items():
        check_task(Task("own/one", "Q", environment, expected(environment, text)))  # raises where it does not fit
    with pytest.raises(TaskError, match="not JSON"):
        expected("python", "assert f(1) == 2")
    assert [(environment.label, environment.name) for environment in BUILT_IN] == judges()
    with pytest.raises(TaskError, match="JSON object"):
        expected("house-rules", "[1]")


def test_the_first_colours_are_cheap_and_the_shown_attempt_then_gets_every_view(tmp_path: Path) -> None:
    """On the real policy. The other attempts are scored under three contexts, and no context is asked for twice."""
    queue = JobQueue(lambda: Workbench.open(tmp_path / "run"), publish_opened).start()
    try:
        assert queue.settled.wait(WAIT_S)
        config = SDPOConfig()
        task = add_task(queue, "Write f(xs): sort, then take 3.").result(WAIT_S)
        shown, other = sample(queue, task.id, 2, max_new_tokens=4).result(WAIT_S)

        def waited(one: Attempt, *, shown: bool) -> set[str]:
            credit = wanted_credit(queue, one, config, shown=shown)
            queue.submit("wait", "", lambda w, j: None, priority=AHEAD + 1).result(WAIT_S)
            assert credit is None or isinstance(credit, AttemptDetail)
            return set() if credit is None else {view["name"] for view in credit.payload["views"]}

        steps = [waited(shown, shown=True) for _ in range(3)]
        assert steps[0] == set() and {"raw", "grpo"} <= steps[1] and "control" not in steps[1]
        assert steps[2] >= steps[1] | {"control"}
        assert [waited(other, shown=False) for _ in range(3)][1:] == [steps[1]] * 2
        scored = [event.data["contexts"] for event in queue.workbench.events() if event.kind == "credit"]
        assert [len(contexts) for contexts in scored] == [3, 4, 3]  # nobody gave feedback: three contexts are absent
    finally:
        queue.close()
