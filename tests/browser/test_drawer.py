"""The token drawer on the real page: opened, tested and forced with the keyboard alone, in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from test_page import idle, opened, sampled

pytestmark = pytest.mark.browser

Picture = Callable[..., None]


def coloured(page: Any) -> None:
    """Wait until the whole group is scored, with a failed attempt shown."""
    if not page.locator(".wb-card-button").count():
        sampled(page, 4)
    page.wait_for_selector(".hm-map")
    idle(page)


def open_strongest(page: Any) -> None:
    """The token with the largest value, by keyboard."""
    page.focus(".hm-code")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hm-alts")


def tab_to(page: Any, key: str) -> None:
    """Press Tab until the drawer's control has the focus."""
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.key") == key:
            return
    pytest.fail(f"Tab does not lead to {key!r}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_credit_is_tested_and_a_token_forced_by_keyboard(
    new_page: Callable[..., Any], app: str, picture: Picture, scheme: str
) -> None:
    page = opened(new_page, app, scheme=scheme)
    coloured(page)
    open_strongest(page)
    code, panel = page.locator(".hm-code").bounding_box(), page.locator(".hm-panel").bounding_box()
    assert panel["x"] >= code["x"] + code["width"]  # beside the heatmap
    assert page.locator(".hm-alts tbody tr").last.inner_text().startswith("all others")
    assert page.locator(".hm-formula").inner_text().startswith("A = log q − log π = log ")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(24, 24, 27)"}[scheme]

    tab_to(page, "test")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hm-test")
    page.wait_for_selector("[data-key='test'][aria-disabled='false']")
    result = page.locator(".hm-test").first.inner_text()
    assert re.search(r"passes \d+ of \d+, .* \d+ of \d+: pass rate .* points, 95 % interval", result)
    assert page.evaluate("document.activeElement.dataset.key") == "test"  # the focus stays where it was
    picture(page, f"drawer-{scheme}", at=".hm-title")

    count, parent = page.locator(".wb-card").count(), page.locator("[aria-pressed='true'] .wb-number").inner_text()
    place = page.locator(".hm-goto").input_value()
    tab_to(page, "force")
    page.keyboard.press("Enter")
    page.wait_for_selector(f".hm-title:has-text('forced at token {place}')")
    assert page.locator(".wb-card").count() == count + 1
    assert page.locator(f".wb-said:has-text('from {parent}, token {place} forced')").count() >= 1
    page.reload()
    page.wait_for_selector(f".wb-card:nth-child({count + 1})")


def test_the_drawer_is_below_the_heatmap_on_a_phone(new_page: Callable[..., Any], app: str, picture: Picture) -> None:
    page = opened(new_page, app, width=400, height=900)
    coloured(page)
    open_strongest(page)
    code, panel = page.locator(".hm-code").bounding_box(), page.locator(".hm-panel").bounding_box()
    assert panel["y"] >= code["y"] + code["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    picture(page, "drawer-phone", at=".hm-title")
    page.keyboard.press("Escape")
    assert page.locator(".hm-panel").is_hidden()


def test_the_map_leads_to_another_attempt(new_page: Callable[..., Any], app: str, picture: Picture) -> None:
    page = opened(new_page, app, width=2560, height=1300)
    coloured(page)
    page.click(".hm-map-title")
    assert page.locator(".hm-map-row").count() == page.locator(".wb-card").count()
    page.locator(".hm-map canvas").nth(1).click(position={"x": 4, "y": 4})
    page.wait_for_selector(".hm-title:has-text('Attempt 2 of')")
    page.wait_for_selector(".hm-panel:has-text('token 1 of') .hm-alts")  # the token under the mouse is open
    picture(page, "map")


def test_the_endpoints_intervene(client: Any) -> None:

    def call(name: str, **values: Any) -> Any:
        return client.predict(api_name=f"/{name}", **values)

    attempt = call("sample", task="house-rules/sort-take-1", n=1)["attempts"][0]
    top = call("top", attempt=attempt["id"], position=3)
    assert attempt["token_ids"][3] in top["ids"]
    assert len(top["ids"]) + 1 == len(top["student"]) == len(top["push"])
    assert sum(top["student"]) == pytest.approx(1.0, abs=1e-4) and sum(top["push"]) == pytest.approx(0.0, abs=1e-4)
    other = next(token for token in top["ids"] if token != attempt["token_ids"][3])
    test = call("test_credit", attempt=attempt["id"], position=3, token_id=other, n=3)
    assert (test["n"], test["forced_id"]) == (3, other)
    assert test["interval"][0] <= test["change"] == (test["passed_forced"] - test["passed"]) / 3
    assert call("credit_tests", attempt=attempt["id"]) == [test]
    forced = call("force_token", attempt=attempt["id"], position=3, token_id=other)
    assert forced["token_ids"][:4] == [*attempt["token_ids"][:3], other]
    assert (forced["parent_id"], forced["forced_at"]) == (attempt["id"], 3)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("top", {"attempt": "a-none", "position": 0}, "no attempt 'a-none'"),
        ("top", {"attempt": "a-none", "position": "x"}, "must be a whole number"),
        ("credit_tests", {"attempt": "a-none"}, "no attempt 'a-none'"),
        ("test_credit", {"attempt": "", "position": 0}, "Choose an attempt first"),
        ("test_credit", {"attempt": "a-none", "position": 0}, "no attempt 'a-none'"),
        ("force_token", {"attempt": "a-none", "position": 0, "token_id": 1.5}, "must be a whole number"),
    ],
)
def test_mistakes_get_one_sentence(client: Any, name: str, values: dict[str, Any], sentence: str) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(api_name=f"/{name}", **values)
    assert sentence in str(caught.value).replace("&#x27;", "'") and "Traceback" not in str(caught.value)
