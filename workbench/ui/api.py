"""The named endpoints: one loop over the declared actions. Each answers a program in plain JSON data.

They wait without holding a thread: however many programs wait for the model, the page's own handlers find one free.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import gradio as gr
from gradio.utils import get_upload_folder

from workbench.errors import ConfigError, RunError
from workbench.service.action import Action, Argument, Immediate
from workbench.service.actions import every_action
from workbench.service.actions.runs import NO_ARCHIVE
from workbench.service.checks import is_text
from workbench.service.queue import JobQueue
from workbench.tasks.sandbox import shown
from workbench.ui.panel import finished, polite

NAMES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    NoneType: "nothing",
}


def build(queue: JobQueue) -> None:
    """Declare an endpoint for every action that has one; called inside the `gr.Blocks`."""
    for action in every_action().values():
        if action.endpoint:
            handler = polite(endpoint(action, queue), escape=False)
            gr.api(handler, api_name=action.name, concurrency_limit=None)


def endpoint(action: Action[..., Any] | Immediate[..., Any], queue: JobQueue) -> Callable[..., Any]:
    """The async function behind a named endpoint, with the signature that Gradio documents and checks for clients."""
    parameters = [_parameter(argument) for argument in action.arguments]
    signature = inspect.Signature(parameters, return_annotation=dict)

    async def answer(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs).arguments
        values = {argument.name: _value(argument, bound) for argument in action.arguments if argument.name in bound}
        if isinstance(action, Immediate):
            return action.reply(await asyncio.to_thread(action, queue, **values))
        return action.reply(await finished(action(queue, **values)))

    answer.__name__, answer.__doc__ = action.name, action.function.__doc__
    answer.__signature__ = signature  # type: ignore[attr-defined]
    answer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": dict}
    return answer


def _parameter(argument: Argument) -> inspect.Parameter:
    """Convert an argument to its JSON form: settings are an object or nothing, an uploaded file is an object."""
    kinds = _kinds(argument)
    annotation: Any = kinds[0]
    for kind in kinds[1:]:
        annotation = annotation | (None if kind is NoneType else kind)
    default = None if is_dataclass(argument.default) else argument.default
    return inspect.Parameter(
        argument.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _kinds(argument: Argument) -> tuple[type, ...]:
    """The JSON types of an argument, without their items: `list[str] | None` is (list, NoneType)."""
    if is_dataclass(argument.type):
        return dict, NoneType
    options = get_args(argument.type) if isinstance(argument.type, UnionType) else (argument.type,)
    origins = [get_origin(option) or option for option in options]
    return tuple({Mapping: dict, Sequence: list, Path: dict}.get(origin, origin) for origin in origins)


def _value(argument: Argument, values: Mapping[str, Any]) -> Any:
    """The value for the action. Raises ConfigError for a value of the wrong type."""
    value, kinds = values[argument.name], _kinds(argument)
    if not _fits(value, kinds):
        expected = " or ".join(NAMES[kind] for kind in kinds)
        raise ConfigError(f"The argument {argument.name!r} is {shown(value)}; it must be {expected}.")
    return uploaded(value) if argument.type is Path else value


def _fits(value: object, kinds: Sequence[type]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, str):
        return str in kinds and is_text(value)
    return isinstance(value, (*kinds, int) if float in kinds else tuple(kinds))


def uploaded(file: Mapping[str, Any]) -> Path:
    """The path of a file that a program has uploaded. Raises RunError for any other file: no other is read."""
    path = file.get("path")
    folder = Path(get_upload_folder()).resolve()
    if isinstance(path, str) and "\0" not in path and Path(path).resolve().is_relative_to(folder):
        return Path(path)
    raise RunError(NO_ARCHIVE)
