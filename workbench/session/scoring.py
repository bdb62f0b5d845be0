"""The credit of a session: the material of each context, scoring, and storing the result.

Knows nothing of how a prompt is worded or scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from workbench import teacher_context
from workbench.config import SDPOConfig
from workbench.credit import DEFAULT_CONTEXTS, VIEWS, TokenCredit, grpo_advantage
from workbench.credit.contexts import Contexts, chosen
from workbench.credit.group import token_ranges
from workbench.errors import ConfigError, CreditError, PromptError
from workbench.policy import prompts as wording
from workbench.policy.contexts import credit_of
from workbench.policy.prompts import Prompt
from workbench.records import Attempt, pack_of
from workbench.session import credit_store, task_book
from workbench.session.checking import CreditCheck, check
from workbench.session.core import OpenRun, SessionCore
from workbench.session.teaching import context_for
from workbench.tasks import split_reasoning
from workbench.teacher_context import TeacherContext


def teacher_prompt(session: SessionCore, attempt: Attempt, config: SDPOConfig | None = None) -> Prompt:
    """The exact prompt under which the self-teacher re-scores an attempt. Raises FeedbackError, PromptError."""
    with session.lock:
        attempt = session.current(attempt)
        config = config or SDPOConfig()
        return render_teacher_prompt(session, attempt, context_for(session, attempt, config), config)


def credit(
    session: SessionCore, attempt: Attempt, config: SDPOConfig | None = None, *, contexts: Contexts = DEFAULT_CONTEXTS
) -> TokenCredit:
    """Score each token of an attempt by the self-teacher; on disk when it is returned.

    `contexts`: "all", or the names of `workbench.credit.CONTEXTS` to score, all in one pass; student and teacher
    always are. One that cannot exist here is left out, and `absent` of the credit says why. Raises
    FeedbackError, PromptError, ConfigError (an unknown context), RunError (disk).
    """
    config = config or SDPOConfig()
    with session.lock:
        attempt = session.current(attempt)
        shown = context_for(session, attempt, config)
        credit, prompts = scored(session, attempt, shown, config, contexts)
        text = render_teacher_prompt(session, attempt, shown, config).text
        basis = credit_store.Basis(session.run.head, config.teacher, config.teacher_rate, prompts, text)
        credit_store.put(session.run, credit, basis, session.credit_blobs)
        return credit


def what_if(
    session: SessionCore,
    attempt: Attempt,
    *,
    feedback: str = "",
    demonstration: str = "",
    config: SDPOConfig | None = None,
    contexts: Contexts = DEFAULT_CONTEXTS,
) -> TokenCredit:
    """Score an attempt as it would be scored with another teacher context; nothing is recorded or changed."""
    with session.lock:
        shown = TeacherContext(feedback.strip(), demonstration)
        return scored(session, session.current(attempt), shown, config or SDPOConfig(), contexts)[0]


def check_credit(session: SessionCore, attempt: Attempt | None = None) -> list[CreditCheck]:
    """Recompute the stored credits (or those of one attempt) in float64, token by token, and compare.

    The policy is left alone. Raises CreditError when nothing is stored, PolicyError for an adapter that cannot be
    applied by hand, RunError for a damaged state.
    """
    with session.lock:
        stored = credits(session, attempt)
        if not stored:
            of = "this run" if attempt is None else f"attempt {attempt.id}"
            raise CreditError(f"There is no stored credit of {of}; score an attempt with 'credit' first.")
        return check(session.policy, session.run, stored)


def scored(
    session: SessionCore,
    attempt: Attempt,
    shown: TeacherContext,
    config: SDPOConfig,
    contexts: Contexts,
) -> tuple[TokenCredit, Mapping[str, Sequence[int]]]:
    """Score an attempt in a teacher context; its credit, and the ids of the prompts. Nothing is recorded."""
    prompts, absent = _material(session, attempt, shown, config, chosen(contexts))
    group = session.group_of(attempt)
    rewards = torch.tensor([other.reward for other in group], dtype=torch.float64)
    credit = credit_of(
        session.policy,
        attempt,
        prompts,
        temperature=attempt.temperature,
        teacher=config.teacher,
        rate=config.teacher_rate,
        absent=absent,
        advantage=float(grpo_advantage(rewards)[group.index(attempt)]),
    )
    return _with_reasoning(credit, attempt), prompts


def _with_reasoning(credit: TokenCredit, attempt: Attempt | None) -> TokenCredit:
    """Mark the tokens that hold the attempt's reasoning, so that they can be folded wherever they are shown."""
    ranges = attempt.details.get("reasoning", ()) if attempt else ()
    return (
        replace(credit, reasoning=token_ranges(credit.tokens, attempt.text, ranges)) if attempt and ranges else credit
    )


