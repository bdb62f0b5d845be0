"""Long polling: an open page asks once, gets its answer when the published state changes, and then refreshes itself.

`GET workbench/changes?after=N` is answered as soon as the version is not N, otherwise after `LONGEST_S`, or `BUSY_S`
while a person's job runs: its progress and its time make no new version. A page that waits holds no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import gradio as gr
from fastapi.routing import APIRoute
from gradio.routes import App
from starlette.responses import JSONResponse

from workbench.service.job import PERSON
from workbench.service.queue import JobQueue

PATH = "/workbench/changes"
LONGEST_S = 25.0  # proxies give up on a response after 30 to 60 seconds
BUSY_S = 0.6  # with the pace of the page's script, one refresh a second of what counts whole seconds


class Changes:
    """Pages that wait for the queue's next change. Everything but `notify` runs in the server's event loop."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()
        queue.watch(self.notify)

    def notify(self) -> None:
        """Answer every page that waits; callable from any thread, never blocks."""
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waiting in self._waiting:
            waiting.set()

    async def after(self, version: int, stop: asyncio.Event) -> dict[str, Any]:
        """Wait until the version differs from `version`, `stop` is set or time is up.

        Returns {"version": int, "busy": bool}: the version now, and whether a person's job runs.
        """
        self._loop, changed = asyncio.get_running_loop(), asyncio.Event()
        self._waiting.add(changed)  # before reading the version: any change from here on is noticed
        try:
            if self._queue.version == version:
                ends = [asyncio.ensure_future(event.wait()) for event in (changed, stop)]
                try:
                    await asyncio.wait(
                        ends, timeout=BUSY_S if self._busy() else LONGEST_S, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    for end in ends:
                        end.cancel()
        finally:
            self._waiting.discard(changed)
        return {"version": self._queue.version, "busy": self._busy()}

    def _busy(self) -> bool:
        current = self._queue.current
        return current is not None and current.priority == PERSON


def serving(queue: JobQueue) -> Callable[[App], AbstractAsyncContextManager[None]]:
    """Lifespan of an app that answers at `PATH` from its first request on, behind the login of its configuration."""

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        changes = Changes(queue)
        login = next(r.dependencies for r in app.routes if isinstance(r, APIRoute) and r.path == "/config")

        async def answer(after: int = 0) -> JSONResponse:
            return JSONResponse(await changes.after(after, app.stop_event), headers={"cache-control": "no-store"})

        app.add_api_route(PATH, answer, dependencies=login, include_in_schema=False)
        yield

    return lifespan


def trigger() -> gr.HTML:
    """Build the hidden element whose `input` event asks for a refresh and whose value holds the version shown."""
    return gr.HTML(
        value="",
        html_template="<div></div>",
        js_on_load="SDPOPage.follow(props, trigger) /* 'input' */",
        apply_default_css=False,
        elem_id="changes",
    )
