"""Speed, measured on this machine: medians over repetitions, with the hardware they hold for.

`round`: one live round of the embedded policy, G = 8, phase by phase. Its `ratio` is the time of everything that the
page shows (attempts, credit of each, a durable update with its effects) over the time of the bare update step on the
same attempts; a comparison with another program's step is not part of it yet.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
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
    name: Annotated[str, typer.Argument(help="Which benchmark: round.")] = "round",
    repetitions: Annotated[int, typer.Option(help=f"At least {LEAST}; one more goes first as a warm-up.")] = LEAST,
    as_json: JsonOption = False,
) -> None:
    """Time the workbench on this machine."""
    if name != "round":
        raise ConfigError(f"There is no benchmark {name!r}; there is 'round'.")
    if repetitions < LEAST:
        raise ConfigError(f"{repetitions} repetitions were asked for; a median here needs at least {LEAST}.")
    from workbench.policy.selfcheck import hardware

    output = Output(as_json)
    with tempfile.TemporaryDirectory() as folder, opened(Output(False), Path(folder) / "run") as workbench:
        rounds = [_round(workbench, workbench.task(TASK)) for _ in range(1 + repetitions)][1:]
        facts = {name: workbench.policy.facts[name] for name in ("model", "parameters", "dtype", "device")}
    medians = {phase: statistics.median(times[phase] for times in rounds) for phase in rounds[0]}
    shown = medians["attempt"] + medians["credit"] + medians["update"]
    ratio = shown / medians["bare update"]
    output.table(
        f"One round, {GROUP} attempts, medians of {repetitions}",
        ("phase", "milliseconds"),
        [(phase, f"{1000 * seconds:.1f}") for phase, seconds in medians.items()],
    )
    output.say(f"Everything the page shows takes {ratio:.2f} times as long as the bare update.")
    output.summary(
        {
            "bench": name,
            "ratio": ratio,
            "ratio_of": "attempt + credit + update, to the bare update step",
            "median_s": medians,
            "repetitions": repetitions,
            "group": GROUP,
            "policy": facts,
            "hardware": hardware(),
        }
    )


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
