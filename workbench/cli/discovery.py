"""The command `discover`: how soon hard tasks are solved, by test-time SDPO and by the methods it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import JsonOption, Output, opened, whole_numbers
from workbench.cli.place import PackOption, Place, existing_pack, takes_place
from workbench.cli.reports import write_report
from workbench.cli.sandbox import takes_sandbox
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


@takes_sandbox
@takes_place("discover")
@takes_config(TEST_TIME)
def discover(
    config: SDPOConfig,
    where: Place,
    tasks: Annotated[int, typer.Option(help="Number of hard tasks, chosen by measuring before the first seed.")] = 30,
    methods: Annotated[str, typer.Option(help="Methods, comma-separated.")] = ",".join(DISCOVERY_METHODS),
    budget: Annotated[int, typer.Option(help="Attempts per task and method.")] = DISCOVERY_DEFAULTS.budget,
    group: Annotated[
        int, typer.Option(help="Attempts between two updates of test-time SDPO.")
    ] = DISCOVERY_DEFAULTS.group,
    pack: PackOption = None,
    feedback: Annotated[
        str | None,
        typer.Option(help="Kind of feedback; in house rules example (the default), judge, example+judge or none."),
    ] = None,
    stages: Annotated[str, typer.Option(help="Numbers of stages of the candidate tasks, comma-separated.")] = ",".join(
        map(str, STAGES)
    ),
    screened: Annotated[
        int, typer.Option(help="Attempts per candidate task that decide whether it is hard.")
    ] = SCREENED,
    screen_seed: Annotated[int, typer.Option(help="Seed of the choice of tasks.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure how many attempts each method needs to solve a hard task for the first time."""
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
        for candidate in workbench.hard_tasks(
            tasks, feedback=feedback, stages=numbers, attempts=screened, seed=screen_seed, name="screen", pack=pack
        ):
            output.say(
                f"{candidate.task.prompt} {candidate.pass_rate.passed} of {candidate.pass_rate.total} attempts pass"
            )
            hard += [candidate] if candidate.is_hard else []
    if not hard:
        raise TaskError(
            f"No task of {pack!r} is hard for this policy: at least {HARD:.0%} of the attempts at each of them pass; "
            "choose a harder pack."
        )

    def begin(workbench: Workbench, number: int) -> Iterator[DiscoveryPoint]:
        return workbench.discover(hard, names, budget, group=group, config=config, seed=number, name="discover")

    points = [{"seed": number, **asdict(point)} for number, point in where.points(output, begin, _progress_line)]
    report = write_report(output, where.directory)
    results = [point for point in points if point["done"]]
    output.summary({"discover": len(hard), "run": str(where.directory), "points": results, "report": report})


def _progress_line(point: DiscoveryPoint) -> str:
    if not point.done:
        return ""  # multi-turn has a point for every attempt
    ending = f"solved at attempt {point.found_at}" if point.found_at else f"not solved in {point.generations} attempts"
    return f"{point.task_id}, {point.method}: {ending}"
