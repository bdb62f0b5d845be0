"""Speed, measured on this machine: medians over repetitions, with the hardware they hold for.

`round`: one live round of the embedded policy, G = 8, phase by phase. Its `ratio` is the time of everything that the
page shows (attempts, credit of each, a durable update with its effects) over the time of the bare update step on the
same attempts; a comparison with another program's step is not part of it yet.

`credit` and `loss`: the two operators beside their peers, at a real vocabulary (see `workbench.benchmarks.kernels`).
Their `ratio` is the operator's time over that of the fastest peer, the worst over the precisions.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from workbench.cli.output import JsonOption, Output, opened
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import ConfigError, NoSignalError

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.records import Attempt, Task

T = TypeVar("T")
GROUP = 8
LEAST = 7  # repetitions that a median needs
TASK = "house-rules/sort-take-1"


def bench(
    name: Annotated[str, typer.Argument(help="Which benchmark: round, credit or loss.")] = "round",
    repetitions: Annotated[int, typer.Option(help=f"At least {LEAST}; one more goes first as a warm-up.")] = LEAST,
    as_json: JsonOption = False,
) -> None:
    """Time the workbench on this machine."""
    benchmarks = {"round": _bench_round, "credit": _bench_operator, "loss": _bench_operator}
    if name not in benchmarks:
        raise ConfigError(f"There is no benchmark {name!r}; there are {', '.join(benchmarks)}.")
    if repetitions < LEAST:
        raise ConfigError(f"{repetitions} repetitions were asked for; a median here needs at least {LEAST}.")
    from workbench.policy.selfcheck import hardware

    output = Output(as_json)
    measured = benchmarks[name](name, repetitions, output)
    output.summary({"bench": name, **measured, "repetitions": repetitions, "hardware": hardware()})


def _bench_operator(name: str, repetitions: int, output: Output) -> dict[str, Any]:
    from workbench.benchmarks.kernels import bench_credit, bench_loss, default_shape, device_here

    device = device_here()
    shape = default_shape(device)
    results = (bench_credit if name == "credit" else bench_loss)(shape, repetitions, device)
    output.table(
        f"{name}: {shape.tokens} tokens, {shape.vocabulary} vocabulary, width {shape.hidden}, on {device}",
        ("precision", "contender", "milliseconds", "peak MiB"),
        [
            (one.dtype, who, f"{1000 * cost.median_s:.0f}", cost.peak_bytes and f"{cost.peak_bytes / 2**20:.0f}")
            for one in results
            for who, cost in one.costs.items()
        ],
    )
    for one in results:
        memory = "" if one.memory_ratio is None else f", and {one.memory_ratio:.3f} times the plain form's memory"
        output.say(f"{one.dtype}: {one.ratio:.2f} times the fastest peer's time{memory}.")
    memory_ratios = [one.memory_ratio for one in results if one.memory_ratio is not None]
    return {
        "ratio": max(one.ratio for one in results),
        "ratio_of": "the operator's median time, to the fastest peer's; the worst precision",
        "memory_ratio": max(memory_ratios, default=None),
        "memory_ratio_of": "the operator's peak memory, to that of the plain form in PyTorch; the worst precision",
        "shape": asdict(shape),
        "results": [one.to_json() for one in results],
    }


def _bench_round(name: str, repetitions: int, output: Output) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, opened(Output(False), Path(folder) / "run") as workbench:
        rounds = [_round(workbench, workbench.task(TASK)) for _ in range(1 + repetitions)][1:]
        facts = {name: workbench.policy.facts[name] for name in ("model", "parameters", "dtype", "device")}
    medians = {phase: statistics.median(times[phase] for times in rounds) for phase in rounds[0]}
    shown = medians["attempt"] + medians["credit"] + medians["update"]
    ratio = shown / medians["bare update"]
    output.table(
        f"One {name}, {GROUP} attempts, medians of {repetitions}",
        ("phase", "milliseconds"),
        [(phase, f"{1000 * seconds:.1f}") for phase, seconds in medians.items()],
    )
    output.say(f"Everything the page shows takes {ratio:.2f} times as long as the bare update.")
    return {
        "ratio": ratio,
        "ratio_of": "attempt + credit + update, to the bare update step",
        "median_s": medians,
        "group": GROUP,
        "policy": facts,
    }


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _round(workbench: Workbench, task: Task) -> dict[str, float]:
    """Seconds of each phase of one round; the policy is put back where it was."""
    from workbench.policy.prompts import student_prompt
    from workbench.policy.sampling import sample
    from workbench.policy.update import sdpo_step
    from workbench.tasks import judge_many

    times: dict[str, float] = {}
    policy, config = workbench.policy, SDPOConfig()
    prompts = [student_prompt(policy, task).ids] * GROUP
    _, times["sample"] = _timed(lambda: sample(policy, prompts, SamplingConfig()))
    group, times["attempt"] = _attempts(workbench, task)
    _, times["judge"] = _timed(lambda: judge_many([(task, one.text) for one in group]))
    _, times["credit"] = _timed(lambda: [workbench.credit(one) for one in group])
    items, temperature, state = _items(workbench, group), group[0].temperature, policy.state()
    _, times["bare update"] = _timed(lambda: sdpo_step(policy, items, config, temperature))
    policy.load_state(state)
    _, times["update"] = _timed(lambda: workbench.update(group, config))
    _, times["undo"] = _timed(workbench.undo)
    return times


def _attempts(workbench: Workbench, task: Task) -> tuple[list[Attempt], float]:
    for _ in range(20):
        group, seconds = _timed(lambda: workbench.attempt(task, GROUP))
        if any(entry.used for entry in workbench.ledger(group)):
            return group, seconds
    raise NoSignalError(f"No attempt at {task.id} carries any signal, so there is no update to time.")


def _items(workbench: Workbench, group: list[Attempt]) -> list[Any]:
    """What the update step itself is given, prompts of the self-teacher rendered."""
    from workbench.policy.update import UpdateItem

    used = [entry.used for entry in workbench.ledger(group)]
    return [
        UpdateItem(
            one.prompt_ids,
            workbench.teacher_prompt(one).ids if has_signal else None,
            one.token_ids,
            one.reward,
            one.group_id,
        )
        for one, has_signal in zip(group, used, strict=True)
    ]
