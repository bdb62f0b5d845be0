"""Findings of the study of updates: predicted against realised, and side effects, by loss and learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.experiments.figures import curves
from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.statistics import mean_estimate

_NOTE = "Means over groups with Student's 95 % interval, cut at what is possible; every update is made from one state."
MEASURES = (  # name, label, what its values can be
    ("agreement", "signs as predicted", (0.0, 1.0)),
    ("rank_correlation", "rank correlation", (-1.0, 1.0)),
    ("loss_fell", "loss fell", (0.0, 1.0)),
    ("kl_to_before", "KL to before, nats per token", (0.0, math.inf)),
    ("entropy_change", "change of entropy, nats per token", (-math.inf, math.inf)),
)


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title, tables and figures, over the groups of all seeds."""
    cells: dict[str, dict[float, list[Mapping[str, Any]]]] = {}
    for record in records.values():
        for point in record.arms.get("updates", ()):
            for measured in point.data["updates"]:
                cells.setdefault(measured["loss"], {}).setdefault(measured["learning_rate"], []).append(measured)
    rows: list[list[Cell]] = []
    count = 0
    for loss, by_rate in cells.items():
        for rate, updates in sorted(by_rate.items()):
            measured = [entry for entry in updates if "refused" not in entry]
            count += len(measured)
            means = [mean_estimate([entry[name] for entry in measured], within=within) for name, _, within in MEASURES]
            rows.append([loss, rate, len(measured), *means])
    columns = ("loss", "learning rate", "updates", *(label for _, label, _ in MEASURES))
    figures = []
    for name, label, within in MEASURES[:2]:
        series = {
            loss: [
                (rate, mean_estimate([entry[name] for entry in updates if "refused" not in entry], within=within))
                for rate, updates in sorted(by_rate.items())
            ]
            for loss, by_rate in cells.items()
        }
        figure = curves(series, x="learning rate", y=label, y_range=(0, 1), logarithmic=True)
        figures.append((f"{label.capitalize()}. {_NOTE}", figure))
    return f"What an update does: {count} updates", [Table("Predicted against realised", columns, rows, _NOTE)], figures
