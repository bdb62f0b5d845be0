"""Views: ways of reading one attempt's credit, each with the facts that a page needs in order to show it.

A view is arithmetic on numbers that were scored once (log-probabilities per context, divergences per token); none
looks at a model again. Sources: algorithm section 6 of the design, arXiv 2601.20802.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.credit.attempt_credit import TokenCredit


@dataclass(frozen=True, slots=True)
class View:
    """One reading of the credit, and how to read it."""

    name: str
    title: str
    unit: str
    signed: bool  # True: diverging colours around 0; False: 0 and up
    how_to_read: str  # one sentence
    compute: Callable[[TokenCredit], tuple[float, ...]]  # (T,)


def raw(credit: TokenCredit) -> tuple[float, ...]:
    """A_t = log q(y_t) - log pi(y_t), nats (T,): the paper's credit of the sampled token."""
    pairs = zip(credit.contexts["teacher"], credit.contexts["student"], strict=True)
    return tuple(teacher - student for teacher, student in pairs)


def centred(credit: TokenCredit) -> tuple[float, ...]:
    """A_t + KL_t, nats (T,): raw credit leans negative by construction (its mean under pi is -KL_t); this does not."""
    return tuple(value + kl for value, kl in zip(raw(credit), credit.kl, strict=True))


def divergence(credit: TokenCredit) -> tuple[float, ...]:
    """KL_t = KL(pi || q), nats (T,), 0 and up: the disagreement over the whole vocabulary."""
    return credit.kl


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        view.name: view
        for view in (
            View(
                "raw",
                "Raw credit",
                "nats",
                True,
                "Positive: having seen the feedback, the teacher wants more of this token; negative: less of it.",
                raw,
            ),
            View(
                "centred",
                "Centred credit",
                "nats",
                True,
                "Raw credit plus the divergence at this place: zero means as welcome to the teacher as the student's "
                "average token here.",
                centred,
            ),
            View(
                "divergence",
                "Divergence",
                "nats",
                False,
                "How far teacher and student disagree at this place over all tokens, whichever one was sampled.",
                divergence,
            ),
        )
    }
)
