"""The place of an experiment: its directory, one run per seed, and the options that set them.

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
        "seeds": Annotated[int, typer.Option(help="Number of seeds, one run each.")],
        "run": Annotated[
            Path | None,
            typer.Option(help="Directory of the experiment, resumed if it holds one; default: a new directory."),
        ],
    }
)
_DEFAULTS = {**POLICY_DEFAULTS, "seeds": 1, "run": None}
_PACK = (
    "a .jsonl or .json file, a registered pack, a pack of the run, or house-rules[@SEED]; :KIND selects the feedback."
)
PackArgument = Annotated[
    str, typer.Argument(help=f"Tasks to learn: {_PACK} Without @SEED, each seed has a house of its own.")
]
PackOption = Annotated[str | None, typer.Option("--pack", help=f"Tasks: {_PACK} Default: fresh house-rules tasks.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Directory, seeds and policy of an experiment."""

    directory: Path
    seeds: tuple[int, ...]
    policy: PolicyConfig  # with the seed of what all seeds share; each run has its own

    def run_of(self, seed: int) -> Path:
        """The run directory of one seed."""
        return self.directory if len(self.seeds) == 1 else self.directory / f"seed-{seed}"

    def points(
        self, output: Output, begin: Callable[[Workbench, int], Iterator[Any]], describe: Callable[[Any], str]
    ) -> Iterator[Any]:
        """Make the experiment with every seed: `begin(workbench, seed)` gives its points.

        `describe` puts a point into words; "" is not printed.
        """
        for seed in self.seeds:
            with opened(output, self.run_of(seed), replace(self.policy, seed=seed)) as workbench:
                for point in begin(workbench, seed):
                    if line := describe(point):
                        output.say(f"Seed {seed}, {line}" if len(self.seeds) > 1 else line)
                    yield seed, point


def takes_place(kind: str) -> Callable[[Command], Command]:
    """Give a command the options of an experiment's place, as its `where: Place`.

    `kind` names the directory where none is given: runs/KIND-1 and so on.
    """

    def build(run: Path | None, seed: int, seeds: int, **policy: Any) -> Place:
        if seeds < 1:
            raise ConfigError(f"--seeds is {seeds}; it must be at least 1.")
        free = (path for n in itertools.count(1) if not (path := Path(f"runs/{kind}-{n}")).exists())
        return Place(run or next(free), tuple(range(seed, seed + seeds)), policy_config(seed=0, **policy))

    return takes("where", PLACE_OPTIONS, _DEFAULTS, build)


def fresh_pack(pack: str, seed: int) -> str:
    """Name of the pack for one seed: unchanged, except that house rules without a house get a fresh one."""
    from workbench.tasks.house_rules.pack import PACK, fresh_house, pack_name, parse_name

    parsed = parse_name(pack)
    if parsed is None or pack.startswith(f"{PACK}@"):
        return pack
    return pack_name(fresh_house(seed), parsed[1])


def existing_pack(name: str, run: Path) -> Pack:
    """Open a pack by name, by file, or from the tasks of a run where there is one. Raises TaskError, RunError."""
    from workbench.runs import Run
    from workbench.tasks import open_pack

    tasks: list[Task] = []
    if (run / "run.sqlite").exists():
        with Run.open(run, read_only=True) as stored:
            tasks = list(stored.state().tasks.values())
    return open_pack(name, tasks)


def fewer_held_out(pack: Pack, requested: int) -> str:
    """Sentence that a pack has fewer held-out tasks than requested, or "". Raises TaskError where it has none."""
    from workbench.tasks.drawing import check_split, held_out_tasks

    check_split(pack)
    available = len(held_out_tasks(pack, requested))
    if available == requested:
        return ""
    return f"{pack.name} has {available} held-out tasks, fewer than the {requested} asked for; all of them are used."
