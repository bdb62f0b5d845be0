"""The formulas of the views, over tuples: a scored attempt in, one number per token (T,) out.

Sign: + = more of the token is wanted. Sources as given; A_t is `raw`. What is read straight off the scores
(divergences, entropies) needs no formula here.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from workbench.config import SDPOConfig

if TYPE_CHECKING:
    from workbench.credit.attempt_credit import TokenCredit

DEFAULTS = SDPOConfig()  # the weights are shown as an update with default settings takes them
# a of the contrastive view. 0 is raw credit; at 1 the surprise of the sampled token drowns the credit in most places.
CONTRASTIVE_WEIGHT = 0.1
NULL_ADVANTAGE = -1.0


def credit_under(credit: TokenCredit, context: str) -> tuple[float, ...]:
    """A_t[context] = log q(y_t | context) - log pi(y_t), nats: the credit that another context would give."""
    pairs = zip(credit.contexts[context], credit.contexts["student"], strict=True)
    return tuple(teacher - student for teacher, student in pairs)


def raw(credit: TokenCredit) -> tuple[float, ...]:
    """A_t = log q(y_t) - log pi(y_t), nats: the paper's credit of the sampled token."""
    return credit_under(credit, "teacher")


def centred(credit: TokenCredit) -> tuple[float, ...]:
    """A_t + KL_t, nats: raw credit leans negative by construction (its mean under pi is -KL_t); this does not."""
    return tuple(value + kl for value, kl in zip(raw(credit), credit.kl, strict=True))


def evidence(credit: TokenCredit) -> tuple[float, ...]:
    """sum of A_s over s <= t, nats; its end is the pointwise mutual information of attempt and feedback given the
    question (arXiv 2605.11613)."""
    return tuple(itertools.accumulate(raw(credit)))


def contrastive(credit: TokenCredit) -> tuple[float, ...]:
    """log q(y|x,f) - a log q(y|x',f) - log pi(y|x), nats (CREDIT, arXiv 2605.11613), with one mismatched question x'
    for the expectation and a = CONTRASTIVE_WEIGHT."""
    pairs = zip(raw(credit), credit.contexts["mismatched_question"], strict=True)
    return tuple(value - CONTRASTIVE_WEIGHT * other for value, other in pairs)


def control(credit: TokenCredit) -> tuple[float, ...]:
    """A_t - A_t[template only], nats (arXiv 2606.11709)."""
    return _minus(credit, "template_only")


def control_wrong(credit: TokenCredit) -> tuple[float, ...]:
    """A_t - A_t[wrong feedback], nats (arXiv 2606.11709)."""
    return _minus(credit, "wrong_feedback")


def rlsd(credit: TokenCredit) -> tuple[float, ...]:
    """RLSD's weights (`weights.evidence_weights`), by the attempt's GRPO advantage."""
    import torch  # by those that compute alone: the table of views is also the page's, which is drawn without it

    from workbench.credit.weights import evidence_weights

    assert credit.advantage is not None
    values = torch.tensor(raw(credit), dtype=torch.float64)
    advantages = torch.full_like(values, credit.advantage)
    return tuple(evidence_weights(values, advantages, DEFAULTS.evidence_clip).tolist())


def srpo(credit: TokenCredit) -> tuple[float, ...]:
    """SRPO's weights (`weights.entropy_weights`), their mean taken over this attempt alone."""
    import torch

    from workbench.credit.weights import entropy_weights

    entropies = torch.tensor(credit.entropy_teacher, dtype=torch.float64)
    return tuple(entropy_weights(entropies, DEFAULTS.entropy_beta).tolist())


def grpo(credit: TokenCredit) -> tuple[float, ...]:
    """r - mean(r) of the group, the same on every token."""
    assert credit.advantage is not None
    return (credit.advantage,) * len(credit.token_ids)


def null(credit: TokenCredit) -> tuple[float, ...]:
    """A fixed negative advantage on every token (arXiv 2608.31046): the baseline that knows nothing."""
    return (NULL_ADVANTAGE,) * len(credit.token_ids)


def _minus(credit: TokenCredit, context: str) -> tuple[float, ...]:
    """A_t - A_t[context]: the student's part cancels, so this is log q(teacher) - log q(context)."""
    pairs = zip(credit.contexts["teacher"], credit.contexts[context], strict=True)
    return tuple(teacher - other for teacher, other in pairs)
