"""The quiet queue does what Gradio's does, side by side with it, and sleeps while nobody asks for anything."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.queueing import Queue

from workbench.benchmarks.browser import free_port
from workbench.ui.quiet_queue import QuietQueue, quieten

PATIENCE_S = 60.0
MOST_WAITING = 12

# What QuietQueue replaces, or relies on to be as it is: the first 12 digits of the source's SHA-256.
KNOWN = {
    "start": "d7da05cdd477",
    "close": "3665e3c2dd9f",
    "start_processing": "d65be5a5cbed",
    "start_progress_updates": "7cbbec1cf932",
    "set_progress": "3d11e4f8d264",
    "get_events": "c35ce0aae034",
}


@pytest.mark.parametrize("name", KNOWN)
def test_gradio_s_queue_is_the_one_that_was_read(name: str) -> None:
    source = inspect.getsource(getattr(Queue, name))
    found = hashlib.sha256(source.encode()).hexdigest()[:12]
    assert found == KNOWN[name], (
        f"Gradio {gr.__version__} has another Queue.{name}. Read it beside workbench/ui/quiet_queue.py, take over "
        f"what matters, and set its digits here to {found}. It now is:\n{source}"
    )


class Handlers:
    """What the page can be asked for: most of it waits until it is let go, and counts itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.anew()

    def anew(self) -> None:
        self.go = threading.Event()
        self.began: list[int] = []
        self.running = self.most = 0
        self.ended: list[str] = []

    def hold(self, number: int) -> int:
        with self.lock:
            self.began.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(PATIENCE_S)
        with self.lock:
            self.running -= 1
        return number

    def at_once(self) -> str:
        return "done"

    def steps(self, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        for done in (1, 2, 3):
            progress((done, 3), unit="steps")
            time.sleep(0.05)
        return "done"

    async def forever(self) -> Any:
        try:
            while True:
                yield "more"
                await asyncio.sleep(0.02)
        finally:
            self.ended.append("forever")


class Served:
    """A page with these handlers, and a client whose sessions are a test's own."""

    def __init__(self, page: gr.Blocks, handlers: Handlers, client: httpx.Client) -> None:
        self.page, self.handlers, self.client = page, handlers, client
        self.queue = page._queue
        self.prefix = uuid.uuid4().hex

    def number(self, name: str) -> int:
        return next(fn._id for fn in self.page.fns.values() if fn.api_name == name)

    def join(self, session: str, name: str, *data: Any) -> httpx.Response:
        body = {"data": list(data), "fn_index": self.number(name), "session_hash": self.prefix + session}
        return self.client.post("queue/join", json=body)

    def messages(self, session: str) -> Iterator[dict[str, Any]]:
        """What the server sends to a session, up to its end."""
        with self.client.stream("GET", "queue/data", params={"session_hash": self.prefix + session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def ending(self, session: str) -> list[str]:
        """The kinds of the last two messages."""
        return [message["msg"] for message in self.messages(session)][-2:]


@pytest.fixture(scope="module", params=["Gradio's", "quiet"])
def launched(request: pytest.FixtureRequest) -> Iterator[tuple[gr.Blocks, Handlers, httpx.Client]]:
    handlers = Handlers()
    with gr.Blocks(analytics_enabled=False) as page:
        gr.api(handlers.hold, api_name="hold", concurrency_limit=2)
        gr.api(handlers.at_once, api_name="at_once", concurrency_limit=None)
        gr.Button().click(handlers.steps, None, gr.Textbox(), api_name="steps")
        gr.api(handlers.forever, api_name="forever")
    if request.param == "quiet":
        quieten(page, MOST_WAITING)
        assert isinstance(page._queue, QuietQueue)
    else:
        page.queue(max_size=MOST_WAITING, default_concurrency_limit=None)
    _, address, _ = page.launch(server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True)
    with httpx.Client(base_url=f"{address}gradio_api/", timeout=PATIENCE_S, trust_env=False) as client:
        yield page, handlers, client
    page.close()


@pytest.fixture
def served(launched: tuple[gr.Blocks, Handlers, httpx.Client]) -> Iterator[Served]:
    launched[1].anew()
    yield Served(*launched)
    launched[1].go.set()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_more_run_at_once_than_may_and_others_do_not_wait_for_them(served: Served) -> None:
    handlers = served.handlers
    for number in range(6):
        assert served.join(str(number), "hold", number).status_code == 200
    until(lambda: len(handlers.began) == 2)
    served.join("other", "at_once")
    assert served.ending("other") == ["process_completed", "close_stream"]
    assert handlers.began == [0, 1]
    handlers.go.set()
    with ThreadPoolExecutor() as pool:
        heard = list(pool.map(lambda number: list(served.messages(str(number))), range(6)))
    results = [next(m["output"]["data"] for m in each if m["msg"] == "process_completed") for each in heard]
    assert results == [[number] for number in range(6)]
    assert handlers.most == 2 and sorted(handlers.began) == list(range(6))


def test_a_full_queue_refuses(served: Served) -> None:
    for number in range(2):
        served.join("", "hold", number)
    until(lambda: len(served.handlers.began) == 2)
    codes = [served.join("", "hold", number).status_code for number in range(MOST_WAITING + 1)]
    assert codes == [200] * MOST_WAITING + [503]
    served.handlers.go.set()
    assert sum(message["msg"] == "process_completed" for message in served.messages("")) == MOST_WAITING + 2


def test_progress_is_reported_while_it_runs(served: Served) -> None:
    served.join("", "steps")
    heard = list(served.messages(""))
    done = [message["progress_data"][0]["index"] for message in heard if message["msg"] == "progress"]
    assert done and done == sorted(done) and heard[-2]["msg"] == "process_completed"


def test_what_waits_for_a_client_that_left_is_not_begun(served: Served) -> None:
    handlers = served.handlers
    for number in range(2):
        served.join(str(number), "hold", number)
    until(lambda: len(handlers.began) == 2)
    served.join("leaves", "hold", 7)
    for message in served.messages("leaves"):
        assert message["msg"] == "estimation"
        break  # and the stream is closed
    until(lambda: len(served.queue) == 0)
    handlers.go.set()
    served.join("8", "hold", 8)
    assert served.ending("8") == ["process_completed", "close_stream"]
    assert sorted(handlers.began) == [0, 1, 8]


def test_what_runs_can_be_cancelled_and_the_next_begins(served: Served) -> None:
    event = served.join("", "forever").json()["event_id"]
    for message in served.messages(""):
        if message["msg"] == "process_generating":
            body = {"session_hash": served.prefix, "fn_index": served.number("forever"), "event_id": event}
            assert served.client.post("cancel", json=body).json() == {"success": True}
            break
    until(lambda: served.handlers.ended == ["forever"])
    until(lambda: not any(served.queue.active_jobs))
    served.join("next", "forever")  # one at a time: the place is free again
    assert next(m["msg"] for m in served.messages("next") if m["msg"].startswith("process")) == "process_starts"


def wakes(thread: threading.Thread, seconds: float) -> float:
    """How often a second a thread of this process went to sleep."""
    status = Path(f"/proc/self/task/{thread.native_id}/status")

    def count() -> int:
        lines = status.read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("voluntary_ctxt_switches")))

    before = count()
    time.sleep(seconds)
    return (count() - before) / seconds


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux counts how often a thread wakes")
def test_it_sleeps_while_nobody_asks(served: Served) -> None:
    served.join("", "at_once")
    list(served.messages(""))
    time.sleep(0.5)
    often = wakes(served.page.server.thread, 2.0)  # type: ignore[attr-defined]
    assert often < 30 if isinstance(served.queue, QuietQueue) else often > 60  # uvicorn by itself: 10
