"""The tour and classroom mode, as a newcomer and a lecturer use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.browser


def test_light_or_dark_is_kept(new_page: Callable[..., Any], app: str) -> None:
    page = new_page(scheme="light")

    def dark(shown: Any) -> bool:
        shown.wait_for_selector(".wb-theme")
        return bool(shown.evaluate("document.body.classList.contains('dark')"))

    page.goto(app)
    assert not dark(page)
    page.click(".wb-theme")
    assert dark(page)
    page.reload()
    assert dark(page)
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")  # what the system does changes no choice
    assert dark(page)
    other = page.context.new_page()
    other.goto(app)
    assert dark(other)
    other.click(".wb-theme")
    other.goto(app)
    assert not dark(other)
    other.close()


def test_six_steps_point_at_the_real_controls_and_never_block(new_page: Callable[..., Any], app: str) -> None:
    page = new_page()
    page.goto(app)
    page.wait_for_selector(".wb-prompt")
    invitation = page.locator(".wb-tour-open")
    assert "New here?" in invitation.inner_text()
    invitation.focus()
    page.keyboard.press("Enter")
    targets = []
    for step in range(1, 7):
        page.wait_for_selector(f".wb-tour h2:has-text('{step} of 6')")
        targets.append(page.evaluate("(document.querySelector('.wb-toured') || {}).id || ''"))
        box, screen = page.locator(".wb-tour").bounding_box(), page.viewport_size
        assert box["x"] >= 0 and box["x"] + box["width"] <= screen["width"]
        assert box["y"] >= 0 and box["y"] + box["height"] <= screen["height"]
        if step < 6:
            page.focus(".wb-tour-next")
            page.keyboard.press("Enter")
    assert targets[:2] == ["task", "do-sample"] and targets[3] == "part-heat" and targets[5] == "do-update"
    assert page.locator(".wb-tour-next").inner_text() == "Done"
    page.get_by_role("spinbutton", name="Attempts").fill("3")  # the page takes input beside the note
    page.keyboard.press("Escape")
    assert page.locator(".wb-tour").count() == 0 and page.locator(".wb-toured").count() == 0
    page.reload()
    page.wait_for_selector(".wb-tour-open:text-is('Tour')")  # this browser remembers; another one is asked
    other = new_page()
    other.goto(app)
    other.wait_for_selector(".wb-tour-open:has-text('New here?')")


def test_classroom_mode_is_large_and_its_rounds_run(
    new_page: Callable[..., Any], app: str, picture: Callable[..., None]
) -> None:
    page = new_page(width=1280, height=800)
    page.goto(f"{app}?classroom=1")
    page.wait_for_selector(".wb-prompt")
    page.wait_for_selector("body.wb-classroom")
    page.click(".wb-preset:has-text('Two words are enough')")
    page.wait_for_selector(".wb-card-button")
    page.wait_for_selector(".hm-t")
    page.wait_for_selector(".wb-state[data-state='ready']")
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.hm-code')).fontSize)")
    assert size >= 24
    assert page.locator(".wb-card-button").count() == 6
    if page.locator(".wb-fail").count():
        page.wait_for_selector(".wb-said:has-text('largest first')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.wait_for_selector(".hm-legend")
    picture(page, "classroom")
    page.click(".wb-classroom-open")
    assert "classroom" not in page.url and not page.locator("#part-presets").is_visible()
    page.click(".wb-classroom-open")
    assert page.url.endswith("classroom=1") and page.locator("#part-presets").is_visible()
