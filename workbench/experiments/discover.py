"""Discovery: how many attempts until one passes, on tasks that the policy hardly ever solves (paper, section 5).

Test-time SDPO updates on its own failures after each group; best-of-k samples independently; multi-turn keeps earlier
attempts and their feedback in the prompt (the oldest turns are left out first), or their feedback alone. Each
spends at most the same number of attempts. Knows nothing of pages.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, Self

from workbench.config import SDPOConfig
from workbench.errors import NoSignalError, UpdateError
from workbench.experiments.journal import Journal, Point
from workbench.experiments.settings import (
    DEFAULT_METHODS,
    SCREENED,
    STAGES,
    TEST_TIME,
    DiscoverySettings,
    at_least,
    check_methods,
)
from workbench.records import Attempt, Task, task_from_json, to_json
from workbench.session import Session
from workbench.statistics import HeldOut
from workbench.tasks import Pack, check_automatic
from workbench.tasks.drawing import held_out_tasks, pack_settings, train_tasks, with_feedback
from workbench.tasks.house_rules.checks import draw_valid
from workbench.tasks.house_rules.pack import check_kind, make_task, pack_name
from workbench.tasks.house_rules.world import House

HARD = 0.03  # pass rate of one attempt, below which a task counts as hard
FIRST_SCREENED_HOUSE = 300_000
FRESH_FEEDBACK = "example"  # what the checker of a fresh house's task says
MOST_CANDIDATES = 1000  # tasks of each side of a pack that are searched for hard ones
BATCH = 32  # attempts of best-of-k that are sampled at once
CONVERSATIONS = ("multi_turn", "multi_turn_feedback")


@dataclass(frozen=True, slots=True)
class DiscoveryPoint:
    """State of one method's search on one task."""

    task_id: str
    method: str
    generations: int  # attempts so far
    found_at: int | None  # the first that passed, counted from 1
    done: bool  # found, or the budget is spent
    update_id: str
    seconds_s: float  # of the attempts and updates since the point before


@dataclass(frozen=True, slots=True)
class ScreenedTask:
    """A task with the pass rate of the policy's single attempts at it."""

    task: Task
    pass_rate: HeldOut

    @property
    def is_hard(self) -> bool:
        """True where a discovery is worth timing on it."""
        return self.pass_rate.rate < HARD

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read from a point of a screen."""
        return cls(task_from_json(data["task"]), HeldOut(data["passed"], data["total"]))


def screen(
    session: Session,
    count: int,
    *,
    pack: str | Path | Pack | None = None,
    feedback: str | None = None,
    stages: Sequence[int] = STAGES,
    attempts: int = SCREENED,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[ScreenedTask]:
    """Draw tasks and measure them until `count` hard ones are found, or a pack has no more.

    `pack` None: house-rules tasks with this many `stages`, each in a house of its own; else as in `learn`, its held-out
    tasks first. `feedback`: the kind that their environment gives; None: examples in fresh houses, what the pack gives
    otherwise. Yields every task that was measured. Discoveries on the hard ones use other random numbers, so that no
    method is favoured by how they were chosen. Raises ConfigError for numbers below 1,
    TaskError for an unknown kind or pack.
    """
    at_least("count", count, 1)
    at_least("attempts", attempts, 1)
    if pack is None:
        feedback = feedback or FRESH_FEEDBACK
        check_kind(feedback)
        recorded = {"count": count, "feedback": feedback, "stages": list(stages), "attempts": attempts}
        draw, most = _fresh_houses(feedback, stages, seed), 1000 * count
    else:
        chosen = session.open_pack(pack)
        tasks = _candidates(chosen if feedback is None else with_feedback(chosen, feedback), seed)
        session.prepare_judges(tasks)
        draw, most = tasks.__getitem__, len(tasks)
        recorded = {"count": count, "feedback": feedback, "attempts": attempts, **pack_settings(chosen), "most": most}
    journal = Journal(session, name, recorded, kind="screen", seed=seed, stop=stop)

    def work(step: int) -> dict[str, Any]:
        task = draw(step)
        passed = sum(attempt.passed for attempt in session.attempt(task, attempts, stop=journal.stop))
        hard = sum(ScreenedTask.from_data(point.data).is_hard for point in journal.points("screen")) + (
            passed < HARD * attempts
        )
        return {"task": to_json(task), "passed": passed, "total": attempts, "done": hard >= count}

    with journal:
        for point in journal.run_arm("screen", most, work):
            yield ScreenedTask.from_data(point.data)


def _fresh_houses(feedback: str, stages: Sequence[int], seed: int) -> Callable[[int], Task]:
    """Make a function: step -> a held-out task in a house of its own."""

    def draw(step: int) -> Task:
        generator = random.Random(f"screen {seed} {step}")
        specification, checks = draw_valid(stages[step % len(stages)], generator, held_out=True)
        house = House(FIRST_SCREENED_HOUSE + 10_000 * seed + step)
        return make_task(f"{pack_name(house, feedback)}/hard-{step}", specification, checks, house, feedback)

    return draw


def _candidates(pack: Pack, seed: int) -> list[Task]:
    """A pack's held-out tasks, then those that it would train on."""
    listed = [*held_out_tasks(pack, MOST_CANDIDATES), *train_tasks(pack, MOST_CANDIDATES, seed)]
    return list({task.id: task for task in listed}.values())


