"""The study of the gate: is the quick answer whether the teacher is better right, and what does it cost?

Each step samples a group at a task, gives its failed attempts one kind of feedback, good or bad, and asks the gate
(`teacher_lift`). Then student and teacher write many whole attempts each, and the verdict is compared with those. No
update is made. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import Any

from workbench.errors import NoSignalError, TaskError
from workbench.experiments.journal import Journal, Point
from workbench.experiments.settings import GateStudySettings
from workbench.experiments.update_study import task_in_a_fresh_house, tasks_of
from workbench.records import Attempt, Task
from workbench.session import Session
from workbench.tasks import Pack
from workbench.tasks.house_rules.pack import PACK
from workbench.tasks.house_rules.world import House, parse_specification

FIRST_HOUSE = 700_000
BARE = "Your answer is wrong. Try again."


def study_gate(
    session: Session,
    settings: GateStudySettings | None = None,
    *,
    pack: str | Path | Pack | None = None,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[Point]:
    """Study whether the gate is right, over many updates that might be made from this state.

    Yields a point per update: {"task", "feedback", "gate", "lift"}, the last two as `TeacherLift.to_json`, or
    {"task", "feedback", "refused"}. The kinds of feedback (`FEEDBACK`) take turns. The policy is left as it was.
    `pack` None: house-rules tasks, each in a house of its own; else as in `learn`, tasks to learn from, at least two.
    Raises TaskError, PolicyError as `learn` does.
    """
    settings = settings or GateStudySettings()
    tasks, source = tasks_of(session, pack, settings.updates, seed)
    journal = Journal(session, name, asdict(settings) | source, kind="gate", seed=seed, stop=stop)

    def work(step: int) -> dict[str, Any]:
        task = tasks[step % len(tasks)] if tasks else task_in_a_fresh_house(FIRST_HOUSE, seed, step)
        other = tasks[(step + 1) % len(tasks)] if tasks else _in_another_house(task)
        feedback = list(FEEDBACK)[step % len(FEEDBACK)]
        group = session.attempt(task, settings.attempts, stop=journal.stop)
        shown = FEEDBACK[feedback](session, group, other)
        return {"task": task.prompt, "feedback": feedback, **_measured(session, shown, settings.samples, journal.stop)}

    with journal:
        yield from journal.run_arm("gate", settings.updates, work)


def _measured(session: Session, group: Sequence[Attempt], samples: int, stop: Event) -> dict[str, Any]:
    try:
        gate = session.teacher_lift(group, stop=stop)
        lift = session.teacher_lift(group, n=-(-samples // gate.attempts), whole=True, stop=stop)
    except NoSignalError as error:
        return {"refused": str(error)}
    except TaskError:
        if stop.is_set():  # the step counts for nothing
            return {}
        raise
    return {"gate": gate.to_json(), "lift": lift.to_json()}


def _from_the_environment(session: Session, group: Sequence[Attempt], other: Task) -> list[Attempt]:
    return list(group)


def _of_another_task(session: Session, group: Sequence[Attempt], other: Task) -> list[Attempt]:
    """Tell the failed attempts what they would be told as answers to another task: it misleads."""
    texts = [session.judge(other, attempt.text).feedback for attempt in group]
    spare = next((text for text in texts if text), BARE)  # for an attempt that is right there
    return [
        attempt if attempt.passed else session.give_feedback(attempt, text or spare)
        for attempt, text in zip(group, texts, strict=True)
    ]


def _bare(session: Session, group: Sequence[Attempt], other: Task) -> list[Attempt]:
    return [attempt if attempt.passed else session.give_feedback(attempt, BARE) for attempt in group]


def _a_failed_demonstration(session: Session, group: Sequence[Attempt], other: Task) -> list[Attempt]:
    """A failed attempt, shown to the others as a correct solution."""
    failed = [attempt for attempt in group if not attempt.passed]
    return [
        session.give_feedback(attempt, demonstration=failed[0]) if attempt in failed[1:] else attempt
        for attempt in group
    ]


Treatment = Callable[[Session, Sequence[Attempt], Task], list[Attempt]]
FEEDBACK: Mapping[str, Treatment] = MappingProxyType(
    {
        "the environment's": _from_the_environment,
        "of another task": _of_another_task,
        "only that it is wrong": _bare,
        "a failed demonstration": _a_failed_demonstration,
    }
)


def _in_another_house(task: Task) -> Task:
    """The same specification in a house whose conventions for it differ."""
    assert task.environment == PACK
    specification, house = parse_specification(task.prompt), int(task.answer["house"])
    right = House(house).choices(specification)
    others = (House(house + offset) for offset in range(1, 1000))
    other = next(other for other in others if other.choices(specification) != right)
    return replace(task, answer={**task.answer, "house": other.seed})
