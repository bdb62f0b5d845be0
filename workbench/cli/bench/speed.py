"""Speed: medians over repetitions, contenders taking turns in one process."""

from __future__ import annotations

import statistics
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from workbench.cli.bench.output import summary
from workbench.cli.output import JsonOption, Output
from workbench.errors import ConfigError

LEAST = 7  # repetitions that a median needs
RepetitionsOption = Annotated[
    int, typer.Option("--repetitions", help=f"At least {LEAST}; one more goes first as a warm-up.")
]


def round_(repetitions: RepetitionsOption = LEAST, as_json: JsonOption = False) -> None:
    """Time one live round of the embedded policy, G = 8, phase by phase.

    The ratio is the time of everything that the page shows (attempts, credit of each, a durable update with its
    effects) over the time of the bare update step on the same attempts.
    """
    _check(repetitions)
    from workbench.benchmarks.round import GROUP, time_rounds

    output = Output(as_json)
    rounds, facts = time_rounds(repetitions)
    medians = {phase: statistics.median(times[phase] for times in rounds) for phase in rounds[0]}
    ratio = (medians["attempt"] + medians["credit"] + medians["update"]) / medians["bare update"]
    output.table(
        f"One round, {GROUP} attempts, medians of {repetitions}",
        ("phase", "milliseconds"),
        [(phase, f"{1000 * seconds:.1f}") for phase, seconds in medians.items()],
    )
    output.say(f"Everything the page shows takes {ratio:.2f} times as long as the bare update.")
    summary(
        output,
        "round",
        {
            "ratio": ratio,
            "ratio_of": "attempt + credit + update, to the bare update step",
            "median_s": medians,
            "group": GROUP,
            "policy": facts,
            "repetitions": repetitions,
        },
    )


def credit(repetitions: RepetitionsOption = LEAST, as_json: JsonOption = False) -> None:
    """Time the operator behind every credit against its peers, at a real vocabulary (workbench.benchmarks.kernels)."""
    _operator("credit", repetitions, as_json)


def loss(repetitions: RepetitionsOption = LEAST, as_json: JsonOption = False) -> None:
    """Time the operator behind every update against its peers, at a real vocabulary (workbench.benchmarks.kernels)."""
    _operator("loss", repetitions, as_json)


def judging(repetitions: RepetitionsOption = LEAST, as_json: JsonOption = False) -> None:
    """Time the judging of 8 attempts at a task with 60 tests, beside `python program < input` for the same runs.

    Both use as many processors as there are. The ratio is that of their medians.
    """
    _check(repetitions)
    from workbench.benchmarks.judging import ATTEMPTS, TEST_S, TESTS, time_judging

    output = Output(as_json)
    times, facts = time_judging(repetitions)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    ratio = medians["workbench"] / medians["python program < input"]
    output.table(
        f"{ATTEMPTS} attempts, {TESTS} tests of {1000 * TEST_S:.0f} ms, medians of {repetitions}",
        ("", "seconds"),
        [(name, f"{seconds:.2f}") for name, seconds in medians.items()],
    )
    output.say(f"Judging takes {ratio:.2f} times as long as the bare runs.")
    summary(
        output,
        "judging",
        {"ratio": ratio, "median_s": medians, "times_s": times, "repetitions": repetitions, **facts},
    )


def start(
    repetitions: Annotated[int, typer.Option(help="One more goes first as a warm-up.")] = 3, as_json: JsonOption = False
) -> None:
    """Time the command `app` until its page is usable, and one click until the first coloured attempt, in Chromium."""
    if repetitions < 1:
        raise ConfigError(f"{repetitions} repetitions were asked for; at least 1 is needed.")
    from workbench.benchmarks.start import PHASES, time_starts

    output = Output(as_json)
    starts = time_starts(repetitions)
    medians = {phase: statistics.median(times[phase] for times in starts) for phase in PHASES}
    output.table(
        f"Start of the page, medians of {repetitions}",
        ("phase", "seconds"),
        [(phase, f"{seconds:.1f}") for phase, seconds in medians.items()],
    )
    summary(output, "start", {"median_s": medians, "starts_s": starts, "repetitions": repetitions})


