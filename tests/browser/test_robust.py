"""A page that is reloaded, closed, doubled, slow or pressed twice: nothing is lost, nothing is done twice.

What happened is read from the run's own log beside the page, without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import serving

from workbench.runs import Run

pytestmark = pytest.mark.browser

TASK = "house-rules/sort-take-1"
SLOW = {"offline": False, "latency": 400, "downloadThroughput": 200_000, "uploadThroughput": 50_000}  # ms, bytes/s


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "robust"


@pytest.fixture(scope="module")
def app(run: Path) -> Iterator[str]:
    """The page with a group of attempts of which one failed and got words."""
    with serving(run) as address:
        client = pytest.importorskip("gradio_client").Client(address, verbose=False)
        attempts = client.predict(api_name="/sample", task=TASK, n=3)["attempts"]
        for attempt in attempts:
            client.predict(api_name="/feedback", attempt=attempt["id"], text="largest first", reward=0.0)
        yield address


def counted(run: Path, kind: str) -> int:
    """Count the events of this kind in the log."""
    with Run.open(run, read_only=True) as log:
        return len(log.events(kind))


def opened(new_page: Callable[..., Any], app: str) -> Any:
    page = new_page()
    page.goto(app)
    page.wait_for_selector(".hm-t")
    return page


def idle(page: Any) -> None:
    page.wait_for_selector(".wb-state[data-state='ready']:has-text('idle')")


def taken(page: Any, done: str) -> None:
    """Wait until the page says that its request is being worked on, or that it is done already."""
    page.wait_for_function(f"document.querySelector(\".wb-state[data-state='busy']\") || {done}")


def test_a_tab_closed_during_an_update_loses_nothing_and_a_new_one_shows_it(
    new_page: Callable[..., Any], app: str, run: Path
) -> None:
    page = opened(new_page, app)
    before = counted(run, "update")
    page.click("#do-update:not([disabled])")
    taken(page, f"document.querySelectorAll('.wb-node').length === {before + 2}")
    page.close()
    again = new_page()
    again.goto(app)
    again.wait_for_selector(f".wb-node >> nth={before + 1}")
    again.wait_for_selector(".wb-after, .wb-numbers")
    assert counted(run, "update") == before + 1


def test_a_double_click_is_one_update_and_one_group(new_page: Callable[..., Any], app: str, run: Path) -> None:
    page = opened(new_page, app)
    idle(page)
    updates, attempts = counted(run, "update"), counted(run, "attempt")
    page.dblclick("#do-update:not([disabled])")
    page.wait_for_selector(f".wb-node >> nth={updates + 1}")
    idle(page)
    assert counted(run, "update") == updates + 1
    page.get_by_role("spinbutton", name="Attempts").fill("2")
    page.get_by_role("spinbutton", name="Attempts").blur()
    page.dblclick("#do-sample")
    page.wait_for_function("document.querySelectorAll('.wb-card-button').length === 2")
    idle(page)
    assert counted(run, "attempt") == attempts + 2


def test_a_reload_while_attempts_are_sampled_shows_them_and_stop_keeps_them(
    new_page: Callable[..., Any], app: str, run: Path
) -> None:
    page = opened(new_page, app)
    idle(page)
    before = counted(run, "attempt")
    page.get_by_role("spinbutton", name="Attempts").fill("16")
    page.get_by_role("spinbutton", name="Attempts").blur()
    page.click("#do-sample")
    taken(page, "document.querySelectorAll('.wb-card-button').length === 16")
    page.reload()
    page.wait_for_function("document.querySelectorAll('.wb-live, .wb-card-button').length === 16")
    if page.locator("#do-stop:not([disabled])").count():
        page.click("#do-stop")
    page.wait_for_function("document.querySelectorAll('.wb-card-button').length === 16")
    idle(page)
    assert counted(run, "attempt") == before + 16  # stopped or not, each attempt is on disk, once


def test_nobodys_selection_or_typing_moves_under_their_hands(new_page: Callable[..., Any], app: str, run: Path) -> None:
    mine, yours = opened(new_page, app), opened(new_page, app)
    mine.click(".wb-card:nth-child(2) .wb-card-button")
    mine.wait_for_selector(".hm-title:has-text('Attempt 2 of')")
    mine.fill("#feedback textarea", "half a sentence that I am still")
    yours.click(".wb-card:nth-child(2) .wb-card-button")
    yours.wait_for_selector(".hm-title:has-text('Attempt 2 of')")
    yours.fill("#feedback textarea", "said in another tab")
    yours.click("#give-feedback")
    mine.wait_for_selector(".wb-card:nth-child(2) .wb-said:has-text('said in another tab')")  # what is true is shown
    mine.wait_for_function("document.querySelector('#feedback textarea').value === 'half a sentence that I am still'")
    assert mine.locator(".wb-card:nth-child(2) .wb-card-button").get_attribute("aria-pressed") == "true"
    yours.click(".wb-card:nth-child(1) .wb-card-button")
    yours.wait_for_selector(".hm-title:has-text('Attempt 1 of')")
    assert mine.locator(".hm-title:has-text('Attempt 2 of')").count() == 1


def test_a_slow_client_sees_the_queue_and_the_newest_state(
    new_page: Callable[..., Any], app: str, client: Any, run: Path
) -> None:
    page = opened(new_page, app)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", SLOW)
    before, measured = counted(run, "attempt"), counted(run, "held-out")
    jobs = [client.submit(api_name="/held_out") for _ in range(6)]  # long enough to be seen over a slow line
    page.wait_for_selector(".wb-state:has-text('waiting')")
    group = client.predict(api_name="/sample", task=TASK, n=12)["attempts"]  # takes its turn
    assert all(job.result()["total"] == 60 for job in jobs)
    page.wait_for_selector(f".wb-card-button[data-id='{group[0]['id']}']")
    idle(page)
    assert counted(run, "attempt") == before + 12 and counted(run, "held-out") >= measured + 6
