"""Environments in which somebody else judges: a person, attempt by attempt, or another model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workbench.errors import TaskError
from workbench.records import Judgement, Task
from workbench.tasks.environment import Environment, is_list, is_text
from workbench.tasks.fields import AnswerField
from workbench.tasks.sandbox import SandboxResult

RUBRIC = "rubric"  # name of the environment in which another model judges
FORMER_NAMES: Mapping[str, str] = MappingProxyType({"model": RUBRIC})  # in runs and packs of earlier versions


class Person(Environment):
    """A person who has not judged yet: no pass and no feedback until then."""

    name = "person"
    label = "me"
    needs = "nothing: a person gives the verdict"
    judged_by = "person"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Wait for the person."""
        return Judgement(0.0, False, "", {"waiting": "a person's verdict"})


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that makes an answer good, and its share in the reward relative to the others."""

    text: str  # "" where the task alone says what is good
    weight: float


class Rubric(Environment):
    """Another model is asked, criterion by criterion, whether the answer meets the task; a run loads it."""

    name = RUBRIC
    label = "another model"
    needs = (
        'model: the judge, a directory or a hub id, as {"model": ...}; optional: criteria, a text or a list of texts '
        'and of {"criterion": ..., "weight": 2}; critique, false where it need not say what is wrong'
    )
    judged_by = "judge"
    fields = (
        AnswerField("model", "The model that judges", needed=True, info="A hub id, or a directory on the machine."),
        AnswerField("criteria", "What makes an answer good", "lines", info="One criterion a line."),
    )

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read each line as a criterion; one alone stays a text."""
        answer = super().filled(values)
        lines = [line.strip() for line in answer.pop("criteria", "").splitlines() if line.strip()]
        criteria = {"criteria": lines[0] if len(lines) == 1 else lines} if lines else {}
        return {"model": answer["model"].strip(), **criteria}

    def check(self, task: Task) -> None:
        """Require a model; criteria must be texts, with positive weights."""
        named = is_text(task.answer, "model") and bool(task.answer["model"].strip())
        self.require(named and isinstance(task.answer.get("critique", True), bool))
        given = task.answer.get("criteria", "")
        self.require(isinstance(given, str) or is_list(given))
        for item in () if isinstance(given, str) else given:
            weight = item.get("weight", 1) if isinstance(item, Mapping) else 1
            self.require(isinstance(item, str) or (isinstance(item, Mapping) and is_text(item, "criterion")))
            self.require(type(weight) in (int, float) and math.isfinite(weight) and weight > 0)

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Raise TaskError: there is no model here."""
        raise TaskError(f"Task {task.id!r} is judged by another model; only a run with its policy loads one.")


def is_rubric(task: Task) -> bool:
    """True for a task that another model judges, also under the name that older runs use."""
    return task.environment in (RUBRIC, *(old for old, name in FORMER_NAMES.items() if name == RUBRIC))


def criteria_of(task: Task) -> list[Criterion]:
    """List the criteria of a task that another model judges: at least one, which may be empty."""
    given = task.answer.get("criteria", "")
    items = [given] if isinstance(given, str) else list(given)
    fields = [item if isinstance(item, Mapping) else {"criterion": item} for item in items]
    criteria = [Criterion(str(item["criterion"]).strip(), float(item.get("weight", 1))) for item in fields]
    return criteria or [Criterion("", 1.0)]
