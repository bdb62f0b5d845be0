"""The panels around the heatmap, used as a person does: mouse and keyboard on the real workbench."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_page import idle, newest, opened, replaced, sampled

pytestmark = pytest.mark.browser


def test_the_update_is_explained_before_and_checked_after(new_page: Callable[..., Any], app: str) -> None:
    """The ledger, the teacher's lift, another loss, the update, its check, the health strip, a word explained."""
    page = opened(new_page, app)
    sampled(page, 4)
    page.click(".wb-plan summary")
    assert page.locator(".wb-table tbody tr").count() == 4
    page.click("#do-lift:not([disabled])")
    page.wait_for_selector(".wb-facts-line:has-text('the teacher is better here')")
    page.get_by_text("Loss and teacher: what to choose").click()
    page.get_by_label("Teacher", exact=True).click()
    page.get_by_role("option", name="frozen").click()
    page.wait_for_selector("text=To be safe over many updates")
    page.wait_for_selector(".wb-plan:has-text('frozen teacher')")
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-after")
    page.get_by_text("Predicted against realised, token by token").click()
    page.wait_for_selector("#scatter .js-plotly-plot")
    page.wait_for_selector(".wb-health dt:has-text('KL to reference')")
    page.get_by_role("button", name="sign agreement").first.click()
    assert "Share of the tokens" in page.locator("#wb-tip").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#wb-tip").is_visible()
    page.get_by_role("tab", name="Settings").click()
    assert page.locator("#set-teacher input").input_value() == "frozen"
    page.fill("#set-steps input", "2")
    page.locator("#set-steps input").blur()
    page.get_by_role("tab", name="Round").click()
    page.wait_for_selector(".wb-plan:has-text('2 steps')")
    idle(page)
    _asks_before_an_update_toward_a_worse_teacher(page)


def _asks_before_an_update_toward_a_worse_teacher(page: Any) -> None:
    """Feedback that misleads, on an attempt that passed."""
    page.get_by_label("Attempts").fill("1")
    page.get_by_label("Attempts").blur()
    for _ in range(24):  # until one passes
        before = newest(page)
        page.click("#do-sample:not([disabled])")
        replaced(page, before, 1)
        idle(page)
        if page.locator(".wb-card-button .wb-pass").count():
            break
    page.fill("#feedback textarea", "sort ascending.")
    page.click("#give-feedback")
    page.wait_for_selector(".wb-plan:has-text('1 of 1 attempt')")
    page.click("#do-lift:not([disabled])")
    page.wait_for_selector(".wb-facts-line:has-text('the teacher is not better here')")
    page.wait_for_selector(".wb-plan .wb-alarm:has-text('demonstration')")
    nodes = page.locator(".wb-node").count()
    page.click("#do-update:not([disabled])")
    page.click("#do-not-update")
    page.wait_for_selector("#do-update-anyway", state="hidden")
    assert page.locator(".wb-node").count() == nodes
    page.click("#do-update:not([disabled])")
    page.click("#do-update-anyway")
    page.wait_for_selector(f".wb-node >> nth={nodes}")
    assert not page.locator("#do-update-anyway").is_visible()


# Labels of the timeline that another one covers.
OVERLAPPING = """() => {
    const labels = [...document.querySelectorAll(".wb-node span")], box = (label) => label.getBoundingClientRect();
    const cover = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    return labels.filter((one) => labels.some((other) => other !== one && cover(box(one), box(other))))
        .map((one) => one.textContent);
}"""


