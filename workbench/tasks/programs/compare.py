"""Comparing what a program returned or printed with what is expected. Pure functions of plain data.

Where a float is expected, one that is near enough is right; everything else is exact, integers of any size included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

TOLERANCE = 1e-6  # absolute, or relative to what is expected
SET = "set"  # {"set": [...]} as an expected value: these elements in any order
# A number that stands by itself: "0.5" of "[0.5, 1]" and "x=0.5", but nothing of "v1.2.3" or "a1".
_NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_LAYOUT = re.compile(r"^[ \t]|[ \t]{2}|\t")  # blanks that mean something: a drawing or a table


def same_value(returned: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Compare plain JSON. 2.0 is 2, `true` is not 1; lists are ordered unless a set is expected."""
    if isinstance(expected, bool) or isinstance(returned, bool) or expected is None or isinstance(expected, str):
        return type(returned) is type(expected) and returned == expected
    if isinstance(expected, float):
        return _near(returned, expected, tolerance)
    if isinstance(expected, Mapping):
        if set(expected) == {SET} and isinstance(returned, list):
            return _same_elements(returned, expected[SET], tolerance)
        named = {key if isinstance(key, str) else str(key): value for key, value in expected.items()}
        return (
            isinstance(returned, dict)
            and returned.keys() == named.keys()
            and all(same_value(returned[key], value, tolerance) for key, value in named.items())
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(returned, list)
            and len(returned) == len(expected)
            and all(same_value(*pair, tolerance) for pair in zip(returned, expected, strict=True))
        )
    return isinstance(returned, int | float) and bool(returned == expected)


def _near(returned: Any, expected: float, tolerance: float) -> bool:
    if not isinstance(returned, int | float):
        return False
    try:
        return returned == expected or abs(returned - expected) <= tolerance * max(1.0, abs(expected))
    except OverflowError:  # an integer beyond every float
        return False


def _same_elements(returned: Sequence[Any], expected: Sequence[Any], tolerance: float) -> bool:
    """Pair elements off, each with the first that is left; those that are near several are rare enough."""
    left = list(expected)
    if len(returned) != len(left):
        return False
    for value in returned:
        place = next((index for index, other in enumerate(left) if same_value(value, other, tolerance)), None)
        if place is None:
            return False
        left.pop(place)
    return True


def same_output(printed: str, expected: str, tolerance: float = TOLERANCE) -> bool:
    """Compare text line by line, apart from blanks at the ends of lines and empty lines at both ends of the text.

    Within a line, blanks count as one unless the expected line uses them for its layout. A number is compared as a
    number only where the expected one has a point or an exponent.
    """
    ours, theirs = _lines(printed), _lines(expected)
    return len(ours) == len(theirs) and all(
        mine == other or _same_line(mine, other, tolerance) for mine, other in zip(ours, theirs, strict=True)
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


def _same_line(printed: str, expected: str, tolerance: float) -> bool:
    if not _LAYOUT.search(expected):
        printed = " ".join(printed.split())
    ours, theirs = _NUMBER.findall(printed), _NUMBER.findall(expected)
    if len(ours) != len(theirs) or _NUMBER.split(printed) != _NUMBER.split(expected):
        return False
    return all(mine == other or _near_text(mine, other, tolerance) for mine, other in zip(ours, theirs, strict=True))


def _near_text(printed: str, expected: str, tolerance: float) -> bool:
    if not re.search("[.eE]", expected):
        return False
    value, right = float(printed), float(expected)
    return math.isfinite(value) and abs(value - right) <= tolerance * max(1.0, abs(right))
