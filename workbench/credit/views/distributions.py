"""Views of both sides' whole distributions at each place, read straight off the scores."""

from __future__ import annotations

import math

from workbench.credit.views.view import FROM_ZERO, Range, View

VIEWS = (
    View(
        "divergence",
        "Divergence",
        "nats",
        FROM_ZERO,
        "KL(π ‖ q)",
        "How far teacher and student disagree at this place over all tokens, whichever one was sampled.",
        lambda scores: scores.kl,
    ),
    View(
        "jsd",
        "Jensen-Shannon divergence",
        "nats",
        Range(0.0, 0.0, math.log(2.0)),
        "½ KL(π ‖ ½(π+q)) + ½ KL(q ‖ ½(π+q))",
        "The same disagreement on a bounded scale: 0 is agreement, log 2 is no common token at all.",
        lambda scores: scores.jsd,
    ),
    View(
        "entropy_student",
        "Entropy of the student",
        "nats",
        FROM_ZERO,
        "−Σ π log π",
        "How undecided the student was at this place.",
        lambda scores: scores.entropy_student,
    ),
    View(
        "entropy_teacher",
        "Entropy of the teacher",
        "nats",
        FROM_ZERO,
        "−Σ q log q",
        "How undecided the teacher is at this place: where it is high, its credit says little.",
        lambda scores: scores.entropy_teacher,
    ),
)
