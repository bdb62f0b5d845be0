"""The commands `learn` and `ablate`: learning runs side by side, over several seeds; and the options of such a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import JsonOption, Output
from workbench.cli.place import PackArgument, Place, existing_pack, fewer_held_out, fresh_pack, takes_place
from workbench.cli.reports import write_report
from workbench.cli.sandbox import takes_sandbox
from workbench.cli.settings import Command, takes, takes_config
from workbench.config import SDPOConfig
from workbench.experiments.settings import ABLATION_SETTINGS, LEARN_DEFAULTS, LearnSettings

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.experiments.arms import Arm
    from workbench.experiments.learn import LearnPoint

ROUNDS_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "rounds": Annotated[int, typer.Option(help="Rounds, one update each.")],
        "questions": Annotated[int, typer.Option(help="Tasks per round.")],
        "attempts": Annotated[int, typer.Option(help="Attempts per task.")],
        "held_out": Annotated[int, typer.Option(help="Held-out tasks per measurement.")],
        "measure_every": Annotated[int, typer.Option(help="Rounds between measurements; 0: before and after only.")],
    }
)


def takes_rounds(defaults: LearnSettings = LEARN_DEFAULTS) -> Callable[[Command], Command]:
    """Give a command the options of a learning run, as its `settings: LearnSettings`. Raises ConfigError."""
    return takes("settings", ROUNDS_OPTIONS, asdict(defaults), LearnSettings)


@takes_sandbox
@takes_place("learn")
@takes_config()
@takes_rounds()
def learn(
    config: SDPOConfig,
    settings: LearnSettings,
    where: Place,
    pack: PackArgument = "house-rules",
    methods: Annotated[
        str | None, typer.Option(help="Methods to compare, comma-separated, or 'all'; default: --method alone.")
    ] = None,
    alike: Annotated[
        bool,
        typer.Option("--alike", help="Give every method the options given here, instead of its own recipe."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn round after round and show the held-out pass rate, for one method or several side by side."""
    from workbench.experiments import arms

    names = (config.method,) if methods is None else arms.METHODS if methods == "all" else tuple(methods.split(","))
    chosen = arms.methods(config, names, alike=alike or methods is None)
    compare(Output(as_json), where, "learn", pack, chosen, settings)


@takes_sandbox
@takes_place("ablate")
@takes_config()
@takes_rounds(ABLATION_SETTINGS)
def ablate(
    config: SDPOConfig,
    settings: LearnSettings,
    where: Place,
    name: Annotated[
        str, typer.Argument(help="The setting to vary: feedback, kinds, teacher, granularity, group or topk.")
    ],
    pack: PackArgument = "house-rules",
    as_json: JsonOption = False,
) -> None:
    """Compare learning runs that differ in one setting: an ablation of the paper."""
    from workbench.experiments.arms import BY_KIND, ablation
    from workbench.tasks.drawing import feedback_kinds

    arms = ablation(name, config)
    if name in BY_KIND:
        arms = ablation(name, config, kinds=feedback_kinds(existing_pack(pack, where.run_of(where.seeds[0]))))
    compare(Output(as_json), where, f"ablate-{name}", pack, arms, settings)


def compare(output: Output, where: Place, name: str, pack: str, arms: list[Arm], settings: LearnSettings) -> None:
    """Make learning runs under a name, write their report and print their points."""
    from workbench.experiments.learn import learn, to_json

    packs = {seed: fresh_pack(pack, seed) for seed in where.seeds}
    # Before a directory is made for a pack that cannot be learned.
    fewer = {
        fewer_held_out(existing_pack(seed_pack, where.run_of(seed)), settings.held_out)
        for seed, seed_pack in packs.items()
    }
    for sentence in filter(None, fewer):
        output.say(sentence)

    def begin(workbench: Workbench, seed: int) -> Iterator[LearnPoint]:
        return learn(workbench, packs[seed], arms, settings, seed=seed, name=name)

    points = [{"seed": seed, **to_json(point)} for seed, point in where.points(output, begin, _progress_line)]
    report = write_report(output, where.directory)
    output.summary({name: pack, "run": str(where.directory), "points": points, "report": report})


def _progress_line(point: LearnPoint) -> str:
    training = "" if point.pass_rate is None else f", training {point.pass_rate:.2f}"
    rate = point.held_out
    held_out = f", held-out {rate.rate:.2f} ({rate.low:.2f} to {rate.high:.2f})" if rate else ""
    return f"{point.arm}: round {point.round}{training}{held_out}"
