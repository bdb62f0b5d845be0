"""Findings: from the points of an experiment, over its seeds, to tables and figures. Pure; one module per kind.

Knows nothing of runs and policies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.errors import ConfigError
from workbench.experiments.findings import credit, discover, gate, learn, screen, templates, update
from workbench.experiments.journal import Record
from workbench.experiments.report import Report, Table

Findings = tuple[str, Sequence[Table], Sequence[tuple[str, Any]]]  # title, tables, (caption, figure)

_KINDS: Mapping[str, Callable[[Mapping[int, Record]], Findings]] = {
    "learn": learn.findings,
    "screen": screen.findings,
    "discover": discover.findings,
    "credit": credit.findings,
    "update": update.findings,
    "gate": gate.findings,
    "templates": templates.findings,
}


def make_report(records: Sequence[Record], hardware: Mapping[str, Any]) -> Report:
    """Make the report of one experiment, from one record per seed.

    Raises ConfigError where there is none, or the records do not belong together.
    """
    by_seed = {record.seed: record for record in records}
    if not records:
        raise ConfigError("There is no experiment in this directory; make one with learn, ablate, discover or study.")
    names = {record.name for record in records}
    if len(names) > 1 or len(by_seed) < len(records):
        raise ConfigError("The runs in this directory hold different experiments, or two with one seed; separate them.")
    name, kind = records[0].name, records[0].settings["kind"]
    title, tables, figures = _KINDS[kind](by_seed)
    settings = {
        "settings": {str(seed): dict(record.settings) for seed, record in by_seed.items()},
        "hardware": dict(hardware),
    }
    points = {
        str(seed): {arm: [point.data for point in points] for arm, points in record.arms.items()}
        for seed, record in by_seed.items()
    }
    return Report(name, title, settings, tables, figures, points)
