"""The queue in the header, and what a worker that ends means for a page: the real page over the real workbench.

The server runs in this process, so that a test can hold a job where it waits for the workbench, and end the worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench
from workbench.benchmarks.browser import free_port
from workbench.service import make_queue
from workbench.service.job import Job
from workbench.service.queue import JobQueue
from workbench.ui import build_ui, launch

pytestmark = pytest.mark.browser

MEASURING = "Measuring the held-out tasks"


@dataclass(frozen=True)
class Served:
    """A page, and the queue behind it."""

    address: str
    queue: JobQueue


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    run: Path = tmp_path_factory.mktemp("runs") / "queue"
    queue = make_queue(lambda: Workbench.open(run)).start()
    page = build_ui(queue, "queue")
    address = launch(page, queue, "127.0.0.1", free_port())
    assert queue.settled.wait(300) and queue.status == "ready"
    yield Served(address, queue)
    page.close()
    queue.close()


def opened(new_page: Callable[..., Any], served: Served, **options: Any) -> Any:
    page = new_page(**options)
    page.goto(served.address)
    page.wait_for_selector(".wb-prompt")
    page.wait_for_selector(".wb-state[data-state='ready']:has-text('idle')")
    return page


def rows(page: Any) -> list[str]:
    """Texts of the open queue, one line per job."""
    return [row.replace("\n", " ") for row in page.locator(".wb-queue li").all_inner_texts()]


def held_out(served: Served) -> int:
    """Count the measurements of the held-out tasks."""
    return sum(event.kind == "held-out" for event in served.queue.workbench.events())


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_one_waits_behind_another_and_is_stopped_alone(
    new_page: Callable[..., Any], served: Served, picture: Callable[..., None], scheme: str, width: int
) -> None:
    first, second = opened(new_page, served), opened(new_page, served, width=width, scheme=scheme)
    measured = held_out(served)
    with served.queue.workbench.lock:  # what runs is not done before the test lets go
        first.click("#do-measure")
        first.wait_for_selector(f".wb-state[data-state='busy']:has-text('{MEASURING}')")
        second.wait_for_selector(f".wb-state:has-text('{MEASURING}')")
        second.get_by_label("Attempts").fill("5")
        second.click("#do-sample")
        second.wait_for_selector(".wb-state:has-text('yours is next in line')")
        first.wait_for_selector(".wb-waiting:has-text('1 waiting')")
        assert "yours" not in first.locator(".wb-state").inner_text()

        first.focus(".wb-waiting")
        first.keyboard.press("Enter")
        assert first.locator(".wb-waiting").get_attribute("aria-expanded") == "true"
        assert [("now" in row, MEASURING in row, "this tab" in row) for row in rows(first)] == [
            (True, True, True),
            (False, False, False),
        ]
        assert "Sampling 5 attempts" in rows(first)[1] and "another tab or program" in rows(first)[1]
        second.click(".wb-waiting")
        assert [("this tab" in row) for row in rows(second)] == [False, True]
        assert second.evaluate("document.documentElement.scrollWidth") <= width
        picture(second, f"queue-{scheme}")
        second.reload()  # its job is still its own
        second.wait_for_selector(".wb-state:has-text('yours is next in line')")

        stop = first.get_by_role("button", name="Stop: Sampling 5 attempts, next in line")
        stop.focus()
        first.keyboard.press("Enter")
        second.wait_for_selector(".wb-problem:has-text('Sampling 5 attempts: this was stopped elsewhere')")
        first.wait_for_selector(".wb-queue li >> nth=1", state="detached")
        assert first.evaluate("document.activeElement.className") == "wb-waiting"  # not lost with the row
        assert first.locator(".wb-problem").count() == 0
        assert MEASURING in rows(first)[0]
        first.get_by_role("button", name=f"Stop: {MEASURING}, now").focus()
        first.keyboard.press("Escape")
        assert not first.locator(".wb-queue").is_visible()
    first.wait_for_selector(".wb-state[data-state='ready']:has-text('idle')")
    assert held_out(served) == measured + 1


def test_what_runs_says_how_long_yet(new_page: Callable[..., Any], served: Served) -> None:
    page = opened(new_page, served)
    page.click("#do-measure")
    page.wait_for_function("document.querySelectorAll('.wb-state[data-state=ready]').length === 1")
    served.queue.submit("barrier", "", lambda workbench, job: None).result(300)
    with served.queue.workbench.lock:
        page.click("#do-measure")
        page.wait_for_selector(".wb-state .wb-time:has-text('about')")
        assert 0 < page.locator(".wb-state progress").evaluate("(bar) => bar.value") <= 1
        page.click("#do-stop:not([disabled])")
    page.wait_for_selector(".wb-state:has-text('idle')")


def test_a_worker_that_ends_is_reopened_and_the_round_goes_on(
    new_page: Callable[..., Any], served: Served, picture: Callable[..., None]
) -> None:
    def dies(workbench: Any, job: Any) -> None:
        raise SystemExit("a library called exit()")

    page = opened(new_page, served)
    page.get_by_label("Attempts").fill("4")
    page.get_by_label("Attempts").blur()
    page.click("#do-sample")
    page.wait_for_selector(".wb-card-button >> nth=3")
    attempts = page.eval_on_selector_all(".wb-card-button", "(cards) => cards.map((card) => card.dataset.id)")
    served.queue.submit("x", "Ending", dies)
    page.wait_for_selector(".wb-state[data-state='failed']:has-text('not running')")
    alert = page.get_by_role("alert").filter(has_text="The worker stopped")
    assert "everything that was shown is on disk" in alert.inner_text()
    picture(page, "reopen")
    page.click("#do-sample")  # refused in one sentence, nothing is lost
    page.wait_for_selector(".toast-body:has-text('The worker stopped')")
    page.get_by_role("button", name="Reopen").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".wb-state[data-state='ready']:has-text('idle')")
    page.wait_for_selector(".wb-problem", state="detached")
    again = page.eval_on_selector_all(".wb-card-button", "(cards) => cards.map((card) => card.dataset.id)")
    assert again == attempts
    page.fill("#feedback textarea", "sort descending.")
    page.click("#give-feedback")
    page.wait_for_selector(".wb-said:has-text('sort descending.')")
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-after")
    assert page.locator(".wb-node").count() == 2


def test_an_update_says_how_far_it_is_and_stops_between_micro_batches(
    new_page: Callable[..., Any], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, report = threading.Event(), Job.report

    def held(job: Job, *far: Any, **more: Any) -> None:
        report(job, *far, **more)
        if job.kind == "update":
            go.wait(300)

    monkeypatch.setattr(Job, "report", held)
    page = opened(new_page, served, width=2560, height=1300)
    page.get_by_label("Attempts").fill("2")
    page.get_by_label("Attempts").blur()
    page.click("#do-sample")
    page.wait_for_function("document.querySelectorAll('.wb-card-button').length === 2")
    page.fill("#feedback textarea", "sort descending.")
    page.click("#give-feedback")
    page.wait_for_selector(".wb-said:has-text('sort descending.')")
    head = served.queue.workbench.head
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-state:has-text('Updating on 2 attempts') .wb-time:has-text('about')")
    page.click(".wb-waiting")
    page.wait_for_selector(".wb-queue li:has-text('1 of 10 micro-batches, about')")  # teacher, eight steps, re-scoring
    line = page.locator(".wb-line").bounding_box()
    assert line["height"] < 48  # one line, also while busy
    page.click("#do-stop:not([disabled])")
    go.set()
    page.wait_for_selector(".wb-problem:has-text('The update was stopped; the policy is exactly what it was before.')")
    assert served.queue.workbench.head == head
