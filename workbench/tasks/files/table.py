"""Tables: the rows of a file as they are, before any of their columns has a meaning."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from workbench.errors import TaskError
from workbench.tasks.files import csv_rows, parquet_rows
from workbench.tasks.files.plain import parse_json
from workbench.tasks.files.text import check_rows, check_size, check_text, decode, lines, unpack

Side = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    number: int  # in its file: the line of JSON Lines, otherwise the number of the row, from 1
    values: Mapping[str, Any]  # by column
    file: str  # name of the file, for sentences
    name: str = ""  # of its task, where no column gives one; "" = the number
    split: Side | None = None  # side that the file is on, where it says so
    texts_only: bool = False  # every value is text, as in CSV

    @property
    def where(self) -> str:
        """File and row, as sentences about it begin."""
        return f"{self.file}, row {self.number}"

    def value(self, column: str) -> Any:
        """The value in a column, or in a field of an object in a column ("reward.answer"); None where there is none."""
        if column in self.values:
            return self.values[column]
        outer, dot, inner = column.partition(".")
        while dot:
            value = self.values.get(outer)
            if isinstance(value, Mapping):
                return Row(self.number, value, self.file).value(inner)
            step, dot, inner = inner.partition(".")
            outer = f"{outer}.{step}"
        return None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one or more files, under the name that their pack gets."""

    name: str  # of the pack
    origin: str  # name of the file or the directory, or of the data set on the hub
    rows: list[Row] = field(repr=False)
    sha256: str  # of the bytes that were read
    revision: str | None = None  # commit of a data set on the hub

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns in the order in which they appear, each followed by the fields of the objects in it."""
        found: dict[str, None] = {}
        for row in self.rows:
            for column, value in row.values.items():
                found[column] = None
                if isinstance(value, Mapping):
                    found |= dict.fromkeys(f"{column}.{key}" for key in value)
        return tuple(found)


def suffix_of(file_name: str) -> str:
    """The ending of a file's name in lower case, without a ".gz" after it; "" for a kind of file that is not read."""
    ending = Path(file_name.lower().removesuffix(".gz")).suffix
    return ending if ending in _READERS else ""


def stem_of(file_name: str) -> str:
    """A file's name without its ending."""
    name = Path(file_name).name
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


def read_rows(file_name: str, data: bytes | str) -> list[Row]:
    """Read the rows of a file from its bytes, or from its text; of a parquet file the text is its bytes in base64.

    Raises TaskError, naming file and row, for what cannot be read.
    """
    name, ending = Path(file_name).name, suffix_of(file_name)
    binary = ending == ".parquet" or file_name.lower().endswith(".gz")
    if isinstance(data, str) and binary:
        try:
            data = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise TaskError(f"{name} was sent as text that is not base64; send its bytes in base64.") from None
    check_size(name, len(data))
    if isinstance(data, bytes) and file_name.lower().endswith(".gz"):
        data = unpack(name, data)
    rows = []
    for row in _READERS[ending](name, data):
        rows.append(row)
        check_rows(name, len(rows))
    return rows


def _text(name: str, data: bytes | str) -> str:
    return decode(name, data) if isinstance(data, bytes) else check_text(name, data)


def _json_lines(name: str, data: bytes | str) -> Iterator[Row]:
    return _objects(name, ((n, parse_json(name, line, n)) for n, line in lines(name, _text(name, data))))


def _json(name: str, data: bytes | str) -> Iterator[Row]:
    text = _text(name, data)
    if not text.strip():
        return iter(())
    if _is_lines(text):
        return _json_lines(name, text)
    parsed = parse_json(name, text)
    return _objects(name, enumerate(parsed if isinstance(parsed, list) else [parsed], start=1))


def _is_lines(text: str) -> bool:
    """True for JSON Lines in a file that is named .json, as the paper's data sets are: the first line is an object."""
    first, _, rest = text.strip().partition("\n")
    try:
        return bool(rest) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _objects(name: str, numbered: Iterable[tuple[int, Any]]) -> Iterator[Row]:
    for number, values in numbered:
        if not isinstance(values, dict):
            raise TaskError(
                f"{name}, row {number}: a task is an object with 'prompt', 'environment' and 'answer', or with "
                "columns that a mapping turns into them."
            )
        yield Row(number, values, name)


def _separated(name: str, data: bytes | str) -> Iterator[Row]:
    for number, values in csv_rows.read(name, _text(name, data)):
        yield Row(number, values, name, texts_only=True)


def _parquet(name: str, data: bytes | str) -> Iterator[Row]:
    assert isinstance(data, bytes)
    for number, values in parquet_rows.read(name, data):
        yield Row(number, values, name)


_READERS: Mapping[str, Callable[[str, bytes | str], Iterator[Row]]] = MappingProxyType(
    {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json,
        ".csv": _separated,
        ".tsv": _separated,
        ".parquet": _parquet,
    }
)
FILES = tuple(_READERS)
