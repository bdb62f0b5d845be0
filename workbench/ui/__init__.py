"""The Gradio page: composition, plain handlers, charts as pure functions, theme.

Knows nothing of models and files: it asks a desk (one thread that owns the workbench) and shows what it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.ui import api, settings
from workbench.ui.panel import Selection
from workbench.ui.round import Header, Round
from workbench.ui.studio import Studio
from workbench.ui.theme import head, theme
from workbench.ui.worker import Desk

__all__ = ["build_ui", "launch", "open_desk"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def open_desk(opener: Callable[[], Any]) -> Desk:
    """A started desk; `opener` returns the Workbench and runs in the desk's thread, behind the page."""
    return Desk(opener, Studio.opened).start()


def build_ui(desk: Desk, run: str = "") -> gr.Blocks:
    """The whole page over a desk; `run` is the name shown at the top."""
    with gr.Blocks(title="SDPO Workbench", analytics_enabled=False, fill_width=True) as page:
        config, sampling = gr.State(asdict(SDPOConfig())), gr.State(asdict(SamplingConfig()))
        selection = Selection(gr.State(""), gr.State(""), config, sampling)
        studio = Studio(desk)
        above = Header(run)
        with gr.Tab("Round"):
            Round(studio, selection, above)
        with gr.Tab("Settings"):
            settings.build(selection)
        api.build(studio)
    return page


def launch(page: gr.Blocks, host: str, port: int, auth: tuple[str, str] | None = None) -> str:
    """Serve the page and return its address; does not block. Raises OSError where the port is taken."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # A page of another site that resolves its own name to 127.0.0.1 must not reach us: only these hosts are answered.
    hosts = [*LOOPBACK, "[::1]"] if host in LOOPBACK else ["*"]
    _, address, _ = page.queue(max_size=256, default_concurrency_limit=None).launch(
        server_name=host,
        server_port=port,
        auth=auth,
        theme=theme(),
        head=head(),
        share=False,
        quiet=True,
        run_history=False,
        ssr_mode=False,
        allowed_paths=[],
        max_file_size="5mb",
        enable_monitoring=False,
        footer_links=["api"],
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]},
    )
    return str(address)
