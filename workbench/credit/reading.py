"""Readings of one attempt's credit: its pivots, how concentrated it is, what leaks, a sentence for people.

Plain arithmetic on `Scores`; each number is defined in `statistics.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from workbench.credit.divergence import divergence_push, with_tail
from workbench.credit.scores import Scores, TopToken
from workbench.credit.statistics import cosine, gini, strongest, top_share
from workbench.credit.views.controls import control
from workbench.errors import CreditError

PIVOT_SHARE = 0.8  # of the absolute credit, that the pivots hold together
SAME_CREDIT = 0.1  # |A - A[template only]| up to this share of |A| is about the same credit


@dataclass(frozen=True, slots=True)
class Pivot:
    """One of the few tokens that hold most of the credit."""

    position: int  # from 0
    token: str
    credit: float  # nats
    share: float  # of the attempt's absolute credit above the noise floor, 0 to 1
    teacher_writes: str  # the self-teacher's likeliest token here
    teacher_writes_id: int


@dataclass(frozen=True, slots=True)
class Concentration:
    """Unevenness of the absolute credit over the tokens; NaN where there is none."""

    top_share: float  # on the strongest 5 % of the tokens, 0 to 1
    top_count: int  # how many tokens that is
    gini: float  # 0 = evenly, near 1 = all on one token


def favourite(credit: Scores, position: int) -> TopToken | None:
    """The token that the self-teacher would write at a position; None where no alternatives were kept."""
    return max(credit.alternatives[position], key=lambda token: token.teacher_logp, default=None)


def push(credit: Scores, position: int, distillation_alpha: float) -> tuple[float, ...]:
    """See `TokenCredit.push`."""
    listed = credit.top(position)
    student, teacher = (
        with_tail(torch.tensor([[getattr(token, side) for token in listed]], dtype=torch.float64))
        for side in ("student_logp", "teacher_logp")
    )
    return tuple(divergence_push(student, teacher, distillation_alpha)[0].tolist())


def pivots(credit: Scores, share: float = PIVOT_SHARE) -> list[Pivot]:
    """The fewest tokens above the noise floor that hold `share` of the credit there, the strongest first."""
    values = credit.credit_under("teacher")
    total = sum(abs(value) for value in values if abs(value) > credit.noise_floor)
    strong = []
    for place in strongest(values, share, noise_floor=credit.noise_floor):
        preferred = favourite(credit, place)
        text, token_id = ("", -1) if preferred is None else (preferred.text, preferred.id)
        strong.append(Pivot(place, credit.tokens[place], values[place], abs(values[place]) / total, text, token_id))
    return strong


def concentration(credit: Scores) -> Concentration:
    """Concentration of the raw credit: the share of the top tokens, their number, and the Gini coefficient."""
    values = credit.credit_under("teacher")
    share, count = top_share(values)
    return Concentration(share, count, gini(values))


def leakage(credit: Scores) -> float:
    """Cosine of A and A[answer only], -1 to 1: near 1, the credit hardly depends on the question.

    Then the feedback gives the answer away. NaN where one of them is zero. Raises CreditError without that context.
    """
    if "answer_only" not in credit.contexts:
        reason = credit.absent.get("answer_only", "it was not scored; ask for it with contexts='all'")
        raise CreditError(f"The leakage meter needs the context 'answer_only': {reason}.")
    return cosine(credit.credit_under("teacher"), credit.credit_under("answer_only"))


def same_as_no_feedback(credit: Scores) -> bool | None:
    """True where the self-teacher's wording alone gives about the same credit; None where that was not scored."""
    if "template_only" not in credit.contexts:
        return None
    changed, raw = control(credit), credit.credit_under("teacher")
    return sum(map(abs, changed)) <= max(SAME_CREDIT * sum(map(abs, raw)), credit.noise_floor * len(raw))


def summary(credit: Scores) -> str:
    """Summary of the heatmap in a sentence or two made from the numbers. Tokens are counted from 1."""
    values = credit.credit_under("teacher")
    if not values:
        return "This attempt has no tokens."
    place = max(range(len(values)), key=lambda position: abs(values[position]))
    if abs(values[place]) <= credit.noise_floor:
        return f"Nothing here is above the noise floor ({credit.noise_floor:.2g} nats)."
    share, count = top_share(values)
    summary = f"{_strongest(credit, place)} {100 * share:.0f} % of the credit is on {count} of {len(values)} tokens."
    if same_as_no_feedback(credit):
        summary += " This feedback gives about the same credit as no feedback: see the control view."
    return summary


def _strongest(credit: Scores, place: int) -> str:
    teacher, student = (math.exp(credit.contexts[name][place]) for name in ("teacher", "student"))
    sentence = (
        f"The teacher disagrees most at token {place + 1} ({quoted(credit.tokens[place])}): "
        f"it gives {_probability(teacher)} where the student gave {_probability(student)}"
    )
    preferred = favourite(credit, place)
    if preferred is None:
        return f"{sentence}."
    if preferred.id == credit.token_ids[place]:
        return f"{sentence}, and would write it too."
    return f"{sentence}, and would write {quoted(preferred.text)}."


def quoted(text: str) -> str:
    """A token in backticks, with its white space visible."""
    return "`" + text.replace("\n", "⏎").replace("\t", "⇥").replace("`", "´") + "`"


def _probability(value: float) -> str:
    """Short form of a probability: .71, .001, "under .001", 1."""
    if value < 0.0005:
        return "under .001"
    if value < 0.01:
        return f"{value:.3f}"[1:]
    return f"{value:.2f}"[1:] if value < 0.995 else "1"
