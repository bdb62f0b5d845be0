"""The experiments of a run: how far each has come, and resuming one with its own settings.

Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError
from workbench.experiments.arms import Arm
from workbench.experiments.credit_study import study_credit
from workbench.experiments.discover import ScreenedTask, discover, screen
from workbench.experiments.gate_study import study_gate
from workbench.experiments.journal import EXPERIMENT, POINT, Data, Record, read
from workbench.experiments.learn import learn
from workbench.experiments.settings import (
    CreditStudySettings,
    DiscoverySettings,
    GateStudySettings,
    LearnSettings,
    TemplateStudySettings,
    UpdateStudySettings,
)
from workbench.experiments.template_study import study_templates
from workbench.experiments.template_tasks import CASES, SPLITS
from workbench.experiments.update_study import study_update
from workbench.session import Session
from workbench.session.core import OpenRun
from workbench.statistics import HeldOut
from workbench.templates import upgraded


def known(session: OpenRun) -> dict[str, Record]:
    """The experiments of a run by name, in the order in which they were begun; also of a run without its model."""
    return read([*session.run.events(EXPERIMENT), *session.run.events(POINT)])


def how_far(record: Record) -> tuple[int, int, str]:
    """Progress as (done, total, unit); the experiment is finished where the two are equal.

    A search that has found its solution counts as if its budget were spent.
    """
    count, _ = _KINDS[record.settings["kind"]]
    return count(record)


def _rounds(record: Record) -> tuple[int, int, str]:
    settings = record.settings
    done = sum(max(0, len(points) - 1) for points in record.arms.values())  # an arm's first point is where it begins
    return done, len(settings["arms"]) * settings["rounds"], "rounds"


def _hard_tasks(record: Record) -> tuple[int, int, str]:
    measured, needed = screened(record), record.settings["count"]
    hard = sum(task.is_hard for task in measured)
    if len(measured) == record.settings.get("most"):  # the pack has no more: it is finished with fewer
        needed = min(hard, needed)
    return min(hard, needed), needed, "hard tasks"


def _attempts(record: Record) -> tuple[int, int, str]:
    settings = record.settings
    budget: int = settings["budget"]
    last = [points[-1].data for points in record.arms.values()]
    done = sum(budget if data["done"] else data["generations"] for data in last)
    return done, budget * len(settings["tasks"]) * len(settings["methods"]), "attempts"


def _measurements(record: Record) -> tuple[int, int, str]:
    """Count the programs read, the rounds of learning, and the attempts in which tokens were exchanged."""
    settings = CreditStudySettings(**_chosen(CreditStudySettings, record.settings))
    points = [point.data for points in record.arms.values() for point in points]
    programs = sum(len(data.get("programs", ())) for data in points)
    done = programs + sum("learned" in data or bool(data.get("exchanged")) for data in points)
    return done, settings.measurements, "measurements"


def _groups(record: Record) -> tuple[int, int, str]:
    return sum(map(len, record.arms.values())), record.settings["groups"], "groups"


def _rates(record: Record) -> tuple[int, int, str]:
    return (
        sum(map(len, record.arms.values())),
        (1 + len(record.settings["templates"])) * len(CASES) * len(SPLITS),
        "rates",
    )


def _verdicts(record: Record) -> tuple[int, int, str]:
    return sum(map(len, record.arms.values())), record.settings["updates"], "updates"


def screened(record: Record) -> list[ScreenedTask]:
    """Tasks that a search for hard ones has measured."""
    return [ScreenedTask.from_data(point.data) for points in record.arms.values() for point in points]


def resume(session: Session, name: str, *, stop: Event | None = None) -> Iterator[Any]:
    """Resume an experiment where it was stopped or killed, with its own settings; yields all of its points again.

    Raises ConfigError for an unknown name or one that another version began, TaskError where a task of it is no longer
    in the run.
    """
    record = known(session).get(name)
    if record is None or record.settings["kind"] not in KINDS:
        raise ConfigError(
            f"There is no experiment {name!r} in this run that can be resumed; see the list of experiments."
        )
    common = {"seed": record.seed, "name": name, "stop": stop}
    try:
        _, resumed = _KINDS[record.settings["kind"]]
        return resumed(session, record.settings, common)
    except (TypeError, KeyError) as error:  # a setting that this version does not have
        raise ConfigError(f"The experiment {name!r} was begun by another version ({error}); begin a new one.") from None


def _learn(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    arms = [Arm(**{**arm, "config": SDPOConfig(**upgraded(arm["config"]))}) for arm in settings["arms"]]
    shape = LearnSettings(**_chosen(LearnSettings, settings))
    return learn(session, settings["pack"], arms, shape, **common)


def _screen(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    shape = {name: settings[name] for name in ("pack", "feedback", "stages", "attempts") if name in settings}
    return screen(session, settings["count"], **shape, **common)


def _discover(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    tasks = [
        ScreenedTask(session.task(task["id"]), HeldOut(task["passed"], task["total"])) for task in settings["tasks"]
    ]
    spent = DiscoverySettings(settings["budget"], settings["group"])
    return discover(session, tasks, settings["methods"], spent, SDPOConfig(**upgraded(settings["config"])), **common)


def _credit(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    return study_credit(session, CreditStudySettings(**_chosen(CreditStudySettings, settings)), **common)


def _update(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    shape = {**_chosen(UpdateStudySettings, settings), "learning_rates": tuple(settings["learning_rates"])}
    return study_update(session, UpdateStudySettings(**shape), pack=settings.get("pack"), **common)


def _templates(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    return study_templates(session, TemplateStudySettings(**_chosen(TemplateStudySettings, settings)), **common)


def _gate(session: Session, settings: Data, common: dict[str, Any]) -> Iterator[Any]:
    shape = GateStudySettings(**_chosen(GateStudySettings, settings))
    return study_gate(session, shape, pack=settings.get("pack"), **common)


def _chosen(kind: Any, settings: Data) -> dict[str, Any]:
    """Select the settings of an experiment that a settings class takes."""
    return {name: settings[name] for name in kind.__slots__}


# By kind: how far an experiment has come, and how to resume it.
_KINDS = {
    "learn": (_rounds, _learn),
    "screen": (_hard_tasks, _screen),
    "discover": (_attempts, _discover),
    "credit": (_measurements, _credit),
    "update": (_groups, _update),
    "templates": (_rates, _templates),
    "gate": (_verdicts, _gate),
}
KINDS = tuple(_KINDS)
