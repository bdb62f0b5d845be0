"""The page's script: an open tab hears of changes at once, asks for nothing while there are none, and comes back.

The workbench behind the page is empty; what the tests see of it is the name of its run in the header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from workbench.benchmarks.browser import free_port
from workbench.service.job import Job
from workbench.service.queue import JobQueue
from workbench.ui import build_ui, launch

pytestmark = pytest.mark.browser

PATIENCE_S = 60.0
CALM_MS = 2000  # a page that asks for nothing as long as this is idle; it used to ask every 400 to 1,500 ms


class Empty:
    """As much of a workbench as a page over no run asks for."""

    def runs(self) -> list[Any]:
        return []

    def judges(self) -> list[Any]:
        return []

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Served:
    """A page, and the queue behind it."""

    address: str
    queue: JobQueue


@contextmanager
def serving(port: int, run: str) -> Iterator[Served]:
    queue = JobQueue(Empty).start()
    assert queue.settled.wait(PATIENCE_S)
    page = build_ui(queue, run)
    yield Served(launch(page, queue, "127.0.0.1", port), queue)
    page.close()
    queue.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(free_port(), "run") as page:
        yield page


def opened(page: Any, address: str) -> list[str]:
    """The paths that the page asks for, from when it is calm."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
    page.goto(address)
    page.wait_for_selector(".wb-state[data-state='ready']")
    before = -1
    while before != len(asked):
        before = len(asked)
        page.wait_for_timeout(CALM_MS)
    asked.clear()
    return asked


def named(page: Any, run: str) -> None:
    page.wait_for_selector(f"#part-header :text-is('run {run}')")


def hide(page: Any, hidden: bool) -> None:
    """Hide or show the page, as a browser does when tabs are changed; the window of a test is always shown."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_an_idle_tab_asks_for_nothing_and_hears_of_a_change(new_page: Callable[..., Any], served: Served) -> None:
    page = new_page()
    requests = opened(page, served.address)
    page.wait_for_timeout(CALM_MS)
    assert len(requests) <= 1 and all("workbench/changes" in path for path in requests)
    served.queue.publish(run="renamed")
    named(page, "renamed")
    page.wait_for_timeout(CALM_MS)
    assert sum("queue/join" in path for path in requests) == 1


def test_what_a_job_counts_is_shown_while_it_runs(new_page: Callable[..., Any], served: Served) -> None:
    """Fails when the tab is told of new versions only: a job that counts makes none."""
    page = new_page()
    opened(page, served.address)

    def run(workbench: Any, job: Job) -> None:
        done = 0
        while not job.stop.wait(0.2):
            done = min(done + 1, 900)
            job.report(done, 1000, "steps")

    job = served.queue.submit("count", "Counting", run)
    page.wait_for_function("/[1-9] of 1000 steps/.test(document.querySelector('#part-header').textContent)")
    page.wait_for_function("/[1-9][0-9] of 1000 steps/.test(document.querySelector('#part-header').textContent)")
    served.queue.stop(job.number)
    page.wait_for_selector(".wb-state[data-state='ready']:has-text('idle')")


def test_a_hidden_tab_asks_for_nothing_and_catches_up(new_page: Callable[..., Any], served: Served) -> None:
    page = new_page()
    requests = opened(page, served.address)
    hide(page, True)
    served.queue.publish(run="while hidden")  # answers what it still asks
    page.wait_for_timeout(CALM_MS)
    requests.clear()
    served.queue.publish(run="while hidden still")
    page.wait_for_timeout(CALM_MS)
    assert requests == [] and page.locator("#part-header :text-is('run while hidden still')").count() == 0
    hide(page, False)
    named(page, "while hidden still")


def test_two_tabs_take_turns_and_both_hear(new_page: Callable[..., Any], served: Served) -> None:
    """A browser keeps few connections to one server: each tab that waits on one of its own would block others."""
    first = new_page()
    requests = opened(first, served.address)
    second = first.context.new_page()
    asked_too = opened(second, served.address)
    requests.clear()
    for name in ("one", "two", "three"):
        served.queue.publish(run=name)
        named(first, name)
        named(second, name)
        first.wait_for_timeout(1000)
    waits = [path for path in requests + asked_too if "workbench/changes" in path]
    assert 3 <= len(waits) <= 5
    first.close()
    served.queue.publish(run="four")
    named(second, "four")


def test_a_tab_comes_back_after_a_restart_and_a_reload(new_page: Callable[..., Any]) -> None:
    port, page = free_port(), new_page()
    with serving(port, "before") as first:
        opened(page, first.address)
        named(page, "before")
    page.wait_for_timeout(2000)
    with serving(port, "after") as second:
        named(page, "after")
        second.queue.publish(run="after all")
        named(page, "after all")
        page.reload()
        named(page, "after all")
        second.queue.publish(run="and on")
        named(page, "and on")
