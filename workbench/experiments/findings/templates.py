"""Findings of the study of templates: pass rates by template, and by template and kind of feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.experiments.template_study import NO_FEEDBACK
from workbench.experiments.template_tasks import CASES, CHOICE, FRESH
from workbench.statistics import HeldOut

_NOTE = "Pass rates of the self-teacher's own answers, with 95 % Wilson intervals."


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title and tables, over all seeds; the template of the highest rate on the tasks to choose by comes first."""
    counts: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records.values():
        for arm, points in record.arms.items():
            for point in points:
                counts.setdefault((arm, point.data["split"], point.data["kind"]), []).append(point.data)

    def rate(arm: str, split: str, kinds: list[str]) -> HeldOut:
        data = [counted for kind in kinds for counted in counts.get((arm, split, kind), ())]
        return HeldOut(sum(measured["passed"] for measured in data), sum(measured["total"] for measured in data))

    kinds = list(CASES)
    arms = dict.fromkeys(arm for arm, _, _ in counts)
    templates = [arm for arm in arms if arm != NO_FEEDBACK]
    templates.sort(key=lambda arm: rate(arm, CHOICE, kinds).passed, reverse=True)
    ordered = [*([NO_FEEDBACK] if NO_FEEDBACK in arms else []), *templates]
    overall: list[list[Cell]] = [[arm, *(rate(arm, split, kinds) for split in (CHOICE, FRESH))] for arm in ordered]
    tables = [Table("All kinds of feedback", ("template", "tasks chosen by", "fresh tasks"), overall, _NOTE)]
    for split, title in ((FRESH, "Fresh tasks"), (CHOICE, "Tasks chosen by")):
        rows: list[list[Cell]] = [[arm, *(rate(arm, split, [kind]) for kind in kinds)] for arm in ordered]
        tables.append(Table(title, ("template", *kinds), rows, _NOTE))
    best = f"{templates[0]} is best on the tasks chosen by" if templates else "nothing was measured"
    return f"Templates of the teacher's prompt: {best}", tables, []
