"""Serving the page: who may reach it, how much they may send, and what never leaves this machine.

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

from workbench.service.queue import JobQueue
from workbench.ui import changes
from workbench.ui.quiet_queue import quieten
from workbench.ui.theme import head, theme

LARGEST_FILE = 256 * 2**20  # bytes of an uploaded file: a run's archive; it goes to disk as it arrives
LARGEST_REQUEST = 5 * 2**20  # bytes of any other request's body, which is held in memory
LONGEST_QUEUE = 256  # requests that may wait; those for the model wait in the job queue, which is shorter
SESSIONS = 1000  # pages whose choices are kept, about 10 KiB each; the least recently used is forgotten first
UPLOADS_LIVE_S = 3600

# Whatever a text might smuggle past every escape: it loads nothing from elsewhere, and no other page frames this one
# but those that are named. Gradio itself needs inline scripts and styles, and evaluates its templates.
CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors {frames}"
)


class _TooLarge(Exception):
    """The body went over the limit while it was read."""


class Guard:
    """Refuses requests that no page of ours sends, before Gradio sees them; adds the headers above to every response.

    - Another host's name (421): a site that lets its own name point to 127.0.0.1 must not reach us. A proxy may
      name the requested host in X-Forwarded-Host, and must itself ask under a name that is answered.
    - Another site's origin (403): a page elsewhere may post to us without asking; the browser names it. Our own is
      the scheme and host of the request, as the proxy forwards them, or that of `public_url`.
    - A body over the limit (413), even one that does not state its size.
    - An upload (403), where none are accepted.

    `hosts`: the names that are answered; empty for any, where the page is open to a network. `public_url`: where a
    proxy has the page, if it is a whole URL. `embedded_in`: origins that may show the page in a frame.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] = (),
        public_url: str = "",
        embedded_in: Collection[str] = (),
        uploads: bool = True,
    ) -> None:
        self.app, self.hosts, self.uploads = app, frozenset(hosts), uploads
        url = urlsplit(public_url)
        self.public_origin = f"{url.scheme}://{url.netloc}" if url.netloc else None
        self.headers = {
            "content-security-policy": CONTENT_POLICY.format(frames=" ".join(embedded_in) or "'none'"),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        is_upload = scope["path"].rstrip("/").endswith("/upload")
        if is_upload and not self.uploads:
            return await PlainTextResponse("This page accepts no files.", 403)(scope, receive, send)
        largest = LARGEST_FILE if is_upload else LARGEST_REQUEST
        refusal = self._refusal(Headers(scope=scope), scope["scheme"], largest)
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
                headers = MutableHeaders(scope=message)
                headers.update(self.headers)
                if headers.get("content-type", "").startswith("text/event-stream"):
                    headers["x-accel-buffering"] = "no"  # nginx would keep events back until a buffer is full
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except _TooLarge:
            if not started:
                await _too_large(largest)(scope, receive, send)

    def _refusal(self, headers: Headers, scheme: str, largest: int) -> PlainTextResponse | None:
        host = headers.get("host", "")
        requested = _forwarded(headers, "host") or host
        if self.hosts and not {_name(host), _name(requested)} <= self.hosts:
            return PlainTextResponse("The page is not served under this name; behind a proxy, add --name NAME.", 421)
        origin = headers.get("origin")
        own_origin = f"{_forwarded(headers, 'proto') or scheme}://{requested}"
        if origin not in (None, own_origin, self.public_origin):
            return PlainTextResponse(
                "Requests from other sites are not answered. Behind a proxy, let it pass on Host and X-Forwarded-Proto "
                "as the browser sent them, or give the page's whole URL with --root-path.",
                403,
            )
        size = headers.get("content-length", "0")
        return _too_large(largest) if not size.isdigit() or int(size) > largest else None


def _too_large(largest: int) -> PlainTextResponse:
    return PlainTextResponse(f"This request is too large; at most {largest:,} bytes are accepted.", 413)


def _forwarded(headers: Headers, name: str) -> str:
    """The X-Forwarded-* value of the proxy nearest to the browser, "" where there is none."""
    return headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip()


def _name(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class Sessions(StateHolder):
    """Session store: what the server keeps for each open page.

    Gradio would keep a description of every component for every session (0.4 MiB, a fifth of a second to make), which
    only its deep links read. It would also treat each call of a program as a new session, and in time forget the pages
    that people have open. Here a session holds only its choices, and a program's call leaves none.
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
    page: gr.Blocks,
    queue: JobQueue,
    host: str,
    port: int,
    *,
    auth: tuple[str, str] | None = None,
    names: Collection[str] = (),
    root_path: str = "",
    embedded_in: Collection[str] = (),
    uploads: bool = True,
) -> str:
    """Serve the page and return its address; does not block. Raises OSError where the port is taken.

    `queue`: open pages are informed of its changes. `names`: the host names that the page answers to; empty for any.
    `root_path`: of the page behind a proxy, a path or a whole URL. `embedded_in`: origins that may show it in a frame.
    `uploads`: True to accept files.
    """
    guard = Middleware(Guard, hosts=names, public_url=root_path, embedded_in=embedded_in, uploads=uploads)
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
        show_error=False,  # a bug's text stays in the terminal; WorkbenchErrors are shown anyway
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
        root_path=root_path,
        app_kwargs={"middleware": [guard], "lifespan": changes.serving(queue)},
    )
    app.state_holder = Sessions()
    app.state_holder.set_blocks(page)
    return str(address)


def _without_statistics(page: gr.Blocks) -> None:
    """Switch off statistics: Gradio would keep ten thousand calls, and tabulate them after each one (24 ms)."""
    page._queue.ANALYTICS_MAX_EVENTS = 1
    page._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
