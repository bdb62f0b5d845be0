"""Environments in which somebody else judges: a person, attempt by attempt, or another model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.records import Judgement, Task
from workbench.tasks.environment import Environment, is_text
from workbench.tasks.fields import AnswerField
from workbench.tasks.sandbox import SandboxResult

MODEL = "model"  # name of the environment in which another model judges


class Person(Environment):
    """A person who has not judged yet: no pass and no feedback until then."""

    name = "person"
    label = "me"
    needs = "nothing: a person gives the verdict"
    judged_by = "person"

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Wait for the person."""
        return Judgement(0.0, False, "", {"waiting": "a person's verdict"})


class Model(Environment):
    """Another model is asked whether the answer meets the task; a run with its policy loads it."""

    name = MODEL
    label = "another model"
    needs = 'model: the judge, a directory or a hub id, with criteria or without, as {"model": ..., "criteria": ...}'
    judged_by = "judge"
    fields = (
        AnswerField("model", "The model that judges", needed=True, info="A hub id, or a directory on the machine."),
        AnswerField("criteria", "What makes an answer good", "lines"),
    )

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Take the blanks off a name and criteria."""
        return {name: text.strip() for name, text in super().filled(values).items()}

    def check(self, task: Task) -> None:
        """Require a model; criteria must be text."""
        named = is_text(task.answer, "model") and bool(task.answer["model"].strip())
        self.require(named and isinstance(task.answer.get("criteria", ""), str))

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Raise TaskError: there is no model here."""
        raise TaskError(f"Task {task.id!r} is judged by another model; only a run with its policy loads one.")
