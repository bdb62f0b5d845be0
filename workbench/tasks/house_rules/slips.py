"""Slips: honest mistakes in an otherwise right program, with the error that Python reports for each.

The policy makes them now and then, so runtime and syntax errors in the workbench are real ones.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slip:
    """A program with one mistake in it, and Python's error for it."""

    program: str
    error: str  # as the sandbox words it: "NameError: name 'x' is not defined (line 3)"


def draw_slip(program: str, generator: random.Random) -> Slip:
    """Put one mistake into `program`."""
    lines = program.split("\n")
    kind = generator.choice(("name", "colon", "function", "bracket"))
    index = generator.randrange(1, len(lines))
    if kind == "colon":
        return Slip("\n".join([lines[0].rstrip(":"), *lines[1:]]), "SyntaxError: expected ':' (line 1)")
    if kind == "name":
        return _replaced(lines, index, "xs", "ys", last=True)
    if kind == "bracket" and "[" in lines[index] and lines[index].endswith("]"):
        lines[index] = lines[index][:-1]
        return Slip("\n".join(lines), f"SyntaxError: '[' was never closed (line {index + 1})")
    for right, wrong in (("sorted", "sort"), ("max", "maximum"), ("min", "minimum"), ("list", "lst"), ("sum", "add")):
        if f"{right}(" in lines[index]:
            return _replaced(lines, index, right, wrong, last=False)
    return _replaced(lines, index, "xs", "ys", last=True)


def _replaced(lines: list[str], index: int, right: str, wrong: str, *, last: bool) -> Slip:
    line = lines[index]
    at = line.rindex(right) if last else line.index(right)
    changed = [*lines]
    changed[index] = line[:at] + wrong + line[at + len(right) :]
    return Slip("\n".join(changed), f"NameError: name '{wrong}' is not defined (line {index + 1})")
