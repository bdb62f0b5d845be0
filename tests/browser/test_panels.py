"""The panels around the heatmap, used as a person does: mouse and keyboard on the real workbench."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_page import idle, opened, sampled

pytestmark = pytest.mark.browser


def test_the_update_is_explained_before_and_checked_after(new_page: Callable[..., Any], app: str) -> None:
    """The ledger, the teacher's lift, another loss, the update, its check, the health strip, a word explained."""
    page = opened(new_page, app)
    sampled(page, 4)
    page.click(".wb-plan summary")
    assert page.locator(".wb-table tbody tr").count() == 4
    page.click("#do-lift:not([disabled])")
    page.wait_for_selector(".wb-facts-line:has-text(' to ')")
    page.get_by_text("Loss and teacher: why").click()
    page.get_by_label("Teacher", exact=True).click()
    page.get_by_role("option", name="frozen").click()
    page.wait_for_selector("text=To be safe over many updates")
    page.wait_for_selector(".wb-plan:has-text('frozen teacher')")
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-after")
    page.get_by_text("Predicted against realised, token by token").click()
    page.wait_for_selector("#scatter .js-plotly-plot")
    page.wait_for_selector(".wb-health .wb-spark")
    page.get_by_role("button", name="sign agreement").first.click()
    assert "Share of the tokens" in page.locator("#wb-tip").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#wb-tip").is_visible()
    page.get_by_role("tab", name="Settings").click()
    assert page.locator("#set-teacher input").input_value() == "frozen"
    page.fill("#set-steps input", "2")
    page.locator("#set-steps input").blur()
    page.get_by_role("tab", name="Round").click()
    page.wait_for_selector(".wb-plan:has-text('in 2 steps')")
    idle(page)


def test_branches_are_named_drawn_and_compared(new_page: Callable[..., Any], app: str) -> None:
    page = opened(new_page, app)
    if not page.locator(".wb-fail").count():
        sampled(page, 4)
    if page.locator(".wb-node").count() < 2:
        page.click("#do-update:not([disabled])")
        page.wait_for_selector(".wb-node >> nth=1")
    idle(page)
    nodes = page.locator(".wb-node").count()
    page.click("#do-undo")
    page.wait_for_selector(".wb-node[aria-current='step'] span:has-text('start')")
    page.fill("#branch-name textarea, #branch-name input", "again")
    page.click("#do-branch")
    page.wait_for_function("document.querySelector('#branch-name textarea, #branch-name input').value === ''")
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(f".wb-node >> nth={nodes}")
    page.wait_for_selector(".wb-branch:has-text('again')")
    page.get_by_role("button", name="Compare two updates").click()
    page.wait_for_function("document.querySelector('#compare-second input').value.startsWith('again')")
    page.click("#do-compare")
    page.wait_for_selector(".wb-nodes .wb-numbers")
    page.wait_for_selector(".wb-compared .hm-t")
    assert "adapter distance" in page.locator(".wb-nodes").inner_text()
    page.fill("#branch-name textarea, #branch-name input", "again")
    page.click("#do-branch")
    page.wait_for_selector("text=There already is a branch")
