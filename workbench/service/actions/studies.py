"""Jobs of the tab "Studies". Knows nothing of Gradio."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from threading import Event
from typing import Any

from workbench.experiments.settings import CreditStudySettings, UpdateStudySettings, learning_rates
from workbench.service.actions.experiments import Points, named, submit, whole, wholes
from workbench.service.job import Job
from workbench.service.state import Board


def credit_settings(shape: Mapping[str, Any]) -> CreditStudySettings:
    """From a form's or a program's numbers. Raises ConfigError."""
    return CreditStudySettings(**wholes(shape))


def update_settings(shape: Mapping[str, Any], rates: str) -> UpdateStudySettings:
    """From a form's or a program's numbers, and learning rates with commas. Raises ConfigError."""
    return UpdateStudySettings(**wholes(shape), learning_rates=learning_rates(rates))


def study(
    board: Board,
    settings: CreditStudySettings | UpdateStudySettings,
    *,
    seed: Any = 0,
    name: str = "",
    key: Hashable = None,
) -> Job:
    """Where credit lands or what an update does, by the kind of `settings`; the job's result is as of `plain`.

    Raises ConfigError, TaskError.
    """
    seed = whole("seed", seed)
    of_credit = isinstance(settings, CreditStudySettings)
    kind, label = ("credit", "where credit lands") if of_credit else ("update", "what an update does")

    def begin(workbench: Any, called: str, stop: Event) -> Points:
        made = workbench.study_credit if of_credit else workbench.study_update
        return made(settings, seed=seed, name=called, stop=stop)  # type: ignore[no-any-return]

    return submit(board, kind, f"Studying {label}", named(name), begin, key, f"study-{kind}")