def heatmap(repetitions: RepetitionsOption = LEAST, as_json: JsonOption = False) -> None:
    """Time 16 attempts of 2,000 tokens in Chromium: what travels, how long painting takes, and what pointing costs."""
    _check(repetitions)
    from workbench.benchmarks.heatmap import time_heatmap

    output = Output(as_json)
    measured = time_heatmap(repetitions)
    output.table(
        f"Heatmap of {measured['attempts']} attempts with {measured['tokens']:,} tokens each, medians of {repetitions}",
        ("quantity", "measured", "target"),
        [
            ("first payload", f"{measured['payload_bytes'] / 1e6:.2f} MB", "3 MB"),
            ("parse, draw and paint", f"{measured['paint_ms']:.0f} ms", "500 ms"),
            ("  of it on the page's thread", f"{measured['paint_cpu_ms']:.0f} ms", ""),
            ("the same of prose in five scripts", f"{measured['prose_paint_ms']:.0f} ms", "500 ms"),
            ("  of it on the page's thread", f"{measured['prose_paint_cpu_ms']:.0f} ms", ""),
            ("scroll through it, each frame", f"{measured['scroll_cpu_ms']:.1f} ms", "16 ms"),
            ("point at a token", f"{measured['hover_ms']:.1f} ms", "16 ms"),
            ("point at the map", f"{measured['map_hover_ms']:.1f} ms", "16 ms"),
            ("next token by keyboard", f"{measured['key_ms']:.1f} ms", "16 ms"),
            ("change the view", f"{measured['view_ms']:.0f} ms", ""),
            ("the group as one file", f"{measured['file_bytes'] / 1e6:.1f} MB", ""),
        ],
    )
    summary(output, "heatmap", {**measured, "repetitions": repetitions})


def sandbox(
    attempts: Annotated[int, typer.Option(help="Attempts of the embedded policy that every tier judges.")] = 500,
    repetitions: RepetitionsOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Time the tiers of the sandbox side by side, and compare their verdicts on the same attempts."""
    _check(repetitions)
    if attempts < 8 * repetitions:
        raise ConfigError(f"{attempts} attempts are fewer than {repetitions} groups of 8; ask for more attempts.")
    from workbench.benchmarks.sandbox import bench_sandbox

    output = Output(as_json)
    measured = bench_sandbox(attempts, repetitions, lambda line: print(line, file=sys.stderr, flush=True))
    tiers = measured["tiers"]
    times, calls, loads = measured["judging_8_attempts_s"], measured["one_call_s"], measured["loads_s"]
    rows = [("8 attempts, median", *(f"{1000 * times[tier]['median']:.0f}" for tier in tiers))]
    rows += [("8 attempts, longest", *(f"{1000 * times[tier]['largest']:.0f}" for tier in tiers))]
    rows += [("one more call", *(f"{1000 * calls[tier]:.1f}" for tier in tiers))]
    rows += [(name, *(f"{1000 * seconds[tier]:.0f}" for tier in tiers)) for name, seconds in loads.items()]
    output.table(f"The tiers, medians of {repetitions} groups", ("milliseconds", *tiers), rows)
    for tier in tiers[1:]:
        differences = measured[f"differences_to_{tiers[0]}"][tier]
        output.say(
            f"{tier} and {tiers[0]}, {measured['attempts']} attempts: {differences['verdicts']} other verdicts, "
            f"{differences['feedback']} other wordings of feedback."
        )
    summary(output, "sandbox", {**measured, "repetitions": repetitions})


def _operator(name: str, repetitions: int, as_json: bool) -> None:
    _check(repetitions)
    from workbench.benchmarks.kernels import bench_credit, bench_loss, default_shape, device_here

    output = Output(as_json)
    device = device_here()
    shape = default_shape(device)
    results = (bench_credit if name == "credit" else bench_loss)(shape, repetitions, device)
    output.table(
        f"{name}: {shape.tokens} tokens, {shape.vocabulary} vocabulary, width {shape.hidden}, on {device}",
        ("what", "precision", "contender", "milliseconds", "peak MiB"),
        [
            (
                result.what,
                result.dtype,
                contender,
                f"{1000 * cost.median_s:.4g}",
                cost.peak_bytes and f"{cost.peak_bytes / 2**20:.0f}",
            )
            for result in results
            for contender, cost in result.costs.items()
        ],
    )
    for result in results:
        memory = "" if result.memory_ratio is None else f", and {result.memory_ratio:.3f} times the plain form's memory"
        floor = "" if result.floor_ratio is None else f", {result.floor_ratio:.2f} times that of the matmuls alone"
        output.say(f"{result.what}, {result.dtype}: {result.ratio:.2f} times the fastest peer's time{floor}{memory}.")
    memory_ratios = [result.memory_ratio for result in results if result.memory_ratio is not None]
    measured = {
        "ratio": max(result.ratio for result in results),
        "ratio_of": "the operator's median time, to the fastest peer's; the worst case",
        "memory_ratio": max(memory_ratios, default=None),
        "memory_ratio_of": "the operator's peak memory, to that of the plain form in PyTorch; the worst case",
        "shape": asdict(shape),
        "results": [result.to_json() for result in results],
        "repetitions": repetitions,
    }
    summary(output, name, measured)


def _check(repetitions: int) -> None:
    if repetitions < LEAST:
        raise ConfigError(f"{repetitions} repetitions were asked for; a median here needs at least {LEAST}.")
