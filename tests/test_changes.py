"""How open pages learn of changes: over HTTP, from a real server whose workbench is empty."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import gradio as gr
import httpx
import pytest

from workbench.benchmarks.browser import free_port
from workbench.service.job import AHEAD
from workbench.service.queue import JobQueue
from workbench.ui import changes
from workbench.ui.server import launch

PATIENCE_S = 60.0
TABS = 300


class Empty:
    """A workbench of which nothing is asked."""

    def close(self) -> None:
        pass


@contextmanager
def serving(**options: Any) -> Iterator[tuple[JobQueue, gr.Blocks, str]]:
    queue = JobQueue(Empty).start()
    assert queue.settled.wait(PATIENCE_S)
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("empty")
    address = launch(page, queue, "127.0.0.1", free_port(), **options)
    yield queue, page, address
    page.close()
    queue.close()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[JobQueue, httpx.Client]]:
    with serving(names=("127.0.0.1",)) as (queue, _, address), client_of(address) as client:
        yield queue, client


def client_of(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False)


def ask(client: httpx.Client, after: int) -> dict[str, Any]:
    reply = client.get("workbench/changes", params={"after": after})
    assert reply.status_code == 200 and reply.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = reply.json()
    return answer


def held(queue: JobQueue, **options: Any) -> threading.Event:
    """A job that runs until it is let go."""
    started, release = threading.Event(), threading.Event()

    def run(workbench: Any, job: Any) -> None:
        started.set()
        release.wait(PATIENCE_S)

    queue.submit("hold", "Holding", run, **options)
    assert started.wait(PATIENCE_S)
    return release


def test_a_page_that_is_behind_is_answered_at_once(served: tuple[JobQueue, httpx.Client]) -> None:
    queue, client = served
    for behind in (0, queue.version - 1, queue.version + 5):  # also one that outlived another server
        assert ask(client, behind) == {"version": queue.version, "busy": False}


def test_a_page_that_is_up_to_date_waits_for_the_next_change(
    served: tuple[JobQueue, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, client = served
    before = queue.version
    threading.Timer(0.3, lambda: queue.publish(run="renamed")).start()
    assert ask(client, before) == {"version": before + 1, "busy": False}
    monkeypatch.setattr(changes, "LONGEST_S", 0.2)
    began = time.monotonic()
    assert ask(client, before + 1) == {"version": before + 1, "busy": False}  # and not for ever
    assert time.monotonic() - began >= 0.2


def test_while_a_person_s_job_runs_nobody_waits_for_long(served: tuple[JobQueue, httpx.Client]) -> None:
    """Its progress is no new version; a job that nobody asked for shows none."""
    queue, client = served
    release = held(queue)
    began = time.monotonic()
    assert ask(client, queue.version) == {"version": queue.version, "busy": True}
    assert time.monotonic() - began < changes.LONGEST_S / 2
    release.set()
    until_idle(queue)
    release = held(queue, priority=AHEAD)
    version = queue.version
    threading.Timer(0.3, release.set).start()
    answer = ask(client, version)
    assert answer["version"] > version and not answer["busy"]


def until_idle(queue: JobQueue) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while queue.current is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_hundreds_of_pages_wait_without_a_thread_and_hear_of_one_change(served: tuple[JobQueue, httpx.Client]) -> None:
    queue, client = served
    threads = threading.active_count()

    async def wait_together() -> tuple[list[httpx.Response], int]:
        limits = httpx.Limits(max_connections=TABS)
        async with httpx.AsyncClient(
            base_url=client.base_url, timeout=PATIENCE_S, limits=limits, trust_env=False
        ) as tabs:
            asked = [
                asyncio.ensure_future(tabs.get("workbench/changes", params={"after": queue.version}))
                for _ in range(TABS)
            ]
            await asyncio.sleep(2.0)
            assert not any(task.done() for task in asked)
            waiting = threading.active_count()
            queue.publish(run="again")
            return await asyncio.gather(*asked), waiting

    with ThreadPoolExecutor(1) as pool:  # the browser's tests leave an event loop running in this thread
        replies, waiting = pool.submit(lambda: asyncio.run(wait_together())).result()
    assert [reply.json()["version"] for reply in replies] == [queue.version] * TABS
    assert waiting <= threads + 40  # the server's pool, which looks at each login for a moment


@pytest.mark.parametrize("after", ["x", "1.5", "9" * 5000])
def test_what_no_page_asks_is_refused(served: tuple[JobQueue, httpx.Client], after: str) -> None:
    assert served[1].get("workbench/changes", params={"after": after}).status_code == 422


def test_the_guard_stands_before_it(served: tuple[JobQueue, httpx.Client]) -> None:
    _, client = served
    assert client.get("workbench/changes", headers={"host": "evil.example"}).status_code == 421
    assert client.get("workbench/changes", headers={"origin": "http://evil.example"}).status_code == 403


def test_without_a_login_nothing_is_said() -> None:
    with serving(auth=("ann", "secret")) as (queue, _, address), client_of(address) as client:
        assert client.get("workbench/changes").status_code == 401
        assert client.post("login", data={"username": "ann", "password": "guess"}).status_code == 400
        assert client.get("workbench/changes").status_code == 401
        assert client.post("login", data={"username": "ann", "password": "secret"}).status_code == 200
        assert ask(client, 0)["version"] == queue.version


def test_closing_does_not_wait_for_those_who_wait() -> None:
    answers: list[httpx.Response] = []
    with serving() as (queue, page, address), client_of(address) as client:
        waiting = threading.Thread(
            target=lambda: answers.append(client.get("workbench/changes", params={"after": queue.version}))
        )
        waiting.start()
        time.sleep(1.0)
        began = time.monotonic()
        page.close()
        assert time.monotonic() - began < 4.0  # Gradio gives up on a server after 5
        waiting.join(PATIENCE_S)
    assert answers[0].status_code == 200
    queue.publish(run="later")  # nobody is there to be told
