"""Findings on made-up points whose answer is known, and what a report looks like on disk."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from workbench.cli.reports import _filled
from workbench.errors import ConfigError
from workbench.experiments.findings import make_report
from workbench.experiments.findings.discover import attempts_for, discovery_at
from workbench.experiments.findings.learn import reached
from workbench.experiments.journal import Point, Record
from workbench.experiments.report import shown
from workbench.statistics import Estimate, bootstrap, bootstrap_mean, mean_estimate, wilson


def test_a_mean_has_the_interval_of_students_t() -> None:
    values = [0.9, 0.7, 0.8, 0.95, 0.65]
    estimate = mean_estimate(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((np.mean(values), low, high))
    assert mean_estimate([0.5]).value == 0.5 and math.isnan(mean_estimate([0.5]).low)
    rate = mean_estimate([1.0, 1.0, 0.4], within=(0, 1))
    assert (rate.value, rate.high) == (pytest.approx(0.8), 1) and 0 <= rate.low < 0.4


def test_a_bootstrap_covers_as_often_as_it_says() -> None:
    generator, covered = np.random.default_rng(0), 0
    for trial in range(200):
        sample = generator.normal(1.0, 1.0, size=40)

        def mean(chosen: Any, sample: np.ndarray = sample) -> float:
            return float(sample[list(chosen)].mean())

        estimate = bootstrap(40, mean, level=0.9, draws=300, seed=trial)
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.8 < covered / 200 < 0.97  # 0.9 in the limit


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_the_bootstrap_of_a_mean_is_that_of_any_statistic(count: int) -> None:
    values = [float(number**2 % 17) for number in range(count)]
    slow = bootstrap(count, lambda chosen: sum(values[index] for index in chosen) / count, level=0.95, draws=200)
    fast = bootstrap_mean(values, level=0.95, draws=200)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), nan_ok=True)


def test_a_bootstrap_with_what_was_not_reached_keeps_infinity() -> None:
    values = [10.0, math.inf, 20.0]
    estimate = bootstrap(3, lambda chosen: sorted(values[index] for index in chosen)[1])
    assert (estimate.value, estimate.high) == (20.0, math.inf)
    assert shown(estimate).startswith("20 (10 to not reached")


def test_a_rate_is_reached_where_the_mean_curve_crosses_it() -> None:
    several = [{0: 0.2, 100: 0.4, 200: 0.8}, {0: 0.4, 100: 0.6, 200: 1.0}]  # means .3, .5, .9
    assert reached(several, 0.3) == 0 and reached(several, 0.7) == pytest.approx(150)
    assert reached(several, 0.95) == math.inf


def learned(seed: int, rates: dict[str, list[int]]) -> Record:
    """A comparison with made-up held-out counts of 10, 8 attempts a round."""
    data = {"pass_rate": 0.5, "tokens": 30.0, "seconds_s": 1.0, "entropy": 0.4, "kl_to_base": 0.1, "refused": None}
    arms = {
        arm: [
            Point(
                arm,
                step,
                "u",
                {**data, "held_out": {"passed": passed, "total": 10}, "alarms": ["kl"] if step > 2 else []},
            )
            for step, passed in enumerate(counts)
        ]
        for arm, counts in rates.items()
    }
    settings = {"kind": "learn", "seed": seed, "pack": "house-rules@<b>", "questions": 2, "attempts": 4}
    return Record("learn", settings, "root", arms)


RATES = {"sdpo": [2, 6, 8, 9, 9], "grpo": [2, 3, 4, 5, 6]}


def test_learning_is_compared_with_grpo() -> None:
    report = make_report([learned(0, RATES), learned(1, RATES)], {"cores": 2}).to_json()
    tables = {table["title"]: table for table in report["tables"]}
    (row,) = tables["Attempts until grpo's final rate"]["rows"]
    assert row[0] == "sdpo" and row[1] == pytest.approx(0.6)
    assert (row[2]["value"], row[3]["value"]) == (pytest.approx(8.0), pytest.approx(4.0))  # 8 attempts against 32
    ends = {row[0]: row for row in tables["How the arms end"]["rows"]}
    assert ends["sdpo"][3] == {
        "value": pytest.approx(0.9),
        "low": pytest.approx(0.9),
        "high": pytest.approx(0.9),
        "count": 2,
    }
    alarms = {row[0]: row for row in tables["Alarms"]["rows"]}["grpo"]
    assert alarms[2] == "kl 4" and [alarms[n]["value"] for n in (3, 4, 5, 6)] == pytest.approx([3.0, 0.4, 0.6, 0.6])
    assert report["points"]["1"]["grpo"][4]["held_out"]["passed"] == 6
    json.dumps(report, allow_nan=False)


def test_a_rate_of_one_seed_has_the_interval_of_its_tasks() -> None:
    report = make_report([learned(0, RATES)], {})
    low, high = wilson(2, 10)
    ends = {row[0]: row for row in report.tables[0].rows}
    assert ends["sdpo"][2] == Estimate(0.2, low, high, 10)
    band = report.figures[0][1].data[0]  # up along the upper ends, back along the lower ones
    assert (band.y[0], band.y[-1]) == (high, low) and len(band.x) == 2 * len(RATES["sdpo"])


def searched(seed: int, solved_at: dict[str, list[int | None]]) -> Record:
    """Discoveries with a budget of 20: per method, where each task was solved."""
    tasks = [{"id": f"t/{number}", "prompt": "Q", "passed": 1, "total": 100} for number in range(4)]
    arms = {
        f"{method} {task['id']}": [Point("", 0, "u", {"found_at": at, "done": True})]
        for method, row in solved_at.items()
        for task, at in zip(tasks, row, strict=True)
    }
    settings = {"kind": "discover", "seed": seed, "tasks": tasks, "methods": list(solved_at), "budget": 20}
    return Record("discover", settings, "root", arms)


def test_discoveries_are_compared_at_equal_shares() -> None:
    solved_at: dict[str, list[int | None]] = {"sdpo": [2, 4, 6, None], "best_of_k": [6, 18, None, None]}
    report = make_report([searched(0, solved_at), searched(1, solved_at)], {}).to_json()
    shares, each = report["tables"]
    best = {row[0]: row for row in shares["rows"]}["best_of_k"]
    assert (best[1]["value"], best[2]["value"], best[3]["value"], best[4]["value"]) == (0.5, 6.0, 18.0, None)
    assert best[5]["value"] == pytest.approx(18 / 4)  # both methods' attempts for the half that best-of-k solves
    assert [row[-1] for row in each["rows"]] == ["", "", "", ""] and each["rows"][2][3:5] == [
        "6 (2 of 2)",
        "– (0 of 2)",
    ]
    lost = make_report([searched(0, {"sdpo": [9, 4, 6, 7], "best_of_k": [3, 18, 19, 19]})], {}).to_json()
    assert lost["tables"][1]["rows"][0][-1] == "best_of_k"


def test_discovery_at_k_counts_what_was_found_by_then() -> None:
    times = np.array([[1.0, 3.0], [math.inf, 5.0]])
    assert [discovery_at(times, k).value for k in (1, 3, 5)] == [0.25, 0.5, 0.75]
    assert [attempts_for(times, share) for share in (0.25, 0.5, 0.75, 1.0)] == [1.0, 3.0, 5.0, math.inf]


def test_the_gate_is_right_where_what_was_measured_has_its_sign() -> None:
    def asked(feedback: str, verdict: str, teacher: float, student: float) -> dict[str, Any]:
        gate = {"verdict": verdict, "tokens": 100, "teacher": {"total": 16}}
        lift = {"tokens": 1000, "teacher": {"rate": teacher}, "student": {"rate": student}}
        return {"feedback": feedback, "gate": gate, "lift": lift}

    data = [
        asked("own", "better", 0.9, 0.5),
        asked("own", "better", 0.4, 0.5),  # wrong
        asked("other", "not better", 0.5, 0.5),  # equal is not better
        asked("other", "unknown", 0.25, 0.5),
        {"feedback": "own", "refused": "no teacher"},
    ]
    points = [Point("gate", step, "root", entry) for step, entry in enumerate(data)]
    record = Record("study-gate", {"kind": "gate", "seed": 0}, "root", {"gate": points})
    report = make_report([record], {}).to_json()
    (table,) = report["tables"]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert report["title"] == "Is the teacher better? 4 updates"
    assert (rows["own"]["better, right"], rows["other"]["not better, right"]) == ("2, 1", "1, 1")
    assert rows["all"]["right, of the known"]["passed"] == 2 and rows["all"]["right, of the known"]["total"] == 3
    assert rows["other"]["not known"] == 1 and rows["other"]["measured lift of the unknown"]["value"] == -0.25
    assert rows["all"]["share of the full measurement"] == 0.1


class _Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_whole_in_itself_and_escapes_text(tmp_path: Path) -> None:
    page = make_report([learned(0, RATES)], {}).to_html()
    tags = _Tags()
    tags.feed(page)
    assert not any("src" in attributes or tag in ("link", "iframe", "b") for tag, attributes in tags.found)
    assert page.count("plotly.js v") == 1 and page.count("Plotly.newPlot(") >= 4
    titles = re.findall(r'"title":\{"text":"([^"]+)"\}', page)
    assert "attempts" in titles and "held-out pass rate" in titles and any("nats" in title for title in titles)


def test_records_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="no experiment"):
        make_report([], {})
    with pytest.raises(ConfigError, match="different experiments, or two with one seed"):
        make_report([learned(0, RATES), learned(0, RATES)], {})


def test_tables_fill_their_block_of_a_page_again_and_again() -> None:
    page = "before\n<!-- learn -->\nold\n<!-- /learn -->\nafter\n"
    filled = _filled(page, "learn", "| new |")
    assert filled == "before\n<!-- learn -->\n\n| new |\n\n<!-- /learn -->\nafter\n"
    assert _filled(filled, "learn", "| new |") == filled
    with pytest.raises(ConfigError, match="no block of discover"):
        _filled(page, "discover", "")


def test_cells_are_worded_for_people() -> None:
    assert shown(Estimate(0.5, 0.25, 0.75, 4)) == "0.5 (0.25 to 0.75)"
    assert shown(Estimate(math.inf, math.inf, math.inf, 4)) == "not reached"
    assert shown(Estimate(0.5, math.nan, math.nan, 1)) == "0.5" and shown(None) == ""
    assert shown(Estimate(0.1234, 0.0807, 17.34, 4), 2) == "0.12 (0.081 to 17)"
