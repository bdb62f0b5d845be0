"""Endurance of the page: many clients at once, and nonsense sent to every endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.bench.output import summary
from workbench.cli.output import JsonOption, Output
from workbench.errors import ConfigError

MOST_CLIENTS, MOST_MINUTES = 64, 120.0


def load(
    clients: Annotated[int, typer.Option(help=f"At once, 1 to {MOST_CLIENTS}.")] = 20,
    minutes: Annotated[float, typer.Option(help=f"Above 0, at most {MOST_MINUTES:g}.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Clients that mix all endpoints of one real page on this machine: cross-talk, lost events, memory, fairness."""
    if not 1 <= clients <= MOST_CLIENTS:
        raise ConfigError(f"{clients} clients were asked for; ask for 1 to {MOST_CLIENTS}.")
    if not 0 < minutes <= MOST_MINUTES:
        raise ConfigError(f"{minutes:g} minutes were asked for; ask for more than 0 and at most {MOST_MINUTES:g}.")
    from workbench.benchmarks.load import load as work

    output = Output(as_json)
    found = work(clients, 60 * minutes, output.say)
    output.table(
        f"{clients} clients for {minutes:g} minutes",
        ("endpoint", "answers", "median seconds"),
        [(name, count, found["median_s_by_endpoint"][name]) for name, count in found["answers_by_endpoint"].items()],
    )
    for what in ("mixed_up", "broken", "lost"):
        output.say(f"{what.replace('_', ' ')}: {len(found[what])}")
    summary(output, "load", found)
    if found["mixed_up"] or found["broken"] or found["lost"]:
        raise typer.Exit(1)


def fuzz(
    count: Annotated[int, typer.Option(help="Inputs; a few take seconds.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same inputs for the same seed, page and Hypothesis.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Nonsense to every endpoint of a real page: leaks, changes by refused calls, bugs, and whether it still serves."""
    if count < 1:
        raise ConfigError(f"{count} inputs were asked for; ask for at least 1.")
    from workbench.benchmarks.fuzz import fuzz as send

    output = Output(as_json)
    found = send(count, seed)
    output.table(f"{found['inputs']} inputs", ("answer", "count"), list(found["answers"].items()))
    bad = ("leaks", "changes_by_refused_calls", "named_endpoints_without_a_reason")
    for what in bad:
        output.say(f"{what.replace('_', ' ')}: {len(found[what])}")
    summary(output, "fuzz", found)
    if any(found[what] for what in bad) or not found["serves_afterwards"]:
        raise typer.Exit(1)
