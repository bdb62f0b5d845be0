"""The actions of the studies: where credit lands, and what an update does, over hundreds of programs and updates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from workbench.experiments.settings import CreditStudySettings, UpdateStudySettings, learning_rates
from workbench.service.action import JobContext, action
from workbench.service.actions.tasks import find_split
from workbench.service.checks import text, whole
from workbench.service.experiment_job import Name, Seed, carry_out
from workbench.service.state import PublishedState

CREDIT, UPDATE = CreditStudySettings(), UpdateStudySettings()
RATES = ", ".join(f"{rate:g}" for rate in UPDATE.learning_rates)


@action("Start", job="Studying where credit lands")
def study_credit(
    context: JobContext,
    programs: Annotated[int, whole("programs", 1, 100_000)] = CREDIT.programs,
    rounds: Annotated[int, whole("rounds", 1, 10_000)] = CREDIT.rounds,
    programs_per_teacher: Annotated[int, whole("programs_per_teacher", 1, 100_000)] = CREDIT.programs_per_teacher,
    tests: Annotated[int, whole("tests", 1, 100_000)] = CREDIT.tests,
    continuations: Annotated[int, whole("continuations", 1, 256)] = CREDIT.continuations,
    seed: Seed = 0,
    name: Name = "",
) -> dict[str, Any]:
    """Study where credit lands in programs with one wrong stage; returns when the study is finished or stopped."""
    settings = CreditStudySettings(programs, rounds, programs_per_teacher, tests, continuations)

    def begin(experiment: str) -> Iterator[Any]:
        return context.workbench.study_credit(settings, seed=seed, name=experiment, stop=context.job.stop)

    return carry_out(context, "study-credit", name, begin)


def _rates(value: str) -> tuple[float, ...]:
    rates = learning_rates(value)
    UpdateStudySettings(learning_rates=rates)  # raises for a rate that no update accepts
    return rates


def _check_pack(state: PublishedState, pack: str, **_: Any) -> None:
    if pack:
        find_split(state, pack)


@action("Start", job="Studying what an update does", check=_check_pack)
def study_update(
    context: JobContext,
    groups: Annotated[int, whole("groups", 1, 100_000)] = UPDATE.groups,
    attempts: Annotated[int, whole("attempts", 1, 256)] = UPDATE.attempts,
    learning_rates: Annotated[str, _rates] = RATES,
    seed: Seed = 0,
    name: Name = "",
    pack: Annotated[str, text("The pack")] = "",
) -> dict[str, Any]:
    """Study what an update does, by loss and learning rate; returns when the study is finished or stopped.

    pack: the pack whose tasks are attempted; without one, each group attempts a task of a fresh house.
    """
    settings = UpdateStudySettings(groups, attempts, learning_rates)  # type: ignore[arg-type]  # parsed by its check

    def begin(experiment: str) -> Iterator[Any]:
        return context.workbench.study_update(
            settings, pack=pack or None, seed=seed, name=experiment, stop=context.job.stop
        )

    return carry_out(context, "study-update", name, begin)
