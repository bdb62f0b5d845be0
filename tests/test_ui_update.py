"""Data of the update panel and the health strip, from records alone. No browser, no model."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from typing import get_args

import pytest
import typer
from reach_cases import logits, scored
from typer.testing import CliRunner

from workbench import config as settings
from workbench.cli.settings import CONFIG_OPTIONS, takes_config
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import ConfigError
from workbench.records import Attempt, Pace, SideEffects, SignalReport, UpdateReport
from workbench.service.actions.lift import seconds_at_most
from workbench.service.actions.round import AttemptDetail
from workbench.service.checks import changed_setting
from workbench.service.state import PublishedState
from workbench.session.history import TimelineNode
from workbench.ui import charts
from workbench.ui.choices import DIVERGENCES, WHY, divergence_of
from workbench.ui.explained import EXPLAINED
from workbench.ui.tabs.round.health import health
from workbench.ui.tabs.round.update import plan
from workbench.ui.tabs.settings import NO_OPTION, as_code, as_command


def attempt(name: str, tokens: int) -> Attempt:
    ids = tuple(range(tokens))
    return Attempt(name, "p/t", "g", "root", (1, 2), ids, "text", (-0.5,) * tokens, True, 1.0, 0.0, False, "wrong")


def report(update_id: str, parent: str, entropy: float = 0.3, kl_to_base: float | None = 0.1) -> UpdateReport:
    effects = SideEffects(0.02, 0.4, entropy, kl_to_base=kl_to_base)
    pushes, changes = {"a": (1.0, -1.0)}, {"a": (0.5, 0.1)}
    return UpdateReport(update_id, parent, "sdpo", 0.4, 0.2, 1.5, pushes, changes, 0.5, 0.2, effects, (), 1.0)


def node(update_id: str, parent: str | None) -> TimelineNode:
    return TimelineNode(update_id, parent, "main", "", False, report(update_id, parent) if parent else None)


DETAIL = AttemptDetail({}, "prompt", (1, 2, 3), ())


def test_the_plan_counts_signal_tokens_and_cost_before_anything_is_done() -> None:
    group = (attempt("a", 5), attempt("b", 7))
    ledger = (SignalReport("a", True, "feedback"), SignalReport("b", False, "all rewards are equal"))
    stated = plan(group, ledger, SDPOConfig(steps=4), [DETAIL, DETAIL], pace=0.01)
    assert (stated["used"], stated["total"], stated["tokens"]) == (1, 2, 5)
    assert stated["reads"] == 4 * (2 + 3 + 2 * 5)  # both prompts, the attempt under each, in each step
    assert stated["seconds"] == pytest.approx(0.6)
    assert [(row["number"], row["used"], row["reason"]) for row in stated["rows"]] == [
        (1, True, "feedback"),
        (2, False, "all rewards are equal"),
    ]
    assert stated["out_of_reach"] == 0
    far = replace(DETAIL, credit=scored(*logits(1e-7)))
    told = plan(group, ledger, SDPOConfig(), [far, far])  # the second gives no signal, so it does not count
    assert told["out_of_reach"] == 1
    assert [row["reason"] for row in told["rows"]] == [
        "feedback; hardly reached by this loss: 't7' at token 1",
        "all rewards are equal",
    ]
    assert plan(group, ledger, SDPOConfig(), [None, DETAIL])["reads"] is None  # its teacher's prompt is not known yet
    lift = {"verdict": "not better", "sentence": "teacher 1 of 8, student 8 of 8: the teacher is not better here"}
    assert plan(group, ledger, SDPOConfig(), lift=lift)["lift"] == lift and stated["lift"] is None
    assert plan((), None, SDPOConfig()).keys() == {"empty"}


def test_measuring_is_announced_with_the_time_that_it_takes_at_most() -> None:
    group = (attempt("a", 5), attempt("b", 40))
    assert seconds_at_most(PublishedState(), group) is None  # nothing was written yet
    # 8 rounds of pairs; the student and the two sets of weights of a trust region's teacher read each token.
    assert seconds_at_most(PublishedState(writing=Pace(0.002, 0.001)), group) == pytest.approx(8 * 3 * 40 * 0.01)


def test_every_choice_says_why_one_would_make_it() -> None:
    for name, kind in (
        ("method", settings.Method),
        ("distillation_mode", settings.DistillationMode),
        ("teacher", settings.Teacher),
    ):
        assert set(WHY[name]) == set(get_args(kind))
    assert divergence_of(SDPOConfig().distillation_alpha) == "reverse KL" and divergence_of(0.25) == "alpha 0.25"
    assert {SDPOConfig(distillation_alpha=alpha).distillation_alpha for alpha, _ in DIVERGENCES.values()} == {0, 0.5, 1}


def test_a_choice_changes_one_setting_or_none() -> None:
    given = {"steps": 2, "teacher": "ema"}
    assert changed_setting(SDPOConfig, given, "teacher", "live") == {"steps": 2, "teacher": "live"}
    with pytest.raises(ConfigError, match="choose one of"):
        changed_setting(SDPOConfig, given, "teacher", "wise")
    assert as_code(SDPOConfig(steps=2, teacher="live")) == "SDPOConfig(teacher='live', steps=2)"


def test_the_health_strip_follows_the_path_and_shows_what_was_measured() -> None:
    path = [node("root", None), node("u1", "root"), node("u2", "u1")]
    strip = health(path, {"u2": {"rate": 0.5}}, ["Entropy fell."])
    curves = {curve["name"]: curve["values"] for curve in strip["curves"]}
    assert curves["entropy"] == [0.3, 0.3] and curves["length"] == [2.0, 2.0] and curves["held-out"] == [None, 0.5]
    assert strip["alarms"] == ["Entropy fell."] and strip["updates"] == 2
    earlier = replace(report("u", "r"), side_effects=SideEffects(0.02, 0.4, 0.3))
    path[1:] = [replace(node, report=earlier) for node in path[1:]]
    names = {curve["name"] for curve in health(path, {}, ())["curves"]}
    assert "KL to reference" not in names  # the updates were committed before it was measured
    assert health(path[:1], {}, ()) == {"empty": True, "alarms": []}


def test_predicted_against_realised_has_a_point_for_every_token() -> None:
    assert charts.predicted_and_realised(None) is None
    trace = charts.predicted_and_realised(report("u1", "root")).data[0]
    assert list(trace.x) == [1.0, -1.0] and list(trace.y) == [0.5, 0.1]
    assert list(trace.marker.color) == [charts.GOOD, charts.BAD]  # the second moved against its push


def test_every_setting_says_what_it_is_and_where_it_comes_from() -> None:
    names = {item.name for kind in (SDPOConfig, SamplingConfig) for item in fields(kind)}
    assert set(EXPLAINED) == names and all(setting.meaning and setting.source for setting in EXPLAINED.values())


def test_the_command_line_shown_makes_the_same_configuration() -> None:
    """Typer itself reads the options back, so a renamed or missing option fails here."""
    seen: list[SDPOConfig] = []
    app = typer.Typer()

    @app.command()
    @takes_config()
    def update(config: SDPOConfig, run: str = "") -> None:
        seen.append(config)

    changed = SDPOConfig(
        method="blend", teacher="ema", teacher_update_rate=0.02, steps=2, learning_rate=0.002, distillation_alpha=0.5,
        distillation_topk=5, distillation_add_tail=False, distillation_normalised=True, use_demonstrations=False,
        include_failed_attempt=True, grpo_weight=0.3, kl_limit=0.4,
    )  # fmt: skip
    line = as_command(changed, "demo")
    assert line.startswith("python -m workbench update --run runs/demo ")
    result = CliRunner().invoke(app, shlex.split(line.removeprefix("python -m workbench update ")))
    assert result.exit_code == 0, result.output
    assert seen == [changed]
    assert set(NO_OPTION) == {item.name for item in fields(SDPOConfig)} - set(CONFIG_OPTIONS)
    assert "weight_decay: use Python" in as_command(SDPOConfig(weight_decay=0.5), "demo")
