"""Fields of the form in which a person types what an environment needs of a task: plain data, and how it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.errors import TaskError

FieldKind = Literal["text", "lines", "number", "choice", "json", "table"]


@dataclass(frozen=True, slots=True)
class AnswerField:
    """One field of a task's answer, as a form asks for it."""

    name: str  # in the answer
    label: str  # for people
    kind: FieldKind = "text"  # "lines": text of several lines
    needed: bool = False  # others may stay empty, and are then left out of the answer
    options: tuple[str, ...] = ()  # of a choice
    columns: tuple[str, ...] = ()  # of a table, whose rows become objects with these keys
    info: str = ""  # one line on how to fill it in


def read_fields(fields: Sequence[AnswerField], values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn typed values (text, or a list of rows for a table), by field, into a task's answer.

    Raises TaskError, naming the field, for one that is empty although it is needed, or cannot be read.
    """
    answer = {}
    for field in fields:
        value = _rows(field, values.get(field.name)) if field.kind == "table" else str(values.get(field.name) or "")
        if value if isinstance(value, list) else value.strip():
            answer[field.name] = _read(field, value)
        elif field.needed:
            raise TaskError(f"The field “{field.label}” is empty; fill it in.")
    return answer


def _rows(field: AnswerField, value: Any) -> list[dict[str, str]]:
    """Rows of a table with something in them."""
    rows = [["" if cell is None else str(cell) for cell in row] for row in value or ()]
    return [dict(zip(field.columns, row, strict=False)) for row in rows if any(cell.strip() for cell in row)]


def _read(field: AnswerField, value: Any) -> Any:
    if field.kind == "number":
        return _number(field, value)
    if field.kind == "json":
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise TaskError(
                f"The field “{field.label}” is not JSON ({error}); correct it, or leave it empty."
            ) from None
    if field.kind == "choice" and value not in field.options:
        raise TaskError(f"The field “{field.label}” is {value!r}; choose one of {', '.join(field.options)}.")
    return value


def _number(field: AnswerField, text: str) -> int | float:
    for kind in (int, float):
        try:
            number = kind(text)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number):
            return number
    raise TaskError(f"The field “{field.label}” is {text[:40]!r}; write a number, such as 0.01.")
