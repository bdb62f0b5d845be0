"""Findings of the study of credit: how well each reading finds the wrong tokens, and whether exchanges agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.credit.statistics import auroc, rank_correlation
from workbench.experiments.figures import bars, scatter
from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.statistics import Estimate, bootstrap, bootstrap_mean

BASELINES = ("grpo", "random", "entropy_student", "low probability")
MEASURES = (
    ("auroc", "AUROC, wrong tokens against all others"),
    ("auroc_choices", "AUROC, among the tokens that choose a convention"),
    ("worst_is_wrong", "share of programs, most blamed token is wrong"),
    ("worst_is_first", "share of programs, most blamed token is the first wrong one"),
)
_NOTE = (
    "Means over programs with one wrong stage; 95 % bootstrap over programs. Baselines see no feedback: doubt alone "
    "finds the tokens that choose a convention, but not which of the choices is wrong."
)
Program = Mapping[str, Mapping[str, Mapping[str, float | None]]]  # evidence -> reading -> measure


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title, tables and figures, over the programs of all seeds."""
    programs = {arm: _programs(records, arm) for arm in dict.fromkeys(a for r in records.values() for a in r.arms)}
    views = programs.get("views", [])
    tables, figures = [], []
    if views:
        tables.append(_by_reading(views))
        for measure, label in MEASURES:
            kinds = {kind: _mean([program[kind]["raw"][measure] for program in views]) for kind in views[0]}
            baselines = {name: _mean([program["remark"][name][measure] for program in views]) for name in BASELINES}
            figure = bars(kinds | baselines, x="raw credit by evidence, and baselines", y=label, y_range=(0, 1.02))
            figures.append((f"{label}. {_NOTE}", figure))
    taught = {
        arm: arm_programs for arm, arm_programs in programs.items() if arm.startswith("teacher ") and arm_programs
    }
    if taught:
        tables.append(_by_teacher(taught))
    steps = [point.data["exchanged"] for record in records.values() for point in record.arms.get("causal", ())]
    exchanged = [step for step in steps if step]
    if len(exchanged) > 2:
        tables.append(_causal(exchanged))
        points = [(token["credit"], token["change"]) for step in exchanged for token in step]
        figures.append(
            (
                "Every exchanged token: its credit, and what putting the teacher's alternative in its place did.",
                scatter(points, x="raw credit of the token, nats", y="change of the pass rate"),
            )
        )
    return "Where credit lands", tables, figures


def _programs(records: Mapping[int, Record], arm: str) -> list[Program]:
    return [
        program
        for record in records.values()
        for point in record.arms.get(arm, ())
        for program in point.data.get("programs", ())
    ]


def _mean(values: Sequence[float | None]) -> Estimate:
    """Mean of the values that are known, with its interval."""
    return bootstrap_mean([value for value in values if value is not None], level=0.95, draws=500)


def _by_reading(programs: Sequence[Program]) -> Table:
    rows: list[list[Cell]] = []
    for kind in programs[0]:
        for name in dict.fromkeys(name for program in programs for name in program[kind]):
            if name in BASELINES and kind != next(iter(programs[0])):
                continue  # what sees no feedback is the same for every kind
            known = [program[kind][name] for program in programs if name in program[kind]]
            evidence = "none: a baseline" if name in BASELINES else kind
            rows.append(
                [
                    evidence,
                    name,
                    *(_mean([program[measure] for program in known]) for measure, _ in MEASURES),
                    len(known),
                ]
            )
    columns = ("evidence", "reading", *(label for _, label in MEASURES), "programs")
    return Table("Which tokens are blamed, by evidence and view", columns, rows, _NOTE)


def _by_teacher(taught: Mapping[str, Sequence[Program]]) -> Table:
    rows: list[list[Cell]] = [
        [
            arm.removeprefix("teacher "),
            kind,
            *(_mean([program[kind]["raw"][m] for program in programs]) for m, _ in MEASURES),
        ]
        for arm, programs in taught.items()
        for kind in programs[0]
    ]
    columns = ("teacher", "evidence", *(label for _, label in MEASURES))
    return Table("Raw credit under each teacher, after rounds of learning under it", columns, rows, _NOTE)


def _causal(exchanged: Sequence[Sequence[Mapping[str, float]]]) -> Table:
    """Does the pass rate rise more where a token is blamed more? Tokens of one attempt are drawn together."""

    def over(statistic: Callable[[list[float], list[float]], float], name: str, sign: float) -> Estimate:
        def of(chosen: Sequence[int]) -> float:
            tokens = [token for index in chosen for token in exchanged[index]]
            return statistic([sign * token[name] for token in tokens], [token["change"] for token in tokens])

        return bootstrap(len(exchanged), of, level=0.95, draws=500)

    def correlation(values: list[float], changes: list[float]) -> float:
        return rank_correlation(values, changes, noise_floor=-1)

    def finds(values: list[float], changes: list[float]) -> float:
        return auroc(values, [change > 0 for change in changes])

    rows: list[list[Cell]] = [
        ["rank correlation of blame (minus credit) with the change", over(correlation, "credit", -1)],
        ["rank correlation of the alternative's gain over the token with the change", over(correlation, "gain", 1)],
        ["AUROC of blame, tokens whose exchange helped against the others", over(finds, "credit", -1)],
        ["tokens exchanged", sum(len(step) for step in exchanged)],
    ]
    note = "95 % bootstrap over attempts. Of each, the two most blamed tokens and two others were exchanged."
    return Table("Does exchanging the token do what its credit says?", ("", "value"), rows, note)
