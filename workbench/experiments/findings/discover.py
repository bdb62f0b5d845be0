"""Findings of discovery: discovery@k of each method, how many times fewer attempts it needs, and task by task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.experiments.figures import curves
from workbench.experiments.journal import Record
from workbench.experiments.report import Cell, Table
from workbench.records import pack_of
from workbench.statistics import Estimate, HeldOut, bootstrap

SHARES = (0.25, 0.5, 0.75)
SUBJECT = "sdpo"
_NOTE = "Means over tasks and seeds; 90 % bootstrap over tasks, seeds of a task taken together."
SolvedAt = Mapping[str, np.ndarray]  # method -> (tasks, seeds): the attempt that passed first; inf where none did


def findings(records: Mapping[int, Record]) -> tuple[str, list[Table], list[tuple[str, Any]]]:
    """Title, tables and figures; only tasks that every method has finished with every seed are counted."""
    settings = next(iter(records.values())).settings
    tasks, methods, budget = settings["tasks"], settings["methods"], settings["budget"]
    finished = [task for task in tasks if all(_done(record, m, task) for record in records.values() for m in methods)]
    solved_at = {
        method: np.array(
            [[_solved_at(record, method, task) for record in records.values()] for task in finished], dtype=np.float64
        ).reshape(len(finished), len(records))
        for method in methods
    }
    title = f"Discovery: {len(finished)} of {len(tasks)} tasks, {len(records)} seeds, {budget} attempts each"
    if not finished:
        return title, [], []
    series = {method: [(k, discovery_at(times, k)) for k in _places(budget)] for method, times in solved_at.items()}
    figure = curves(series, x="attempts k", y="discovery@k", y_range=(0, 1.02), steps=True)
    return title, [_shares(solved_at, budget), _each(finished, solved_at)], [(f"Discovery@k. {_NOTE}", figure)]


def _arm(method: str, task: Mapping[str, Any]) -> str:
    return f"{method} {task['id']}"


def _done(record: Record, method: str, task: Mapping[str, Any]) -> bool:
    points = record.arms.get(_arm(method, task))
    return bool(points and points[-1].data["done"])


def _solved_at(record: Record, method: str, task: Mapping[str, Any]) -> float:
    at = record.arms[_arm(method, task)][-1].data["found_at"]
    return math.inf if at is None else float(at)


def _places(budget: int) -> list[int]:
    """Every k up to 32, then in wider steps: enough for a curve."""
    return sorted({*range(1, min(budget, 32) + 1), *np.linspace(1, budget, 48).astype(int).tolist(), budget})


def discovery_at(solved_at: np.ndarray, k: int) -> Estimate:
    """P(some attempt among the first k passes), with its interval over tasks; `solved_at` (tasks, seeds)."""
    per_task = (solved_at <= k).mean(axis=1)
    return bootstrap(len(per_task), lambda chosen: float(per_task[list(chosen)].mean()), draws=500)


def attempts_for(solved_at: np.ndarray, share: float) -> float:
    """The smallest k at which discovery@k reaches a share; infinite where it never does."""
    times = np.sort(solved_at, axis=None)
    needed = math.ceil(share * times.size - 1e-9)
    return float(times[max(needed, 1) - 1])


def _shares(solved_at: SolvedAt, budget: int) -> Table:
    """Table of the attempts that every method needs for a share of discoveries, and how many times fewer SDPO needs."""
    count = len(next(iter(solved_at.values())))
    rows: list[list[Cell]] = []
    for method, times in solved_at.items():
        row: list[Cell] = [method, discovery_at(times, budget)]
        for share in SHARES:

            def needed(chosen: Sequence[int], times: np.ndarray = times, share: float = share) -> float:
                return attempts_for(times[list(chosen)], share)

            row.append(bootstrap(count, needed))
        row.append(_times_fewer(solved_at, method, budget) if SUBJECT in solved_at and method != SUBJECT else None)
        rows.append(row)
    columns = (
        "method",
        f"discovery@{budget}",
        *(f"attempts for {share:.0%}" for share in SHARES),
        f"times fewer {SUBJECT} needs for the same share",
    )
    return Table("Attempts until a solution is found", columns, rows, _NOTE)


def _times_fewer(solved_at: SolvedAt, method: str, budget: int) -> Estimate:
    """Attempts of `method` over those of SDPO, at the highest share that `method` reaches within the budget."""

    def ratio(chosen: Sequence[int]) -> float:
        mine, theirs = solved_at[SUBJECT][list(chosen)], solved_at[method][list(chosen)]
        share = float((theirs <= budget).mean())
        return attempts_for(theirs, share) / attempts_for(mine, share) if share > 0 else math.nan

    return bootstrap(len(solved_at[method]), ratio)


def _each(tasks: Sequence[Mapping[str, Any]], solved_at: SolvedAt) -> Table:
    """One row per task: where each method solved it, and which methods SDPO lost to."""
    rows: list[list[Cell]] = []
    for index, task in enumerate(tasks):
        medians = {method: float(np.median(times[index])) for method, times in solved_at.items()}
        hits = {method: int(np.isfinite(times[index]).sum()) for method, times in solved_at.items()}
        medians_text = [
            f"{_attempts(medians[method])} ({hits[method]} of {times.shape[1]})" for method, times in solved_at.items()
        ]
        lost = [method for method in solved_at if SUBJECT in solved_at and medians[method] < medians[SUBJECT]]
        rate = HeldOut(task["passed"], task["total"]) if task["total"] else None
        rows.append([task["prompt"], pack_of(task["id"]), rate, *medians_text, ", ".join(lost)])
    columns = ("task", "pack", "pass rate of one attempt", *solved_at, f"{SUBJECT} lost to")
    return Table("Every task: median attempts until it is solved (seeds that solved it)", columns, rows)


def _attempts(value: float) -> str:
    return "–" if math.isinf(value) else f"{value:g}"
