"""One attempt under several estimators, teachers or feedbacks: what is scored for each, and what is unavailable.

How the numbers are laid side by side is `workbench.credit.comparison`'s. Knows nothing of a run's files and of pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

from workbench import teacher_context
from workbench.config import TEACHERS, SDPOConfig
from workbench.credit import TokenCredit
from workbench.credit.comparison import By, Comparison, of_credits, of_estimators
from workbench.errors import ConfigError, CreditError
from workbench.records import Attempt
from workbench.session import scoring
from workbench.session.core import SessionCore
from workbench.session.teaching import context_for
from workbench.teacher_context import TeacherContext

# A sentence about no task: credit under it is due to being shown anything at all.
IRRELEVANT = "The meeting has been moved to Tuesday."


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way of reading an attempt: a teacher context and settings."""

    name: str
    title: str
    how: str
    shown: TeacherContext
    config: SDPOConfig


def compare(
    session: SessionCore,
    attempt: Attempt,
    by: By = "estimators",
    *,
    config: SDPOConfig | None = None,
    view: str = "raw",
    feedback: str = "",
    demonstration: str = "",
) -> Comparison:
    """Read an attempt's tokens in several ways, on one scale, with the rank correlation of each pair.

    `by`: "estimators" reads one credit in every view that it allows, and puts it on disk as `credit` does.
    "teachers" reads the `view` of the credit that each self-teacher gives; "feedbacks" that under the feedback
    that is in force, each kind of it alone, none, an irrelevant sentence, another attempt's feedback, `feedback` where
    some is typed, and a demonstration (`demonstration`, or a passed attempt of the group); these two record nothing.
    Whatever is unavailable is in `absent` of the comparison, with the reason.

    Raises ConfigError (an unknown kind or view), FeedbackError, PromptError, CreditError (nothing can be read so).
    """
    if by not in get_args(By):
        raise ConfigError(f"There is no comparison by {by!r}; choose one of {', '.join(get_args(By))}.")
    config, contexts = config or SDPOConfig(), scoring.contexts_of(view)
    if by == "estimators":
        return of_estimators(scoring.credit(session, attempt, config, contexts="all"))
    absent: dict[str, str] = {}
    rows: dict[str, tuple[str, str, TokenCredit]] = {}
    with session.lock:
        attempt = session.current(attempt)
        readings = (
            _by_teacher(session, attempt, config, absent)
            if by == "teachers"
            else _by_feedback(session, attempt, config, feedback.strip(), demonstration.strip(), absent)
        )
        for reading in readings:
            credit, _ = scoring.scored(session, attempt, reading.shown, reading.config, contexts)
            try:
                credit.view(view)
                rows[reading.name] = (reading.title, reading.how, credit)
            except CreditError as error:
                absent[reading.name] = str(error)
    if not rows:
        raise CreditError(next(iter(absent.values())))
    return of_credits(by, rows, view=view, absent=absent)


def _by_teacher(
    session: SessionCore, attempt: Attempt, config: SDPOConfig, absent: dict[str, str]
) -> Iterator[_Reading]:
    shown = context_for(session, attempt, config)
    for teacher, facts in TEACHERS.items():
        if facts.averaged and session.policy.average is None:
            absent[teacher] = "no update on the way here was made under it, so there is no average yet"
            continue
        teacher_config = (
            config if config.teacher == teacher else replace(config, teacher=teacher, teacher_update_rate=None)
        )
        title, how = teacher.replace("_", " ").capitalize(), facts.meaning.format(rate=teacher_config.teacher_rate)
        yield _Reading(teacher, title, how, shown, teacher_config)


def _by_feedback(
    session: SessionCore, attempt: Attempt, config: SDPOConfig, typed: str, demonstration: str, absent: dict[str, str]
) -> Iterator[_Reading]:
    def reading(name: str, title: str, shown: TeacherContext) -> _Reading:
        texts = " · ".join(text for text in (shown.feedback, shown.demonstration) if text)
        return _Reading(name, title, texts or "The self-teacher's template alone.", shown, config)

    in_force = context_for(session, attempt, config)
    if in_force.kind:
        yield reading("given", "Teacher context in force", in_force)
    else:
        absent["given"] = "this attempt has no feedback, and no attempt of its group passed"
    for kind in dict.fromkeys(part.kind for part in attempt.parts):
        if kind == "answer" and kind not in config.feedback_kinds:
            absent[kind] = "it discloses the answer; switch the kind on in Settings to read the attempt with it"
        elif (alone := TeacherContext(teacher_context.heard(attempt, (kind,)))) not in (TeacherContext(), in_force):
            yield reading(f"only-{kind}", f"Only {kind}", alone)
    if typed:
        yield reading("typed", "Your feedback", TeacherContext(typed))
    yield reading("none", "No feedback", TeacherContext())
    yield reading("irrelevant", "Irrelevant feedback", TeacherContext(IRRELEVANT))
    others = teacher_context.nearest_first(attempt, list(session.attempts_by_id.values()))
    try:
        feedback = TeacherContext(in_force.feedback)
        wrong = teacher_context.with_wrong_feedback(feedback, others, config.feedback_kinds)
        yield reading("wrong", "Another attempt's feedback", wrong)
    except teacher_context.NothingToShow as reason:
        absent["wrong"] = str(reason)
    passed = demonstration or teacher_context.gather(attempt, session.group_of(attempt), SDPOConfig()).demonstration
    if passed:
        yield reading("demonstration", "A demonstration", TeacherContext(demonstration=passed))
    else:
        absent["demonstration"] = "no other attempt of its group passed, and none was typed"
