"""Baselines: the same number on every token, for comparison."""

from __future__ import annotations

from workbench.credit.scores import Scores
from workbench.credit.views.view import Range, View

NULL_ADVANTAGE = -1.0


def grpo(scores: Scores) -> tuple[float, ...]:
    """r - mean(r) of the group, the same on every token."""
    assert scores.advantage is not None
    return (scores.advantage,) * len(scores.token_ids)


def null(scores: Scores) -> tuple[float, ...]:
    """A fixed negative advantage on every token (arXiv 2608.31046): the baseline that knows nothing."""
    return (NULL_ADVANTAGE,) * len(scores.token_ids)


VIEWS = (
    View(
        "grpo",
        "GRPO advantage",
        "reward",
        Range(-1.0, 0.0, 1.0),
        "r − mean(r)",
        "What a method without feedback gives: the same number to every token of the attempt.",
        grpo,
        needs_advantage=True,
    ),
    View(
        "null",
        "Null",
        "",
        Range(-1.0, 0.0, 1.0),
        f"{NULL_ADVANTAGE:g}",
        "A fixed negative number on every token: credit that cannot do better than this says nothing.",
        null,
    ),
)
