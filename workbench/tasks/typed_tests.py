"""Tests as people type them: a call and its value, or what is typed in and what is printed. Nothing is evaluated."""

from __future__ import annotations

import ast
import json
from typing import Any

from workbench.errors import TaskError

_LONGEST = 20_000  # characters of a call, an input or a value


def typed_test(called: str, expected: str) -> dict[str, Any]:
    """Make a test of the environment `python` of a row: "f(1, [2])" and "3", or an input and the output for it.

    Raises TaskError where a call has arguments, or a value, that are not plain data.
    """
    if max(len(called), len(expected)) > _LONGEST:
        raise TaskError(f"A test has more than {_LONGEST:,} characters; import it in a file.")
    call = _call(called.strip())
    if call is None:
        return {"stdin": called, "expected": expected}
    what = f"The test {called.strip()[:60]!r}"
    if call.keywords:
        raise TaskError(f"{what} names its arguments; write them in order.")
    try:
        arguments = [_plain(ast.literal_eval(argument)) for argument in call.args]
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise TaskError(f"{what} has arguments that are not plain values; write numbers, text, lists.") from None
    assert isinstance(call.func, ast.Name)
    return {"function": call.func.id, "args": arguments, "expected": _value(what, expected)}


def _call(text: str) -> ast.Call | None:
    """A call of a function by its name, or None."""
    try:
        body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return body if isinstance(body, ast.Call) and isinstance(body.func, ast.Name) else None


def _value(what: str, text: str) -> Any:
    """A value as JSON or Python writes it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _plain(ast.literal_eval(text.strip()))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise TaskError(
            f"{what} has no value that can be read; write it as Python does, such as [1, 2] or 'a'."
        ) from None


def _plain(value: Any) -> Any:
    """A value as plain JSON data. Raises TypeError for another, such as a set."""
    return json.loads(json.dumps(value, allow_nan=False))
