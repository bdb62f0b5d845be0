"""Where a command makes an experiment: its directory, one run for each seed, and the options of that.

One seed is one run. With several, the directory holds a run for each, `seed-0`, `seed-1` and so on. Every experiment is
resumed by the same command on the same directory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import Output, opened
from workbench.cli.policy import POLICY_DEFAULTS, POLICY_OPTIONS, policy_config
from workbench.cli.settings import Command, takes
from workbench.config import PolicyConfig
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.records import Task
    from workbench.tasks import Pack

PLACE_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        **POLICY_OPTIONS,
        "seed": Annotated[int, typer.Option(help="The first seed: of adapter, sampling and choice of tasks.")],
        "seeds": Annotated[int, typer.Option(help="How many seeds, one run each.")],
        "run": Annotated[
            Path | None,
            typer.Option(help="Directory of the experiment, resumed if it holds one; a new one if none."),
        ],
    }
)
_DEFAULTS = {**POLICY_DEFAULTS, "seeds": 1, "run": None}
_PACK = "a .jsonl or .json file, a pack of a package or of the run, or house-rules[@SEED]; with [:KIND] of feedback."
PackArgument = Annotated[
    str, typer.Argument(help=f"What is learned: {_PACK} Of house-rules without @SEED each seed has a house of its own.")
]
PackOption = Annotated[str | None, typer.Option("--pack", help=f"Fresh house-rules tasks if none, or {_PACK}")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment is made, and with which policy."""

    directory: Path
    seeds: tuple[int, ...]
    policy: PolicyConfig  # with the seed of what all seeds share; each run has its own

    def run_of(self, seed: int) -> Path:
        """The run directory of one seed."""
        return self.directory if len(self.seeds) == 1 else self.directory / f"seed-{seed}"

    def points(
        self, output: Output, begin: Callable[[Workbench, int], Iterator[Any]], tell: Callable[[Any], str]
    ) -> Iterator[Any]:
        """Makes the experiment with every seed: `begin(workbench, seed)` gives its points.

        `tell` words a point; "" is not printed.
        """
        for seed in self.seeds:
            with opened(output, self.run_of(seed), replace(self.policy, seed=seed)) as workbench:
                for point in begin(workbench, seed):
                    if told := tell(point):
                        output.say(f"Seed {seed}, {told}" if len(self.seeds) > 1 else told)
                    yield seed, point


def takes_place(kind: str) -> Callable[[Command], Command]:
    """The options of where an experiment is made, for the parameter `where: Place`.

    `kind`: of the directories that are made if none is named: runs/KIND-1 and so on.
    """

    def build(run: Path | None, seed: int, seeds: int, **policy: Any) -> Place:
        if seeds < 1:
            raise ConfigError(f"--seeds is {seeds}; it must be at least 1.")
        free = (path for n in itertools.count(1) if not (path := Path(f"runs/{kind}-{n}")).exists())
        return Place(run or next(free), tuple(range(seed, seed + seeds)), policy_config(seed=0, **policy))

    return takes("where", PLACE_OPTIONS, _DEFAULTS, build)


def fresh_pack(pack: str, seed: int) -> str:
    """The pack of one seed: as it is named, but of house rules without a house a fresh one."""
    from workbench.tasks.house_rules.pack import PACK, fresh_house, pack_name, parse_name

    parsed = parse_name(pack)
    if parsed is None or pack.startswith(f"{PACK}@"):
        return pack
    return pack_name(fresh_house(seed), parsed[1])


def existing_pack(name: str, run: Path) -> Pack:
    """The pack of a name, a file, or the run's own tasks, if there is a run. Raises TaskError, RunError."""
    from workbench.runs import Run
    from workbench.tasks import open_pack

    tasks: list[Task] = []
    if (run / "run.sqlite").exists():
        with Run.open(run, read_only=True) as stored:
            tasks = list(stored.state().tasks.values())
    return open_pack(name, tasks)


def fewer_held_out(pack: Pack, asked: int) -> str:
    """A sentence where a pack holds fewer tasks out than are asked for, or "". Raises TaskError where it has none."""
    from workbench.tasks.drawing import check_split, held_out_tasks

    check_split(pack)
    there_are = len(held_out_tasks(pack, asked))
    if there_are == asked:
        return ""
    return f"{pack.name} holds out {there_are} tasks, fewer than the {asked} asked for: all of them are taken."
