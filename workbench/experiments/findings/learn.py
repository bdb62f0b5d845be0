"""Findings of learning runs: curves over attempts, how they end, and how many attempts each arm needs for a rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.experiments.figures import curves
from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.statistics import Estimate, HeldOut, bootstrap, mean_estimate

RATES = (0.5, 0.6, 0.7, 0.8, 0.9)
BASELINE = "grpo"
_ONE_SEED = "One seed: held-out rates with the 95 % Wilson interval of their tasks, everything else without."
_SEEDS = "Means over seeds with Student's 95 % interval, cut at what is possible; attempts needed: 90 % bootstrap."
RATE, AMOUNT = (0.0, 1.0), (0.0, math.inf)  # what a pass rate, and a length, entropy, KL or time, can be
MEASURES = (
    ("tokens", "mean length of attempts, tokens"),
    ("entropy", "entropy on the probe, nats per token"),
    ("kl_to_base", "KL(base || policy) on the probe, nats per token"),
)
Curve = dict[int, float]  # attempts so far -> rate or another measure, in order


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title, tables and figures of a comparison of arms; arms that only some seeds have are compared on those."""
    arms = list(dict.fromkeys(arm for record in records.values() for arm in record.arms))
    measured = {arm: _measured(records, arm) for arm in arms}
    rates = {arm: [{at: rate.rate for at, rate in curve.items()} for curve in measured[arm]] for arm in arms}
    note = _SEEDS if len(records) > 1 else _ONE_SEED
    tables = [Table("How the arms end", _END_COLUMNS, [_end(records, arm) for arm in arms], note)]
    tables.append(
        Table("Attempts until the mean held-out rate is reached", ("arm", *map(str, RATES)), _reach(rates), note)
    )
    tables.append(Table("Alarms", _ALARM_COLUMNS, [_alarms(records, arm) for arm in arms], note))
    if BASELINE in rates and len(rates) > 1:
        tables.append(_against_baseline(rates, note))
    drawn = {
        arm: [(at, _held_out([curve[at] for curve in several])) for at in _places(several)]
        for arm, several in measured.items()
    }
    label = "held-out pass rate"
    figures = [(f"{label.capitalize()}. {note}", curves(drawn, x="attempts", y=label, y_range=(0, 1.02)))]
    for name, label in MEASURES:
        series = _series({arm: _curves(records, arm, lambda data, name=name: data[name]) for arm in arms})
        figures.append((f"{label[0].upper()}{label[1:]}. {note}", curves(series, x="attempts", y=label)))
    packs = sorted({record.settings["pack"] for record in records.values()})
    return f"Learning: {', '.join(arms)} on {', '.join(packs)}", tables, figures


_END_COLUMNS = (
    "arm",
    "seeds",
    "held-out rate, first",
    "held-out rate, last",
    "gain",
    "tokens, first round",
    "tokens, last round",
    "entropy, last",
    "KL to reference, last",
    "seconds a round",
)


def _rate(data: Mapping[str, Any]) -> float | None:
    held_out = data["held_out"]
    return held_out and held_out["passed"] / held_out["total"]


def _measured(records: Mapping[int, Record], arm: str) -> list[dict[int, HeldOut]]:
    """One curve per seed that has the arm: attempts so far -> the held-out measurement there."""
    curves = []
    for record in records.values():
        counted = {point.step * _per_round(record): point.data["held_out"] for point in record.arms.get(arm, ())}
        curve = {at: HeldOut(counts["passed"], counts["total"]) for at, counts in counted.items() if counts is not None}
        if curve:
            curves.append(curve)
    return curves


def _held_out(measured: Sequence[HeldOut]) -> Estimate:
    """The rate over seeds; of one seed, with the interval that its tasks give."""
    if len(measured) == 1:
        return Estimate(measured[0].rate, measured[0].low, measured[0].high, measured[0].total)
    return mean_estimate([rate.rate for rate in measured], within=RATE)


def _per_round(record: Record) -> int:
    """Attempts in a round."""
    return int(record.settings["questions"] * record.settings["attempts"])


def _curves(records: Mapping[int, Record], arm: str, of: Any) -> list[Curve]:
    """One curve per seed that has the arm, of what was measured."""
    curves = []
    for record in records.values():
        values = {point.step * _per_round(record): of(point.data) for point in record.arms.get(arm, ())}
        curve = {at: float(value) for at, value in values.items() if value is not None}
        if curve:
            curves.append(curve)
    return curves


def _places(several: Sequence[Mapping[int, Any]]) -> list[int]:
    """Numbers of attempts at which all of the curves were measured."""
    return [at for at in several[0] if all(at in curve for curve in several)] if several else []


