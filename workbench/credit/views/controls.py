"""Controls: raw credit minus what another context gives, so that only one cause of it is left."""

from __future__ import annotations

from workbench.credit.contexts import REQUIRED_CONTEXTS
from workbench.credit.scores import Scores
from workbench.credit.views.view import ANY, View

# a of the contrastive view. 0 is raw credit; at 1 the surprise of the sampled token drowns the credit in most places.
CONTRASTIVE_WEIGHT = 0.1


def contrastive(scores: Scores) -> tuple[float, ...]:
    """log q(y|x,f) - a log q(y|x',f) - log pi(y|x), nats (CREDIT, arXiv 2605.11613), with one mismatched question x'
    for the expectation and a = CONTRASTIVE_WEIGHT."""
    pairs = zip(scores.credit_under("teacher"), scores.contexts["mismatched_question"], strict=True)
    return tuple(value - CONTRASTIVE_WEIGHT * other for value, other in pairs)


def control(scores: Scores) -> tuple[float, ...]:
    """A_t - A_t[template only], nats (arXiv 2606.11709)."""
    return _minus(scores, "template_only")


def control_wrong(scores: Scores) -> tuple[float, ...]:
    """A_t - A_t[wrong feedback], nats (arXiv 2606.11709)."""
    return _minus(scores, "wrong_feedback")


def _minus(scores: Scores, context: str) -> tuple[float, ...]:
    """A_t - A_t[context]: the student's part cancels, so this is log q(teacher) - log q(context)."""
    pairs = zip(scores.contexts["teacher"], scores.contexts[context], strict=True)
    return tuple(teacher - other for teacher, other in pairs)


VIEWS = (
    View(
        "contrastive",
        "Contrastive credit",
        "nats",
        ANY,
        f"A − {CONTRASTIVE_WEIGHT:g} · log q[mismatched question]",
        "Raw credit, with a bonus for tokens that this feedback would not make likely under another question.",
        contrastive,
        (*REQUIRED_CONTEXTS, "mismatched_question"),
    ),
    View(
        "control",
        "Control: minus no feedback",
        "nats",
        ANY,
        "A − A[template only]",
        "Credit that is due to the feedback itself: what the self-teacher's wording alone gives is taken away.",
        control,
        (*REQUIRED_CONTEXTS, "template_only"),
    ),
    View(
        "control_wrong",
        "Control: minus wrong feedback",
        "nats",
        ANY,
        "A − A[wrong feedback]",
        "Credit that is due to this feedback and not to just any: what another attempt's feedback gives is taken away.",
        control_wrong,
        (*REQUIRED_CONTEXTS, "wrong_feedback"),
    ),
)
