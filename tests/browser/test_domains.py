"""One round in each of the paper's domains, through the page: the row as people read it, attempts, credit, undo.

The embedded policy does not speak these domains, so the attempts' texts are given (`scripted`); all else is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from forked import serving
from scripted import scripted_samples
from test_page import idle, newest, replaced

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(shared_page: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page over a program whose attempts are scripted; an update makes one step."""
    with serving(tmp_path_factory.mktemp("runs") / "domains", prepare=scripted_samples) as address:
        shared_page.goto(address)
        shared_page.wait_for_selector(".wb-prompt")
        shared_page.get_by_role("tab", name="Settings").click()
        shared_page.fill("#set-steps input", "1")
        shared_page.locator("#set-steps input").blur()
        shared_page.get_by_role("tab", name="Round").click()
        shared_page.wait_for_selector(".wb-prompt")
        yield shared_page


def choose(page: Any, field: str, name: str) -> None:
    page.click(f"#{field} input")
    page.get_by_role("option", name=name, exact=True).click()


def sampled(page: Any, count: int) -> None:
    """Sample a group; its first attempt failed and is the chosen one, in colour."""
    before = newest(page)
    page.get_by_label("Attempts").fill(str(count))
    page.get_by_label("Attempts").blur()
    page.click("#do-sample")
    replaced(page, before, count)
    page.wait_for_selector(f".hm-title:has-text('Attempt 1 of {count}: failed, reward 0')")
    page.wait_for_selector(".hm-t:visible")


def updated_and_undone(page: Any) -> None:
    """The update says which attempts give signal, what it did, and is undone."""
    page.wait_for_selector(".wb-plan:has-text('signal')")
    nodes = page.locator(".wb-node").count()
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-after")
    page.wait_for_selector(".hm-legend:has-text('above:')")  # predicted above, realised below
    page.click("#do-undo")
    page.wait_for_selector(".wb-after", state="detached")
    assert page.locator(".wb-node").count() > nodes
    page.wait_for_selector(".wb-node[aria-current='step'][aria-label^='root']")
    idle(page)


def part(page: Any, kind: str) -> Any:
    return page.locator(f".wb-parts li:has(.wb-switch:text-is('{kind}'))")


def test_a_choice_of_science(page: Any, picture: Callable[..., None]) -> None:
    choose(page, "pack", "science")
    page.wait_for_selector(".wb-options")
    assert page.locator(".wb-options li").all_inner_texts() == ["A\nThymine", "B\nGuanine", "C\nCytosine", "D\nUracil"]
    assert "Choose the right option." in page.locator(".wb-system").inner_text()
    sampled(page, 2)
    assert page.locator(".wb-read").all_inner_texts() == ["read as: B", "read as: A"]
    assert page.locator(".wb-card-button .wb-pass").count() == 1
    page.wait_for_selector(".hm-fold:has-text('Reasoning,')")
    assert not page.locator(".hm-t[data-i='0']").is_visible()
    page.click(".hm-fold")
    assert page.locator(".hm-t[data-i='0']").is_visible()
    page.click(".hm-fold")
    assert part(page, "outcome").inner_text().endswith("B is not the right choice.")
    assert "discloses the answer" in part(page, "answer").inner_text()
    assert "The right choice is A." not in page.locator("body").inner_text()
    picture(page, "science")
    part(page, "answer").locator(".wb-switch").click()
    page.wait_for_selector(".wb-parts .wb-part-text:has-text('The right choice is A.')")
    page.wait_for_function("document.querySelector('#feedback textarea').value.includes('The right choice is A.')")
    part(page, "answer").locator(".wb-switch").click()
    page.wait_for_function("!document.querySelector('#feedback textarea').value.includes('The right choice is A.')")
    updated_and_undone(page)


def test_calls_of_tools(page: Any, picture: Callable[..., None]) -> None:
    choose(page, "pack", "tools")
    page.wait_for_selector(".wb-shown:has-text('listStations')")
    choose(page, "task", "weather-week")
    page.wait_for_selector(".wb-prompt:has-text('What will the weather in Bergen be like')")
    assert page.locator(".wb-shown tbody tr").count() == 3
    assert "days: integer" in page.locator(".wb-shown tr:has-text('getForecast')").inner_text()
    frame = "(frame) => frame.scrollWidth - frame.clientWidth"
    assert page.locator(".wb-task .wb-frame").evaluate(frame) <= 0  # nothing is cut off at the side
    sampled(page, 2)
    assert page.locator(".wb-read").first.inner_text().startswith("read as: getForecast(place=")
    assert 'getForecast(place="Bergen", days="many", unit="celsius")' in page.locator(".hm-title").inner_text()
    assert part(page, "diff").inner_text().endswith("'days' is not right; it must be of the type integer.")
    assert "days=7" not in page.locator(".wb-parts").inner_text()
    picture(page, "tools")
    updated_and_undone(page)


def test_a_program_with_hidden_tests(page: Any, picture: Callable[..., None]) -> None:
    choose(page, "pack", "programs")
    page.wait_for_selector(".wb-shown:has-text('11 7')")
    assert page.locator(".wb-shown caption").inner_text() == "Samples"
    assert page.locator(".wb-shown tbody tr").count() == 1  # the hidden tests are no samples
    sampled(page, 3)
    tests = page.locator(".wb-tests li")
    assert tests.all_inner_texts() == ["✗ test 1", "3 hidden tests: 1 passed"]
    assert part(page, "example").inner_text().endswith("the program printed '7 11\\n', expected '11 7\\n'")
    page.get_by_text("what was read as the answer").click()
    read = page.locator(".wb-details:has-text('what was read as the answer') pre").inner_text()
    assert read.startswith("n, *xs = map(int,") and "```" not in read
    picture(page, "programs")
    page.click(".wb-card:nth-child(3) .wb-card-button")  # right for the sample, wrong for what is hidden
    page.wait_for_selector(".wb-tests li:has-text('✓ test 1')")
    assert part(page, "outcome").inner_text().endswith("The public tests pass, and a hidden test does not.")
    assert "1000000000" not in page.locator("body").inner_text()
    updated_and_undone(page)
