"""Weights of the methods that combine reward and credit, as an update with default settings takes them."""

from __future__ import annotations

import math

from workbench.config import SDPOConfig
from workbench.credit.scores import Scores
from workbench.credit.views.view import Range, View

DEFAULTS = SDPOConfig()


def rlsd(scores: Scores) -> tuple[float, ...]:
    """RLSD's weights (`credit.weights.evidence_weights`), by the attempt's GRPO advantage."""
    import torch  # by those that compute alone: the table of views is also the page's, which is drawn without it

    from workbench.credit.weights import evidence_weights

    assert scores.advantage is not None
    values = torch.tensor(scores.credit_under("teacher"), dtype=torch.float64)
    advantages = torch.full_like(values, scores.advantage)
    return tuple(evidence_weights(values, advantages, DEFAULTS.evidence_clip).tolist())


def srpo(scores: Scores) -> tuple[float, ...]:
    """SRPO's weights (`credit.weights.entropy_weights`), their mean taken over this attempt alone."""
    import torch

    from workbench.credit.weights import entropy_weights

    entropies = torch.tensor(scores.entropy_teacher, dtype=torch.float64)
    return tuple(entropy_weights(entropies, DEFAULTS.entropy_beta).tolist())


VIEWS = (
    View(
        "rlsd",
        "RLSD weight",
        "weight",
        Range(1.0 - DEFAULTS.evidence_clip, 1.0, 1.0 + DEFAULTS.evidence_clip),
        "exp(sign(A_seq) · A), clipped",
        "How much of the attempt's reward each token gets: above 1 more than its share, below 1 less.",
        rlsd,
        needs_advantage=True,
    ),
    View(
        "srpo",
        "SRPO weight",
        "weight",
        Range(0.0, 1.0, math.inf),
        "exp(−β H[q]) / mean",
        "How much a token counts in the distillation: above 1 where the teacher is sure, below 1 where it is not.",
        srpo,
    ),
)