def _material(
    session: SessionCore,
    attempt: Attempt,
    shown: TeacherContext,
    config: SDPOConfig,
    names: Sequence[str],
) -> tuple[dict[str, Sequence[int]], dict[str, str]]:
    """(ids by context, reason by context that cannot exist here), from what this run can show in each context."""
    prompts: dict[str, Sequence[int]] = {}
    absent: dict[str, str] = {}
    for name in names:
        if name in ("student", "base"):
            prompts[name] = attempt.prompt_ids
        elif name == "teacher":
            prompts[name] = render_teacher_prompt(session, attempt, shown, config).ids
        else:
            try:
                prompts[name] = _control_prompt(session, name, attempt, shown, config).ids
            except teacher_context.NothingToShow as reason:
                absent[name] = str(reason)
            except PromptError:
                absent[name] = "its prompt does not fit the model's context"
    return prompts, absent


def _control_prompt(
    session: SessionCore, name: str, attempt: Attempt, shown: TeacherContext, config: SDPOConfig
) -> Prompt:
    if name == "template_only":
        return render_teacher_prompt(session, attempt, TeacherContext(), config)
    if name == "wrong_feedback":
        others = teacher_context.nearest_first(attempt, list(session.attempts_by_id.values()))
        wrong = teacher_context.with_wrong_feedback(shown, others, config.feedback_kinds)
        return render_teacher_prompt(session, attempt, wrong, config)
    if name == "mismatched_question":
        task = task_book.task(session, attempt.task_id)
        tasks = [*task_book.tasks(session, pack_of(task.id)), *session.tasks_by_id.values()]
        return render_teacher_prompt(session, attempt, shown, config, teacher_context.other_question(task, tasks))
    if not shown.kind:
        raise teacher_context.NothingToShow(
            "there is neither feedback nor a demonstration to show without the question"
        )
    return render_teacher_prompt(session, attempt, shown, config, "")


def render_teacher_prompt(
    session: SessionCore,
    attempt: Attempt,
    shown: TeacherContext,
    config: SDPOConfig,
    question: str | None = None,
) -> Prompt:
    """Render the self-teacher's prompt for an attempt in a teacher context; `question` None: the task's own."""
    return wording.teacher_prompt(
        session.policy,
        task_book.task(session, attempt.task_id),
        feedback=shown.feedback,
        demonstration=split_reasoning(shown.demonstration).answer,  # the solution, not the way to it
        failed_attempt=shown.failed_attempt,
        question=question,
        config=config,
        max_tokens=session.policy.context_length - max(1, len(attempt.token_ids)),
    )


def contexts_of(view: str) -> tuple[str, ...]:
    """Contexts that `credit` must score so that it can be read as this view. Raises ConfigError for an unknown view."""
    if view not in VIEWS:
        raise ConfigError(f"There is no view named {view!r}; choose one of {', '.join(VIEWS)}.")
    return chosen({*DEFAULT_CONTEXTS, *VIEWS[view].needs})


def credits(session: OpenRun, attempt: Attempt | None = None) -> list[credit_store.StoredCredit]:
    """Every credit of this run (or of one attempt) with what it was computed from, oldest first."""
    with session.lock:
        listed = credit_store.stored(session.run, None if attempt is None else session.current(attempt).id)
        by_id = session.attempts_by_id
        return [
            replace(stored, credit=_with_reasoning(stored.credit, by_id.get(stored.credit.attempt_id)))
            for stored in listed
        ]
