"""Doubts about a self-teacher: from what it was shown and how it scored, why it may be no better than the student.

Pure reading of credits and teacher contexts. Knows nothing of models and verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.config import SDPOConfig
from workbench.credit import TokenCredit
from workbench.credit.scores import TopToken
from workbench.records import Attempt, FeedbackKind
from workbench.teacher_context import TeacherContext

BLAMED = math.log(2)  # nats: the teacher finds the token at most half as likely as the student did
UNREACHED = 1e-6  # probability: a loss under the student's distribution hardly pushes a token that it gives less
SILENT = 0.05  # nats: credit of this size on every token means that the teacher would write the same
BARE_KINDS: frozenset[FeedbackKind] = frozenset({"format", "outcome", "timeout"})  # they say that, not why


@dataclass(frozen=True, slots=True)
class Informed:
    """One attempt that an update would ask the self-teacher about."""

    attempt: Attempt
    context: TeacherContext
    credit: TokenCredit
    teacher_ids: tuple[int, ...]  # the teacher's prompt
    start: int  # number of the attempt's tokens that are kept when it is continued


def first_blamed(credit: TokenCredit) -> int:
    """Position of the first token that the teacher finds at most half as likely as the student did; 0 where none is."""
    least = -max(BLAMED, credit.noise_floor)
    return next((place for place, value in enumerate(credit.view("raw")) if value <= least), 0)


def doubts(informed: Sequence[Informed], config: SDPOConfig, change: float) -> tuple[str, ...]:
    """Why the teacher may be no better, and what helps: a sentence for each reason that can be told.

    `change`: the measured pass rate of the teacher minus that of the student.
    """
    checks = [_bare(informed, config), _silent(informed), _unreached(informed)]
    reasons = tuple(reason for reason in checks if reason)
    if not reasons and change < 0:
        return (
            "The teacher takes the feedback in, and yet passes less often: the feedback may be wrong, or the model "
            "too small for this template. Try another template or kind of feedback in the settings, or show a "
            "demonstration.",
        )
    return reasons


def _bare(informed: Sequence[Informed], config: SDPOConfig) -> str:
    """Is the teacher told no more than that an answer is wrong, or its form?"""
    if any(each.context.demonstration for each in informed):
        return ""
    parts = [part for each in informed for part in each.attempt.parts if part.text.strip()]
    kinds = {part.kind for part in parts if part.kind in config.feedback_kinds}
    if not kinds or not kinds <= BARE_KINDS:
        return ""
    unheard = sorted({part.kind for part in parts} - kinds)
    what = "what is wrong with the form" if kinds == {"format"} else "that the attempts fail"
    helps = f"switch on {' or '.join(unheard)}, or " if unheard else ""
    return (
        f"The feedback says {what}, and nothing of the answer itself; {helps}write feedback that says why, or show a "
        "demonstration."
    )


def _silent(informed: Sequence[Informed]) -> str:
    """Would the teacher write the same as the student, whatever it is shown?"""
    largest = max((abs(value) for each in informed for value in each.credit.view("raw")), default=0.0)
    if largest > SILENT:
        return ""
    return (
        "What the teacher is shown changes nothing in what it would write; say it in other words, try another template "
        "in the settings, or show a demonstration."
    )


def _unreached(informed: Sequence[Informed]) -> str:
    """Does the teacher want a token that the student all but rules out?"""
    tokens = [token for each in informed if (token := _out_of_reach(each.credit)) is not None]
    if not tokens:
        return ""
    token = min(tokens, key=lambda token: token.student_logp)
    return (
        f"In {len(tokens)} of {len(informed)} attempts the teacher wants a token to which the student gives next to "
        f"nothing ({token.text!r}: {token.student:.0e}): this loss hardly reaches it. Choose a task where some "
        "attempts come closer, or force the token in an attempt and show that as a demonstration."
    )


def _out_of_reach(credit: TokenCredit) -> TopToken | None:
    """The teacher's likeliest token of a place where it wants one that the student all but rules out."""
    for position in range(len(credit.token_ids)):
        likeliest = max(credit.top(position), key=lambda token: token.teacher_logp, default=None)
        if likeliest is not None and likeliest.teacher > 0.5 and likeliest.student < UNREACHED:
            return likeliest
    return None
