"""The page under load and at rest: many clients at once, nonsense sent to every endpoint, and nobody at all."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.bench.output import summary
from workbench.cli.output import JsonOption, Output
from workbench.errors import ConfigError

MOST_CLIENTS, MOST_MINUTES = 64, 120.0
LEAST_SECONDS = 5.0  # processor time is counted in ticks of 10 ms


def load(
    clients: Annotated[int, typer.Option(help=f"Simultaneous clients, 1 to {MOST_CLIENTS}.")] = 20,
    minutes: Annotated[float, typer.Option(help=f"Duration, above 0 and at most {MOST_MINUTES:g}.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Run clients that mix all endpoints of a real page on this machine: cross-talk, lost events, memory, fairness."""
    if not 1 <= clients <= MOST_CLIENTS:
        raise ConfigError(f"{clients} clients were asked for; ask for 1 to {MOST_CLIENTS}.")
    if not 0 < minutes <= MOST_MINUTES:
        raise ConfigError(f"{minutes:g} minutes were asked for; ask for more than 0 and at most {MOST_MINUTES:g}.")
    from workbench.benchmarks.load import load as work

    output = Output(as_json)
    measured = work(clients, 60 * minutes, output.say)
    output.table(
        f"{clients} clients for {minutes:g} minutes",
        ("endpoint", "answers", "median seconds"),
        [
            (name, count, measured["median_s_by_endpoint"][name])
            for name, count in measured["answers_by_endpoint"].items()
        ],
    )
    for defect in ("mixed_up", "broken", "lost"):
        output.say(f"{defect.replace('_', ' ')}: {len(measured[defect])}")
    summary(output, "load", measured)
    if measured["mixed_up"] or measured["broken"] or measured["lost"]:
        raise typer.Exit(1)


def fuzz(
    count: Annotated[int, typer.Option(help="Number of inputs; a few take seconds.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same inputs for the same seed, page and Hypothesis.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Send nonsense to every endpoint of a real page: leaks, changes by refused calls, bugs; does it still serve?"""
    if count < 1:
        raise ConfigError(f"{count} inputs were asked for; ask for at least 1.")
    from workbench.benchmarks.fuzz import fuzz as send

    output = Output(as_json)
    measured = send(count, seed)
    output.table(f"{measured['inputs']} inputs", ("answer", "count"), list(measured["answers"].items()))
    defects = ("leaks", "changes_by_refused_calls", "named_endpoints_without_a_reason")
    for defect in defects:
        output.say(f"{defect.replace('_', ' ')}: {len(measured[defect])}")
    summary(output, "fuzz", measured)
    if any(measured[defect] for defect in defects) or not measured["serves_afterwards"]:
        raise typer.Exit(1)


def idle(
    seconds: Annotated[float, typer.Option(help=f"Length of each measurement, {LEAST_SECONDS:g} to 3600.")] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Measure the processor time of a page that nobody uses: without a tab, and with one idle tab in Chromium."""
    if not LEAST_SECONDS <= seconds <= 3600:
        raise ConfigError(f"{seconds:g} seconds were asked for; ask for {LEAST_SECONDS:g} to 3600.")
    from workbench.benchmarks.idle import measure_idle

    output = Output(as_json)
    measured = measure_idle(seconds)
    rows = [
        (name, f"{100 * measured[key]['core_share']:.2f} %", f"{measured[key]['wakes_per_s']:.1f}", aim)
        for name, key, aim in (("nobody looks", "nobody", "0.5 %"), ("one idle tab", "one_tab", "2 %"))
    ]
    output.table(f"An idle page over {seconds:g} seconds", ("", "of a core", "wakes a second", "limit"), rows)
    output.say(f"The tab sends {measured['one_tab']['requests_per_s']:.2f} requests a second.")
    summary(output, "idle", measured)
