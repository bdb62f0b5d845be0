"""The environment `json`: a value that an answer gives as JSON, compared with one, or checked by a JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.environment import Environment, Program
from workbench.tasks.fields import AnswerField
from workbench.tasks.reading.json_values import differences, read_value
from workbench.tasks.reading.text import brief
from workbench.tasks.sandbox import SandboxResult

DIFFERENCES_SHOWN = 3
_MATCHER = """import re
def matches(patterns, texts):
    return [[re.search(pattern, text) is not None for text in texts] for pattern in patterns]
"""
_MOST_TRIED = 2_000  # patterns times texts


class JsonValue(Environment):
    """A value of JSON. Patterns of a schema are tried in the sandbox: they could take forever on a model's text."""

    name = "json"
    label = "JSON"
    needs = 'value, as {"value": {"a": 1}}, or a JSON Schema, as {"schema": {"type": "object"}}, or both'

    fields = (
        AnswerField("value", "Right value", "json", info='JSON, such as {"a": 1}; here, in a schema, or both.'),
        AnswerField("schema", "Schema", "json", info="JSON Schema that the answer must fit."),
    )

    def typed_answer(self, text: str) -> dict[str, Any]:
        """The value alone."""
        return {"value": self.parse_json(text)}

    def check(self, task: Task) -> None:
        """Require a value or a schema that is one, and reads nothing from elsewhere."""
        schema = _schema(task)
        self.require("value" in task.answer or schema is not None)
        self.require(schema is None or isinstance(schema, dict))
        if schema is None:
            return
        from workbench.tasks.environments.json_schema import check_schema

        check_schema(schema)

    def program(self, task: Task, text: str) -> Program | None:
        """Give code that tries the schema's patterns on the texts that they are about; None where it has none."""
        value, schema = read_value(text), _schema(task)
        if value is None or schema is None:
            return None
        from workbench.tasks.environments.json_schema import patterns

        tried = list(patterns(schema))
        if not tried:
            return None
        texts = list(dict.fromkeys(_texts(value.value)))[: _MOST_TRIED // len(tried)]
        return _MATCHER, [{"function": "matches", "args": [tried, texts]}]

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass an equal value that fits the schema."""
        value, schema = read_value(text), _schema(task)
        if value is None:
            missing = FeedbackPart("format", "No complete JSON value was found in the answer.")
            return self.judgement(False, [missing], read_as="")
        details: dict[str, Any] = {"read_as": brief(json.dumps(value.value, ensure_ascii=False))}
        if result is not None and result.error is not None:
            return self.judgement(
                False, problem=f"A pattern of the schema could not be tried: {result.error}", **details
            )
        parts: list[FeedbackPart] = []
        if schema is not None:
            from workbench.tasks.environments.json_schema import problems

            lines = problems(schema, value.value, _lookup(schema, value.value, result))
            parts += [FeedbackPart("format", line) for line in islice(lines, DIFFERENCES_SHOWN)]
        if "value" in task.answer:
            lines = differences(value.value, task.answer["value"])
            parts += [FeedbackPart("diff", line + ".") for line in islice(lines, DIFFERENCES_SHOWN)]
        passed = not parts
        if "value" in task.answer:
            right = json.dumps(_thawed(task.answer["value"]), ensure_ascii=False)
            parts.append(FeedbackPart("answer", f"The expected value is {right}."))
        return self.judgement(passed, parts, **details)


def _schema(task: Task) -> Any:
    return _thawed(task.answer["schema"]) if task.answer.get("schema") is not None else None


def _thawed(value: Any) -> Any:
    """A value of a stored task, in which lists are tuples, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, names of properties included."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(item)
    if isinstance(value, dict):
        yield from value


def _lookup(schema: Any, value: Any, result: SandboxResult | None) -> Callable[[str, str], bool]:
    """The outcomes of the patterns on the texts, as the sandbox found them; a text that was left out matches none."""
    from workbench.tasks.environments.json_schema import patterns

    texts = dict.fromkeys(_texts(value))
    rows = result.outputs[0] if result is not None else []
    outcomes = {
        (pattern, text): bool(outcome)
        for pattern, row in zip(patterns(schema), rows, strict=True)
        for text, outcome in zip(texts, row, strict=False)
    }
    return lambda pattern, text: outcomes.get((pattern, text), False)
