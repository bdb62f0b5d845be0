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
PackArgument = Annotated[
    str, typer.Argument(help="house-rules[@SEED][:KIND]; without @SEED each seed has a fresh house of its own.")
]


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
    """The pack of one seed: a house that the pack names, or a fresh one. Raises TaskError for an unknown pack."""
    from workbench.tasks.house_rules.pack import DEFAULT_KIND, PACK, fresh_house, house_tasks, pack_name, parse_name

    house_tasks(pack, 0, held_out=False)  # raises for an unknown pack
    parsed = parse_name(pack)
    if parsed is None or pack.startswith(f"{PACK}@"):
        return pack
    return pack_name(fresh_house(seed), parsed[1] or DEFAULT_KIND)
