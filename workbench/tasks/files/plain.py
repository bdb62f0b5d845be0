"""Plain JSON values: parsed within limits, and checked that a run can store them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.files.text import DEEPEST, MOST_DIGITS


class HugeNumber:
    """Stands for a whole number with too many digits, until the row that uses it is named."""

    def __init__(self, digits: int) -> None:
        self.digits = digits


def parse_json(name: str, text: str, first_line: int = 1) -> Any:
    """Parse JSON, naming the line where it is not: the text begins on line `first_line` of the file `name`.

    A number that is too long becomes a `HugeNumber`. Raises TaskError.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        line = first_line + text.count("\n", 0, error.pos)
        raise TaskError(f"{name}, line {line}: this line is not valid JSON ({error.msg}); fix it.") from None
    except RecursionError:
        raise TaskError(
            f"{name}, line {first_line}: lists and objects are nested too deeply; at most {DEEPEST} levels are read."
        ) from None


def _whole(digits: str) -> int | HugeNumber:
    count = len(digits.removeprefix("-"))
    return HugeNumber(count) if count > MOST_DIGITS else int(digits)


def problem(value: Any, path: str) -> tuple[str, str] | None:
    """Where a value, found at `path`, is not JSON that a run can store, and why; None where it is."""
    waiting = [(value, path, 0)]
    while waiting:
        value, path, depth = waiting.pop()
        if depth > DEEPEST:
            return path[:80], f"it is nested too deeply; at most {DEEPEST} levels are read"
        why = ""
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                return path, "an object has a key that is not text"
            keys = [_text_problem(key) for key in value]
            why = next((found for found in keys if found), "")
            waiting += [(item, f"{path}.{key}", depth + 1) for key, item in reversed(value.items())]
        elif isinstance(value, list | tuple):
            waiting += [(item, f"{path}[{index}]", depth + 1) for index, item in reversed(list(enumerate(value)))]
        elif isinstance(value, str):
            why = _text_problem(value)
        elif isinstance(value, float):
            why = "" if math.isfinite(value) else "it is infinite, or not a number; write it as text, or leave it out"
        elif isinstance(value, int) and not isinstance(value, bool):
            long = value.bit_length() > 3.3 * MOST_DIGITS and abs(value) >= 10**MOST_DIGITS
            why = _too_long("more than 4,300") if long else ""
        elif isinstance(value, HugeNumber):
            why = _too_long(f"{value.digits:,}")
        elif value is not None and not isinstance(value, bool):
            why = f"it is of the type {type(value).__name__}, which JSON does not have; write it as text"
        if why:
            return path, why
    return None


def _too_long(digits: str) -> str:
    return f"a number has {digits} digits; at most {MOST_DIGITS:,} are read, so write it as text"


def _text_problem(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it has half a character (a lone surrogate); write the whole character"
    return ""
