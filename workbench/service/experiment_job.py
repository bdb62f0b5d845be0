"""Experiments as jobs: each is a single job, from its first point to its last.

Nobody samples from the policy in the middle of an experiment. Each point is on disk before it is published; an
experiment that was stopped, killed or failed resumes from the last of them. Afterwards the policy is where it was
before, except that a single arm that learned alone leaves it where its learning has led.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

from workbench.errors import ConfigError
from workbench.service.action import JobContext
from workbench.service.checks import Check, is_text, optional_name, plural, whole
from workbench.service.publish import publish_experiments, publish_run, publish_timeline

if TYPE_CHECKING:
    from workbench.experiments.journal import Record

PUBLISHED_S = 0.3  # at most this often, and for a tenth of the time at most
Begin = Callable[[str], Iterator[Any]]  # name of the experiment -> its points, to be closed
Name = Annotated[str, optional_name("An experiment")]
Seed = Annotated[int, whole("seed", 0, 10_000)]


def names(what: str) -> Check:
    """A list of names, each once, in order; ConfigError for an empty list, or for values that are not names."""

    def check(values: object) -> tuple[str, ...]:
        if not isinstance(values, (list, tuple)) or not all(is_text(value) for value in values):
            raise ConfigError(f"The {what}s must be a list of names.")
        if not values:
            raise ConfigError(f"No {what} is chosen; choose at least one.")
        return tuple(dict.fromkeys(values))

    return check


def carry_out(context: JobContext, stem: str, name: str, begin: Begin) -> dict[str, Any]:
    """Make all points of an experiment, publishing as they come; returns its `progress_of` at the end.

    `name` "" begins a new one, named after `stem` and a number.
    """
    from workbench.experiments.journal import free_name  # brings torch: in the worker's thread, not with the page
    from workbench.experiments.resuming import known

    workbench, queue = context.workbench, context.queue
    records = known(workbench)
    name = name or free_name(stem, records)
    before = progress_of(records[name])["done"] if name in queue.state.experiments else 0
    queue.publish(experiment=name)
    try:
        with closing(begin(name)) as points:  # type: ignore[type-var]  # closed, the policy is where it belongs
            _publish_points(context, name, points, before)
    finally:
        publish_run(workbench, queue)
        publish_timeline(workbench, queue)
        publish_experiments(workbench, queue)
        queue.publish(experiment="")
    return progress_of(queue.state.experiments[name])


def _publish_points(context: JobContext, name: str, points: Iterator[Any], before: int) -> None:
    """Make the points and report progress; `before`: how much of the experiment earlier jobs have done."""
    due = 0.0
    for _ in points:
        started = time.monotonic()
        if started < due:
            continue
        publish_experiments(context.workbench, context.queue)
        progress = progress_of(context.state.experiments[name])
        done, total = progress["done"], progress["total"]
        if done < total:
            at_most = progress["kind"] == "discover"
            context.job.report(done - before, total - before, progress["unit"], at_most=at_most)
        now = time.monotonic()
        due = now + max(PUBLISHED_S, 9 * (now - started))


def progress_of(record: Record) -> dict[str, Any]:
    """Settings and progress of an experiment, as JSON data."""
    from workbench.experiments.resuming import how_far

    done, total, unit = how_far(record)
    settings = dict(record.settings)
    progress = {"done": done, "total": total, "unit": unit, "finished": done >= total}
    return {"name": record.name, "kind": settings["kind"], "settings": settings, **progress}


def described(settings: Mapping[str, Any]) -> str:
    """An experiment's settings in one line, for people."""
    seed = f"seed {settings['seed']}"
    if settings["kind"] == "learn":
        names = ", ".join(arm["name"] for arm in settings["arms"])
        shape = f"{plural(settings['rounds'], 'round')} of {settings['questions'] * settings['attempts']} attempts"
        return f"{names} on {settings['pack']}, {shape}, {settings['held_out']} held-out tasks, {seed}"
    if settings["kind"] == "screen":
        return f"search for {plural(settings['count'], 'hard task')}, {settings['attempts']} attempts each, {seed}"
    if settings["kind"] == "credit":
        teaching = f"{settings['rounds']} rounds of each teacher, {settings['tests']} attempts with tokens replaced"
        return f"where credit lands: {plural(settings['programs'], 'program')}, {teaching}, {seed}"
    if settings["kind"] == "update":
        rates = ", ".join(f"{rate:g}" for rate in settings["learning_rates"])
        sizes = f"{plural(settings['groups'], 'group')} of {plural(settings['attempts'], 'attempt')}"
        return f"what an update does: {sizes}, {len(settings['losses'])} losses, learning rates {rates}, {seed}"
    if settings["kind"] == "gate":
        sizes = f"{plural(settings['updates'], 'update')} on {plural(settings['attempts'], 'attempt')}"
        return f"whether the gate is right: {sizes}, lift measured on {settings['samples']} samples a side, {seed}"
    methods, count = ", ".join(settings["methods"]), plural(len(settings["tasks"]), "task")
    return f"{methods} on {count}, at most {settings['budget']} attempts each, groups of {settings['group']}, {seed}"
