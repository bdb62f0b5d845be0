"""The actions on all experiments of a run: list them, read one, resume one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from workbench.errors import ConfigError
from workbench.service.action import JobContext, action, immediate
from workbench.service.experiment_job import carry_out, described, progress_of
from workbench.service.queue import JobQueue
from workbench.service.state import PublishedState


def _check_unfinished(state: PublishedState, name: str) -> None:
    record = state.experiments.get(name)
    if record is None:
        raise ConfigError(f"There is no experiment {name!r} in this run; see the list of them.")
    if progress_of(record)["finished"]:
        raise ConfigError(f"The experiment {name!r} is finished; start a new one to go further.")


def _resume_key(state: PublishedState, name: str) -> Hashable:
    return name


@action("Resume", job="Resuming {name}", python="resume", check=_check_unfinished, key=_resume_key)
def resume_experiment(context: JobContext, name: str) -> dict[str, Any]:
    """Resume an experiment from where it was stopped or killed; returns when it is finished or stopped again."""
    return carry_out(context, "", name, lambda experiment: context.workbench.resume(experiment, stop=context.job.stop))


@immediate("Experiments")
def experiments(queue: JobQueue) -> list[dict[str, Any]]:
    """The experiments of this run: the progress of each, and which one is running."""
    state = queue.state
    return [
        {**progress_of(record), "running": name == state.experiment, "what": described(record.settings)}
        for name, record in state.experiments.items()
    ]


@immediate("Experiment", python="experiments")
def experiment(queue: JobQueue, name: str) -> dict[str, Any]:
    """Results of one experiment so far: its tables, and the points they were made from."""
    from workbench.experiments.findings import make_report  # brings torch: not with the page

    record = queue.state.experiments.get(name)
    if record is None:
        raise ConfigError(f"There is no experiment {name!r} in this run; see the list of them.")
    report: dict[str, Any] = make_report([record], {}).to_json()
    return report
