"""The command `evaluate`: pass rates of a policy in house rules, or on the held-out tasks of a pack."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import JsonOption, Output, opened, whole_numbers
from workbench.cli.policy import takes_policy
from workbench.cli.sandbox import takes_sandbox
from workbench.config import MODEL_NAMES, PolicyConfig
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench import Workbench


@takes_sandbox
@takes_policy(without=("model", "seed"))
def evaluate(
    policy: PolicyConfig,
    model: Annotated[str, typer.Argument(help=f"{MODEL_NAMES}.")] = "embedded",
    count: Annotated[int, typer.Option(help="Cases per cell of the table; with --pack: held-out tasks.")] = 200,
    pack: Annotated[
        str | None, typer.Option(help="Measure on the held-out tasks of a pack or a .jsonl or .json file instead.")
    ] = None,
    stages: Annotated[str, typer.Option(help="Numbers of stages, comma-separated.")] = "1,2,3,4",
    localise: Annotated[int, typer.Option(help="Programs on which to measure where credit lands; 0: none.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the cases and of sampling.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure a policy in house rules: student, and self-teacher in each kind of teacher context, on held-out cases.

    With --pack: its pass rate on the pack's held-out tasks, one attempt each.
    """
    output = Output(as_json)
    numbers = whole_numbers(stages, "--stages")
    if count < 1 or localise < 0:
        raise ConfigError("--count must be at least 1, and --localise 0 or more.")
    config = replace(policy, model=model, seed=seed)
    if pack is not None:
        if localise:
            raise ConfigError("--localise needs tasks whose wrong tokens are known; leave out --pack.")
        _evaluate_pack(output, config, pack, count)
        return
    from workbench.embedded.evaluate import evaluate as measure
    from workbench.policy import load_policy

    table = measure(load_policy(config), count=count, stages=numbers, progress=output.say, seed=seed)
    cells = {
        cell: {number: _interval(*counted) for number, counted in by_stages.items()}
        for cell, by_stages in table.items()
    }
    output.table(
        f"Pass rates of {model}",
        ("cell", *(f"{number} stages" for number in numbers)),
        [(cell, *(_rate_text(row[str(number)]) for number in numbers)) for cell, row in cells.items()],
    )
    located = _localised(output, config, localise, seed) if localise else {}
    output.summary(cells | ({"localise": located} if localise else {}))


def _evaluate_pack(output: Output, config: PolicyConfig, name: str, count: int) -> None:
    """Measure the pass rate on the held-out tasks of a pack."""
    from workbench.tasks import open_pack
    from workbench.tasks.drawing import check_split, describe

    pack = open_pack(name)
    check_split(pack)
    with _temporary_workbench(config) as workbench:
        measured = workbench.held_out(pack, count=count)
    output.say(f"{pack.name}: {describe(pack).summary}")
    output.say(f"Of the held-out tasks, {measured}.")
    output.summary({"pack": pack.name, "held_out": measured.to_json()})


@contextmanager
def _temporary_workbench(config: PolicyConfig) -> Iterator[Workbench]:
    """Open the workbench of a run that is deleted afterwards."""
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(Output(False), Path(folder) / "run", replace(config, seed=0)) as workbench,
    ):
        yield workbench


def _rate_text(measured: dict[str, Any]) -> str:
    return f"{measured['rate']:.2f} ({measured['low']:.2f} to {measured['high']:.2f})"


def _interval(passed: int, total: int) -> dict[str, Any]:
    from workbench.statistics import HeldOut

    return HeldOut(passed, total).to_json()


def _localised(output: Output, config: PolicyConfig, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Measure where credit lands in each kind of teacher context, in a run that is deleted afterwards."""
    from workbench.experiments.localise import KINDS
    from workbench.experiments.localise import localise as locate

    with _temporary_workbench(config) as workbench:
        located = {kind: locate(workbench, kind, count=count, seed=seed) for kind in KINDS}
    output.table(
        "Where credit lands: programs with one wrong stage",
        ("teacher context", "AUROC", "worst token is wrong", "programs"),
        [(kind, *(means[name] for name in ("auroc", "worst_is_wrong", "programs"))) for kind, means in located.items()],
    )
    return located
