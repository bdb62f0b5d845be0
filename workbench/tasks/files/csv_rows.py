"""Rows of a CSV file: its delimiter is found, every value stays the text that it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from workbench.errors import TaskError
from workbench.tasks.files.text import LONGEST_ROW

DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT = 50  # records by which the delimiter is chosen
csv.field_size_limit(LONGEST_ROW)  # of the process; a test case can be longer than the module's 128 KiB


def read(name: str, text: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield number and values of each row below the header; an empty cell is None.

    Quotes are those of RFC 4180. Raises TaskError, naming the row.
    """
    records = _records(name, text, delimiter(text))
    _, header = next(records, (0, []))
    columns = [column.strip() for column in header]
    if not all(columns):
        raise TaskError(f"{name}: column {columns.index('') + 1} has no name; the first line names the columns.")
    repeated = next((column for column in columns if columns.count(column) > 1), None)
    if repeated is not None:
        raise TaskError(f"{name}: two columns have the name {repeated!r}; give each its own name.")
    for number, values in records:
        if len(values) != len(columns):
            raise TaskError(
                f"{name}, row {number}: it has {len(values)} cells, but the first line names {len(columns)} columns; "
                "quote cells that contain the delimiter or a line's end."
            )
        yield number, {column: value or None for column, value in zip(columns, values, strict=True)}


def delimiter(text: str) -> str:
    """Find the delimiter: that with which the first records have the most cells, the same number in each."""
    best, most = DELIMITERS[0], 1
    for candidate in DELIMITERS:
        widths = set()
        try:
            for position, record in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=candidate)):
                if position == _LOOKED_AT:
                    break
                if record:
                    widths.add(len(record))
        except csv.Error:
            continue
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = candidate, width
    if most == 1:  # no delimiter fits every record: the header decides, and the first record of another width is named
        header = text.lstrip().partition("\n")[0]
        best = max(DELIMITERS, key=header.count)
    return best


def _records(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank; the header is row 0."""
    number = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for record in reader:
            if record:
                yield number, record
                number += 1
    except csv.Error as error:
        raise TaskError(
            f"{name}, row {number} (up to line {reader.line_num}): {error}; put a cell that contains quotation marks "
            "into quotation marks, and double those within it."
        ) from None
