"""Two runs side by side: their settings, their pass rates on the tasks that both attempted, their learning curves.

Read from their logs alone, without a model, also while another process writes to them. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.records import Attempt
from workbench.runs import Event, Run, RunState
from workbench.runs.run import LOG_NAME
from workbench.runs.timeline import Timeline, path_to_root
from workbench.session.held_out_rates import held_out_rates
from workbench.statistics import HeldOut

UNSET = "not set"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A held-out pass rate on the path from a run's start to the state that is compared."""

    updates: int  # made so far
    update_id: str
    measured: HeldOut


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One of the runs."""

    name: str
    update_id: str  # the state that is compared: the head, or the newest measured one if none before the head is
    updates: int  # on the path to it
    attempts: int
    pack: str | None  # whose held-out tasks the curve measures; None where it has no point
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class SharedTask:
    """A task that both attempted, with the pass rates of their newest groups."""

    task_id: str
    prompt: str
    rates: tuple[HeldOut, HeldOut]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs."""

    runs: tuple[RunFacts, RunFacts]
    tasks: tuple[SharedTask, ...]
    settings: Mapping[str, tuple[Any, Any]]  # dotted name -> its two values, of those that differ

    def summary(self) -> str:
        """Summary of the comparison in sentences made from the numbers."""
        sentences = []
        ends = [run.curve[-1].measured if run.curve else None for run in self.runs]
        for run, end in zip(self.runs, ends, strict=True):
            after = f"{run.name}, {run.updates} update{'' if run.updates == 1 else 's'}"
            sentences.append(
                f"{after}: its held-out pass rate was not measured."
                if end is None
                else f"{after}: {end.passed} of {end.total} held-out tasks pass ({_range(end)})."
            )
        first, second = ends
        packs = [run.pack for run in self.runs]
        if first is not None and second is not None and packs[0] != packs[1]:
            sentences.append(f"The tasks are from {packs[0]} and {packs[1]}, so these rates are not comparable.")
        elif first is not None and second is not None:
            apart = first.low > second.high or second.low > first.high
            sentences.append("Their 95 % intervals do not overlap." if apart else "Their 95 % intervals overlap.")
        return " ".join(sentences)

    def payload(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "runs": [
                {
                    "name": run.name,
                    "update_id": run.update_id,
                    "updates": run.updates,
                    "attempts": run.attempts,
                    "pack": run.pack,
                    "curve": [
                        {"updates": p.updates, "update_id": p.update_id, **p.measured.to_json()} for p in run.curve
                    ],
                }
                for run in self.runs
            ],
            "tasks": [
                {"task": task.task_id, "prompt": task.prompt, "rates": [rate.to_json() for rate in task.rates]}
                for task in self.tasks
            ],
            "settings": {name: list(values) for name, values in self.settings.items()},
            "summary": self.summary(),
        }


def runs_beside(path: Path) -> list[str]:
    """Names of the runs in the same directory as this one, itself left out."""
    directory = path.absolute()
    return sorted(log.parent.name for log in directory.parent.glob(f"*/{LOG_NAME}") if log.parent != directory)


def compare_runs(first: str | Path, second: str | Path) -> RunComparison:
    """Compare two run directories, opened read-only. Raises RunError where one is not a run or cannot be read."""
    logs = [_Log.read(Path(path)) for path in (first, second)]
    measured = [held_out_rates(log.events) for log in logs]
    both = [pack for pack in measured[0] if pack in measured[1]]
    packs = [both[-1] if both else next(reversed(rates), None) for rates in measured]
    read = [_described(log, rates, pack) for log, rates, pack in zip(logs, measured, packs, strict=True)]
    (facts_1, groups_1, settings_1), (facts_2, groups_2, settings_2) = read
    shared = [task_id for task_id in groups_1 if task_id in groups_2]
    tasks = [
        SharedTask(task_id, groups_1[task_id][0], (groups_1[task_id][1], groups_2[task_id][1])) for task_id in shared
    ]
    if not all(facts.updates for facts in (facts_1, facts_2)):  # there are no settings of an update to compare
        settings_1, settings_2 = (
            {name: value for name, value in known.items() if not name.startswith("update.")}
            for known in (settings_1, settings_2)
        )
    names = [*settings_1, *(name for name in settings_2 if name not in settings_1)]
    pairs = {name: (settings_1.get(name, UNSET), settings_2.get(name, UNSET)) for name in names}
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return RunComparison((facts_1, facts_2), tuple(tasks), differing)


@dataclass(frozen=True, slots=True)
class _Log:
    """Contents of a run on disk."""

    name: str
    events: Sequence[Event]
    timeline: Timeline
    state: RunState

    @classmethod
    def read(cls, path: Path) -> _Log:
        """Read a run. Raises RunError where there is none, or it cannot be read."""
        with Run.open(path, read_only=True) as run:
            return cls(path.absolute().name, run.events(), run.timeline, run.state())


def _described(
    log: _Log, rates_of: Mapping[str, Mapping[str, HeldOut]], pack: str | None
) -> tuple[RunFacts, dict[str, tuple[str, HeldOut]], dict[str, Any]]:
    """(facts, task id -> (prompt, rate of its newest group), settings by dotted name) of one run."""
    state, measured = log.state, {} if pack is None else rates_of[pack]
    at, lineage = _measured_path(log.timeline, measured)
    curve = [CurvePoint(i, step, measured[step]) for i, step in enumerate(lineage) if step in measured]
    facts = RunFacts(log.name, at, len(lineage) - 1, len(state.attempts), pack if curve else None, tuple(curve))
    prompts = {task.id: task.prompt for task in state.tasks.values()}
    rates = {task_id: (prompts.get(task_id, ""), rate) for task_id, rate in _newest(state.attempts.values()).items()}
    made_with = dict(state.opened or {})
    known = {name: made_with.get(name) for name in ("config", "policy", "versions")}
    settings = dict(_flat({**known, "update": _update_settings(log.events, lineage)}))
    return facts, rates, settings


def _measured_path(timeline: Timeline, measured: Mapping[str, HeldOut]) -> tuple[str, list[str]]:
    """The state to compare, and the ids from the root to it."""
    lineage = path_to_root(timeline, timeline.head)[::-1]
    if not any(step in measured for step in lineage):
        newest = [update_id for update_id in timeline.nodes if update_id in measured]
        if newest:
            lineage = path_to_root(timeline, newest[-1])[::-1]
    return lineage[-1], list(lineage)


def _newest(attempts: Iterable[Attempt]) -> dict[str, HeldOut]:
    """Task id -> the pass rate of its newest group."""
    groups: dict[str, tuple[str, list[bool]]] = {}
    for attempt in attempts:
        group, passed = groups.get(attempt.task_id, ("", []))
        groups[attempt.task_id] = (attempt.group_id, [*(passed if group == attempt.group_id else []), attempt.passed])
    return {task_id: HeldOut(sum(passed), len(passed)) for task_id, (_, passed) in groups.items()}


def _update_settings(events: Sequence[Event], lineage: Sequence[str]) -> Mapping[str, Any]:
    """Settings of the newest update on the path."""
    updates = [e.data for e in events if e.kind == "update" and e.data["update_id"] in lineage]
    return updates[-1].get("config", {}) if updates else {}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value


def _range(rate: HeldOut) -> str:
    return f"{100 * rate.rate:.0f} %, 95 % interval {100 * rate.low:.0f} to {100 * rate.high:.0f} %"