def test_branches_are_named_drawn_and_compared(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    if not page.locator(".wb-fail").count():
        sampled(page, 4)
    if page.locator(".wb-node").count() < 2:
        page.click("#do-update:not([disabled])")
        page.wait_for_selector(".wb-node >> nth=1")
    idle(page)
    nodes = page.locator(".wb-node").count()
    start = page.locator(".wb-node[aria-current='step'] span:has-text('start')")
    while not start.count():  # the tests before may have made several updates
        page.click("#do-undo:not([disabled])")
        idle(page)
    page.fill("#branch-name textarea, #branch-name input", "again")
    page.click("#do-branch")
    page.wait_for_function("document.querySelector('#branch-name textarea, #branch-name input').value === ''")
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(f".wb-node >> nth={nodes}")
    page.wait_for_selector(".wb-branch:has-text('again')")
    assert page.evaluate(OVERLAPPING) == []
    page.get_by_role("button", name="Compare two updates").click()
    page.wait_for_function("document.querySelector('#compare-second input')?.value.startsWith('again')")
    page.click("#do-compare-nodes")
    page.wait_for_selector(".wb-nodes .wb-numbers")
    page.wait_for_selector(".wb-compared .hm-t")
    assert "adapter distance" in page.locator(".wb-nodes").inner_text()
    page.fill("#branch-name textarea, #branch-name input", "again")
    page.click("#do-branch")
    page.wait_for_selector("text=There is already a branch")


def test_feedback_is_tried_marked_and_shown_a_demonstration(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    if not page.locator(".wb-fail").count():
        sampled(page, 4)
    page.wait_for_selector(".hm-t")
    page.fill("#feedback textarea", "sort descending.")
    page.click("#what-if")
    page.wait_for_selector(".wb-whatif .hm-t")
    assert page.locator(".wb-whatif .hm-title").count() == 2
    page.click(".wb-chip:has-text('2')")
    page.wait_for_selector(".wb-chip[aria-pressed='true']:has-text('2')")
    page.locator(".wb-heat .hm-t").first.click()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector(".wb-evidence:has-text('Marked: tokens 1 to 3')")
    page.get_by_role("button", name="Quote in the feedback").click()
    page.wait_for_function("document.querySelector('#feedback textarea').value.includes('`')")
    page.get_by_role("button", name="Count all tokens").click()
    page.wait_for_selector(".wb-evidence:has-text('Marked')", state="detached")
    page.get_by_role("button", name="Template of the teacher prompt").click()
    text = page.locator("#template-text textarea")
    text.press("Control+End")
    text.press_sequentially("Now do it right.")
    page.wait_for_timeout(200)  # Gradio reads a field a tick after the key
    text.press("Tab")
    page.click(".wb-teacher summary")
    page.wait_for_selector(".wb-teacher pre:has-text('Now do it right.')")
    page.click("#template-choice input")
    page.get_by_role("option", name="hint-before").click()
    page.wait_for_selector(".wb-teacher pre:has-text('Hint: ')")


def test_a_kind_of_feedback_is_hidden_from_the_teacher_and_shown_again(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    while not page.locator(".wb-parts .wb-switch:has-text('judge')").count():
        sampled(page, 8)  # until one fails without an error: the examples and the remark are two kinds
        page.wait_for_selector(".wb-fail")
        for card in page.locator(".wb-card-button:has(.wb-fail)").all():
            card.click()
            page.wait_for_timeout(500)
            if page.locator(".wb-parts .wb-switch:has-text('judge')").count():
                break
    remark = page.locator(".wb-parts li:has-text('judge') .wb-part-text").inner_text()
    assert remark in page.locator("#feedback textarea").input_value()
    page.click(".wb-teacher summary")
    page.wait_for_function(
        "(text) => (document.querySelector('.wb-teacher pre')?.textContent ?? '').includes(text)", arg=remark
    )
    page.click(".wb-parts .wb-switch:has-text('judge')")
    page.wait_for_selector(".wb-parts .wb-switch[aria-pressed='false']:has-text('judge')")
    gone = "(text) => !(document.querySelector('.wb-teacher pre')?.textContent ?? text).includes(text)"
    page.wait_for_function(gone, arg=remark)
    assert remark not in page.locator("#feedback textarea").input_value()
    page.get_by_role("tab", name="Settings").click()
    assert not page.locator("#set-feedback_kinds").get_by_label("judge").is_checked()
    page.locator("#set-feedback_kinds").get_by_label("judge").check()
    page.get_by_role("tab", name="Round").click()
    page.wait_for_selector(".wb-parts .wb-switch[aria-pressed='true']:has-text('judge')")
    idle(page)


def test_a_task_with_tests_is_typed_row_by_row_and_shown_with_its_samples(
    new_page: Callable[..., Any], app: str
) -> None:
    page = opened(new_page, app)
    page.get_by_role("button", name="Type your own task").click()
    page.fill("#own-prompt textarea", "Write double(x).")
    page.click("#own-judge input")
    page.get_by_role("option", name="Python tests").click()
    page.fill("#own-cell-1-1 textarea", "double(2)")
    page.fill("#own-cell-1-2 textarea", "4")
    page.click("#own-add")
    page.wait_for_selector(".wb-shown td:has-text('double(2)')")
    page.click("#own-judge input")
    page.get_by_role("option", name="choice (a letter)").click()
    page.fill("#own-prompt textarea", "Which?\nA: this\nB: that")
    page.click("#own-choice input")
    page.get_by_role("option", name="B", exact=True).click()
    page.click("#own-add")
    page.wait_for_selector(".wb-options li:has-text('that')")
    assert not page.locator("#own-table").is_visible()


def dropped(page: Any, file: dict[str, Any]) -> None:
    """Drop a file, as far as the page can tell: its field gets it."""
    if page.locator("#import-file button[aria-label='Clear']").count():
        page.locator("#import-file button[aria-label='Clear']").first.click()
    page.locator("#import-file input[type=file]").set_input_files(file)


def test_a_prompt_outside_of_the_language_is_told_before_sampling(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    page.get_by_role("button", name="Type your own task").click()
    page.locator("#own-prompt textarea").press_sequentially("drop 2, sorting after")
    page.wait_for_selector(".wb-language .wb-closest:has-text('Write f(xs): drop 2, then sort.')")
    page.locator(".wb-language summary").click()
    page.wait_for_selector(".wb-language td:has-text('Qwen/Qwen3-0.6B')")
    page.locator("#own-prompt textarea").press_sequentially(", then take 3")  # it is drawn anew; what was opened stays
    page.wait_for_selector(".wb-language .wb-closest:has-text('Write f(xs): drop 2, then sort, then take 3.')")
    assert page.locator(".wb-language td:has-text('Qwen/Qwen3-0.6B')").is_visible()
    page.get_by_role("button", name="Use the closest task instead").click()
    page.wait_for_selector(".wb-prompt:has-text('Write f(xs): drop 2, then sort, then take 3.')")
    page.wait_for_function("document.querySelector('#own-prompt textarea').value.startsWith('Write f(xs): drop')")
    page.fill("#own-prompt textarea", "What is 2 + 2?")
    page.get_by_label("Keep in pack").fill("sums")
    page.click("#own-add")
    page.wait_for_selector(".wb-task .wb-advice")
    page.get_by_role("button", name="Packs as files").click()
    with page.expect_download() as saved:
        page.click("#export-pack")
    assert saved.value.suggested_filename == "sums.jsonl"
    rows = Path(saved.value.path()).read_text(encoding="utf-8")
    assert json.loads(rows)["prompt"] == "What is 2 + 2?"
    wrong = {"name": "more.jsonl", "mimeType": "application/jsonl", "buffer": b'{"prompt": "a"}\n'}
    dropped(page, {**wrong, "buffer": b'{"prompt": "a"'})
    page.wait_for_selector("text=more.jsonl, line 1: this line is not valid JSON")
    dropped(page, {**wrong, "name": "sums.csv", "buffer": b"task;solution\nWhat is 3 + 3?;6\n"})
    page.wait_for_selector(".wb-packpreview:has-text(\"the field 'prompt' is missing\")")
    assert page.locator("#import-pack").is_disabled()
    page.fill("#import-prompt input", "task")
    page.locator("#import-prompt input").press("Enter")
    page.wait_for_selector(
        ".wb-packpreview:has-text(\"1 task will be imported as the pack 'sums': 1 judged by exact.\")"
    )
    page.click("#import-pack:not([disabled])")
    page.wait_for_selector(".wb-prompt:has-text('What is 3 + 3?')")


def test_runs_are_begun_shared_imported_and_opened(new_page: Callable[..., Any], app: str, tmp_path: Path) -> None:
    page = opened(new_page, app)
    if not page.locator(".wb-fail").count():
        sampled(page, 4)
    page.wait_for_selector(".hm-t")
    idle(page)
    page.get_by_role("tab", name="Runs").click()
    page.wait_for_selector(".wb-runs li:has-text('test') .wb-kind")
    with page.expect_download() as saved:
        page.click("#share-run")
    assert saved.value.suggested_filename == "test.html"
    shared = new_page()
    saved.value.save_as(tmp_path / "test.html")  # a download's own name has no ending that says what it is
    shared.goto((tmp_path / "test.html").as_uri())
    shared.wait_for_selector(".hm-t")
    page.click("#export-run")
    with page.expect_download() as archive:
        page.click("#archive a")
    archive.value.save_as(tmp_path / "brought.zip")
    with page.expect_file_chooser() as chooser:
        page.click("#import-run")
    chooser.value.set_files(tmp_path / "brought.zip")
    page.wait_for_selector(".wb-runs li:has-text('brought') button:has-text('Open')")
    page.get_by_label("Name of a new run").fill("other")
    page.click("#begin-run")
    page.wait_for_selector(".wb-facts:has-text('run other')")
    page.get_by_role("tab", name="Round").click()
    page.wait_for_selector(".wb-cards .wb-empty")
    page.get_by_role("tab", name="Runs").click()
    page.get_by_role("button", name="Open the run test").click()
    page.wait_for_selector(".wb-facts:has-text('run test')")
    page.get_by_role("tab", name="Round").click()
    page.wait_for_selector(".wb-card-button")
