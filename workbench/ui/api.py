"""The named endpoints: the page's verbs for programs. Each waits for its job and returns plain JSON data.

They wait without holding a thread: however many programs wait for the model, the page's own handlers find one free.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from itertools import chain
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import ConfigError, TaskError
from workbench.records import to_json
from workbench.service.actions.round import Studio, detail
from workbench.service.checks import is_text, make_config
from workbench.service.state import find
from workbench.tasks import is_built_in
from workbench.tasks.sandbox import shown
from workbench.ui import book_endpoints, endpoints, experiment_endpoints, token_endpoints
from workbench.ui.endpoints import Endpoint
from workbench.ui.header import queue
from workbench.ui.panel import polite


def build(studio: Studio) -> None:
    """Declare the endpoints; called inside the `gr.Blocks`."""
    desk = studio.desk

    async def result(job: Any) -> Any:
        # Shielded: a client that goes away must not cancel the future that the desk's thread will fill.
        return await asyncio.shield(asyncio.wrap_future(job.future))

    async def tasks(pack: str = "") -> list:
        """The tasks of a pack, or of all packs of the run; a built-in pack need not be in it yet."""

        def run(workbench: Any, job: Any) -> list[dict[str, Any]]:
            if pack and pack not in workbench.packs() and not is_built_in(pack):
                raise TaskError(f"There is no pack {shown(pack)}; there are {', '.join(workbench.packs())}.")
            return [to_json(task) for task in workbench.tasks(pack or None)]

        return await result(desk.submit("tasks", "Listing tasks", run))

    async def sample(task: str, n: int = 8, temperature: float = 1.0, max_new_tokens: int = 96) -> dict:
        """Sample and judge n attempts at a task."""
        sampling = make_config(SamplingConfig, {"temperature": temperature, "max_new_tokens": max_new_tokens})
        return {"attempts": [to_json(attempt) for attempt in await result(studio.sample(task, n, sampling))]}

    async def judge(task: str, text: str) -> dict:
        """Judge a text as an answer to a task; nothing is recorded."""
        return to_json(await result(studio.judge(task, text)))

    async def feedback(
        attempt: str,
        text: str | None = None,
        reward: float | None = None,
        mode: str = "replace",
        source: str = "person",
        demonstration: str | None = None,
    ) -> dict:
        """Give an attempt feedback and/or a reward; demonstration: another attempt that its teacher is shown."""
        given = studio.feedback(attempt, text, reward, mode, source=source, demonstration_id=demonstration)
        return to_json(await result(given))

    async def credit(attempt: str, config: dict | None = None, contexts: list | None = None) -> dict:
        """The credit of an attempt, token by token, and the teacher's exact prompt; contexts: names, or ["all"]."""
        made = make_config(SDPOConfig, config)
        asked = None if contexts is None else [str(name) for name in contexts]

        def run(workbench: Any, job: Any) -> Any:
            return detail(workbench, find(workbench, attempt), made, asked)

        known = await result(desk.submit("credit", "Colouring", run))
        return {**known.payload, "teacher_prompt": known.teacher_text, "teacher_ids": list(known.teacher_ids)}

    async def update(attempts: list, config: dict | None = None, spans: dict | None = None) -> dict:
        """One update on these attempts (ids); spans: id -> [start, end], the only tokens of it that count."""
        return to_json(await result(studio.update(attempts, make_config(SDPOConfig, config), spans)))

    async def undo() -> dict:
        """Take the newest update back; the policy is bit for bit what it was before."""
        return {"head": await result(studio.move("undo"))}

    async def redo() -> dict:
        """Make the update again that was undone last."""
        return {"head": await result(studio.move("redo"))}

    async def checkout(update_id: str) -> dict:
        """Go to any node of the timeline."""
        return {"head": await result(studio.move("checkout", update_id))}

    async def held_out() -> dict:
        """Measure the held-out pass rate of the head, with its 95 % interval."""
        return await result(studio.held_out())

    async def status() -> dict:
        """What the workbench is doing; never waits for it."""
        job = desk.current
        return {
            "state": desk.state,
            "job": job.label if job else "",
            "waiting": desk.waiting(),
            "queue": queue(desk),
            **{name: desk.facts.get(name) for name in ("head", "run", "policy", "judges", "damage")},
            "problem": desk.problem,
        }

    async def stop(job: int | None = None) -> dict:
        """Stop a job by its id in the queue, also one that waits; without an id, what runs, at its next safe point."""
        return {"stopped": desk.stop(job)}

    async def reopen() -> dict:
        """After a failure: open the run again where its log ends."""
        desk.reopen()
        return {"state": desk.state}

    named: list[Endpoint] = [tasks, sample, judge, feedback, credit, update, undo, redo, checkout, held_out]
    parts = (endpoints, book_endpoints, experiment_endpoints, token_endpoints)
    others = chain.from_iterable(part.endpoints(studio, result) for part in parts)
    for endpoint in (*named, status, stop, reopen, *others):
        gr.api(polite(checked(endpoint)), api_name=endpoint.__name__, concurrency_limit=None)


KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "nothing",
}


def checked(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, refusing what its signature does not name (ConfigError): Gradio passes any JSON on to it."""
    kinds = {name: _kinds(hint) for name, hint in get_type_hints(endpoint).items()}

    @functools.wraps(endpoint)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        for name, value in inspect.signature(endpoint).bind(*args, **kwargs).arguments.items():
            if not _fits(value, kinds[name]):
                said = " or ".join(KINDS[kind] for kind in kinds[name])
                raise ConfigError(f"The argument {name!r} is {shown(value)}; it must be {said}.")
        return await endpoint(*args, **kwargs)

    return wrapped


def _kinds(hint: Any) -> tuple[type, ...]:
    """The types that a hint allows, without what they hold: `list[str] | None` is (list, NoneType)."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(get_origin(option) or option for option in options)


def _fits(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, str):
        return str in kinds and is_text(value)
    return isinstance(value, (*kinds, int) if float in kinds else kinds)
