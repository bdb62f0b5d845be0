"""The study of updates: predicted against realised change, by loss and learning rate, over many updates from one state.

Each step samples one group at a fresh task and makes every update of the table on it, each from the same state: so the
updates of a row differ only in the loss and the learning rate. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import NoSignalError, UpdateError
from workbench.experiments.journal import Journal, Point
from workbench.experiments.settings import LOSSES, UpdateStudySettings
from workbench.records import Attempt, Task
from workbench.session import Session
from workbench.tasks import Pack
from workbench.tasks.drawing import pack_settings, train_tasks
from workbench.tasks.house_rules.pack import DEFAULT_KIND, house_tasks, pack_name
from workbench.tasks.house_rules.world import House

FIRST_HOUSE = 500_000


def study_update(
    session: Session,
    settings: UpdateStudySettings | None = None,
    *,
    pack: str | Path | Pack | None = None,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[Point]:
    """Study predicted against realised change, over many updates from this state, by loss and learning rate.

    Yields a point per group: {"updates": [...]}, one entry per loss and learning rate. The policy is left as it was.
    `pack` None: house-rules tasks, each in a house of its own; else as in `learn`, tasks to learn from, which are seen
    again where there are fewer than groups. Raises TaskError, PolicyError as `learn` does.
    """
    settings = settings or UpdateStudySettings()
    tasks, source = tasks_of(session, pack, settings.groups, seed)
    recorded = {**asdict(settings), "losses": list(LOSSES), **source}
    journal = Journal(session, name, recorded, kind="update", seed=seed, stop=stop)

    def work(step: int) -> dict[str, Any]:
        task = tasks[step % len(tasks)] if tasks else task_in_a_fresh_house(FIRST_HOUSE, seed, step)
        group = session.attempt(task, settings.attempts, stop=journal.stop)
        updates = []
        for loss, config in LOSSES.items():
            for rate in settings.learning_rates:
                if not journal.stop.is_set():
                    measured = _measured(session, group, replace(config, learning_rate=rate), journal.stop)
                    updates.append({"loss": loss, "learning_rate": rate, **measured})
                    if session.head != journal.start:
                        session.checkout(journal.start)
        return {"task": task.prompt, "passed": sum(attempt.passed for attempt in group), "updates": updates}

    with journal:
        yield from journal.run_arm("updates", settings.groups, work)


def tasks_of(
    session: Session, pack: str | Path | Pack | None, count: int, seed: int
) -> tuple[list[Task], dict[str, Any]]:
    """Tasks of a pack to learn from, with their judges ready, and what an experiment records of it; of None, nothing.

    Raises TaskError, PolicyError as `learn` does.
    """
    if pack is None:
        return [], {}
    chosen = session.open_pack(pack)
    tasks = train_tasks(chosen, count, 1 + seed)
    session.prepare_judges(tasks)
    return tasks, pack_settings(chosen)


def task_in_a_fresh_house(first: int, seed: int, step: int) -> Task:
    """A held-out specification of one to three stages, in a house of its own; `first`: number of the first house."""
    house = House(first + 10_000 * seed + step)
    (task,) = house_tasks(pack_name(house, DEFAULT_KIND), 1, held_out=True, stages=(1 + step % 3,))
    return task


def _measured(session: Session, group: list[Attempt], config: SDPOConfig, stop: Event) -> dict[str, Any]:
    try:
        report = session.update(group, config, stop=stop)
    except (NoSignalError, UpdateError) as error:
        return {"refused": str(error)}
    effects = report.side_effects
    return {
        "agreement": report.agreement,
        "rank_correlation": report.rank_correlation,
        "loss_fell": report.loss < report.loss_before,
        "kl_to_before": effects.kl_to_before,
        "entropy_change": effects.entropy_after - effects.entropy_before,
        "seconds_s": report.seconds_s,
    }
