"""Findings of a search for hard tasks: every task that was measured, and which of them are hard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.experiments.resuming import screened
from workbench.records import pack_of


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title and table; there is nothing to draw."""
    tasks = [task for record in records.values() for task in screened(record)]
    rows: list[list[Cell]] = [[task.task.prompt, pack_of(task.task.id), task.pass_rate, task.is_hard] for task in tasks]
    columns = ("task", "pack", "pass rate of one attempt", "hard")
    title = f"Hard tasks: {sum(task.is_hard for task in tasks)} found among {len(tasks)}"
    return title, [Table("Tasks that were measured", columns, rows, "95 % Wilson intervals.")], []
