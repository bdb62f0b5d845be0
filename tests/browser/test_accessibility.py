"""axe-core on the real page: no serious or critical finding, in both themes, at three widths, on every tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_page import idle, opened, sampled

pytestmark = pytest.mark.browser


def serious(page: Any) -> list[str]:
    """Findings that axe-core calls serious or critical, one line each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    violations = axe.run(page).response["violations"]
    return [
        f"{violation['id']}: {violation['help']} ({len(violation['nodes'])}×, {violation['nodes'][0]['html'][:160]})"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light"), (2560, "dark")])
def test_no_serious_finding(new_page: Callable[..., Any], app: str, width: int, scheme: str) -> None:
    page = opened(new_page, app, width=width, scheme=scheme)
    if not page.locator(".wb-fail").count():
        sampled(page, 4)
    page.wait_for_selector(".hm-t")
    if page.locator(".wb-node").count() < 2:
        page.click("#do-update:not([disabled])")
        page.wait_for_selector(".wb-after")
    idle(page)
    # The box of a plot whose figure is on its way.
    page.wait_for_function("!document.querySelector('[aria-label=\"Empty value\"]')")
    page.click(".wb-plan summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == []
    for tab in ("Discover", "Learn", "Studies", "Compare", "Runs", "Settings"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(500)
        assert serious(page) == [], tab
