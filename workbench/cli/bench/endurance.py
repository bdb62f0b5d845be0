"""Endurance: what is left after kill -9, after hundreds of updates, after ten thousand attempts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from workbench.cli.bench.output import summary
from workbench.cli.output import JsonOption, Output
from workbench.errors import ConfigError


def kills(
    count: Annotated[int, typer.Option(help="Kills at random moments; one at every fail point comes on top.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the moments.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """kill -9 on the real commands and the real page: nothing acknowledged is lost, the next round runs.

    Ends with status 2 and one sentence per problem if anything is lost, unsound, or not undone bit for bit.
    """
    if count < 1:
        raise ConfigError(f"{count} kills were asked for; at least 1 is needed.")
    from workbench.benchmarks.kills import bench_kills

    output = Output(as_json)
    measured = bench_kills(count, seed, lambda line: print(line, file=sys.stderr, flush=True))
    done = measured["random_kills"] | measured["kills_at_fail_points"]
    output.table("Kills", ("what was killed", "times"), list(done.items()))
    output.say(f"{measured['acknowledged_events']} acknowledged events, {len(measured['problems'])} problems.")
    summary(output, "kills", measured)
    for problem in measured["problems"]:
        print(problem, file=sys.stderr)
    return 2 if measured["problems"] else 0


def soak(
    updates: Annotated[int, typer.Option(help="Updates in a row.")] = 500,
    as_json: JsonOption = False,
) -> None:
    """Make many updates in a row on the embedded policy: memory, file handles, the time to open the run, alarms."""
    if updates < 10:
        raise ConfigError(f"{updates} updates were asked for; a slope needs at least 10.")
    from workbench.benchmarks.soak import bench_soak

    output = Output(as_json)
    measured = bench_soak(updates, lambda line: print(line, file=sys.stderr, flush=True))
    rows = [
        (name, f"{slope['estimate']:.3g} ({slope['low']:.3g} to {slope['high']:.3g})")
        for name, slope in measured["per_update"].items()
    ]
    output.table(f"Growth per update, after {updates}", ("quantity", "slope (95 % interval)"), rows)
    output.say(
        f"The run opens in {measured['open_s']:.2f} s; alarms: {measured['alarms_on_gentle_updates'] or 'none'}."
    )
    summary(output, "soak", measured)


def store(
    attempts: Annotated[int, typer.Option(help="Attempts in the run.")] = 10_000,
    as_json: JsonOption = False,
) -> None:
    """Time a run of thousands of attempts: append, open, page through, memory."""
    if attempts < 1000:
        raise ConfigError(f"{attempts} attempts were asked for; the figures need at least 1000.")
    from workbench.benchmarks.store import bench_store

    output = Output(as_json)
    measured = bench_store(attempts)
    rows = [(name, f"{1000 * seconds:.2f}") for name, seconds in measured["append_s"].items()]
    rows += [(name, f"{1000 * measured[f'{name}_s']:.0f}") for name in ("open", "page_through", "reconstruct")]
    output.table(f"A run of {attempts} attempts", ("append, then the rest", "milliseconds"), rows)
    summary(output, "store", measured)
