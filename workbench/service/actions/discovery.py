"""The actions of discovery: find tasks that hardly ever pass, and race methods for the first attempt that does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from workbench.config import SDPOConfig
from workbench.errors import TaskError
from workbench.experiments.settings import DEFAULT_METHODS, DISCOVERY_DEFAULTS, SCREENED, TEST_TIME, check_methods
from workbench.records import Task
from workbench.service.action import JobContext, action
from workbench.service.actions.tasks import find_split
from workbench.service.checks import DEFAULT_CONFIG, Config, plural, text, whole
from workbench.service.experiment_job import Name, Seed, carry_out, names
from workbench.service.state import PublishedState
from workbench.tasks.house_rules.pack import check_kind

if TYPE_CHECKING:
    from workbench.experiments.discover import ScreenedTask


def _kind_of_feedback(value: object) -> str:
    check_kind(str(value))
    return str(value)


def _check_pack(state: PublishedState, pack: str, **_: Any) -> None:
    if pack:
        find_split(state, pack)


@action("Find hard tasks", job=lambda count, **_: f"Looking for {plural(count, 'hard task')}", check=_check_pack)
def hard_tasks(
    context: JobContext,
    count: Annotated[int, whole("count", 1, 100)] = 3,
    feedback: Annotated[str, _kind_of_feedback] = "example",
    attempts: Annotated[int, whole("attempts", 1, 4096)] = SCREENED,
    seed: Seed = 0,
    name: Name = "",
    pack: Annotated[str, text("The pack")] = "",
) -> dict[str, Any]:
    """Measure tasks until `count` hard ones are found; returns them with their pass rates.

    pack: the pack whose tasks are measured, with the feedback of their environment; by default fresh houses, with
    `feedback`.
    """
    source: dict[str, Any] = {"pack": pack} if pack else {"feedback": feedback}

    def begin(experiment: str) -> Iterator[Any]:
        return context.workbench.hard_tasks(
            count, **source, attempts=attempts, seed=seed, name=experiment, stop=context.job.stop
        )

    progress = carry_out(context, "screen", name, begin)
    hard = found_hard(context.state.experiments)
    tasks = [
        {"id": key, "prompt": screened.task.prompt, **screened.pass_rate.to_json()} for key, screened in hard.items()
    ]
    return {**progress, "tasks": tasks}


def found_hard(records: Mapping[str, Any]) -> dict[str, ScreenedTask]:
    """The hard tasks that were found in the run, by the task's id, oldest first."""
    if not records:
        return {}
    from workbench.experiments.resuming import screened  # brings torch: only where there are experiments

    screens = [record for record in records.values() if record.settings["kind"] == "screen"]
    return {task.task.id: task for record in screens for task in screened(record) if task.is_hard}


def at_test_time(config: SDPOConfig) -> SDPOConfig:
    """Settings of test-time SDPO: these, with the test-time recipe where they are at their defaults."""
    if config.by_strength:
        config = replace(config, learning_rate=TEST_TIME.learning_rate)
    limited = config.advantage_clip is not None or config.distillation_alpha != 1.0
    return config if limited else replace(config, advantage_clip=TEST_TIME.advantage_clip)


def _discovery_methods(value: object) -> tuple[str, ...]:
    methods = tuple(DEFAULT_METHODS) if value is None else names("method")(value)
    check_methods(methods)
    return methods  # type: ignore[no-any-return]


@action(
    "Start",
    job=lambda tasks, methods, **_: f"Racing {', '.join(methods)} on {plural(len(tasks), 'task')}",
)
def discover(
    context: JobContext,
    tasks: Annotated[list[str], names("task")],
    methods: Annotated[list[str] | None, _discovery_methods] = None,
    budget: Annotated[int, whole("budget", 1, 10_000)] = DISCOVERY_DEFAULTS.budget,
    group: Annotated[int, whole("group", 1, 256)] = DISCOVERY_DEFAULTS.group,
    seed: Seed = 0,
    name: Name = "",
    config: Config = DEFAULT_CONFIG,
) -> dict[str, Any]:
    """Race these methods on tasks (ids); returns when the race is finished or stopped."""
    workbench = context.workbench

    def begin(experiment: str) -> Iterator[Any]:
        hard = found_hard(context.state.experiments)
        chosen = [hard.get(task) or _judged_automatically(workbench.task(task)) for task in tasks]
        return workbench.discover(
            chosen,
            tuple(methods or ()),
            budget,
            group=group,
            config=at_test_time(config),
            seed=seed,
            name=experiment,
            stop=context.job.stop,
        )

    return carry_out(context, "discover", name, begin)


def _judged_automatically(task: Task) -> Task:
    if task.environment == "person":
        raise TaskError("A person judges this task, attempt by attempt; choose one that is judged automatically.")
    return task
