"""Commands that make experiments: learn and ablate. Each is resumed by the same command on the same directory.

One seed is one run. With several, the directory holds a run for each, `seed-0`, `seed-1` and so on. At the end (and by
`report`, also while an experiment runs) what was found is written beside them: `report.json` and `report.html`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import DeviceOption, JsonOption, ModelOption, Output, QuantizationOption, opened
from workbench.cli.reports import write_report
from workbench.cli.settings import takes_config
from workbench.config import SDPOConfig
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.experiments.arms import Arm
    from workbench.experiments.learn import LearnPoint

FIRST_FRESH_HOUSE = 200_000  # no setting was chosen on these

DirectoryOption = Annotated[
    Path | None, typer.Option("--run", help="Directory of the experiment, resumed if it holds one; a new one if none.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="The first seed: of adapter, sampling and choice of tasks.")]
SeedsOption = Annotated[int, typer.Option("--seeds", help="How many seeds, one run each.")]
PackArgument = Annotated[
    str, typer.Argument(help="house-rules[@SEED][:KIND]; without @SEED each seed has a fresh house of its own.")
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment is made, and with which policy."""

    kind: str
    directory: Path
    seeds: tuple[int, ...]
    model: str
    quantization: str
    device: str

    def run_of(self, seed: int) -> Path:
        """The run directory of one seed."""
        return self.directory if len(self.seeds) == 1 else self.directory / f"seed-{seed}"

    def points(
        self, output: Output, begin: Callable[[Workbench, int], Iterator[Any]], tell: Callable[[Any], str]
    ) -> Iterator[Any]:
        """Makes the experiment with every seed: `begin(workbench, seed)` gives its points, `tell` words them."""
        policy = {"model": self.model, "quantization": self.quantization, "device": self.device}
        for seed in self.seeds:
            with opened(output, self.run_of(seed), seed=seed, **policy) as workbench:
                for point in begin(workbench, seed):
                    prefix = f"Seed {seed}, " if len(self.seeds) > 1 else ""
                    output.say(prefix + tell(point))
                    yield seed, point


def place(kind: str, run: Path | None, seed: int, seeds: int, *, model: str, quantization: str, device: str) -> Place:
    """Where to make an experiment. Raises ConfigError for no seeds."""
    if seeds < 1:
        raise ConfigError(f"--seeds is {seeds}; it must be at least 1.")
    free = (path for n in itertools.count(1) if not (path := Path(f"runs/{kind}-{n}")).exists())
    return Place(kind, run or next(free), tuple(range(seed, seed + seeds)), model, quantization, device)


def fresh_pack(pack: str, seed: int) -> str:
    """The pack of one seed: a house that the pack names, or a fresh one. Raises TaskError for an unknown pack."""
    from workbench.tasks.house_rules.pack import DEFAULT_KIND, PACK, house_tasks, pack_name, parse_name
    from workbench.tasks.house_rules.world import House

    house_tasks(pack, 0, held_out=False)  # raises for an unknown pack
    parsed = parse_name(pack)
    if parsed is None or pack.startswith(f"{PACK}@"):
        return pack
    return pack_name(House(FIRST_FRESH_HOUSE + seed), parsed[1] or DEFAULT_KIND)


@takes_config(steps=1)
def learn(
    config: SDPOConfig,
    pack: PackArgument = "house-rules",
    methods: Annotated[
        str | None, typer.Option(help="Compare these methods, with commas, or 'all'; --method alone if none.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds, one update each.")] = 15,
    questions: Annotated[int, typer.Option(help="Tasks per round.")] = 4,
    attempts: Annotated[int, typer.Option(help="Attempts per task.")] = 8,
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
    where = place("learn", run, seed, seeds, model=model, quantization=quantization, device=device)
    shape = (rounds, questions, attempts, held_out, measure_every)
    _compare(Output(as_json), where, pack, arms.methods(config, names), shape)


@takes_config(steps=1)
def ablate(
    config: SDPOConfig,
    name: Annotated[str, typer.Argument(help="Which table: feedback, teacher, granularity, group or topk.")],
    pack: PackArgument = "house-rules",
    rounds: Annotated[int, typer.Option(help="Rounds, one update each.")] = 15,
    questions: Annotated[int, typer.Option(help="Tasks per round.")] = 4,
    attempts: Annotated[int, typer.Option(help="Attempts per task.")] = 8,
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
    _compare(
        Output(as_json), where, pack, ablation(name, config), (rounds, questions, attempts, held_out, measure_every)
    )


def _compare(output: Output, where: Place, pack: str, arms: list[Arm], shape: tuple[int, int, int, int, int]) -> None:
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
