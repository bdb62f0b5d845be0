"""What a search for hard tasks shows: every task that was measured, and which of them are hard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.experiments.resuming import screened


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title and table; there is nothing to draw."""
    tasks = [one for record in records.values() for one in screened(record)]
    rows: list[list[Cell]] = [
        [one.task.prompt, one.task.id.rpartition("/")[0], one.pass_rate, one.is_hard] for one in tasks
    ]
    columns = ("task", "pack", "pass rate of one attempt", "hard")
    title = f"Hard tasks: {sum(one.is_hard for one in tasks)} found among {len(tasks)}"
    return title, [Table("Tasks that were measured", columns, rows, "95 % Wilson intervals.")], []
