"""The journal of an experiment: its points, in the log of its run, so that a killed experiment can be resumed.

An experiment is a set of *arms*, an arm a sequence of *steps*, and a step ends in a *point*: plain data, committed with
the state of the policy that the step led to. Two kinds of event:

    experiment  {"name", "settings": {...}, "start": update id}            the state from which every arm begins
    point       {"experiment", "arm", "step", "update_id", "data": {...}}  a finished step

A step begins from the state of the point before it, with random numbers that depend on the experiment's seed and the
number of the step alone. So what a killed step has left behind does not matter, and an experiment that was killed and
resumed has the points of one that never was. Arms share these random numbers: their first attempts at a task are the
same, and their differences are less noisy for it. Knows nothing of what is measured.

While steps are made, the run has a "job" that says where the policy belongs: see `workbench.session.resuming`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any, Protocol, Self

from workbench.config import SDPOConfig
from workbench.errors import ConfigError, RunError
from workbench.session import Session
from workbench.templates import in_force, upgraded

EXPERIMENT, POINT = "experiment", "point"
Data = Mapping[str, Any]  # JSON-serialisable


class LogEvent(Protocol):
    """An event of a run's log."""

    @property
    def kind(self) -> str: ...

    @property
    def data(self) -> Data: ...


@dataclass(frozen=True, slots=True)
class Point:
    """A finished step of an arm."""

    arm: str
    step: int  # from 0
    update_id: str  # the policy's state after it
    data: Data


@dataclass(frozen=True, slots=True)
class Record:
    """Contents of a log about one experiment."""

    name: str
    settings: Data  # "kind" and "seed" among them
    start: str  # the policy's state in which every arm begins
    arms: dict[str, list[Point]] = field(default_factory=dict)  # by name, in the order of their first points

    @property
    def seed(self) -> int:
        """Seed of its tasks and random numbers."""
        return int(self.settings["seed"])


def read(events: Iterable[LogEvent]) -> dict[str, Record]:
    """The experiments in a log (its events oldest first), by name, in the order in which they were begun."""
    records: dict[str, Record] = {}
    for event in events:
        if event.kind == EXPERIMENT:
            record = Record(event.data["name"], event.data["settings"], event.data["start"])
            records[record.name] = record
        elif event.kind == POINT:
            point = Point(event.data["arm"], event.data["step"], event.data["update_id"], event.data["data"])
            records[event.data["experiment"]].arms.setdefault(point.arm, []).append(point)
    return records


def free_name(kind: str, known: Collection[str]) -> str:
    """Name of a new experiment that was given none."""
    return next(free for n in range(1, len(known) + 2) if (free := f"{kind}-{n}") not in known)


