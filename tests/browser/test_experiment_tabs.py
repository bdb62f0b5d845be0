"""Learn, Discover and Studies as a person uses them: started, watched, stopped, reloaded, resumed; and as endpoints.

What happened is read from the run's own log beside the page, without a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import quick_rounds, serving
from test_accessibility import serious

from workbench.runs import Run

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} </script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "experiments"


@pytest.fixture(scope="module")
def app(run: Path) -> Iterator[str]:
    with serving(run, prepare=quick_rounds) as address:
        yield address


def points(run: Path, name: str) -> list[tuple[str, int]]:
    """(arm, step) of each point of an experiment, in the order in which they came to be."""
    with Run.open(run, read_only=True) as log:
        events = [event.data for event in log.events("point") if event.data["experiment"] == name]
    return [(point["arm"], point["step"]) for point in events]


def opened(new_page: Callable[..., Any], app: str, tab: str, **options: Any) -> Any:
    page = new_page(**options)
    page.goto(app)
    turned(page, tab)
    return page


def turned(page: Any, tab: str) -> None:
    """Wait until the page knows the run, then turn to a tab."""
    page.wait_for_selector(".wb-state:not([data-state='loading'])")
    page.get_by_role("tab", name=tab).click()


def filled(page: Any, tab: str, **numbers: int) -> None:
    for name, value in numbers.items():
        page.fill(f"#{tab}-{name} input", str(value))


def state(page: Any, tab: str, word: str) -> str:
    """Wait until the shown experiment is in this state; what its line says."""
    line = page.locator(f".wb-{tab}-now .ex-state", has_text=word)
    line.wait_for(timeout=3 * PATIENCE_MS)  # several steps of the policy, not one
    return str(line.inner_text())


def test_learning_is_watched_from_two_tabs_stopped_reloaded_and_resumed(
    new_page: Callable[..., Any], app: str, run: Path
) -> None:
    page = opened(new_page, app, "Learn")
    page.wait_for_selector("text=A learning run shows whether feedback makes the policy better")
    filled(page, "learn", rounds=2, questions=1, attempts=2, held_out=2)
    page.get_by_role("checkbox", name="All alike").check()
    page.wait_for_selector("#learn-plan:has-text('sdpo, grpo: 2 rounds of 2 attempts each, 8 attempts in all')")
    assert "back where it is now" in page.locator("#learn-plan").inner_text()
    page.fill("#learn-name input, #learn-name textarea", HOSTILE)
    page.click("#start-learn")
    line = state(page, "learn", "running")
    assert re.match(r"\d of 4 rounds, running, (about \d|remaining time unknown)", line)
    page.focus("#stop-learn:not([disabled])")
    page.keyboard.press("Enter")
    other = opened(new_page, app, "Learn")
    other.wait_for_selector(".ex-name")
    assert other.locator(".ex-name").inner_text() == HOSTILE
    assert "Resume in the list" in state(page, "learn", "stopped") and "stopped" in state(other, "learn", "stopped")
    before = points(run, HOSTILE)
    assert 0 < len(before) < 6

    page.reload()
    turned(page, "Learn")
    page.focus(".ex-list button:has-text('Resume')")
    page.keyboard.press("Enter")
    assert state(page, "learn", "finished").startswith("4 of 4 rounds")
    state(other, "learn", "finished")
    arms = [(arm, step) for arm in ("sdpo", "grpo") for step in range(3)]
    assert points(run, HOSTILE) == arms and arms[: len(before)] == before  # each once, in order
    page.wait_for_selector("#learn-chart-0 .legendtext >> nth=1")
    assert page.locator("#learn-chart-0 .legendtext").all_text_contents() == ["sdpo", "grpo"]
    for number in range(4):
        page.wait_for_selector(f"#learn-chart-{number} .scatterlayer")
    ends = page.locator(".wb-learn-tables table").first.locator("tbody tr td:first-child").all_inner_texts()
    assert ends == ["sdpo", "grpo"]
    assert page.locator(".wb-part img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert serious(page) == []
    with Run.open(run, read_only=True) as log:
        assert log.timeline.head == "root"


def test_one_way_of_learning_says_that_the_policy_stays_there(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app, "Learn")
    page.get_by_role("checkbox", name="grpo").uncheck()
    page.wait_for_selector("#learn-plan:has-text('stays where this has led it')")
    page.get_by_role("checkbox", name="sdpo").uncheck()
    page.wait_for_selector("#learn-plan:has-text('No method is chosen')")
    page.click("#start-learn")
    page.wait_for_selector(".toast-wrap:has-text('No method is chosen; choose at least one.')")
    page.get_by_role("checkbox", name="sdpo").check()
    filled(page, "learn", rounds=0)
    page.wait_for_selector("#learn-plan:has-text('rounds is 0; it must be a whole number from 1 to 10,000.')")
    page.get_by_text("The same as code").last.click()
    filled(page, "learn", rounds=3)
    page.wait_for_selector(".cm-content:has-text('LearnSettings(rounds=3)')")


def test_an_ablation_is_chosen_with_its_rounds_and_made(new_page: Callable[..., Any], app: str, run: Path) -> None:
    page = opened(new_page, app, "Learn")
    page.click("#learn-compared input")
    page.get_by_role("option", name="K of the distillation").click()
    page.wait_for_selector("#learn-plan:has-text('K = 1, K = 5, K = 20, K = 100: 4 rounds of 32 attempts each')")
    page.wait_for_selector("#learn-methods", state="hidden")
    page.wait_for_selector("#learn-compared:has-text('beside the tail')")
    assert page.locator("#learn-rounds input").input_value() == "4"
    page.get_by_text("The same as code").last.click()
    page.wait_for_selector(".cm-content:has-text(\"comparison('topk', SDPOConfig())\")")
    filled(page, "learn", rounds=1, questions=1, attempts=2, held_out=2)
    page.wait_for_selector("#learn-plan:has-text('1 round of 2 attempts each, 8 attempts in all')")
    page.click("#start-learn")
    page.wait_for_selector(".ex-name:has-text('ablate-topk-1')")
    assert state(page, "learn", "finished").startswith("4 of 4 rounds")
    assert points(run, "ablate-topk-1") == [(f"K = {k}", step) for k in (1, 5, 20, 100) for step in range(2)]


def test_a_study_is_made_stopped_and_resumed(new_page: Callable[..., Any], app: str, run: Path) -> None:
    page = opened(new_page, app, "Studies", width=400, scheme="dark")
    page.wait_for_selector("text=A study asks of hundreds of programs")
    page.wait_for_selector("#studies-plan:has-text('60 failed attempts with 128 continuations each')")
    page.get_by_label("What does an update do?").check()
    page.wait_for_selector("#studies-plan:has-text('10 losses, 4 learning rates: 400 updates')")
    page.wait_for_selector("#studies-programs", state="hidden")
    page.fill("#studies-rates input, #studies-rates textarea", "much")
    page.wait_for_selector("#studies-plan:has-text('The learning rates must be numbers separated by commas')")
    page.fill("#studies-rates input, #studies-rates textarea", "0.002")
    filled(page, "studies", groups=2, attempts=2)
    page.wait_for_selector("#studies-plan:has-text('1 learning rate: 20 updates, each undone')")
    page.click("#start-studies")
    page.wait_for_selector(".ex-name:has-text('study-update-1')")
    page.wait_for_selector(".wb-studies-now .ex-state:has-text('1 of 2 groups')")
    page.click("#stop-studies:not([disabled])")
    assert "Resume in the list" in state(page, "studies", "stopped")
    assert points(run, "study-update-1") == [("updates", 0)]

    page.reload()
    turned(page, "Studies")
    page.click(".ex-list button:has-text('Resume')")
    assert state(page, "studies", "finished").startswith("2 of 2 groups")
    page.wait_for_selector("#studies-chart-1 .scatterlayer")
    assert page.locator(".wb-studies-tables tbody tr").count() == 10
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert serious(page) == []


def stopped_or_done(page: Any) -> None:
    """Stop the race if it still runs: a solution may be found between a look at the button and a click on it."""
    page.wait_for_function(
        "document.querySelector('#stop-discover:not([disabled])')?.click(),"
        " document.querySelector(\".wb-state[data-state='ready']\")"
    )


def test_a_hard_task_is_found_and_raced_on_and_the_race_goes_on_after_a_reload(
    new_page: Callable[..., Any], app: str, run: Path
) -> None:
    page = opened(new_page, app, "Discover", width=400, scheme="dark")
    page.wait_for_selector("text=A discovery is the first attempt that passes")
    filled(page, "discover", count=1, screened=8)
    page.click("#find-hard")
    assert "1 of 1 hard tasks" in state(page, "discover", "finished")
    boxes = page.locator("#discover-tasks input")
    page.wait_for_function("document.querySelectorAll('#discover-tasks input').length === 2")
    assert boxes.nth(0).is_checked() is False
    page.wait_for_selector("#discover-plan:has-text('Choose at least one task')")
    boxes.nth(1).focus()
    page.keyboard.press("Space")
    filled(page, "discover", budget=600, group=2)
    page.wait_for_selector("#discover-plan:has-text('1 task, 3 methods: at most 1,800 attempts')")
    page.get_by_role("checkbox", name="best_of_k").uncheck()
    page.get_by_role("checkbox", name="multi_turn", exact=True).uncheck()
    page.wait_for_selector("#discover-plan:has-text('1 task, 1 method: at most 600 attempts')")
    page.click("#start-discover")
    page.wait_for_selector(".ex-lane:has-text('sdpo')")
    stopped_or_done(page)
    before = points(run, "discover-1")
    assert before

    page.reload()
    turned(page, "Discover")
    if page.locator(".ex-list button:has-text('Resume')").count():  # it may have found a solution at once
        page.click(".ex-list button:has-text('Resume')")
        page.wait_for_selector(".ex-list button:has-text('Resume')", state="detached")
        stopped_or_done(page)
        after = points(run, "discover-1")
        assert after[: len(before)] == before and len(set(after)) == len(after)

    boxes.nth(1).check()
    filled(page, "discover", budget=3, group=2)
    page.wait_for_selector("#discover-plan:has-text('at most 9 attempts')")
    page.click("#start-discover")
    page.wait_for_selector(".ex-name:has-text('discover-2')")
    assert state(page, "discover", "finished").startswith("9 of 9 attempts")
    page.wait_for_selector("#discover-chart-0 .legendtext >> nth=2")
    tables = page.locator(".wb-discover-tables table")
    assert tables.count() == 2 and "sdpo lost to" in tables.nth(1).inner_text()
    page.get_by_role("button", name="Show screen-1").click()
    page.wait_for_selector(".wb-discover-tables th:has-text('hard')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert serious(page) == []
    page.get_by_role("button", name="Show discover-2").click()
    page.wait_for_selector("#discover-chart-0 .legendtext >> nth=2")


def test_the_endpoints_make_experiments(client: Any) -> None:
    small = {"rounds": 1, "questions": 1, "attempts": 2, "held_out": 2, "alike": True}
    progress = client.predict(api_name="/learn", pack="house-rules@7:remark", methods=["rlsd"], name="program", **small)
    assert (progress["name"], progress["done"], progress["total"], progress["finished"]) == ("program", 1, 1, True)
    listed = {experiment["name"]: experiment for experiment in client.predict(api_name="/experiments")}
    assert listed["program"]["what"].startswith("rlsd on house-rules@7:remark") and not listed["program"]["running"]
    report = client.predict(api_name="/experiment", name="program")
    assert [point["held_out"]["total"] for point in report["points"]["0"]["rlsd"]] == [2, 2]
    hard = client.predict(api_name="/hard_tasks", count=1, attempts=4, seed=5)
    raced = client.predict(
        api_name="/discover", tasks=[hard["tasks"][-1]["id"]], methods=["best_of_k", "multi_turn_feedback"], budget=2
    )
    assert raced["finished"] and raced["total"] == 4
    few = {"programs": 1, "rounds": 1, "programs_per_teacher": 1, "tests": 1, "continuations": 1}
    studied = client.predict(api_name="/study_credit", **few)
    assert (studied["name"], studied["done"], studied["total"]) == ("study-credit-1", 10, 10)
    studied = client.predict(api_name="/study_update", groups=1, attempts=2, learning_rates="0.002")
    assert studied["finished"] and studied["total"] == 1


@pytest.mark.parametrize(
    ("endpoint", "values", "sentence"),
    [
        ("/learn", {"pack": "nonsense"}, "There is no pack"),
        ("/learn", {"methods": ["luck"]}, "luck"),
        ("/learn", {"methods": []}, "No method is chosen"),
        ("/learn", {"methods": "sdpo"}, "must be a list"),
        ("/learn", {"rounds": 0}, "rounds is 0; it must be a whole number"),
        ("/learn", {"rounds": 10**9}, "whole number from 1 to 10,000"),
        ("/learn", {"name": "x" * 61}, "at most 60 characters"),
        ("/learn", {"config": {"alpha": 1}}, "no setting named 'alpha'"),
        ("/learn", {"compared": "apples"}, "no comparison 'apples'; choose one of methods, feedback"),
        ("/study_credit", {"programs": 0}, "programs is 0; it must be a whole number"),
        ("/study_update", {"learning_rates": "1e-3,,2"}, "must be numbers separated by commas"),
        ("/study_update", {"learning_rates": "-1"}, "learning_rate"),
        ("/hard_tasks", {"count": -1}, "count is -1"),
        ("/hard_tasks", {"feedback": "gossip"}, "no feedback 'gossip'"),
        ("/discover", {"tasks": []}, "No task is chosen"),
        ("/discover", {"tasks": ["nowhere/task"]}, "no task 'nowhere/task'"),
        ("/discover", {"tasks": ["house-rules/sort-take-1"], "methods": ["luck"]}, "no discovery method 'luck'"),
        ("/discover", {"tasks": ["house-rules/sort-take-1"], "budget": 0}, "budget is 0"),
        ("/resume_experiment", {"name": "<b>none</b>"}, "no experiment '<b>none</b>'"),
        ("/experiment", {"name": "none"}, "no experiment 'none'"),
    ],
)
def test_impossible_requests_are_one_sentence(
    client: Any, endpoint: str, values: dict[str, Any], sentence: str
) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as refused:
        client.predict(api_name=endpoint, **values)
    assert sentence in str(refused.value)  # as it is: a program renders no HTML
