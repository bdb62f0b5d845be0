"""Views of the log-ratio of teacher and student at the sampled token (paper, section 3)."""

from __future__ import annotations

from workbench.credit.scores import Scores
from workbench.credit.views.view import ANY, View


def raw(scores: Scores) -> tuple[float, ...]:
    """A_t = log q(y_t) - log pi(y_t), nats: the paper's credit of the sampled token."""
    return scores.credit_under("teacher")


def centred(scores: Scores) -> tuple[float, ...]:
    """A_t + KL_t, nats: raw credit leans negative by construction (its mean under pi is -KL_t); this does not."""
    return tuple(value + kl for value, kl in zip(raw(scores), scores.kl, strict=True))


VIEWS = (
    View(
        "raw",
        "Raw credit",
        "nats",
        ANY,
        "A = log q − log π",
        "Positive: having seen the feedback, the teacher wants more of this token; negative: less of it.",
        raw,
    ),
    View(
        "centred",
        "Centred credit",
        "nats",
        ANY,
        "A + KL(π ‖ q)",
        "Raw credit plus the divergence at this place: zero means as welcome to the teacher as the student's average "
        "token here.",
        centred,
    ),
)
