"""Judging: a task is checked, its attempts' programs run side by side, and its environment gives the verdicts.

Reasoning is taken off here, before an environment sees the text; `details["reasoning"]` says where it was.
An environment may be someone else's code: what it raises, or returns instead of a judgement, becomes one sentence.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, get_args

from workbench.errors import TaskError, WorkbenchError
from workbench.records import FeedbackKind, FeedbackPart, Judgement, Task
from workbench.tasks.blocks import Block, is_block, text_block
from workbench.tasks.environment import Environment, joined
from workbench.tasks.reading import Split, split_reasoning
from workbench.tasks.registry import find_environment
from workbench.tasks.sandbox import packed, run_many

T = TypeVar("T")


def check_task(task: Task) -> Task:
    """Check a task and return it. Raises TaskError for an empty prompt, an unknown environment or a bad answer."""
    if not task.prompt.strip():
        raise TaskError("The task is empty; write what the policy should do.")
    environment = find_environment(task.environment)
    try:
        environment.check(task)
        environment.wanted_feedback(task)
    except WorkbenchError:
        raise
    except Exception as error:  # e.g. a field that is missing, or not of the type that the check expects
        raise TaskError(
            f"Judging by {environment.name!r} needs {environment.needs} ({type(error).__name__}: {error})."
        ) from error
    return task


def check_automatic(tasks: Iterable[Task]) -> None:
    """Raise TaskError for a task that a person judges, attempt by attempt."""
    for task in tasks:
        if find_environment(task.environment).judged_by == "person":
            raise TaskError(f"The task {task.id!r} is judged by a person, attempt by attempt; choose another one.")


def judge(task: Task, text: str) -> Judgement:
    """Judge one attempt. Raises TaskError for a task that cannot be judged."""
    return judge_many([(task, text)])[0]


def judge_many(pairs: Sequence[tuple[Task, str]], *, opened: bool = False) -> list[Judgement]:
    """Judge many attempts; their programs run side by side. `opened`: their prompts had opened a thought."""
    environments = [find_environment(check_task(task).environment) for task, _ in pairs]
    splits = [
        _ask(environment, task, _split, environment, task, text, opened)
        for environment, (task, text) in zip(environments, pairs, strict=True)
    ]
    programs = {}
    for index, (environment, (task, _), split) in enumerate(zip(environments, pairs, splits, strict=True)):
        program = _ask(environment, task, environment.program, task, split.answer)
        if program is not None:
            programs[index] = program
    # Attempts of a group repeat each other: each different program runs once.
    distinct = {repr(packed(program)): program for program in programs.values()}
    results = dict(zip(distinct, run_many(list(distinct.values())), strict=True))
    judgements = []
    for index, (environment, (task, _), split) in enumerate(zip(environments, pairs, splits, strict=True)):
        result = results[repr(packed(programs[index]))] if index in programs else None
        if result is not None and result.refused is not None:
            # Nothing was learned about the attempt, so there is nothing to teach: no pass, and no feedback.
            verdict = Judgement(0.0, False, "", {"tier": result.tier, "refused": result.refused})
        else:
            verdict = _ask(environment, task, environment.verdict, task, split.answer, result)
        judgements.append(with_reasoning(_checked(environment, task, verdict), split))
    return judgements


def with_reasoning(judgement: Judgement, split: Split) -> Judgement:
    """Record where the reasoning was: `details["reasoning"]`, ranges [start, end) of characters of the attempt."""
    if not split.reasoning:
        return judgement
    ranges = [list(span) for span in split.reasoning]
    return dataclasses.replace(judgement, details={**judgement.details, "reasoning": ranges})


def _split(environment: Environment, task: Task, text: str, opened: bool) -> Split:
    return Split(text, ()) if environment.reads_reasoning(task) else split_reasoning(text, opened=opened)


def show_task(task: Task) -> list[Block]:
    """Lay a task out as its environment shows it; as its prompt where that fails, or is no blocks (`tasks.blocks`)."""
    try:
        blocks = [json.loads(json.dumps(dict(block))) for block in find_environment(task.environment).show(task)]
        fits = bool(blocks) and all(map(is_block, blocks))
    except Exception:  # someone else's code; the prompt can always be read
        fits = False
    return blocks if fits else [text_block(task.prompt)]


def _ask(environment: Environment, task: Task, ask: Callable[..., T], *arguments: Any) -> T:
    try:
        return ask(*arguments)
    except WorkbenchError:
        raise
    except Exception as error:
        raise TaskError(
            f"The environment {environment.name!r} failed on an attempt at {task.id!r} "
            f"({type(error).__name__}: {error}); this is a mistake in its code."
        ) from error


def _checked(environment: Environment, task: Task, verdict: Judgement) -> Judgement:
    """Check that a judgement can be stored, and keep of its feedback what the task asks for. Raises TaskError."""
    try:
        reward = float(verdict.reward)  # also of numbers that are not Python's own
        feedback, parts = _feedback(verdict)
        json.dumps(dict(verdict.details))
        problem = _problem(reward, feedback, parts)
    except (AttributeError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise TaskError(
            f"The environment {environment.name!r} returned no valid judgement for an attempt at {task.id!r} "
            f"({problem}); this is a mistake in its code."
        )
    kinds = environment.wanted_feedback(task)
    unwanted = set(environment.feedback_kinds) - set(kinds)
    if unwanted and not (verdict.feedback and not verdict.parts):
        # What cannot be chosen, such as an error in house rules, is left out only where nothing is asked for.
        parts = tuple(part for part in parts if kinds and part.kind not in unwanted)
        feedback = joined(parts)
    return Judgement(reward, bool(verdict.passed), feedback, verdict.details, parts)


def _feedback(verdict: Judgement) -> tuple[str, tuple[FeedbackPart, ...]]:
    """Feedback as text and as parts, however an environment gives it: text alone, parts, or parts in place of text."""
    text: Any = verdict.feedback
    instead = isinstance(text, list | tuple)
    parts = tuple(part for part in (text if instead else verdict.parts) if part.text)
    if instead or (parts and not text):
        return joined(parts), parts
    return text, parts or ((FeedbackPart("outcome", text),) if text else ())


def _problem(reward: float, feedback: object, parts: tuple[FeedbackPart, ...]) -> str:
    """Describe why this cannot be stored; "" where it can."""
    if not (math.isfinite(reward) and 0.0 <= reward <= 1.0):
        return f"its reward is {reward}, and must be from 0 to 1"
    if not isinstance(feedback, str) or not all(isinstance(part.text, str) for part in parts):
        return "its feedback is not text"
    for part in parts:
        if part.kind not in get_args(FeedbackKind):
            return f"its feedback is of the kind {part.kind!r}, and must be of {', '.join(get_args(FeedbackKind))}"
    return "" if feedback == joined(parts) else "its feedback is not that of its parts, one below the other"
