"""How the page is served: to whom, how much is taken from them, and what never leaves this machine.

Gradio's defaults suit a demonstration; these suit a program that runs for days beside a person's files. Knows nothing
of models and runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from types import SimpleNamespace
from urllib.parse import urlsplit

import gradio as gr
from gradio.state_holder import SessionState, StateHolder
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.ui import changes
from workbench.ui.quiet_queue import quieten
from workbench.ui.theme import head, theme
from workbench.ui.worker import Desk

LARGEST_FILE = 256 * 2**20  # bytes of an uploaded file: a run's archive; it goes to the disk as it comes
LARGEST_REQUEST = 5 * 2**20  # bytes of any other request's body, which is held in memory
LONGEST_QUEUE = 256  # requests that may wait; those for the model wait in the desk's own, shorter queue
SESSIONS = 1000  # pages whose choices are remembered, some 10 KiB each; the one unused for longest is forgotten first
UPLOADS_LIVE_S = 3600

# Whatever a text might smuggle past every escape: it loads nothing from elsewhere, and no other page frames this one.
# Gradio itself needs inline scripts and styles, and evaluates its templates.
CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class _TooLarge(Exception):
    """The body went over the limit while it was read."""


class Guard:
    """Refuses what no page of ours sends, before Gradio sees it; adds the headers above to every answer.

    - Another host's name (421): a site that lets its own name point to 127.0.0.1 must not reach us.
    - Another site's origin (403): a page elsewhere may post to us without asking; the browser names it.
    - A body over the limit (413), also one that does not say its size.

    `hosts`: the names that are answered; empty for any, where the page is open to a network.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        largest = LARGEST_FILE if scope["path"].rstrip("/").endswith("/upload") else LARGEST_REQUEST
        refusal = self._refusal(Headers(scope=scope), largest)
        if refusal is not None:
            return await refusal(scope, receive, send)
        read, started = 0, False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > largest:
                raise _TooLarge
            return message

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except _TooLarge:
            if not started:
                await _too_large(largest)(scope, receive, send)

    def _refusal(self, headers: Headers, largest: int) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if self.hosts and _name(host) not in self.hosts:
            return PlainTextResponse("The page is not served under this name.", 421)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Requests of other sites are not answered.", 403)
        size = headers.get("content-length", "0")
        return _too_large(largest) if not size.isdigit() or int(size) > largest else None


def _too_large(largest: int) -> PlainTextResponse:
    return PlainTextResponse(f"This request may have {largest:,} bytes.", 413)


def _name(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class Sessions(StateHolder):
    """What the server remembers of each page that is open.

    Gradio would keep a description of every component for every session (0.4 MiB, a fifth of a second to make), which
    only its deep links read, and takes each call of a program for a session of its own, for whose sake it would in time
    forget the pages that people have open. Here a session is what was chosen in it, and a program's call leaves none.
    """

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id in self.blocks._queue.event_ids_to_events:  # a call without a session has the name of its event
            return self._new()
        with self.lock:
            if session_id not in self.session_data:
                self.session_data[session_id] = self._new()
        return super().__getitem__(session_id)

    def _new(self) -> SessionState:
        return SessionState(SimpleNamespace(default_config=self.blocks.default_config, blocks=()))  # type: ignore[arg-type]


def launch(
    page: gr.Blocks, desk: Desk, host: str, port: int, auth: tuple[str, str] | None = None, names: Collection[str] = ()
) -> str:
    """Serve the page and return its address; does not block. Raises OSError where the port is taken.

    `desk`: open pages hear of its changes.
    `names`: the host names under which it answers; empty for any.
    """
    page.delete_cache = (UPLOADS_LIVE_S, UPLOADS_LIVE_S)
    quieten(page, LONGEST_QUEUE)
    _without_statistics(page)
    app, address, _ = page.launch(
        server_name=host,
        server_port=port,
        auth=auth,
        theme=theme(),
        head=head(),
        share=False,
        quiet=True,
        show_error=False,  # a bug's text stays in the terminal; a refusal's sentence is shown all the same
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        allowed_paths=[],
        blocked_paths=[os.getcwd()],  # where runs, models and this code lie; Gradio would trust it
        max_file_size=LARGEST_FILE,
        state_session_capacity=SESSIONS,
        enable_monitoring=False,
        footer_links=["api"],
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(Guard, hosts=names)], "lifespan": changes.serving(desk)},
    )
    app.state_holder = Sessions()
    app.state_holder.set_blocks(page)
    return str(address)


def _without_statistics(page: gr.Blocks) -> None:
    """Gradio would keep ten thousand calls, and after each tabulate them all (24 ms), for a dashboard that is off."""
    page._queue.ANALYTICS_MAX_EVENTS = 1
    page._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