def _series(by_arm: Mapping[str, Sequence[Curve]]) -> dict[str, list[tuple[float, Estimate]]]:
    return {
        arm: [(at, mean_estimate([curve[at] for curve in several], within=AMOUNT)) for at in _places(several)]
        for arm, several in by_arm.items()
    }


def _end(records: Mapping[int, Record], arm: str) -> list[Cell]:
    mine = [record.arms[arm] for record in records.values() if arm in record.arms]
    measured = [list(curve.values()) for curve in _measured(records, arm)]

    def last(name: str) -> Estimate:
        return mean_estimate([points[-1].data[name] for points in mine], within=AMOUNT)

    rounds = [points[1:] for points in mine if len(points) > 1]
    return [
        arm,
        len(mine),
        _held_out([curve[0] for curve in measured]),
        _held_out([curve[-1] for curve in measured]),
        mean_estimate([curve[-1].rate - curve[0].rate for curve in measured], within=(-1.0, 1.0)),
        mean_estimate([points[0].data["tokens"] for points in rounds], within=AMOUNT),
        mean_estimate([points[-1].data["tokens"] for points in rounds], within=AMOUNT),
        last("entropy"),
        last("kl_to_base"),
        mean_estimate([sum(p.data["seconds_s"] for p in points) / len(points) for points in rounds], within=AMOUNT),
    ]


def reached(several: Sequence[Curve], rate: float) -> float:
    """Attempts at which the mean of the curves first reaches a rate, between measurements by a straight line.

    Infinite where it never does.
    """
    before: tuple[int, float] | None = None
    for at in _places(several):
        mean = _mean(several, at)
        if mean >= rate:
            share = 0.0 if before is None else (rate - before[1]) / (mean - before[1])
            return at if before is None else before[0] + share * (at - before[0])
        before = (at, mean)
    return math.inf


def _mean(several: Sequence[Curve], at: int) -> float:
    return sum(curve[at] for curve in several) / len(several)


_ALARM_COLUMNS = (
    "arm",
    "rounds without update",
    "alarms: rounds of each",
    "round of the first alarm",
    "held-out rate measured last before it",
    "best held-out rate",
    "last held-out rate",
)


def _alarms(records: Mapping[int, Record], arm: str) -> list[Cell]:
    """Row of the alarms that an arm raised, and what the policy could still do when the first one came."""
    mine = [record.arms[arm] for record in records.values() if arm in record.arms]
    raised: dict[str, int] = {}
    for name in (name for points in mine for point in points for name in point.data["alarms"]):
        raised[name] = raised.get(name, 0) + 1
    first = [next((p.step for p in points if p.data["alarms"]), None) for points in mine]
    measured = [{p.step: rate for p in points if (rate := _rate(p.data)) is not None} for points in mine]
    then = [
        [rate for step, rate in rates.items() if step < alarm][-1]
        for rates, alarm in zip(measured, first, strict=True)
        if alarm is not None
    ]
    return [
        arm,
        sum(point.data["refused"] is not None for points in mine for point in points),
        ", ".join(f"{name} {count}" for name, count in raised.items()),
        mean_estimate([float(step) for step in first if step is not None], within=AMOUNT),
        mean_estimate(then, within=RATE),
        mean_estimate([max(rates.values()) for rates in measured], within=RATE),
        mean_estimate([list(rates.values())[-1] for rates in measured], within=RATE),
    ]


def _reach(rates: Mapping[str, list[Curve]]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for arm, several in rates.items():
        row: list[Cell] = [arm]
        for rate in RATES:

            def needed(chosen: Sequence[int], several: list[Curve] = several, rate: float = rate) -> float:
                return reached([several[index] for index in chosen], rate)

            row.append(bootstrap(len(several), needed))
        rows.append(row)
    return rows


def _against_baseline(rates: Mapping[str, list[Curve]], note: str) -> Table:
    """Table of how many times fewer attempts than the baseline an arm needs for the baseline's own final rate."""
    base = rates[BASELINE]
    spent = _places(base)[-1]
    rows: list[list[Cell]] = []
    for arm, several in rates.items():
        if arm == BASELINE:
            continue

        def final(chosen: Sequence[int]) -> float:
            return _mean([base[index] for index in chosen], spent)

        def needed(chosen: Sequence[int], several: list[Curve] = several) -> float:
            return reached([several[index] for index in chosen], final(chosen))

        def fewer(chosen: Sequence[int], several: list[Curve] = several) -> float:
            return spent / max(needed(chosen, several), 1.0)

        count = min(len(several), len(base))
        rows.append([arm, final(range(count)), bootstrap(count, needed), bootstrap(count, fewer)])
    columns = ("arm", f"final rate of {BASELINE}", "attempts to reach it", f"times fewer than {BASELINE} spent")
    return Table(f"Attempts until {BASELINE}'s final rate", columns, rows, note)
