"""The server's memory of its clients: each page's choices, and nothing of a program's calls."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest

from workbench.benchmarks.browser import free_port
from workbench.benchmarks.client import Page
from workbench.service.queue import JobQueue
from workbench.ui.server import Sessions, launch


def count(before: int) -> tuple[int, int]:
    return before + 1, before + 1


async def double(number: int) -> int:
    """As the page's named endpoints are."""
    return 2 * number


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[gr.Blocks, Page]]:
    """A page that counts how often its button was pressed, and an endpoint."""
    with gr.Blocks(analytics_enabled=False) as page:
        pressed, shown = gr.State(0), gr.Number()
        gr.Button().click(count, pressed, [pressed, shown])
        gr.api(double, api_name="double")
    address = launch(page, JobQueue(lambda: None), "127.0.0.1", free_port())
    with Page(address, 60.0) as client:
        yield page, client
    page.close()


def press(client: Page, session: str) -> int:
    body = {"fn_index": 0, "data": [None], "session_hash": session, "event_data": None}
    return client.result("queue/join", body)[-1]


def test_a_page_s_choices_are_its_own_and_are_kept(served: tuple[gr.Blocks, Page]) -> None:
    page, client = served
    assert [press(client, "one"), press(client, "one"), press(client, "other"), press(client, "one")] == [1, 2, 1, 3]
    assert {"one", "other"} <= set(page.state_holder.session_data)


def test_a_program_s_calls_leave_nothing(served: tuple[gr.Blocks, Page]) -> None:
    page, client = served
    press(client, "one")
    before = list(page.state_holder.session_data)
    assert [client.ask("double", number=number) for number in range(20)] == [2 * number for number in range(20)]
    assert list(page.state_holder.session_data) == before


def test_no_statistics_of_calls_are_kept_or_made(served: tuple[gr.Blocks, Page]) -> None:
    """They would cost every poll of every page 24 ms of a core, and memory for ten thousand calls."""
    page, client = served
    for number in range(5):
        client.ask("double", number=number)
    assert len(page._queue.event_analytics) <= 1
    assert page._queue.cached_event_analytics_summary == {"functions": {}}


def test_a_session_does_not_describe_the_page(served: tuple[gr.Blocks, Page]) -> None:
    page, client = served
    press(client, "one")
    session = page.state_holder.session_data["one"]
    assert isinstance(page.state_holder, Sessions) and page.app.state_holder is page.state_holder
    assert len(session.config_values) <= 2 < len(page.blocks), "no more than what the button changes"
