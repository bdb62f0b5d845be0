"""The view `surprise`: how unlikely the student itself found each token."""

from __future__ import annotations

from workbench.credit import Scores, View
from workbench.credit.views import FROM_ZERO


def surprise(scores: Scores) -> list[float]:
    """-log π(y_t), nats: 0 where the student was certain of the token."""
    return [-logp for logp in scores.contexts["student"]]


SURPRISE = View(
    name="surprise",
    title="Surprise",
    unit="nats",
    range=FROM_ZERO,
    formula="−log π",
    how_to_read="How unlikely the student found its own token: where it is low, only the teacher can doubt it.",
    compute=surprise,
)
