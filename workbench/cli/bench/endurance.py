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
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """kill -9 on the real commands and the real page: nothing acknowledged is lost, the next round runs.

    Ends with status 2 and one sentence per problem if anything is lost, unsound, or not undone bit for bit.
    """
    if count < 1:
        raise ConfigError(f"{count} kills were asked for; at least 1 is needed.")
    from workbench.benchmarks.kills import bench_kills

    output = Output(as_json)
    found = bench_kills(count, seed, lambda line: print(line, file=sys.stderr, flush=True))
    done = found["random_kills"] | found["kills_at_fail_points"]
    output.table("Kills", ("what was killed", "times"), list(done.items()))
    output.say(f"{found['acknowledged_events']} acknowledged events, {len(found['problems'])} problems.")
    summary(output, "kills", found)
    for problem in found["problems"]:
        print(problem, file=sys.stderr)
    return 2 if found["problems"] else 0
