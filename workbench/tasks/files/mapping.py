"""Mappings: where each field of a task comes from in a table that has other columns.

    {"prompt": "question", "answer": "reward_model.ground_truth", "environment": "=exact", "system": ""}

A value is a column's name, that of a field of the objects in a column, a text for every row (after "="), or "" for
nothing. A field that is not mapped comes from the column of its own name, where there is one. `answer.NAME` maps one
field of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from workbench.errors import TaskError
from workbench.tasks.files.table import Table
from workbench.tasks.registry import known_environments

FIELDS = ("prompt", "answer", "environment", "system", "name", "split")
ANSWER_FIELD = "answer."
# Names that columns have in data sets in use, the likeliest first.
_USUAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prompt": ("prompt", "question", "problem", "messages", "instruction", "query", "input", "text"),
        "answer": (
            "answer",
            "reward_model.ground_truth",
            "solution",
            "final_answer",
            "target",
            "label",
            "expected",
            "output",
            "response",
        ),
        "environment": ("environment",),
        "system": ("system", "system_prompt"),
        "name": ("name", "id", "task_id", "idx"),
        "split": ("split",),
    }
)


def check_mapping(mapping: Mapping[str, str] | None, table: Table) -> dict[str, str]:
    """Check a mapping against a table and return it, an environment's name with "=" before it.

    Raises TaskError for an unknown field and for a column that the table lacks.
    """
    checked: dict[str, str] = {}
    columns = table.columns
    for field, source in (mapping or {}).items():
        if field not in FIELDS and not (field.startswith(ANSWER_FIELD) and len(field) > len(ANSWER_FIELD)):
            raise TaskError(f"A task has no field {field!r}; map {', '.join(FIELDS)}, or answer.NAME.")
        if not isinstance(source, str):
            raise TaskError(f'The field {field!r} is mapped to {source!r}; name a column, or write "=TEXT".')
        if field == "environment" and source in {environment.name for environment in known_environments()} - {*columns}:
            source = f"={source}"
        if source and not source.startswith("=") and source not in columns and not _has(table, source):
            raise TaskError(
                f"{table.origin} has no column {source!r} for the field {field!r}; it has {', '.join(columns[:30])}. "
                'Write "=TEXT" for the same text in every row.'
            )
        checked[field] = source
    if "answer" in checked and any(field.startswith(ANSWER_FIELD) for field in checked):
        raise TaskError("The mapping names the answer and single fields of it; leave one of the two out.")
    return checked


def guess_mapping(table: Table) -> dict[str, str]:
    """Guess a complete mapping from the names of the columns; the answer is the exact text where nothing says more."""
    columns = table.columns
    guessed = {field: next((name for name in _USUAL[field] if name in columns), "") for field in FIELDS}
    if not guessed["environment"]:
        guessed["environment"] = "=exact" if guessed["answer"] else "=person"
    return guessed


def _has(table: Table, column: str) -> bool:
    return any(row.value(column) is not None for row in table.rows)
