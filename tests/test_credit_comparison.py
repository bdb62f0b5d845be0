"""Rows of numbers side by side: one scale, rank correlations, and what is said of them. No model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from workbench.credit import VIEWS, TokenCredit
from workbench.credit.comparison import of_credits, of_estimators
from workbench.credit.statistics import scale_end, spearman
from workbench.errors import CreditError

STUDENT = (-0.5, -0.7, -0.3, -0.4)


def credit(given: tuple[float, ...] = (0.2, -4.0, 0.001, 1.0), **changes: object) -> TokenCredit:
    count = len(given)
    made = TokenCredit(
        attempt_id="a",
        tokens=tuple("wxyz"[:count]),
        token_ids=tuple(range(count)),
        contexts={"student": STUDENT, "teacher": tuple(s + a for s, a in zip(STUDENT, given, strict=True))},
        kl=(0.1, 2.0, 0.0, 0.3),
        jsd=(0.01, 0.3, 0.0, 0.05),
        entropy_student=(1.0, 1.0, 1.0, 1.0),
        entropy_teacher=(0.5, 0.1, 0.9, 0.4),
        noise_floor=0.01,
        temperature=1.0,
        alternatives=((),) * count,
        advantage=-0.25,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_every_view_that_the_credit_allows_is_a_row_and_the_others_say_why_not() -> None:
    found = of_estimators(credit())
    assert [row.name for row in found.rows] == credit().views()
    assert (
        set(found.absent) == VIEWS.keys() - set(credit().views())
        and "mismatched_question" in found.absent["contrastive"]
    )
    assert "reward" in of_estimators(credit(advantage=None)).absent["grpo"]


def test_all_rows_in_nats_share_the_one_scale_that_is_printed() -> None:
    found = of_estimators(credit())
    values = [abs(value) for row in found.rows if row.view.unit == "nats" for value in row.values]
    assert (
        found.limit == max(values) == found.payload()["limit"]
    )  # of less than 100 values the 99th percentile is the largest
    assert scale_end([1.0] * 198 + [5.0, 9.0]) == 1.0 and scale_end([]) == 0.0


def test_rank_correlations_are_spearmans_over_what_is_above_the_noise() -> None:
    found = of_estimators(credit())
    names = [row.name for row in found.rows]
    rho = found.correlations
    raw, centred, grpo, student = (names.index(name) for name in ("raw", "centred", "grpo", "entropy_student"))
    assert rho[raw][raw] == pytest.approx(1.0) and rho[raw][centred] == rho[centred][raw]
    assert rho[raw][centred] == pytest.approx(spearman((0.2, -4.0, 0.0, 1.0), (0.3, -2.0, 0.0, 1.3)))
    assert math.isnan(rho[grpo][raw]) and math.isnan(rho[student][raw])
    assert found.payload()["correlations"][grpo][raw] is None
    quiet = of_credits(
        "feedbacks",
        {n: (n, "", credit(g)) for n, g in (("a", (0.001, 0.002, -0.003, 0.0)), ("b", (1.0, 2.0, 3.0, 4.0)))},
    )
    assert math.isnan(quiet.correlations[0][1])  # all of the first row is noise: it ranks nothing


def test_spearman_is_what_scipy_gives_ties_included() -> None:
    from scipy.stats import spearmanr

    a, b = (1.0, 2.0, 2.0, 5.0, -3.0), (0.0, 7.0, 1.0, 1.0, -2.0)
    assert spearman(a, b) == pytest.approx(float(spearmanr(a, b).statistic), abs=1e-12)
    assert math.isnan(spearman((1.0, 2.0), (1.0, 2.0))) and math.isnan(spearman((1.0,) * 4, (1.0, 2.0, 3.0, 4.0)))
    with pytest.raises(ValueError, match="3 and 4"):
        spearman((1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0))


def test_the_sentence_names_what_is_alike_and_what_says_nothing() -> None:
    said = of_estimators(credit()).summary()
    assert said.startswith("Centred credit ranks the tokens most like raw credit does (ρ 1.00)")
    assert "GRPO advantage" in said and "every token the same number" in said


def test_feedbacks_are_compared_by_how_much_credit_each_gives() -> None:
    rows = {"given": ("What it was told", "", credit()), "none": ("Nothing", "", credit((0.002, 0.0, 0.0, 0.5)))}
    found = of_credits("feedbacks", rows, absent={"wrong": "no other attempt"})
    assert found.rows[0].size == pytest.approx(5.2) and found.rows[1].size == pytest.approx(0.5)
    assert found.summary() == "Credit over the whole attempt, in nats: what it was told 5.2, nothing 0.5."
    assert found.payload()["absent"] == {"wrong": "no other attempt"}
    same = of_credits("teachers", {"live": ("Live", "", credit()), "ema": ("Ema", "", credit())})
    assert same.summary().endswith("Ema gives the same credit as live, up to the noise.")
    silent = of_credits("feedbacks", {n: (n, "", credit((0.0,) * 4)) for n in "ab"})
    assert silent.summary() == "Nothing here is above the noise floor, whichever way it is read."


def test_a_view_that_cannot_be_read_and_other_tokens_are_refused() -> None:
    with pytest.raises(CreditError, match="template_only"):
        of_credits("teachers", {"live": ("Live", "", credit())}, view="control")
    with pytest.raises(KeyError):
        of_credits("teachers", {"live": ("Live", "", credit())}, view="mood")
    other = credit(token_ids=(9, 9, 9, 9))
    with pytest.raises(ValueError, match="different tokens"):
        of_credits("teachers", {"live": ("Live", "", credit()), "ema": ("Ema", "", other)})
