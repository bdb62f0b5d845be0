"""Statistics of credit against SciPy and against values counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from workbench.credit.statistics import auroc, gini, rank_correlation, sign_agreement, top_share


def test_sign_agreement_counts_only_what_is_above_the_noise() -> None:
    predicted = [1.0, -1.0, 1.0, 1.0, 0.0]
    realised = [0.5, -0.5, -0.5, 0.001, 0.5]  # the fourth is noise, the fifth has no prediction
    assert sign_agreement(predicted, realised, noise_floor=0.01) == pytest.approx(2 / 3)
    assert sign_agreement(predicted, realised, noise_floor=0.0) == pytest.approx(3 / 4)
    assert math.isnan(sign_agreement(predicted, realised, noise_floor=1.0))
    with pytest.raises(ValueError):
        sign_agreement(predicted, realised[:2], noise_floor=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_equals_scipy_with_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    predicted = generator.integers(1, 6, 40) / 2.0
    realised = predicted * generator.normal(1.0, 1.0, 40).round(1)
    kept = np.abs(realised) > 0.3
    expected = stats.spearmanr(predicted[kept], realised[kept]).statistic
    got = rank_correlation(predicted.tolist(), realised.tolist(), noise_floor=0.3)
    assert got == pytest.approx(expected, abs=1e-12)


def test_rank_correlation_has_no_answer_for_too_little() -> None:
    assert math.isnan(rank_correlation([1.0, 2.0], [1.0, 2.0], noise_floor=0.0))
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], noise_floor=0.0))


def test_top_share_and_gini() -> None:
    even, single = [0.5, -0.5] * 10, [0.0] * 19 + [-3.0]
    assert top_share(even) == (pytest.approx(0.05), 1) and gini(even) == pytest.approx(0.0)
    assert top_share(single) == (pytest.approx(1.0), 1) and gini(single) == pytest.approx(19 / 20)
    assert top_share([1.0] * 31)[1] == 2
    assert gini([1.0, 3.0]) == pytest.approx(0.25)  # mean absolute difference / (2 * mean) = 1 / 4
    for nothing in ([], [0.0, 0.0]):
        assert math.isnan(top_share(nothing)[0]) and math.isnan(gini(nothing))


@pytest.mark.parametrize("seed", range(5))
def test_auroc_equals_the_mann_whitney_statistic(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.random(30) < 0.3
    labels[:2] = [True, False]
    scores = generator.integers(0, 8, 30) + 2 * labels
    u = stats.mannwhitneyu(scores[labels], scores[~labels]).statistic
    assert auroc(scores.tolist(), labels.tolist()) == pytest.approx(u / (labels.sum() * (~labels).sum()))


def test_auroc_needs_both_kinds() -> None:
    assert math.isnan(auroc([1.0, 2.0], [True, True])) and math.isnan(auroc([], []))
    with pytest.raises(ValueError, match="2 scores"):
        auroc([1.0, 2.0], [True])
