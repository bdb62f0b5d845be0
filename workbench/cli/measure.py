"""Commands that measure: learn (a learning run with its curve) and evaluate (what a policy can do in house rules)."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.output import (
    DeviceOption,
    JsonOption,
    ModelOption,
    Output,
    QuantizationOption,
    opened,
)
from workbench.cli.settings import (
    DEFAULTS,
    AlphaOption,
    EntropyBetaOption,
    EvidenceClipOption,
    GrpoWeightOption,
    MethodOption,
    ModeOption,
    RateOption,
    TeacherOption,
    TopkOption,
)
from workbench.config import PolicyConfig, SDPOConfig
from workbench.errors import ConfigError, RunError


def learn(
    pack: Annotated[
        str, typer.Argument(help="house-rules, house-rules@SEED or house-rules@SEED:KIND.")
    ] = "house-rules",
    method: MethodOption = DEFAULTS.method,
    rounds: Annotated[int, typer.Option(help="Rounds, one update each.")] = 15,
    questions: Annotated[int, typer.Option(help="Tasks per round.")] = 4,
    attempts: Annotated[int, typer.Option(help="Attempts per task.")] = 8,
    held_out: Annotated[int, typer.Option(help="Held-out tasks per measurement.")] = 60,
    measure_every: Annotated[int, typer.Option(help="Rounds between measurements; 0: before and after only.")] = 1,
    learning_rate: RateOption = DEFAULTS.learning_rate,
    steps: Annotated[int, typer.Option(help="Optimiser steps per round.")] = 1,
    distillation_mode: ModeOption = DEFAULTS.distillation_mode,
    distillation_alpha: AlphaOption = DEFAULTS.distillation_alpha,
    distillation_topk: TopkOption = DEFAULTS.distillation_topk,
    grpo_weight: GrpoWeightOption = DEFAULTS.grpo_weight,
    entropy_beta: EntropyBetaOption = DEFAULTS.entropy_beta,
    evidence_clip: EvidenceClipOption = DEFAULTS.evidence_clip,
    teacher: TeacherOption = DEFAULTS.teacher,
    seed: Annotated[int, typer.Option(help="Of the adapter, of sampling, and of the choice of tasks.")] = 0,
    run: Annotated[Path | None, typer.Option(help="A new directory; runs/learn-N if none is given.")] = None,
    model: ModelOption = "embedded",
    quantization: QuantizationOption = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Learn round after round in a run of its own, and show the pass rate on held-out tasks."""
    output = Output(as_json)
    config = SDPOConfig(
        method=method,  # type: ignore[arg-type]  # these three are checked by the config itself
        distillation_mode=distillation_mode,  # type: ignore[arg-type]
        distillation_alpha=distillation_alpha,
        distillation_topk=distillation_topk,
        grpo_weight=grpo_weight,
        entropy_beta=entropy_beta,
        evidence_clip=evidence_clip,
        teacher=teacher,  # type: ignore[arg-type]
        learning_rate=learning_rate,
        steps=steps,
    )
    where = run or _free_directory()
    if (where / "run.sqlite").exists():
        raise RunError(f"{where} already holds a run; give a learning run a new directory with --run.")
    from workbench.experiments.learn import LearnSettings, to_json
    from workbench.tasks.house_rules.pack import house_tasks

    house_tasks(pack, 0, held_out=False)  # raises for an unknown pack, before a directory is made for it
    settings = LearnSettings(rounds, questions, attempts, held_out, measure_every)
    points = []
    with opened(output, where, model=model, quantization=quantization, device=device, seed=seed) as workbench:
        for point in workbench.learn(pack, config=config, settings=settings, seed=seed):
            points.append(to_json(point))
            output.say(_progress(points[-1]))
    columns = ("round", "generations", "held out", "own attempts", "tokens", "loss", "KL to before")
    output.table(
        f"{method} on {pack}, in {where}",
        columns,
        [
            (
                p["round"],
                p["generations"],
                _rate(p["held_out"]),
                p["pass_rate"],
                p["tokens"],
                p["loss"],
                p["kl_to_before"],
            )
            for p in points
        ],
    )
    output.summary({"learn": pack, "method": method, "seed": seed, "run": str(where), "points": points})


def _free_directory() -> Path:
    return next(path for n in itertools.count(1) if not (path := Path(f"runs/learn-{n}")).exists())


def _progress(point: dict[str, Any]) -> str:
    own = "" if point["pass_rate"] is None else f", own attempts {point['pass_rate']:.2f}"
    held_out = f", held out {_rate(point['held_out'])}" if point["held_out"] else ""
    return f"Round {point['round']}{own}{held_out}"


def _rate(measured: dict[str, Any] | None) -> str:
    return "" if measured is None else f"{measured['rate']:.2f} ({measured['low']:.2f} to {measured['high']:.2f})"


def evaluate(
    model: Annotated[str, typer.Argument(help="'embedded', a local directory, or a hub id.")] = "embedded",
    count: Annotated[int, typer.Option(help="Cases per cell.")] = 200,
    stages: Annotated[str, typer.Option(help="Numbers of stages, with commas.")] = "1,2,3,4",
    localise: Annotated[int, typer.Option(help="Programs on which to measure where credit lands; 0: none.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the cases and of sampling.")] = 0,
    quantization: QuantizationOption = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a policy in house rules: student, and self-teacher under each kind of evidence, on held-out cases."""
    output = Output(as_json)
    numbers = _stages(stages)
    if count < 1 or localise < 0:
        raise ConfigError("--count must be at least 1, and --localise 0 or more.")
    config = PolicyConfig(model, quantization, device, seed=seed)  # type: ignore[arg-type]  # checks itself
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
        [(cell, *(_rate(row[str(number)]) for number in numbers)) for cell, row in cells.items()],
    )
    located = _localised(output, config, localise, seed) if localise else {}
    output.summary(cells | ({"localise": located} if localise else {}))


def _stages(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"--stages is {text!r}; write numbers with commas, such as 1,2,3.")
    return numbers


def _interval(passed: int, total: int) -> dict[str, Any]:
    from workbench.statistics import HeldOut

    counted = HeldOut(passed, total)
    return {"passed": passed, "total": total, "rate": counted.rate, "low": counted.low, "high": counted.high}


def _localised(output: Output, config: PolicyConfig, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Where credit lands, under each kind of evidence, in a run that is thrown away."""
    from workbench.experiments.localise import KINDS
    from workbench.experiments.localise import localise as locate

    with (
        tempfile.TemporaryDirectory() as folder,
        opened(
            Output(False),
            Path(folder) / "run",
            model=config.model,
            quantization=config.quantization,
            device=config.device,
        ) as workbench,
    ):
        located = {kind: locate(workbench, kind, count=count, seed=seed) for kind in KINDS}
    output.table(
        "Where credit lands: programs with one wrong stage",
        ("evidence", "AUROC", "worst token is wrong", "programs"),
        [(kind, *(found[name] for name in ("auroc", "worst_is_wrong", "programs"))) for kind, found in located.items()],
    )
    return located
