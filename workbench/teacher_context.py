"""The teacher context: what the self-teacher is shown of an attempt; and why an attempt gives no signal.

Source: paper, section 3, Table 2.

A failed attempt brings its feedback and, where the group holds one, another attempt that passed. A passed attempt
brings only another passed one. Knows nothing of models and files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from workbench.config import SDPOConfig
from workbench.credit.routing import Route, route
from workbench.credit.weights import Span
from workbench.records import Attempt, FeedbackKind, SignalReport, Task
from workbench.templates import read_template


class NothingToShow(Exception):
    """A control cannot be made of what there is; its words say why."""


@dataclass(frozen=True, slots=True)
class TeacherContext:
    """The fields of the self-teacher's prompt; all empty means that it knows no more than the student."""

    feedback: str = ""
    demonstration: str = ""
    failed_attempt: str = ""

    @property
    def kind(self) -> str:
        """Names of what is shown, for people; "" where nothing is."""
        named = (("feedback", self.feedback), ("demonstration", self.demonstration))
        return " and ".join(name for name, text in named if text)


def gather(attempt: Attempt, group: Sequence[Attempt], config: SDPOConfig) -> TeacherContext:
    """The teacher context of one attempt of a group, which may hold the attempt and one that a person chose to show."""
    others = [other for other in group if other.passed and other.id != attempt.id and other.task_id == attempt.task_id]
    # A passed attempt that says the same thing would only confirm it; prefer another one.
    others.sort(key=lambda other: other.text == attempt.text)
    shown = others[0] if config.use_demonstrations and others else None
    # What a person chose counts, whatever the settings say; so do words on an attempt that passed.
    shown = next((other for other in group if other.id == attempt.demonstration_id), shown)
    slots = read_template(config.template).slots  # what the template has no place for is not shown
    demonstration = "" if shown is None or "demonstration" not in {*config.feedback_kinds} & slots else shown.text
    failed = attempt.text if config.include_failed_attempt and not attempt.passed else ""
    feedback = heard(attempt, config.feedback_kinds) if "feedback" in slots else ""
    return TeacherContext(feedback, demonstration, failed if "failed_attempt" in slots else "")


def heard(attempt: Attempt, kinds: Collection[FeedbackKind]) -> str:
    """The feedback of these kinds that a self-teacher reads; on a pass, nothing that the environment said of it."""
    silent = attempt.passed and attempt.feedback_source == "environment"
    return "" if silent else attempt.feedback_of(kinds).strip()


def nearest_first(attempt: Attempt, attempts: Sequence[Attempt]) -> list[Attempt]:
    """The other attempts: those of the same group first, those after this one before those ahead; then the newest."""
    place = next((index for index, other in enumerate(attempts) if other.id == attempt.id), -1)
    around = [*attempts[place + 1 :], *attempts[: max(0, place)]]
    group = [other for other in around if other.group_id == attempt.group_id]
    return [*group, *(other for other in reversed(attempts) if other.group_id != attempt.group_id)]


def with_wrong_feedback(
    shown: TeacherContext, others: Sequence[Attempt], kinds: Collection[FeedbackKind]
) -> TeacherContext:
    """A teacher context with the first of the others' feedback of these kinds that differs instead.

    Raises NothingToShow.
    """
    if not shown.feedback:
        raise NothingToShow("this attempt has no feedback that another could take the place of")
    for other in others:
        if (text := other.feedback_of(kinds).strip()) not in ("", shown.feedback):
            return replace(shown, feedback=text)
    raise NothingToShow("no other attempt of this run has another feedback")


def other_question(task: Task, tasks: Sequence[Task]) -> str:
    """The question of the task that follows in the list (from its end on from the start). Raises NothingToShow."""
    place = next((index for index, other in enumerate(tasks) if other.id == task.id), -1)
    for other in [*tasks[place + 1 :], *tasks[: max(0, place)]]:
        if other.prompt.strip() != task.prompt.strip():
            return other.prompt
    raise NothingToShow("this run has no other task whose question could take the place of this one's")


def explain(
    attempt: Attempt,
    context: TeacherContext,
    given: Sequence[Attempt],
    config: SDPOConfig,
    spans: Sequence[Span] | None = None,
) -> SignalReport:
    """Report whether an update uses an attempt, and the reason in words.

    `given`: all attempts that the update is given. `spans`: the tokens that a person selected; None = all of them.
    """
    if not attempt.token_ids:
        return SignalReport(attempt.id, False, "it has no tokens")
    if spans is not None and not spans:
        return SignalReport(attempt.id, False, "none of its tokens is selected")
    rewards = [other.reward for other in given if other.group_id == attempt.group_id]
    informed, rewarded = bool(context.kind), max(rewards) > min(rewards)
    routed = _routed(attempt, config)
    taken = routed(informed=informed, rewarded=rewarded)
    if taken.used:
        parts = [context.kind] if taken.distillation > 0.0 else []
        if taken.reinforcement > 0.0:
            weighed = f", weighed by {context.kind}" if taken.weighed else ""
            parts.append(f"reward above or below the group's mean{weighed}")
        return SignalReport(attempt.id, True, "; ".join(parts))
    missing = []  # what alone would have made it count
    if routed(informed=True, rewarded=rewarded).used:
        missing.append(_uninformed(attempt, config))
    if routed(informed=informed, rewarded=True).used:
        missing.append("all rewards of its group are equal, so no attempt stands out")
    return SignalReport(attempt.id, False, "; ".join(missing))


def _uninformed(attempt: Attempt, config: SDPOConfig) -> str:
    if attempt.passed:
        return "it passed, and no other attempt of its group did"
    slots = read_template(config.template).slots
    given = "demonstration" in config.feedback_kinds and "no attempt of its group passed"
    given = given if "demonstration" in slots else "the template has no place for a demonstration"
    silent = list(dict.fromkeys(part.kind for part in attempt.parts if part.text.strip()))  # else it would inform
    off = f"its feedback is of kinds that are switched off ({', '.join(silent)})"
    off = off if "feedback" in slots else "the template has no place for its feedback"
    why = off if silent else "it failed without feedback"
    return f"{why}, and {given or 'demonstrations are switched off'}"


def is_taught(attempt: Attempt, context: TeacherContext, config: SDPOConfig) -> bool:
    """True where an update that uses the attempt asks the self-teacher about it."""
    return bool(context.kind) and _routed(attempt, config)(informed=True, rewarded=True).taught


def _routed(attempt: Attempt, config: SDPOConfig) -> Callable[..., Route]:
    return partial(route, config.method, passed=attempt.passed, grpo_weight=config.grpo_weight)