class Journal:
    """One experiment of a run, begun or resumed.

    Its steps are made inside `with journal:`. However that block ends, the policy is afterwards where it was before.
    """

    def __init__(
        self,
        session: Session,
        name: str | None,
        settings: Data,
        *,
        kind: str,
        seed: int,
        stays: bool = False,
        stop: Event | None = None,
    ) -> None:
        """`name` None begins a new experiment, named after its `kind`; a name that the run knows resumes it.

        `stays`: the policy is afterwards where the last point led it, not where it was before.

        Raises ConfigError where it was begun with other settings.
        """
        settings = json.loads(json.dumps({"kind": kind, "seed": seed, **settings}))
        known = read(session.run.events())
        model = str(session.policy.facts["model"])
        name = name or free_name(kind, known)
        if name not in known:
            known[name] = Record(name, settings, session.head)
            session.run.append(EXPERIMENT, {"name": name, "settings": settings, "start": session.head})
        elif (begun := _completed(known[name].settings, model)) != (settings := _completed(settings, model)):
            raise ConfigError(
                f"The experiment {name!r} of this run was begun with other settings "
                f"({_differences(begun, settings)}); use those, or choose another name or run directory."
            )
        self.session, self.stop = session, stop or Event()
        self._randomness = f"{kind} {seed}"
        self._record = known[name]
        self._stays = stays
        self._job: Data | None = None  # set by the first step that is made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._job is None:
            return
        try:
            self._go(self._job["home"])
            self.session.run.append("job", {**self._job, "status": "finished"})
        except RunError:
            if (
                kind is not GeneratorExit
            ):  # the caller that dropped it may have closed the run; reopening the run does the same
                raise

    @property
    def start(self) -> str:
        """The state in which every arm begins."""
        return self._record.start

    def points(self, arm: str) -> list[Point]:
        """Known points of an arm, in order."""
        return list(self._record.arms.get(arm, ()))

    def run_arm(
        self, arm: str, steps: int, work: Callable[[int], Data], *, start: str | None = None
    ) -> Iterator[Point]:
        """Yield the points of an arm: those that are known, then `work(step)` for each of the others, committed.

        `start`: the state in which it begins; None: the experiment's. A point whose data has a true "done" is the
        arm's last. Where `stop` is set in the course of a step, that step counts for nothing, and the arm ends.
        """
        known = self.points(arm)
        state = known[-1].update_id if known else (start or self._record.start)
        yield from self._run([arm], steps, lambda step, _: {arm: work(step)}, state)

    def run_together(
        self, arms: Sequence[str], steps: int, work: Callable[[int, Sequence[str]], Mapping[str, Data]]
    ) -> Iterator[Point]:
        """Do the same for arms that leave the policy alone, each step of all of them at once.

        `work(step, arms)`: the data of the arms that make it, by name; they are committed together, or none is.
        """
        yield from self._run(arms, steps, work, self._record.start)

    def _run(
        self,
        arms: Sequence[str],
        steps: int,
        work: Callable[[int, Sequence[str]], Mapping[str, Data]],
        state: str,
    ) -> Iterator[Point]:
        known = {arm: self.points(arm) for arm in arms}
        for points in known.values():
            yield from points
        going = [arm for arm, points in known.items() if len(points) < steps and not (points and _is_last(points[-1]))]
        if not going or self.stop.is_set():
            return
        self._note_home(self.session.head if self._job is None else self._job["home"])
        self._go(state)
        for step in range(min(len(known[arm]) for arm in going), steps):
            due = [arm for arm in going if len(known[arm]) == step]
            if not due or self.stop.is_set():
                return
            self.session.policy.generator.manual_seed(_number(f"{self._randomness} {step}"))
            with self.session.run.naming(f"{self._record.name} {due[0]}"):  # as the timeline shows its updates
                data = work(step, due)
            if self.stop.is_set():
                return
            new_points = [Point(arm, step, self.session.head, data[arm]) for arm in due]
            for point in new_points:
                known[point.arm].append(point)
                self._record.arms.setdefault(point.arm, []).append(point)
            self.session.run.append_all([(POINT, self._event(point), ()) for point in new_points])
            going = [arm for arm in going if not _is_last(known[arm][-1])]
            if self._stays:
                self._note_home(new_points[-1].update_id)
            yield from new_points

    def _event(self, point: Point) -> Data:
        where = {"experiment": self._record.name, "arm": point.arm, "step": point.step}
        return {**where, "update_id": point.update_id, "data": dict(point.data)}

    def _note_home(self, home: str) -> None:
        """Note in the log where the policy belongs, whatever becomes of this process."""
        job = self._job or {"job_id": f"j-{uuid.uuid4().hex[:10]}", "name": self._record.name, "home": ""}
        if job["home"] != home:
            self._job = {**job, "home": home}
            self.session.run.append("job", {**self._job, "status": "started"})

    def _go(self, update_id: str) -> None:
        if self.session.head != update_id:
            self.session.checkout(update_id)


def _is_last(point: Point) -> bool:
    return bool(point.data.get("done"))


def _completed(settings: Data, model: str) -> Data:
    """Settings as this version records them, to be compared.

    What an earlier version did not know of an update has its default; a template is the one in force with the model.
    """
    defaults = json.loads(json.dumps(asdict(SDPOConfig())))

    def complete(data: Data) -> Data:
        if "config" not in data:
            return data
        config = {**defaults, **upgraded(data["config"])}
        return {**data, "config": {**config, "template": in_force(config["template"], model)}}

    arms = {"arms": [complete(arm) for arm in settings["arms"]]} if "arms" in settings else {}
    return {**complete(settings), **arms}


def _differences(before: Data, now: Data) -> str:
    """The settings that differ, for people: "rounds 15, not 20"."""
    keys = sorted({*before, *now})
    return ", ".join(f"{key} {before.get(key)}, not {now.get(key)}" for key in keys if before.get(key) != now.get(key))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
