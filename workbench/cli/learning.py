"""The commands learn and ablate: learning runs side by side, over several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import DeviceOption, JsonOption, ModelOption, Output, QuantizationOption
from workbench.cli.place import DirectoryOption, PackArgument, Place, SeedOption, SeedsOption, fresh_pack, place
from workbench.cli.reports import write_report
from workbench.cli.settings import takes_config
from workbench.config import SDPOConfig

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.experiments.arms import Arm
    from workbench.experiments.learn import LearnPoint


@takes_config()
def learn(
    config: SDPOConfig,
    pack: PackArgument = "house-rules",
    methods: Annotated[
        str | None, typer.Option(help="Compare these methods, with commas, or 'all'; --method alone if none.")
    ] = None,
    alike: Annotated[
        bool,
        typer.Option(
            "--alike", help="All methods with the options given here, instead of each with what it does best with."
        ),
    ] = False,
    rounds: Annotated[int, typer.Option(help="Rounds, one update each.")] = 15,
    questions: Annotated[int, typer.Option(help="Tasks per round.")] = 16,
    attempts: Annotated[int, typer.Option(help="Attempts per task.")] = 2,
    held_out: Annotated[int, typer.Option(help="Held-out tasks per measurement.")] = 60,
    measure_every: Annotated[int, typer.Option(help="Rounds between measurements; 0: before and after only.")] = 1,
    seed: SeedOption = 0,
    seeds: SeedsOption = 1,
    run: DirectoryOption = None,
    model: ModelOption = "embedded",
    quantization: QuantizationOption = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Learn round after round, and show the pass rate on held-out tasks; also several methods side by side."""
    from workbench.experiments import arms

    names = (config.method,) if methods is None else arms.METHODS if methods == "all" else tuple(methods.split(","))
    chosen = arms.methods(config, names, alike=alike or methods is None)
    where = place("learn", run, seed, seeds, model=model, quantization=quantization, device=device)
    shape = (rounds, questions, attempts, held_out, measure_every)
    compare(Output(as_json), where, pack, chosen, shape)


@takes_config()
def ablate(
    config: SDPOConfig,
    name: Annotated[str, typer.Argument(help="Which table: feedback, teacher, granularity, group or topk.")],
    pack: PackArgument = "house-rules",
    rounds: Annotated[int, typer.Option(help="Rounds, one update each.")] = 15,
    questions: Annotated[int, typer.Option(help="Tasks per round.")] = 16,
    attempts: Annotated[int, typer.Option(help="Attempts per task.")] = 2,
    held_out: Annotated[int, typer.Option(help="Held-out tasks per measurement.")] = 60,
    measure_every: Annotated[int, typer.Option(help="Rounds between measurements; 0: before and after only.")] = 5,
    seed: SeedOption = 0,
    seeds: SeedsOption = 1,
    run: DirectoryOption = None,
    model: ModelOption = "embedded",
    quantization: QuantizationOption = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Compare learning runs that differ in one thing: an ablation of the paper."""
    from workbench.experiments.arms import ablation

    where = place(f"ablate-{name}", run, seed, seeds, model=model, quantization=quantization, device=device)
    compare(
        Output(as_json), where, pack, ablation(name, config), (rounds, questions, attempts, held_out, measure_every)
    )


def compare(output: Output, where: Place, pack: str, arms: list[Arm], shape: tuple[int, int, int, int, int]) -> None:
    """Makes learning runs, writes their report and prints what they found."""
    from workbench.experiments.learn import LearnSettings, learn, to_json

    settings = LearnSettings(*shape)
    packs = {seed: fresh_pack(pack, seed) for seed in where.seeds}  # before a directory is made for an unknown one

    def begin(workbench: Workbench, seed: int) -> Iterator[LearnPoint]:
        return learn(workbench, packs[seed], arms, settings, seed=seed, name=where.kind)

    points = [{"seed": seed, **to_json(point)} for seed, point in where.points(output, begin, _told)]
    report = write_report(output, where.directory)
    output.summary({where.kind: pack, "run": str(where.directory), "points": points, "report": report})


def _told(point: LearnPoint) -> str:
    own = "" if point.pass_rate is None else f", own attempts {point.pass_rate:.2f}"
    rate = point.held_out
    held_out = f", held out {rate.rate:.2f} ({rate.low:.2f} to {rate.high:.2f})" if rate else ""
    return f"{point.arm}: round {point.round}{own}{held_out}"
