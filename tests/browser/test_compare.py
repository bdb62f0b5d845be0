"""The tab "Compare" as a person uses it: one attempt in several ways by mouse and keyboard, and as an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench.credit import VIEWS

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} </script>"


@pytest.fixture(scope="module")
def attempt(client: Any) -> dict[str, Any]:
    """An attempt that the page of the module shows first."""
    attempts = client.predict(api_name="/sample", task="house-rules/sort-take-1", n=3)["attempts"]
    return dict(client.predict(api_name="/feedback", attempt=attempts[0]["id"], text="largest first", reward=0.0))


def opened(new_page: Callable[..., Any], app: str, **options: Any) -> Any:
    page = new_page(**options)
    page.goto(app)
    page.wait_for_selector(".wb-prompt")
    page.get_by_role("tab", name="Compare").click()
    return page


def compared(page: Any, kind: str) -> None:
    page.locator("#compare-kind").get_by_text(kind, exact=True).click()
    page.click("#do-compare")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_estimators_are_rows_under_the_same_tokens(
    new_page: Callable[..., Any],
    app: str,
    attempt: dict[str, Any],
    picture: Callable[..., None],
    scheme: str,
    width: int,
) -> None:
    page = opened(new_page, app, scheme=scheme, width=width)
    page.wait_for_selector("text=Attempt 1 of 3 at house-rules/sort-take-1")
    compared(page, "estimators")
    page.wait_for_selector(".cmp-block")
    rows = set(page.locator(".cmp-name").all_inner_texts())
    absent = page.locator(".cmp-absent li").count()
    assert rows <= {view.title for view in VIEWS.values()} and len(rows) + absent == len(VIEWS)
    cells = page.evaluate("new Set([...document.querySelectorAll('.cmp-cell')].map((cell) => cell.dataset.i)).size")
    assert cells == len(attempt["token_ids"])
    lefts = page.evaluate(
        "[...document.querySelectorAll('.cmp-block')].map((b) => new Set([...b.querySelectorAll('[data-i=\"1\"]')]"
        ".map((node) => Math.round(node.getBoundingClientRect().left))).size)"
    )
    assert max(lefts) == 1  # a token and all its numbers stand in one column
    assert "one scale for all rows in nats" in page.locator(".cmp-legend").inner_text()
    page.wait_for_selector("#compare-chart .heatmaplayer")
    picture(page, f"compare-{scheme}")
    page.focus(".cmp-blocks")
    page.keyboard.press("End")
    announcement = page.locator(".cmp-live").text_content()
    assert announcement.startswith(f"Token {len(attempt['token_ids'])} of") and "Raw credit" in announcement
    page.keyboard.press("ArrowLeft")
    assert page.locator(".cmp-token.cmp-at").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_typed_feedback_is_compared_with_what_the_attempt_was_told(
    new_page: Callable[..., Any], app: str, attempt: dict[str, Any]
) -> None:
    page = opened(new_page, app)
    page.locator("#compare-kind").get_by_text("feedbacks", exact=True).click()
    page.wait_for_selector("#compare-feedback textarea")
    page.fill("#compare-feedback textarea", HOSTILE)
    page.click("#do-compare")
    page.wait_for_selector(".cmp-summary:has-text('your feedback')")
    names = page.locator(".cmp-block").first.locator(".cmp-name").all_inner_texts()
    typed = [name for name in names if not name.startswith("Only ")]  # there is one of these for each kind in force
    assert typed[:4] == ["Teacher context in force", "Your feedback", "No feedback", "Irrelevant feedback"]
    assert page.locator(".wb-part img").count() == 0
    page.locator("#compare-kind").get_by_text("runs", exact=True).click()
    page.wait_for_selector("#compare-run")
    page.click("#do-compare")
    page.wait_for_selector("text=Choose the other run; it must be in the same directory as this one.")


def test_the_endpoints_compare(client: Any, attempt: dict[str, Any]) -> None:
    from gradio_client.exceptions import AppError

    comparison = client.predict(api_name="/compare", attempt=attempt["id"], by="teachers", view="control")
    assert [row["name"] for row in comparison["views"]] == ["frozen", "live", "trust_region"]
    assert len(comparison["correlations"]) == 3 and comparison["limit"] > 0
    for values, sentence in (
        ({"attempt": attempt["id"], "by": "mood"}, "no comparison by"),
        ({"attempt": "a-none"}, "no attempt"),
        ({"attempt": attempt["id"], "by": "teachers", "view": "mood"}, "no view named"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(api_name="/compare", **values)
    with pytest.raises(AppError, match="no run"):
        client.predict(api_name="/compare_runs", other="../elsewhere")