def discover(
    session: Session,
    tasks: Sequence[Task | ScreenedTask],
    methods: Sequence[str] = DEFAULT_METHODS,
    settings: DiscoverySettings | None = None,
    config: SDPOConfig = TEST_TIME,
    *,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[DiscoveryPoint]:
    """Search task by task and method by method, a point after every group; then multi-turn at all tasks, turn by turn.

    Each begins where the policy is now, and that is where it is left. Raises ConfigError for an unknown method,
    TaskError for a task that a person judges, PolicyError for a judge that cannot be loaded.
    """
    settings = settings or DiscoverySettings()
    check_methods(methods)
    screened = [task if isinstance(task, ScreenedTask) else ScreenedTask(task, HeldOut(0, 0)) for task in tasks]
    check_automatic(candidate.task for candidate in screened)
    session.prepare_judges([candidate.task for candidate in screened])
    listed = [{"id": s.task.id, "prompt": s.task.prompt, **asdict(s.pass_rate)} for s in screened]
    recorded = {"tasks": listed, "methods": list(methods), "config": asdict(config), **asdict(settings)}
    with Journal(session, name, recorded, kind="discover", seed=seed, stop=stop) as journal:
        for points in _searches(journal, [candidate.task for candidate in screened], methods, settings, config):
            for point in points:
                fields = {key: point.data[key] for key in ("generations", "found_at", "done", "seconds_s")}
                yield DiscoveryPoint(point.data["task"], point.data["method"], update_id=point.update_id, **fields)
            if journal.stop.is_set():
                return


def _searches(
    journal: Journal, tasks: Sequence[Task], methods: Sequence[str], settings: DiscoverySettings, config: SDPOConfig
) -> Iterator[Iterator[Point]]:
    """Searches to make, one after the other."""
    for task in tasks:
        for method in methods:
            if method not in CONVERSATIONS:
                search = _Search(journal, task, method, settings, config)
                yield journal.run_arm(search.arm, settings.budget, search.step)
    # Side by side, as many as take the memory of `BATCH` prompts of a thousand tokens: one at a time is mostly waiting.
    together = max(1, BATCH * 1024 // max(1024, journal.session.policy.context_length))
    for method in methods:
        if method in CONVERSATIONS:
            for place in range(0, len(tasks), together):
                talks = _Conversations(journal, tasks[place : place + together], method, settings, config)
                yield journal.run_together(list(talks.tasks), settings.budget, talks.turn)


def _arm(method: str, task: Task) -> str:
    return f"{method} {task.id}"


class _Search:
    """One method at one task; its memory is what the journal has of it."""

    def __init__(
        self, journal: Journal, task: Task, method: str, settings: DiscoverySettings, config: SDPOConfig
    ) -> None:
        self.journal, self.task, self.method, self.settings, self.config = journal, task, method, settings, config
        self.arm = _arm(method, task)

    def step(self, _: int) -> dict[str, Any]:
        """Make the next attempts, and for SDPO the update on them."""
        started = time.monotonic()
        known = self.journal.points(self.arm)
        spent = known[-1].data["generations"] if known else 0
        left = self.settings.budget - spent
        size = self.settings.group if self.method == "sdpo" else BATCH
        attempts = self.journal.session.attempt(self.task, min(size, left), stop=self.journal.stop)
        found_at = next((spent + place for place, attempt in enumerate(attempts, 1) if attempt.passed), None)
        spent += len(attempts)
        done = found_at is not None or spent >= self.settings.budget
        if self.method == "sdpo" and not done:
            self._update(attempts)
        ids = [attempt.id for attempt in attempts]
        fields = {"method": self.method, "task": self.task.id, "generations": spent, "found_at": found_at, "done": done}
        return {**fields, "attempts": ids, "seconds_s": time.monotonic() - started}

    def _update(self, attempts: list[Attempt]) -> None:
        # Without an update the policy stays what it was, and the next group is drawn from it.
        with suppress(NoSignalError, UpdateError):
            self.journal.session.update(attempts, self.config, stop=self.journal.stop)


class _Conversations:
    """Multi-turn at several tasks side by side: one attempt at each after all that were made at it so far."""

    def __init__(
        self, journal: Journal, tasks: Sequence[Task], method: str, settings: DiscoverySettings, config: SDPOConfig
    ) -> None:
        self.journal, self.method, self.budget, self.kinds = journal, method, settings.budget, config.feedback_kinds
        self.tasks = {_arm(method, task): task for task in tasks}

    def turn(self, step: int, arms: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Make the next attempt at each of the tasks whose arms these are."""
        started = time.monotonic()
        tasks, journal = [self.tasks[arm] for arm in arms], self.journal
        turns = [self._so_far(arm) for arm in arms]
        attempts = journal.session.attempt_many(tasks, 1, turns=turns, stop=journal.stop)
        seconds = (time.monotonic() - started) / len(arms)
        spent, data = step + 1, {}
        for arm, attempt in zip(arms, attempts, strict=True):
            found_at = spent if attempt.passed else None
            fields = {"method": self.method, "task": attempt.task_id, "generations": spent, "found_at": found_at}
            done = attempt.passed or spent >= self.budget
            data[arm] = {**fields, "done": done, "attempts": [attempt.id], "seconds_s": seconds}
        return data

    def _so_far(self, arm: str) -> list[tuple[str, str]]:
        attempts = {attempt.id: attempt for attempt in self.journal.session.attempts(self.tasks[arm])}
        ids = [attempt_id for point in self.journal.points(arm) for attempt_id in point.data["attempts"]]
        with_attempt = self.method == "multi_turn"
        return [
            (attempts[attempt_id].text if with_attempt else "", attempts[attempt_id].feedback_of(self.kinds))
            for attempt_id in ids
        ]
