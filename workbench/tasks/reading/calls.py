"""`Call`: one tool call that was read; and the calls that a value, or a Python expression, stands for."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.tasks.reading.values import RESERVED, Unreadable, decode_all, parse, value_of

LONGEST_NAME = 100  # characters of a tool's name
LONGEST_SHOWN = 300  # characters of a call, where it is shown
_NAMES = ("name", "function", "tool", "tool_name", "action", "function_name", "api", "recipient_name")
_ARGUMENTS = ("arguments", "parameters", "args", "kwargs", "params", "action_input", "tool_input", "input")
_WRAPPERS = ("tool_calls", "function_calls", "calls", "actions", "tool_uses")  # of a list of calls
_WRAPPED = ("tool_call", "function_call", "function", "call", "action")  # of one
_MOST_ENCODINGS = 2  # JSON texts within JSON texts


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that was read."""

    name: str
    arguments: Mapping[str, Any] | None  # None: something stands there, but it is not arguments
    positional: tuple[Any, ...] = ()  # arguments without names, in Python's form
    untyped: bool = False  # the form has texts only, so that 5 and "5" look alike

    @classmethod
    def of(cls, name: str, given: object, *, untyped: bool = False) -> Call:
        """Make a call of a name as it was written, and what stands for its arguments."""
        return cls(clean_name(name), as_arguments(given), untyped=untyped)

    def shown(self) -> str:
        """The call on one line, for people: `name(argument=value)`."""
        if self.arguments is None:
            return f"{self.name}(…)"[:LONGEST_SHOWN]
        values = [json.dumps(value, ensure_ascii=False) for value in self.positional]
        values += [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.arguments.items()]
        line = f"{self.name}({', '.join(values)})"
        return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}…"


@dataclass(frozen=True, slots=True)
class Reading:
    """The calls of an answer."""

    calls: tuple[Call, ...] = ()
    problem: str = ""  # a sentence about a call that could not be read
    empty: bool = False  # an empty list of calls was written


def clean_name(written: str) -> str:
    """Take quotes, stars, brackets, a prefix such as "[Optional]" and a full stop off the name of a tool."""
    name = re.sub(r"^\[[A-Za-z ]{1,20}\](?=\s{0,3}\w)", "", written.strip().strip("`*\"' \t")).strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return name.removesuffix("()").strip("`*\"' \t.,;:")[:LONGEST_NAME]


def as_arguments(given: object) -> Mapping[str, Any] | None:
    """Take what stands for the arguments of a call; JSON inside a text is decoded. None where it is none."""
    for _ in range(_MOST_ENCODINGS + 1):
        if given is None or given == "" or given == []:
            return {}
        if isinstance(given, Mapping):
            return given
        if not isinstance(given, str):
            return None
        try:
            given = decode_all(given)
        except Unreadable:
            return None
    return None


def calls_in(value: object, known: Collection[str] = (), *, marked: bool = False) -> list[Call] | None:
    """List the calls that a decoded value stands for; None where it is something else.

    `marked`: the text says that it is a call, so that a name alone is enough.
    """
    if isinstance(value, list):
        nested = [calls_in(item, known, marked=marked) for item in value if item != []]
        return None if None in nested else [call for calls in nested for call in calls or ()]
    if not isinstance(value, dict):
        return None
    by_key = {str(key).lower().replace(" ", "_"): item for key, item in value.items()}
    for key in _WRAPPERS:
        if isinstance(by_key.get(key), list):
            return calls_in(by_key[key], known, marked=True)
    name = next((by_key[key] for key in _NAMES if isinstance(by_key.get(key), str)), None)
    if name is None:
        for key in _WRAPPED:
            if isinstance(by_key.get(key), dict | list):
                return calls_in(by_key[key], known, marked=True)
        ((only, arguments),) = value.items() if len(value) == 1 else (("", None),)
        return [Call.of(only, arguments)] if only in known and isinstance(arguments, dict) else None
    given = [key for key in _ARGUMENTS if key in by_key]
    if not given:
        return [Call.of(name, {})] if marked or clean_name(name) in known else None
    arguments = by_key[given[0]]
    if isinstance(arguments, dict) and "properties" in arguments and "description" in by_key:
        return None  # the definition of a tool, repeated
    return [Call.of(name, arguments)]


def expression_calls(source: str, known: Collection[str] | None) -> list[Call] | None:
    """Read `f(a=1)`, one a line or in a list, whose arguments are literals; None where it is something else.

    `known`: names of tools, of which it must call some; None: any name will do.
    """
    try:
        calls = []
        for node in parse(source):
            nodes = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
            calls += [_expression_call(item) for item in nodes]
    except Unreadable:
        return None
    return calls if known is None or all(call.name in known for call in calls) else None


def _expression_call(node: ast.expr) -> Call:
    match node:  # print(f(a=1)), as Gemma writes it
        case ast.Call(func=ast.Name(id="print"), args=[ast.Call() | ast.Await() as printed], keywords=[]):
            node = printed
    if isinstance(node, ast.Await):
        node = node.value
    if not isinstance(node, ast.Call):
        raise Unreadable("it is no call")
    if any(keyword.arg is None for keyword in node.keywords):
        raise Unreadable("arguments are unpacked")
    arguments = {str(keyword.arg).removesuffix(RESERVED): value_of(keyword.value) for keyword in node.keywords}
    positional = tuple(value_of(argument) for argument in node.args)
    name = _dotted(node.func).removesuffix(".call")  # of a tool that Llama knows by itself
    if len(positional) == 1 and isinstance(positional[0], dict) and not arguments:
        return Call(name, positional[0])  # f({"a": 1})
    return Call(name, arguments, positional)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise Unreadable("what is called has no name")
