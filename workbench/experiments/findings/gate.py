"""Findings of the study of the gate: how often its verdict is right, and what it costs, by kind of feedback."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.statistics import HeldOut, mean_estimate

_COLUMNS = (
    *("feedback", "updates", "better, right", "not better, right", "right, of the known", "not known"),
    *("measured lift of the unknown", "pairs", "tokens", "share of the full measurement"),
)
_NOTE = (
    "A verdict is right where the lift that was then measured on whole attempts has its sign (0: not better). Shares "
    "with Wilson's 95 % interval, means with Student's."
)
Data = Mapping[str, Any]


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title and tables, over the updates of all seeds."""
    points = [point.data for record in records.values() for point in record.arms.get("gate", ())]
    verdicts = [data for data in points if "refused" not in data]
    kinds = dict.fromkeys(data["feedback"] for data in verdicts)
    rows = [_row(kind, [data for data in verdicts if data["feedback"] == kind]) for kind in kinds]
    table = Table("Is the gate right?", _COLUMNS, [*rows, _row("all", verdicts)], _NOTE)
    return f"Is the teacher better? {len(verdicts)} updates", [table], []


def lift_of(data: Data) -> float:
    """The measured lift of an update: the teacher's pass rate on whole attempts minus the student's."""
    return float(data["lift"]["teacher"]["rate"] - data["lift"]["student"]["rate"])


def is_right(data: Data) -> bool:
    """True where the measured lift has the sign that a known verdict says."""
    return (lift_of(data) > 0) == (data["gate"]["verdict"] == "better")


def _row(name: str, points: Sequence[Data]) -> list[Cell]:
    by_verdict = {
        verdict: [data for data in points if data["gate"]["verdict"] == verdict]
        for verdict in ("better", "not better", "unknown")
    }
    better, worse, unknown = by_verdict.values()
    known = [*better, *worse]
    spent, full = (sum(data[which]["tokens"] for data in points) for which in ("gate", "lift"))
    return [
        name,
        len(points),
        f"{len(better)}, {sum(map(is_right, better))}",
        f"{len(worse)}, {sum(map(is_right, worse))}",
        HeldOut(sum(map(is_right, known)), len(known)) if known else None,
        len(unknown),
        mean_estimate([lift_of(data) for data in unknown], within=(-1.0, 1.0)),
        mean_estimate([float(data["gate"]["teacher"]["total"]) for data in points], within=(0.0, math.inf)),
        mean_estimate([float(data["gate"]["tokens"]) for data in points], within=(0.0, math.inf)),
        spent / full if full else None,
    ]
