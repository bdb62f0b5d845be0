"""A task from a row of a table and a mapping; every refusal names file, row and field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.files.mapping import ANSWER_FIELD
from workbench.tasks.files.plain import HugeNumber, problem
from workbench.tasks.files.table import Row, Side
from workbench.tasks.judging import check_task
from workbench.tasks.registry import find_environment

# Values that a row's "split" may have, and the side that each means.
SPLITS: Mapping[str, Side] = MappingProxyType(
    {"train": "train", "held_out": "held_out", "test": "held_out", "validation": "held_out"}
)
LONGEST_TASK_NAME = 200


def task_of(pack: str, row: Row, mapping: Mapping[str, str]) -> Task:
    """Make the task of a row. Raises TaskError, naming file, row and field, where it cannot be judged or stored."""
    reader = _Reader(row, mapping)
    system, prompt = reader.turns()
    environment = reader.text("environment", required=True)
    split = reader.text("split")
    if split is not None and split not in SPLITS:
        reader.refuse("split", f"is {split!r}; write one of {', '.join(SPLITS)}")
    try:
        find_environment(environment or "")
    except TaskError as error:
        raise TaskError(f"{row.where}, field 'environment': {error}") from error
    answer, also = reader.answers(environment or "")
    fields = (f"{pack}/{reader.name()}", prompt, environment or "")
    side = row.split if split is None else SPLITS[split]
    found = problem(answer, "answer")
    if found is not None:
        raise TaskError(f"{row.where}, field {found[0]!r}: {found[1]}.")
    try:
        return check_task(Task(*fields, answer, system, side))
    except TaskError as error:
        if also is not None:
            try:  # what looked like an answer as JSON was the plain text of one
                return check_task(Task(*fields, also, system, side))
            except TaskError:
                pass
        raise TaskError(f"{row.where}, field 'answer': {error}") from error


class _Reader:
    """The fields of one row."""

    def __init__(self, row: Row, mapping: Mapping[str, str]) -> None:
        self.row, self.mapping = row, mapping

    def value(self, field: str) -> Any:
        source = self.mapping.get(field, field)
        if source.startswith("="):
            return source[1:]
        value = self.row.value(source) if source else None
        if isinstance(value, bytes):  # of parquet files whose writer did not say that these bytes are text
            try:
                return value.decode()
            except UnicodeDecodeError:
                self.refuse(field, "holds bytes that are not text; choose another column")
        return value

    def refuse(self, field: str, why: str) -> None:
        source = self.mapping.get(field, field)
        column = f" (column {source!r})" if source not in ("", field) and not source.startswith("=") else ""
        raise TaskError(f"{self.row.where}: the field {field!r}{column} {why}.")

    def text(self, field: str, *, required: bool = False) -> str | None:
        value = self.value(field)
        if value is None and not required:
            return None
        if not isinstance(value, str):
            self.refuse(field, "is missing or is not text" if required else "is not text")
        found = problem(value, field)
        if found is not None:
            self.refuse(field, f"cannot be stored: {found[1]}")
        return str(value)

    def name(self) -> str:
        value = self.value("name")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str | None):
            self.refuse("name", "is not text")
        name = (value or "").strip() or self.row.name or str(self.row.number)
        if not name.isprintable() or len(name) > LONGEST_TASK_NAME:
            self.refuse("name", f"is not one line of at most {LONGEST_TASK_NAME} characters")
        return name

    def turns(self) -> tuple[str | None, str]:
        """System and user turn; a prompt may be a list of messages that holds both."""
        system, value = self.text("system"), self.value("prompt")
        if isinstance(value, str) and self.row.texts_only:
            value = _messages_in(value) or value
        if isinstance(value, Sequence) and not isinstance(value, str):
            own, value = self._from_messages(value)
            if own is not None and system is not None and own != system:
                self.refuse("system", "differs from the system turn in the messages of 'prompt'; leave one out")
            system = own if own is not None else system
        if not isinstance(value, str):
            self.refuse("prompt", "is missing or is not text")
        if not value.strip():
            raise TaskError(f"{self.row.where}, field 'prompt': The task is empty; write what the policy should do.")
        for field, text in (("prompt", value), ("system", system or "")):
            found = problem(text, field)
            if found is not None:
                self.refuse(field, f"cannot be stored: {found[1]}")
        return system, value

    def _from_messages(self, messages: Sequence[Any]) -> tuple[str | None, str]:
        turns = [_turn(message) for message in messages]
        roles = [role for role, _ in turns]
        if roles not in (["user"], ["system", "user"]):
            said = ", ".join(role or "something else" for role in roles[:8]) or "nothing"
            self.refuse(
                "prompt", f"is a list of messages from {said}; one user's turn is read, and a system turn first"
            )
        texts = {str(role): text for role, text in turns}
        return texts.get("system"), texts["user"]

    def answers(self, environment: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The answer, and another reading of it, in case that an environment refuses the first."""
        parts = [field for field in self.mapping if field.startswith(ANSWER_FIELD)]
        if parts:
            values = {field.removeprefix(ANSWER_FIELD): self.value(field) for field in parts}
            return {key: value for key, value in values.items() if value is not None}, None
        value = self.value("answer")
        if value is None:
            return {}, None
        if isinstance(value, dict):
            return value, None
        judge = find_environment(environment)
        if isinstance(value, HugeNumber) or (isinstance(value, float) and problem(value, "answer")):
            return {"answer": value}, None  # refused by name, as anywhere in an answer
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_typed = isinstance(value, list) and not judge.answer_field and problem(value, "answer") is None
        if not isinstance(value, str) and not is_number and not is_typed:
            self.refuse("answer", "is not an object, JSON text of one, or text that could be typed")
        typed = value if isinstance(value, str) else json.dumps(value)
        parsed = _object_in(typed)
        try:
            as_typed = judge.typed_answer(typed)
        except (TaskError, RecursionError) as error:
            if parsed is None:
                raise TaskError(f"{self.row.where}, field 'answer': {error}") from error
            return parsed, None
        return (as_typed, None) if parsed is None else (parsed, as_typed)


def _object_in(text: str) -> dict[str, Any] | None:
    """The object that a text is the JSON of, or None."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _messages_in(text: str) -> list[Any] | None:
    """The messages that a text is the JSON of, or None."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_messages = isinstance(value, list) and all(isinstance(item, dict) and "role" in item for item in value)
    return value if is_messages and value else None


def _turn(message: Any) -> tuple[str | None, str]:
    """Role and text of a message; None for the role of anything else."""
    if not isinstance(message, Mapping):
        return None, ""
    role, content = message.get("role"), message.get("content")
    if isinstance(content, list):  # parts: [{"type": "text", "text": ...}]
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        content = "\n".join(texts) if texts and all(isinstance(text, str) for text in texts) else None
    return (role, content) if isinstance(role, str) and isinstance(content, str) else (None, "")
