"""Cumulative credit: raw credit added up along the attempt (arXiv 2605.11613). Stored under the name "evidence"."""

from __future__ import annotations

import itertools

from workbench.credit.scores import Scores
from workbench.credit.views.view import ANY, View


def cumulative(scores: Scores) -> tuple[float, ...]:
    """sum of A_s over s <= t, nats; its end is the pointwise mutual information of attempt and feedback given the
    question."""
    return tuple(itertools.accumulate(scores.credit_under("teacher")))


VIEWS = (
    View(
        "evidence",
        "Cumulative credit",
        "nats",
        ANY,
        "Σ A up to this token",
        "What the attempt so far says of the feedback: its end is how much likelier the whole attempt is to the "
        "teacher than to the student.",
        cumulative,
    ),
)
