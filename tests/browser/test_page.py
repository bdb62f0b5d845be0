"""The page over the real workbench and the embedded policy: one round, as a person makes it and as a program does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from policy_factory import make_model_dir

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{7*7}} </script><script>alert(3)</script>"


def opened(new_page: Callable[..., Any], app: str, **options: Any) -> Any:
    page = new_page(**options)
    page.goto(app)
    page.wait_for_selector(".wb-prompt")
    return page


def idle(page: Any) -> None:
    page.wait_for_selector(".wb-state[data-state='ready']")


def newest(page: Any) -> str:
    """The id of the first attempt shown, "" where there is none."""
    cards = page.locator(".wb-card-button")
    return cards.first.get_attribute("data-id") if cards.count() else ""


def replaced(page: Any, before: str, count: int) -> None:
    """Wait for a group of `count` attempts other than the one that began with `before`, however quickly it came."""
    script = """([before, count]) => {
        const cards = [...document.querySelectorAll(".wb-card-button")];
        return cards.length === count && cards[0].dataset.id !== before;
    }"""
    page.wait_for_function(script, arg=[before, count])


def sampled(page: Any, count: int) -> None:
    """Press Sample for `count` attempts until the group has a failed attempt with feedback."""
    for _ in range(6):
        before = newest(page)
        page.get_by_label("Attempts").fill(str(count))
        page.get_by_label("Attempts").blur()
        page.click("#do-sample")
        replaced(page, before, count)
        idle(page)
        if page.locator(".wb-fail").count():
            return
    pytest.fail("six groups without one failed attempt: the page's default task teaches nothing")


def test_one_round(new_page: Callable[..., Any], app: str, picture: Callable[..., None]) -> None:
    """Sample, read the feedback, colour, update, compare predicted with realised, undo, redo; then reload."""
    page = opened(new_page, app)
    sampled(page, 8)
    page.wait_for_selector(".hm-t")
    assert page.locator(".wb-card-button").count() == 8
    assert page.locator("#feedback textarea").input_value() != ""
    assert page.locator("[aria-pressed='true']").locator(".wb-fail").count() == 1
    rewards = [float(text.removeprefix("reward ")) for text in page.locator(".wb-reward").all_inner_texts()]
    page.get_by_label("Order of the cards").select_option("lowest reward")
    shown = page.locator(".wb-card-line").all_inner_texts()
    numbers = [int(text.split()[0]) for text in shown]
    assert numbers == [at + 1 for at in sorted(range(8), key=lambda at: rewards[at])]  # each keeps its number
    page.get_by_label("Order of the cards").select_option("as sampled")
    text = page.evaluate("[...document.querySelectorAll('.hm-src')].map((l) => l.textContent).join('\\n')")
    assert "def f(xs):" in text
    page.wait_for_selector(".hm-legend:has-text('one scale for all attempts shown')")
    assert page.locator(".hm-summary").inner_text()
    picture(page, "heatmap")
    page.wait_for_selector("#rewards .js-plotly-plot")
    assert not page.locator("#no-rewards").is_visible()
    counted = sum(map(int, page.locator("#rewards .bartext").all_text_contents()))
    assert counted and counted % 8 == 0  # groups of eight: the first may all have passed
    page.click(".wb-teacher summary")
    assert "Correctly solve the original question." in page.locator(".wb-teacher").inner_text()

    page.click(".wb-teacher summary")
    page.get_by_text("exact prompt (").click()
    assert page.locator(".wb-task .wb-pre").first.inner_text().startswith("<|user|>Write f(xs): sort, then take 3.")
    page.get_by_text("exact prompt (").click()

    page.wait_for_selector(".wb-facts-line:has-text('reads')")
    assert re.search(r"[1-8] of 8 attempts gives? signal", page.locator(".wb-plan").inner_text())
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-after")
    assert page.locator(".wb-node").count() == 2
    page.wait_for_selector(".hm-legend:has-text('above:')")  # predicted above, realised below
    assert page.locator(".hm-view").input_value() == "predicted"
    assert page.locator(".hm-against").input_value() == "realised"
    assert "sign agreement" in page.locator(".wb-numbers").inner_text()
    page.wait_for_selector(".wb-health dt:has-text('held-out')")  # measured by itself, behind everything else
    page.wait_for_selector(".wb-facts-line:has-text('reads')")
    picture(page, "realised")
    picture(page, "update", since="#part-update")

    page.click("#do-undo")
    page.wait_for_selector(".wb-node[aria-current='step'][aria-label^='root']")
    page.wait_for_selector(".wb-after", state="detached")
    page.click("#do-redo")
    page.wait_for_selector(".wb-after")
    page.reload()
    page.wait_for_selector(".wb-after")
    assert page.locator(".wb-card-button").count() == 8 and page.locator(".wb-node").count() == 2


def test_feedback_is_recorded_and_hostile_text_stays_text(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    if not page.locator(".wb-card-button").count():
        sampled(page, 4)
    page.wait_for_selector("#feedback textarea")
    page.fill("#feedback textarea", HOSTILE)
    page.click("#give-feedback")
    page.wait_for_selector(".wb-said:has-text('alert(2)')")
    page.wait_for_selector(".wb-teacher summary")
    page.click(".wb-teacher summary")
    page.wait_for_selector(f".wb-teacher pre:has-text({HOSTILE!r})")
    assert page.locator(".wb-part img, .wb-part script").count() == 0
    shown = page.locator(".hm-title").inner_text()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_selector(".wb-evidence:has-text('none yet')")
    assert page.locator(".hm-title").inner_text() == shown and page.locator("#feedback textarea").input_value() == ""
    page.click(".wb-card:nth-child(2) .wb-card-button")
    page.wait_for_selector(".wb-card:nth-child(2) [aria-pressed='true']")
    page.wait_for_selector(".hm-title:has-text('Attempt 2 of')")


def test_a_closed_tab_does_not_stop_the_work_and_a_reload_shows_it(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    idle(page)
    before = newest(page)
    page.get_by_label("Attempts").fill("16")
    page.get_by_label("Attempts").blur()
    page.click("#do-sample")
    taken_on = """(before) => document.querySelector(".wb-state").dataset.state !== "ready"
        || document.querySelector(".wb-card-button")?.dataset.id !== before"""
    page.wait_for_function(taken_on, arg=before)
    page.close()
    replaced(opened(new_page, app), before, 16)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(new_page: Callable[..., Any], app: str, scheme: str) -> None:
    page = opened(new_page, app, width=400, height=800, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_typed_task_can_be_judged_by_a_person(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    page.get_by_text("Type your own task").click()
    page.fill("#own-prompt textarea", "  ")
    page.click("#own-add")
    page.wait_for_selector("text=The prompt is empty; type a question first.")
    page.fill("#own-prompt textarea", HOSTILE)
    page.click("#own-add")
    page.wait_for_selector(".wb-prompt:has-text('alert(2)')")
    assert page.locator(".wb-part img").count() == 0
    page.wait_for_selector("#no-rewards:has-text('sample some')")


def test_a_typed_task_can_be_judged_by_another_model(new_page: Callable[..., Any], app: str, tmp_path: Path) -> None:
    """A judge that is not there costs nothing typed; one that is there gives verdict, reward and feedback."""
    strict = str(make_model_dir(tmp_path / "strict", context=1024, seed=3))  # .12 to .23, whatever it is asked
    page = opened(new_page, app)
    page.get_by_text("Type your own task").click()
    page.fill("#own-prompt textarea", "Write f(xs): sort.")
    page.get_by_label("Judged by").click()
    page.get_by_role("option", name="another model").click()
    page.get_by_label("What makes an answer good").fill("It sorts.")
    page.click("#own-add")
    page.wait_for_selector("text=The field “The model that judges” is empty")
    judge = page.get_by_label("The model that judges")
    judge.fill(str(tmp_path / "absent"))
    page.click("#own-add")
    page.wait_for_selector(".wb-task:has-text('judged by the model absent')")
    page.get_by_label("Attempts").fill("2")
    page.get_by_label("Attempts").blur()
    page.click("#do-sample")
    page.wait_for_selector(".wb-problem:has-text('The judge cannot be loaded. There is no model directory')")
    assert page.locator("#own-prompt textarea").input_value() == "Write f(xs): sort."
    assert page.get_by_label("What makes an answer good").input_value() == "It sorts."
    assert judge.input_value() == str(tmp_path / "absent") and not page.locator(".wb-card-button").count()
    judge.fill(strict)
    page.click("#own-add")
    page.wait_for_selector(".wb-task:has-text('judged by the model strict')")
    page.click("#do-sample")
    replaced(page, "", 2)
    page.wait_for_selector(".wb-evidence .wb-kind:has-text('judge')")
    assert page.locator(".wb-cards .wb-fail").count() == 2
    assert all(0 < float(text.removeprefix("reward ")) < 0.5 for text in page.locator(".wb-reward").all_inner_texts())
    feedback = page.locator("#feedback textarea").input_value()
    assert feedback.startswith("strict says that the answer does not meet the task") and "It sorts." in feedback
    page.wait_for_selector(".wb-facts:has-text('judge strict (')")
    assert strict in page.locator(".wb-facts").get_attribute("title")
    idle(page)
    assert not page.locator(".wb-problem").count()


def test_the_endpoints_make_a_round(client: Any) -> None:
    """The named endpoints with gradio_client: values come back, undo restores the credit bit for bit."""

    def call(name: str, **values: Any) -> Any:
        return client.predict(api_name=f"/{name}", **values)

    for task in call("tasks", pack="house-rules"):  # what earlier tests taught the policy, it does not fail any more
        attempts = call("sample", task=task["id"], n=4)["attempts"]
        failed = [attempt for attempt in attempts if not attempt["passed"]]
        if failed:
            break
    assert call("prompt", task=task["id"])["ids"] == attempts[0]["prompt_ids"]
    given = call("rewards", task=task["id"])[-1]
    assert given["rewards"][-4:] == [attempt["reward"] for attempt in attempts]
    assert sum(given["counts"]) == len(given["rewards"]) and given["update_id"] == attempts[0]["update_id"]
    changed = call("feedback", attempt=failed[0]["id"], text="sort descending.", mode="join")
    assert changed["feedback"].endswith("sort descending.") and changed["feedback_source"] == "person"
    before = call("credit", attempt=failed[0]["id"])
    assert [token["id"] for token in before["tokens"]] == failed[0]["token_ids"]
    assert "sort descending." in before["teacher_prompt"]
    ids = [attempt["id"] for attempt in attempts]
    listed = call("attempts", task=task["id"], newest=4)
    assert [one["id"] for one in listed] == ids and changed in listed
    signal = {entry["attempt_id"]: entry["used"] for entry in call("ledger", attempts=ids)}
    assert list(signal) == ids and signal[failed[0]["id"]]
    assert not call("ledger", attempts=ids, spans={failed[0]["id"]: []})[ids.index(failed[0]["id"])]["used"]
    report = call("update", attempts=ids)
    tree = call("timeline")
    (node,) = [one for one in tree["nodes"] if one["update_id"] == tree["head"]]
    assert node["report"]["loss"] == report["loss"] and "realised" not in node["report"]
    assert call("update_report", update_id=report["update_id"]) == report
    assert len(report["realised"][failed[0]["id"]]) == len(failed[0]["token_ids"])
    assert call("status")["head"] == report["update_id"]
    after = call("credit", attempt=failed[0]["id"])
    assert after["views"][0]["values"] != before["views"][0]["values"]
    assert call("undo")["head"] == report["parent_id"]
    assert call("credit", attempt=failed[0]["id"]) == before
    assert call("redo")["head"] == report["update_id"]
    assert call("judge", task=task["id"], text="def f(xs):\n    return 1 / 0")["passed"] is False
    assert call("status")["run"] == "test" and call("status")["policy"]["model"] == "embedded"
    assert call("tasks", pack="house-rules@7:remark")[0]["answer"]["house"] == 7
    assert call("closest_task", prompt=task["prompt"]) == {"speaks": True, "closest": ""}
    assert call("closest_task", prompt="Sort it, please")["closest"].startswith("Write f(xs): ")


def test_a_run_is_taken_along_and_brought_in_by_a_program(app: str, tmp_path: Path) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(app, verbose=False, download_files=str(tmp_path))
    archive = Path(client.predict(api_name="/export_run"))
    brought = archive.rename(tmp_path / "brought.zip")
    assert client.predict(gradio_client.handle_file(brought), api_name="/import_run") == {"run": "brought"}
    runs = {run["name"]: run for run in client.predict(api_name="/runs")}
    assert runs["brought"]["attempts"] == runs["test"]["attempts"] and not runs["brought"]["problem"]
    (tmp_path / "bad.zip").write_text("no archive", encoding="utf-8")
    for file, sentence in (
        ("brought.zip", "There is already a run named brought"),
        ("bad.zip", "bad.zip is not an exported run"),
    ):
        with pytest.raises(gradio_client.exceptions.AppError, match=f"^{sentence}"):
            client.predict(gradio_client.handle_file(tmp_path / file), api_name="/import_run")
    for nothing in ({}, {"path": 7}, {"path": "/etc/hostname"}, {"path": "../etc/passwd"}):
        with pytest.raises(gradio_client.exceptions.AppError, match="There is no archive"):
            client.predict(nothing, api_name="/import_run")


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("sample", {"task": "nowhere/nothing"}, "There is no task 'nowhere/nothing'"),
        ("rewards", {"task": "nowhere/nothing"}, "There is no task 'nowhere/nothing'"),
        ("sample", {"task": "house-rules/sort-take-1", "n": 0}, "whole number from 1 to 64"),
        ("sample", {"task": "house-rules/sort-take-1", "temperature": -1.0}, "temperature is -1"),
        ("feedback", {"attempt": "a-none", "text": "x"}, "no attempt"),
        ("feedback", {"attempt": "a-none"}, "There is no feedback to record"),
        ("feedback", {"attempt": "a-none", "reward": 7.0}, "must be a number from 0 to 1"),
        ("credit", {"attempt": "a-none"}, "no attempt"),
        ("credit", {"attempt": "a-none", "config": {"distillation_alpha": 2}}, "must lie between 0 and 1"),
        ("credit", {"attempt": "a-none", "config": {"alpha": 2}}, "no setting named"),
        ("update", {"attempts": []}, "no attempts to learn from"),
        ("checkout", {"update_id": "u-none"}, "u-none"),
        ("tasks", {"pack": "nowhere"}, "There is no pack 'nowhere'"),
        ("attempts", {"task": "nowhere/nothing"}, "There is no task 'nowhere/nothing'"),
        ("attempts", {"task": "house-rules/sort-take-1", "newest": 0}, "newest is 0; it must be a whole number"),
        ("ledger", {"attempts": ["a-none"]}, "no attempt 'a-none'"),
        ("ledger", {"attempts": "a-none"}, "must be a list"),
        ("update_report", {"update_id": "root"}, "no update 'root'"),
        ("closest_task", {"prompt": "x" * 20_001}, "at most 20,000 are accepted"),
    ],
)
def test_mistakes_get_one_sentence(client: Any, name: str, values: dict[str, Any], sentence: str) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(api_name=f"/{name}", **values)
    said = str(caught.value)  # as it is: a program renders no HTML
    assert sentence in said and "Traceback" not in said
