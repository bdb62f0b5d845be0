"""The command discover: how soon hard tasks are solved, by test-time SDPO and by what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import JsonOption, Output, opened, whole_numbers
from workbench.cli.place import PackOption, Place, existing_pack, takes_place
from workbench.cli.reports import write_report
from workbench.cli.settings import takes_config
from workbench.config import SDPOConfig
from workbench.errors import TaskError
from workbench.experiments.settings import (
    DISCOVERY_DEFAULTS,
    DISCOVERY_METHODS,
    SCREENED,
    STAGES,
    TEST_TIME,
    DiscoverySettings,
    check_methods,
)

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.experiments.discover import DiscoveryPoint


@takes_place("discover")
@takes_config(TEST_TIME)
def discover(
    config: SDPOConfig,
    where: Place,
    tasks: Annotated[int, typer.Option(help="Hard tasks, found by measuring before the first seed.")] = 30,
    methods: Annotated[str, typer.Option(help="With commas.")] = ",".join(DISCOVERY_METHODS),
    budget: Annotated[int, typer.Option(help="Attempts per task, of every method.")] = DISCOVERY_DEFAULTS.budget,
    group: Annotated[
        int, typer.Option(help="Attempts between two updates of test-time SDPO.")
    ] = DISCOVERY_DEFAULTS.group,
    pack: PackOption = None,
    feedback: Annotated[
        str | None,
        typer.Option(help="Kind of feedback; of house rules examples (if none is given), remark, both or none."),
    ] = None,
    stages: Annotated[str, typer.Option(help="Stages of the tasks that are tried, with commas.")] = ",".join(
        map(str, STAGES)
    ),
    screened: Annotated[int, typer.Option(help="Attempts that measure whether a task is hard.")] = SCREENED,
    screen_seed: Annotated[int, typer.Option(help="Of the choice of tasks.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Time how many attempts each method needs until a hard task is solved for the first time."""
    from workbench.experiments.discover import HARD
    from workbench.tasks.house_rules.pack import check_kind

    output, names = Output(as_json), tuple(methods.split(","))
    check_methods(names)
    if pack is not None:
        existing_pack(pack, where.directory / "screen")
    elif feedback is not None:
        check_kind(feedback)
    DiscoverySettings(budget, group)  # checks itself
    numbers = whole_numbers(stages, "--stages")
    hard = []
    with opened(output, where.directory / "screen", where.policy) as workbench:
        for one in workbench.hard_tasks(
            tasks, feedback=feedback, stages=numbers, attempts=screened, seed=screen_seed, name="screen", pack=pack
        ):
            output.say(f"{one.task.prompt} {one.pass_rate.passed} of {one.pass_rate.total} attempts pass")
            hard += [one] if one.is_hard else []
    if not hard:
        raise TaskError(
            f"No task of {pack!r} is hard for this policy: of every one more than {HARD:.0%} of the attempts passed; "
            "choose a harder pack."
        )

    def begin(workbench: Workbench, number: int) -> Iterator[DiscoveryPoint]:
        return workbench.discover(hard, names, budget, group=group, config=config, seed=number, name="discover")

    points = [{"seed": number, **asdict(point)} for number, point in where.points(output, begin, _told)]
    report = write_report(output, where.directory)
    found = [point for point in points if point["done"]]
    output.summary({"discover": len(hard), "run": str(where.directory), "points": found, "report": report})


def _told(point: DiscoveryPoint) -> str:
    if not point.done:
        return ""  # multi-turn has a point for every attempt
    ending = f"found at {point.found_at}" if point.found_at else f"not found in {point.generations}"
    return f"{point.task_id}, {point.method}: {ending}"
