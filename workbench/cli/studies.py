"""The commands of `study`: measurements of credit, updates, the gate, long runs and templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.learning import compare, takes_rounds
from workbench.cli.output import JsonOption, Output
from workbench.cli.place import PackArgument, PackOption, Place, existing_pack, takes_place
from workbench.cli.reports import write_report
from workbench.cli.sandbox import takes_sandbox
from workbench.cli.settings import takes, takes_config
from workbench.config import SDPOConfig
from workbench.experiments.settings import (
    STABILITY_SETTINGS,
    CreditStudySettings,
    GateStudySettings,
    LearnSettings,
    TemplateStudySettings,
    UpdateStudySettings,
    learning_rates,
)

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.experiments.journal import Point

CREDIT_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "programs": Annotated[int, typer.Option(help="Programs with one wrong stage, read in every view.")],
        "rounds": Annotated[int, typer.Option(help="Rounds of learning under each teacher before its credit is read.")],
        "programs_per_teacher": Annotated[int, typer.Option(help="Programs read under each teacher.")],
        "tests": Annotated[int, typer.Option(help="Failed attempts in each of which four tokens are exchanged.")],
        "continuations": Annotated[int, typer.Option(help="Continuations from each of the two tokens.")],
    }
)
TEMPLATE_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "samples": Annotated[int, typer.Option(help="Answers per task, kind of feedback and template.")],
        "max_new_tokens": Annotated[int, typer.Option(help="Tokens of an answer at most.")],
    }
)
GATE_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "updates": Annotated[int, typer.Option(help="Updates that the gate is asked about, each at its own task.")],
        "attempts": Annotated[int, typer.Option(help="Attempts per update.")],
        "samples": Annotated[int, typer.Option(help="Whole attempts by student and teacher each, to compare with.")],
    }
)


def build() -> typer.Typer:
    """The studies under their names."""
    app = typer.Typer(help="Measure what credit, updates and long runs really do.")
    for command in (credit, update, gate, stability, templates):
        app.command(name=command.__name__)(command)
    return app


@takes_sandbox
@takes_place("study-credit")
@takes("settings", CREDIT_OPTIONS, asdict(CreditStudySettings()), CreditStudySettings)
def credit(settings: CreditStudySettings, where: Place, pack: PackOption = None, as_json: JsonOption = False) -> None:
    """Study where credit lands, by teacher context, view and teacher, and whether exchanging the token agrees."""
    from workbench.experiments.credit_study import check_known_truth

    name = "study-credit"
    if pack is not None:
        check_known_truth(pack)
    _study(Output(as_json), where, name, lambda wb, seed: wb.study_credit(settings, seed=seed, name=name))


@takes_sandbox
@takes_place("study-update")
def update(
    where: Place,
    groups: Annotated[
        int, typer.Option(help="Groups of attempts; each gets one update per loss and learning rate.")
    ] = 10,
    attempts: Annotated[int, typer.Option(help="Attempts per group.")] = 8,
    rates: Annotated[
        str, typer.Option("--learning-rates", help="Learning rates, comma-separated.")
    ] = "0.0005,0.002,0.005,0.02",
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare predicted with realised change, over many updates from one state, by loss and learning rate."""
    settings = UpdateStudySettings(groups, attempts, learning_rates(rates))
    if pack is not None:
        existing_pack(pack, where.run_of(where.seeds[0]))  # before a directory is made for an unknown one
    name = "study-update"
    _study(Output(as_json), where, name, lambda wb, seed: wb.study_update(settings, seed=seed, name=name, pack=pack))


@takes_sandbox
@takes_place("study-gate")
@takes("settings", GATE_OPTIONS, asdict(GateStudySettings()), GateStudySettings)
def gate(settings: GateStudySettings, where: Place, pack: PackOption = None, as_json: JsonOption = False) -> None:
    """Ask before many updates whether the teacher is better, and measure on many samples how often that is right."""
    if pack is not None:
        existing_pack(pack, where.run_of(where.seeds[0]))
    name = "study-gate"
    _study(Output(as_json), where, name, lambda wb, seed: wb.study_gate(settings, seed=seed, name=name, pack=pack))


@takes_sandbox
@takes_place("study-stability")
@takes_config()
@takes_rounds(STABILITY_SETTINGS)
def stability(
    config: SDPOConfig,
    settings: LearnSettings,
    where: Place,
    pack: PackArgument = "house-rules",
    as_json: JsonOption = False,
) -> None:
    """Learn for many rounds: with these settings, a learning rate too high, a live teacher; are alarms in time?"""
    from workbench.experiments.arms import stability as arms

    compare(Output(as_json), where, "study-stability", pack, arms(config), settings)


@takes_sandbox
@takes_place("study-templates")
@takes("settings", TEMPLATE_OPTIONS, asdict(TemplateStudySettings()), TemplateStudySettings)
def templates(settings: TemplateStudySettings, where: Place, as_json: JsonOption = False) -> None:
    """Measure which template of the teacher's prompt makes this model's self-teacher pass, by kind of feedback."""
    name = "study-templates"
    _study(Output(as_json), where, name, lambda wb, seed: wb.study_templates(settings, seed=seed, name=name))


def _study(output: Output, where: Place, name: str, begin: Callable[[Workbench, int], Iterator[Point]]) -> None:
    count = sum(1 for _ in where.points(output, begin, lambda point: f"{point.arm}: step {point.step}"))
    report = write_report(output, where.directory)
    output.summary({"study": name, "run": str(where.directory), "points": count, "report": report})
