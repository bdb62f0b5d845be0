"""Comparisons on the real policy: what is scored for each row, what cannot be had, and two runs from their logs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.credit import VIEWS
from workbench.errors import ConfigError, FeedbackError, RunError
from workbench.records import Attempt, Task
from workbench.session.comparison import IRRELEVANT
from workbench.session.run_comparison import compare_runs

FEW = SamplingConfig(max_new_tokens=8)
NEVER = {"tests": [{"function": "f", "args": [[3, 1, 2]], "expected": "nothing"}]}


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("compare") / "run") as opened:
        yield opened


@pytest.fixture(scope="module")
def group(workbench: Workbench) -> list[Attempt]:
    workbench.add_task(prompt="Write f(xs): reverse, then take 2.", environment="python", answer=NEVER, name="other")
    attempts = workbench.attempt(task(workbench), 3, sampling=FEW)
    return [workbench.give_feedback(attempt, f"remark {place}.") for place, attempt in enumerate(attempts)]


def task(workbench: Workbench) -> Task:
    prompt = "Write f(xs): sort, then take 3."
    return workbench.add_task(prompt=prompt, environment="python", answer=NEVER, name="one")


def test_every_estimator_is_a_row_of_one_stored_credit(workbench: Workbench, group: list[Attempt]) -> None:
    comparison = workbench.compare(group[0])
    assert [row.name for row in comparison.rows] == list(VIEWS) and comparison.absent == {}
    stored = workbench.credits(group[0])[-1].credit
    assert comparison.rows[0].values == stored.view("raw") and comparison.token_ids == group[0].token_ids


def test_feedbacks_are_what_the_attempt_got_and_its_controls(workbench: Workbench, group: list[Attempt]) -> None:
    before = len(workbench.events())
    comparison = workbench.compare(group[0], "feedbacks", feedback=" largest first ")
    rows = {row.name: row for row in comparison.rows}
    assert list(rows) == ["given", "typed", "none", "irrelevant", "wrong"]
    assert [rows[name].how for name in ("given", "typed", "irrelevant", "wrong")] == [
        *("remark 0.", "largest first", IRRELEVANT, "remark 1.")
    ]
    assert rows["given"].values == workbench.what_if(group[0], feedback="remark 0.").view("raw")
    assert rows["none"].values == workbench.what_if(group[0]).view("raw")
    assert len({row.values for row in comparison.rows}) == 5
    assert comparison.absent == {"demonstration": "no other attempt of its group passed, and none was typed"}
    shown = workbench.compare(group[0], "feedbacks", demonstration="def f(xs):\n    return xs")
    assert "demonstration" in [row.name for row in shown.rows] and "typed" not in [row.name for row in shown.rows]
    assert len(workbench.events()) == before


def test_an_attempt_without_words_has_controls_but_nothing_given(workbench: Workbench) -> None:
    silent_task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", environment="person", name="silent")
    (attempt,) = workbench.attempt(silent_task, 1, sampling=FEW)
    comparison = workbench.compare(attempt, "feedbacks")
    assert comparison.absent.keys() >= {"given", "wrong", "demonstration"}
    assert [row.name for row in comparison.rows] == ["none", "irrelevant"]


def test_teachers_agree_before_any_update_and_part_after_it(workbench: Workbench, group: list[Attempt]) -> None:
    config = SDPOConfig(teacher="trust_region", teacher_update_rate=0.25)
    first = workbench.compare(group[0], "teachers", config=config)
    assert [row.name for row in first.rows] == ["frozen", "live", "trust_region"] and "ema" in first.absent
    assert first.rows[2].how.endswith("ρ = 0.25.") and "same credit as frozen" in first.summary()
    workbench.update(group, SDPOConfig(teacher="ema", learning_rate=0.01, steps=4))
    parted = workbench.compare(group[0], "teachers", view="control")
    assert [row.name for row in parted.rows] == ["frozen", "live", "trust_region", "ema"]
    assert len({row.values for row in parted.rows}) == 4 and parted.rows[0].view.name == "control"
    workbench.undo()


def test_mistakes_are_one_sentence(workbench: Workbench, group: list[Attempt]) -> None:
    with pytest.raises(ConfigError, match="no comparison by 'mood'"):
        workbench.compare(group[0], "mood")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no view named 'mood'"):
        workbench.compare(group[0], "teachers", view="mood")
    unknown = Attempt("a-x", "t", "g", "root", (1,), (1,), "", (0.0,), True, 1.0, 0.0, False, "")
    with pytest.raises(FeedbackError, match="no attempt 'a-x'"):
        workbench.compare(unknown, "feedbacks")


def test_two_runs_are_read_from_their_logs_while_one_is_open(workbench: Workbench, tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "other", seed=7) as other:
        one = task(other)
        attempts = other.attempt(one, 2, sampling=FEW)
        other.held_out(count=4)
        attempts = [other.give_feedback(attempt, "largest first") for attempt in attempts]
        report = other.update(attempts, SDPOConfig(learning_rate=0.001))
        after = other.held_out(count=5)
        comparison = compare_runs(workbench.run.path, other.run.path)
        assert [(run.name, run.updates) for run in comparison.runs] == [("run", 0), ("other", 1)]
        curve = comparison.runs[1].curve
        assert [(p.updates, p.update_id, p.measured.total) for p in curve] == [(0, "root", 4), (1, report.update_id, 5)]
        assert curve[1].measured == after and comparison.runs[0].curve == ()
        assert [
            (shared.task_id, shared.prompt, [rate.total for rate in shared.rates]) for shared in comparison.tasks
        ] == [(one.id, one.prompt, [3, 2])]
        assert comparison.settings["config.seed"] == (0, 7)
        assert not any(name.startswith("update.") for name in comparison.settings)  # one of them made none yet
        assert "config.model" not in comparison.settings  # the same in both
        assert "run, 0 updates: its held-out pass rate was not measured." in comparison.summary()
        assert comparison.payload()["runs"][1]["curve"][1]["passed"] == after.passed
        assert workbench.runs_beside() == [] and other.runs_beside() == []
        assert comparison.runs[0].pack is None and comparison.runs[1].pack == other.pack == "house-rules@3"
        other.update(attempts, SDPOConfig(learning_rate=0.002))
        again = compare_runs(other.run.path, copied(other.run.path, tmp_path / "copy", attempts))
        assert again.settings == {"update.learning_rate": (0.002, 0.003)}
        assert other.runs_beside() == ["copy"] and other.compare_runs("copy").settings == again.settings
        with pytest.raises(RunError, match="beside this one; there are: copy"):
            other.compare_runs("../run")
    with pytest.raises(RunError, match="There is no run"):
        compare_runs(workbench.run.path, tmp_path / "nowhere")


def copied(run: Path, to: Path, attempts: list[Attempt]) -> Path:
    """A copy of a run with one more update."""
    shutil.copytree(run, to)
    with Workbench.open(to) as workbench:
        workbench.update(attempts, SDPOConfig(learning_rate=0.003))
    return to


def test_rates_of_two_houses_are_never_one_curve(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as run, Workbench.open(tmp_path / "other") as other:
        run.held_out("house-rules@3", count=2)
        other.held_out("house-rules@4", count=3)
        comparison = compare_runs(run.run.path, other.run.path)
        assert [facts.pack for facts in comparison.runs] == ["house-rules@3", "house-rules@4"]
        assert (
            "The tasks are from house-rules@3 and house-rules@4, so these rates are not comparable."
            in comparison.summary()
        )
        run.held_out("house-rules@4", count=3)
        run.held_out("house-rules@5", count=2)
        comparison = compare_runs(run.run.path, other.run.path)
        assert [facts.pack for facts in comparison.runs] == ["house-rules@4"] * 2  # the house that both know
        assert [[point.measured.total for point in facts.curve] for facts in comparison.runs] == [[3], [3]]
        node = run.compare_nodes("root", "root").first  # in the house that is worked in, not in that measured last
        assert run.pack == "house-rules@3" and node.held_out is not None and node.held_out.total == 2


def test_an_undone_run_is_compared_where_it_was_measured(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "undone") as run:
        attempts = [run.give_feedback(a, "largest first") for a in run.attempt(task(run), 2, sampling=FEW)]
        report = run.update(attempts)
        measured = run.held_out(count=3)
        run.undo()
        facts = compare_runs(run.run.path, run.run.path).runs[0]
        assert (facts.update_id, facts.updates) == (report.update_id, 1)
        assert [point.measured for point in facts.curve] == [measured]
