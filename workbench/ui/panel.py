"""Base of every panel: components that follow the published state, and handlers that report errors politely.

A handler acts for the tab that called it; jobs record that tab.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import html
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from workbench.errors import WorkbenchError
from workbench.heatmap import island
from workbench.service.job import ASKED_BY, Job, R
from workbench.service.snapshot import Snapshot

QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "queue": True,
    "concurrency_limit": None,
}
# For typing and choosing: Gradio drops an event while one like it is pending, but the last of a series must count.
NEWEST = {**QUIET, "trigger_mode": "always_last"}
Then = Callable[[Any], None]  # refreshes the page after an event's handler

_sequence = itertools.count()


@dataclass(frozen=True, slots=True)
class Selection:
    """Choices of one session of the page. Only written by a person's own action."""

    task_id: gr.State  # "" = the one where something is happening
    chosen: gr.State  # id of an attempt, "" = the one to learn most from
    config: gr.State  # SDPOConfig as a dict
    sampling: gr.State  # SamplingConfig as a dict
    spans: gr.State  # attempt id -> [start, end] of its marked tokens: only these count in an update
    token: gr.State  # {"id": of an attempt, "index": from 0}, the open token; {} = none
    experiments: gr.State  # {"learn", "discover" or "studies": name of the experiment shown}; absent = the newest


@dataclass(frozen=True, slots=True)
class Shown:
    """A component that follows the published state; it is sent again only when its data have changed."""

    name: str
    component: Any
    read: Callable[[Snapshot], Any]  # plain data
    render: Callable[[Any], Any]  # data -> the component's update


class Panel:
    """A tab, or a part of one. Its constructor lays it out where it is called; `shown` follows the state."""

    tab: gr.Tab | None = None  # the tab that it fills, set by the page

    def __init__(self, *_: Any) -> None:
        self.shown: list[Shown] = []

    def follow(self, name: str, component: Any, read: Callable[[Snapshot], Any], render: Callable[[Any], Any]) -> Any:
        """Keep a component up to date from now on; returns it."""
        self.shown.append(Shown(name, component, read, render))
        return component

    def draw(self, kind: str, read: Callable[[Snapshot], dict[str, Any]]) -> gr.HTML:
        """Add an area that the script's part `kind` draws from the data that `read` returns."""
        area: gr.HTML = self.follow(kind, part(kind), read, numbered)
        return area

    def connect(self, then: Then) -> None:
        """Connect the handlers of the panel; `then(event)` refreshes the page after an event's handler."""


def numbered(data: dict[str, Any]) -> str:
    """Serialise data for the page's script, which ignores anything older than what it shows."""
    return island({**data, "seq": next(_sequence)})


def part(kind: str, name: str = "") -> gr.HTML:
    """Build an area that the script's part `kind` draws; `name` where there is more than one such area.

    Its template is constant: Gradio evaluates `${...}` in interpolated data.
    """
    return gr.HTML(
        value="",
        html_template=f'<div class="wb-part wb-{kind}"></div>',
        js_on_load=f"SDPOPage.attach('{kind}', element, props, watch, trigger) /* 'select' */",
        apply_default_css=False,
        elem_id=f"part-{name or kind}",
    )


def polite(handler: Callable[..., Any], *, escape: bool = True) -> Callable[..., Any]:
    """Wrap a handler, plain or async: it acts for the calling tab, and its WorkbenchErrors become one sentence there.

    `escape`: for the page, where Gradio renders the sentence as HTML; a program gets it unescaped.
    """

    def refusal(error: WorkbenchError) -> gr.Error:
        sentence = html.escape(str(error)) if escape else str(error)
        return gr.Error(sentence, print_exception=False, title="Not done")

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        ASKED_BY.set(tab_of(LocalContext.request.get(None)))
        try:
            return handler(*args, **kwargs)
        except WorkbenchError as error:
            raise refusal(error) from None

    @functools.wraps(handler)
    async def wrapped_coroutine(*args: Any, **kwargs: Any) -> Any:
        ASKED_BY.set(tab_of(LocalContext.request.get(None)))
        try:
            return await handler(*args, **kwargs)
        except WorkbenchError as error:
            raise refusal(error) from None

    return wrapped_coroutine if inspect.iscoroutinefunction(handler) else wrapped


def tab_of(request: gr.Request | None) -> str:
    """Name the calling tab or program. Not by its session's hash, with which others could listen in."""
    session = getattr(request, "session_hash", None)
    return hashlib.sha256(str(session).encode()).hexdigest()[:16] if session else ""


async def finished(job: Job[R]) -> R:
    """Wait for a job without holding a thread; a page that goes away leaves the job to finish."""
    result: R = await asyncio.shield(asyncio.wrap_future(job.future))
    return result


def chosen_id(event: gr.EventData) -> str:
    """The id that a drawn part sends with its `select` event."""
    return str(getattr(event, "id", ""))
