"""Tables to packs: every row or none, and what an import would do, said before it happens."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.files.mapping import FIELDS, check_mapping, guess_mapping
from workbench.tasks.files.plain import HugeNumber, problem
from workbench.tasks.files.rows import task_of
from workbench.tasks.files.table import FILES, Row, Table, read_rows, stem_of, suffix_of
from workbench.tasks.files.text import read_bytes
from workbench.tasks.published import graded_row

PREVIEWED = 5  # rows
LONGEST_CELL = 200  # characters of a value in a preview


@dataclass(frozen=True, slots=True)
class PackSource:
    """Source of a pack: where its tasks came from, and how. Plain data, kept in the run's log."""

    pack: str
    origin: str  # name of the file or the directory, or "hub:OWNER/NAME"
    mapping: Mapping[str, str]
    sha256: str  # of the bytes that were read
    revision: str | None  # commit of a data set on the hub
    tasks: int
    grading: str = "sound"  # or "paper"


@dataclass(frozen=True, slots=True)
class Preview:
    """Preview of an import: plain data."""

    pack: str
    columns: tuple[str, ...]
    mapping: Mapping[str, str]  # complete: "" where a field comes from nowhere
    rows: tuple[Mapping[str, str], ...]  # the first few, by column, shortened
    tasks: tuple[Task, ...]  # what the first few become; empty where any row cannot be imported
    sentence: str  # on what would be imported, or why nothing would
    ready: bool


def read_table(file_name: str, data: bytes | str) -> Table:
    """Read the table in a file's bytes or text. Raises TaskError, naming file and row."""
    name = Path(file_name).name
    if not suffix_of(name) or not stem_of(name).strip() or not name.isprintable():
        raise TaskError(
            f"A pack cannot be read from {file_name!r}; name the file NAME with one of the endings {', '.join(FILES)}."
        )
    rows = read_rows(name, data)
    if not rows:
        raise TaskError(f"{name} has no tasks; add at least one row.")
    digest = hashlib.sha256(data if isinstance(data, bytes) else data.encode(errors="surrogatepass")).hexdigest()
    return Table(stem_of(name), name, rows, digest)


def read_file(path: Path) -> Table:
    """Read the table in a file on this machine. Raises TaskError."""
    return read_table(path.name, read_bytes(path))


def graded(table: Table, grading: str) -> Table:
    """Turn rows of a published format into the workbench's own, graded as asked; others stay as they are.

    Raises TaskError, naming file, row and field.
    """
    return replace(table, rows=[_graded(row, grading) for row in table.rows])


def _graded(row: Row, grading: str) -> Row:
    try:
        return replace(row, values=graded_row(row.values, grading))
    except TaskError as error:
        raise TaskError(f"{row.where}: {error}") from error


def tasks_of(table: Table, mapping: Mapping[str, str] | None = None) -> list[Task]:
    """Make a task of every row. Raises TaskError for the first that cannot be one, and for a name that comes twice."""
    checked = check_mapping(mapping, table)
    tasks = [task_of(table.name, row, checked) for row in table.rows]
    repeated = next((task_id for task_id, count in Counter(task.id for task in tasks).items() if count > 1), None)
    if repeated is not None:
        first, second, *_ = (row for row, task in zip(table.rows, tasks, strict=True) if task.id == repeated)
        raise TaskError(
            f"{second.where}, field 'name': two rows have the name {repeated!r} (the other is row {first.number} of "
            f"{first.file}); give each its own name."
        )
    return tasks


def source_of(table: Table, mapping: Mapping[str, str] | None, tasks: int, grading: str) -> PackSource:
    """Describe the source of an imported pack."""
    checked = check_mapping(mapping, table)
    return PackSource(table.name, table.origin, checked, table.sha256, table.revision, tasks, grading)


def known_mapping(table: Table, sources: Iterable[PackSource]) -> Mapping[str, str] | None:
    """Find the mapping with which a file like this was imported last; None where there is none that fits.

    Like: of the same bytes, or of the same name. Only whole fields: a single field of an answer has no list of columns.
    """
    for source in reversed(list(sources)):
        if (table.sha256 == source.sha256 or table.name == source.pack) and source.mapping.keys() <= set(FIELDS):
            try:
                return check_mapping(source.mapping, table) or None
            except TaskError:  # it has lost a column
                continue
    return None


def preview(table: Table, mapping: Mapping[str, str] | None = None) -> Preview:
    """Say what an import would do. `mapping` None guesses one from the names of the columns.

    A row that cannot be imported is no error here, but the preview's sentence.
    """
    complete = guess_mapping(table) | dict(mapping or {})
    rows = tuple({column: _shown(row.value(column)) for column in table.columns} for row in table.rows[:PREVIEWED])
    try:
        tasks = tasks_of(table, complete)
    except TaskError as error:
        return Preview(table.name, table.columns, complete, rows, (), f"Nothing can be imported yet. {error}", False)
    how = dict(Counter(task.environment for task in tasks).most_common(4))
    judged = ", ".join(f"{count:,} judged by {environment}" for environment, count in how.items())
    held_out = sum(task.split == "held_out" for task in tasks)
    sides = f"; {held_out:,} of them are held out, as the rows say" if held_out else ""
    count = f"{len(tasks):,} task{'s' if len(tasks) > 1 else ''}"
    sentence = f"{count} will be imported as the pack {table.name!r}: {judged}{sides}."
    return Preview(table.name, table.columns, complete, rows, tuple(tasks[:PREVIEWED]), sentence, True)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        value = "…" if problem(value, "") else json.dumps(value, ensure_ascii=False)
    text = "" if value is None else "…" if isinstance(value, HugeNumber | bytes) else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]} …"
