"""JSON in an answer: the last complete value of a text, also as Python writes it; bounded, and never evaluated."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST = 200_000  # characters that are read, from the end
_LONGEST_PYTHON = 50_000  # of a value as Python writes it
_DEEPEST = 100  # levels of a value
_TRIES = 100  # openings of values that are tried without success
_BLOCK = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_FRAME = re.compile(r"<(answer|final_answer|output|json|result)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"[\[{]")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[\[{()}\]]", re.DOTALL)
_CLOSES = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of JSON: None, booleans, numbers, texts, lists, and dicts with texts as keys."""

    value: Any


def read_value(text: str) -> Value | None:
    """Read the value that a text gives: all of it, else its last answer tag or block, else the last object or list.

    None where there is none. Python's True, None, single quotes and tuples are read as JSON's.
    """
    text = text[-_LONGEST:]
    for part in (text, *reversed([match[2] for match in _FRAME.finditer(text)])):
        if (value := _whole(part)) is not None:
            return value
    blocks = [(match.start(), match.end(), match[2]) for match in _BLOCK.finditer(text)]
    after = text[blocks[-1][1] :] if blocks else text
    if (value := _last_in(after)) is not None:
        return value
    for _, _, content in reversed(blocks):
        if (value := _whole(content) or _last_in(content)) is not None:
            return value
    return _last_in(text) if blocks else None


def _whole(text: str) -> Value | None:
    text = text.strip()
    block = _BLOCK.fullmatch(text)
    text = block[2].strip() if block else text
    return (_from_json(text) or _from_python(text)) if text else None


def _last_in(text: str) -> Value | None:
    last: Value | None = None
    place = tries = 0
    while tries < _TRIES and (opening := _OPENING.search(text, place)):
        end = _end(text, opening.start())
        content = text[opening.start() : end] if end else ""
        value = (_from_json(content) or _from_python(content)) if content else None
        if value is None:
            place, tries = opening.end(), tries + 1
        else:
            last, place = value, end or opening.end()
    return last


def _end(text: str, place: int) -> int | None:
    """Place behind the bracket that closes the one here; brackets within texts do not count."""
    brackets: list[str] = []
    for match in _TOKEN.finditer(text, place):
        token = match.group()
        if token in _CLOSES:
            brackets.append(_CLOSES[token])
        elif token in _CLOSES.values():
            if not brackets or brackets.pop() != token:
                return None
            if not brackets:
                return match.end()
    return None


def _from_json(text: str) -> Value | None:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    try:
        value = json.loads(text, parse_constant=refuse, strict=False)
    except (ValueError, RecursionError):
        return None
    try:
        return Value(_plain(value))
    except ValueError:
        return None


def _from_python(text: str) -> Value | None:
    """Read a literal of Python. Parsing it runs nothing; JSON's true, false and null are taken as well."""
    if len(text) > _LONGEST_PYTHON:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            value = ast.literal_eval(text)
        return Value(_plain(value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _plain(value: Any, depth: int = 0) -> Any:
    """Convert to what JSON has. Raises ValueError for what it has not (bytes, sets, infinity), and for deep nesting."""
    if depth > _DEEPEST:
        raise ValueError
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError


def differences(given: Any, expected: Any, path: str = "$") -> Iterator[str]:
    """Describe where a value differs from what is expected, by paths such as $.items[0].price, without disclosing it.

    The order of keys is free, 1 is 1.0, and true is no number.
    """
    kinds = _kind(given), _kind(expected)
    if kinds[0] != kinds[1]:
        yield f"{path} is {kinds[0]}, and should be {kinds[1]}"
    elif isinstance(expected, Mapping):
        for key in expected:
            if key not in given:
                yield f"{path}.{key} is missing"
        for key, item in given.items():
            if key not in expected:
                yield f"{path}.{key} is not expected"
            else:
                yield from differences(item, expected[key], f"{path}.{key}")
    elif kinds[1] == "a list":
        if len(given) != len(expected):
            yield f"{path} has {len(given)} items, and should have {len(expected)}"
            return
        for place, (item, right) in enumerate(zip(given, expected, strict=True)):
            yield from differences(item, right, f"{path}[{place}]")
    elif not _is_equal(given, expected):
        yield f"{path} is {_written(given)}, which is not right"


def _is_equal(given: Any, expected: Any) -> bool:
    if isinstance(given, float) or isinstance(expected, float):
        return math.isclose(given, expected, rel_tol=1e-9) if _fits_float(given) and _fits_float(expected) else False
    return bool(given == expected)


def _fits_float(value: Any) -> bool:
    return abs(value) < 10**300


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, Sequence) else "something else"


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
