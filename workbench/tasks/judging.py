"""Judging: a task is checked, its attempts' programs run side by side, and its environment gives the verdicts.

Reasoning is taken off here, before an environment sees the text; `details["reasoning"]` says where it was.
An environment may be someone else's code: what it raises, or returns instead of a judgement, becomes one sentence.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from workbench.errors import TaskError, WorkbenchError
from workbench.records import Judgement, Task
from workbench.tasks.environment import Environment
from workbench.tasks.reading import Split, split_reasoning
from workbench.tasks.registry import find_environment
from workbench.tasks.sandbox import run_many

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


def judge_many(pairs: Sequence[tuple[Task, str]]) -> list[Judgement]:
    """Judge many attempts; their programs run side by side."""
    environments = [find_environment(check_task(task).environment) for task, _ in pairs]
    splits = [
        _ask(environment, task, _split, environment, task, text)
        for environment, (task, text) in zip(environments, pairs, strict=True)
    ]
    programs = {}
    for index, (environment, (task, _), split) in enumerate(zip(environments, pairs, splits, strict=True)):
        program = _ask(environment, task, environment.program, task, split.answer)
        if program is not None:
            programs[index] = program
    # Attempts of a group repeat each other: each different program runs once.
    distinct = {repr(program): program for program in programs.values()}
    results = dict(zip(distinct, run_many(list(distinct.values())), strict=True))
    judgements = []
    for index, (environment, (task, _), split) in enumerate(zip(environments, pairs, splits, strict=True)):
        result = results[repr(programs[index])] if index in programs else None
        verdict = _ask(environment, task, environment.verdict, task, split.answer, result)
        judgements.append(with_reasoning(_checked(environment, task, verdict), split))
    return judgements


def with_reasoning(judgement: Judgement, split: Split) -> Judgement:
    """Record where the reasoning was: `details["reasoning"]`, ranges [start, end) of characters of the attempt."""
    if not split.reasoning:
        return judgement
    ranges = [list(span) for span in split.reasoning]
    return dataclasses.replace(judgement, details={**judgement.details, "reasoning": ranges})


def _split(environment: Environment, task: Task, text: str) -> Split:
    return Split(text, ()) if environment.reads_reasoning(task) else split_reasoning(text)


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
    """Check that a judgement can be stored. Raises TaskError."""
    try:
        reward = float(verdict.reward)  # also of numbers that are not Python's own
        judgement = Judgement(reward, bool(verdict.passed), verdict.feedback, verdict.details, tuple(verdict.parts))
        json.dumps(dict(judgement.details))
        problem = "" if isinstance(judgement.feedback, str) else "its feedback is not text"
        if not (math.isfinite(reward) and 0.0 <= reward <= 1.0):
            problem = f"its reward is {reward}, and must be from 0 to 1"
    except (AttributeError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise TaskError(
            f"The environment {environment.name!r} returned no valid judgement for an attempt at {task.id!r} "
            f"({problem}); this is a mistake in its code."
        )
    return judgement
