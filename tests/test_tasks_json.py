"""JSON answers: the last complete value of a text, compared exactly where it matters, or checked by a schema."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import TaskError
from workbench.records import Judgement, Task
from workbench.tasks import check_task, judge, parse_pack
from workbench.tasks.reading.json_values import read_value


def judged(text: str, **answer: Any) -> Judgement:
    return judge(Task("p/t", "Q", "json", answer), text)


ONE: dict[str, Any] = {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', ONE),
        ('```json\n{"a": 1}\n```', ONE),
        ('```\n{"a": 1}\n```', ONE),
        ('~~~json\n{"a": 1}\n~~~', ONE),
        ('Sure! Here it is:\n```json\n{"a": 1}\n```\nI hope that helps.', ONE),
        ('Sure: {"a": 1}. Done.', ONE),
        ('First {"a": 0}, or rather {"a": 1}', ONE),
        ('```json\n{"a": 0}\n```\nNo:\n```json\n{"a": 1}\n```', ONE),
        ('```json\n{"a": 0}\n```\nNo: {"a": 1}', ONE),
        ('{"a": 1} and then it was cut: {"a": 2, "b": [', ONE),
        ("{'a': 1}", ONE),
        ("{'a': True, 'b': None, 'c': (1, 2)}", {"a": True, "b": None, "c": [1, 2]}),
        ('{"a": "} not {the end"}', {"a": "} not {the end"}),
        ('It\'s {"a": "it\'s"}', {"a": "it's"}),
        ('{"a": "```json\\n{}\\n```"}', {"a": "```json\n{}\n```"}),
        ('```json\n{"a": "```"}\n```', {"a": "```"}),
        ('<answer>{"a": 1}</answer>', ONE),
        ('<think>{"a": 0}</think>{"a": 1}', ONE),
        ("{'a': 1}\n", ONE),
        ("42", 42),
        ("true", True),
        ("True", True),
        ("null", None),
        ('"x"', "x"),
        ("```json\n[1, 2]\n```", [1, 2]),
        ("The set {1, 2} has [1, 2]", [1, 2]),
        ('{"a": {"b": {"c": [{}]}}}', {"a": {"b": {"c": [{}]}}}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
    ],
)
def test_the_value_that_a_text_gives(text: str, value: Any) -> None:
    verdict = judged(text, value=value)
    assert verdict.passed, verdict.feedback
    assert verdict.details["read_as"].startswith(json.dumps(value, ensure_ascii=False)[:20])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "{",
        '{"a": 1',
        '{"a": NaN}',
        "[1e999]",
        "{1: 2}",
        "{f()}",
        "__import__('os')",
        "[" * 5000,
        "{'a': b'x'}",
    ],
)
def test_what_is_no_value_is_not_read_as_one(text: str) -> None:
    assert read_value(text) is None
    verdict = judged(text, value=ONE)
    assert (verdict.passed, verdict.parts[0].kind) == (False, "format")


@pytest.mark.parametrize(
    ("given", "expected", "says"),
    [
        (1, 1.0, ""),
        (True, 1, "$ is true or false, and should be a number"),
        (0, False, "$ is a number, and should be true or false"),
        ("1", 1, "$ is a text, and should be a number"),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}, ""),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "$.a[0].b is 1, which is not right"),
        ({"a": 1}, {"a": 1, "b": 2}, "$.b is missing"),
        ({"a": 1, "b": 2}, {"a": 1}, "$.b is not expected"),
        ([1, 2], [2, 1], "$[0] is 1, which is not right"),
        ([1], [1, 2], "$ has 1 items, and should have 2"),
        ([], {}, "$ is a list, and should be an object"),
        (0.30000000000000004, 0.3, ""),
        (0.31, 0.3, "$ is 0.31, which is not right"),
        (10**18 + 1, 10**18, "which is not right"),
        (None, {}, "$ is null"),
    ],
)
def test_feedback_names_the_path_that_differs_and_not_the_answer(given: Any, expected: Any, says: str) -> None:
    verdict = judged(json.dumps(given), value=expected)
    assert verdict.passed is (says == "") and says in verdict.feedback
    assert says == "" or verdict.parts[0].kind == "diff"
    assert "The expected value" not in verdict.feedback


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "age"],
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0},
        "id": {"anyOf": [{"type": "string", "pattern": "^x"}, {"type": "string", "pattern": "^y"}]},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"name": "Ann", "age": 5}, ""),
        ({"name": "Ann", "age": 5.0, "id": "y1"}, ""),
        ({"name": "Ann", "age": True}, "$.age: True is not of type 'integer'"),
        ({"name": "Ann"}, "$: 'age' is a required property"),
        ({"name": "ann", "age": 5}, "$.name: 'ann' does not match '^[A-Z]'"),
        ({"name": "Ann", "age": 5, "id": "z"}, "$.id"),
        ({"name": "Ann", "age": 5, "more": 1}, "$: Additional properties"),
        ([], "$: [] is not of type 'object'"),
    ],
)
def test_a_schema_is_checked_and_says_where(value: Any, says: str) -> None:
    verdict = judged(json.dumps(value), schema=SCHEMA)
    assert verdict.passed is (says == "") and says in verdict.feedback
    assert {part.kind for part in verdict.parts} <= {"format"}


def test_a_value_and_a_schema_are_both_required() -> None:
    both = {"value": {"name": "Ann", "age": 5}, "schema": SCHEMA}
    assert judged('{"age": 5, "name": "Ann"}', **both).passed
    assert not judged('{"age": 6, "name": "Ann"}', **both).passed
    assert "secret" not in judged('"x"', schema={"const": "secret"}).feedback


def test_a_pattern_that_would_never_end_is_stopped_in_the_sandbox() -> None:
    started = time.process_time()
    verdict = judged(json.dumps("a" * 60 + "!"), schema={"pattern": r"(a+)+$"})
    assert (verdict.passed, verdict.feedback) == (False, "") and "could not be tried" in verdict.details["problem"]
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "needs value"),
        ({"schema": 5}, "needs value"),
        ({"schema": {"type": "objekt"}}, "not a JSON Schema"),
        ({"schema": {"$ref": "http://example.com/x.json"}}, "refers to"),
        ({"schema": {"properties": {"a": {"$ref": "#/$defs/no"}}}}, "refers to"),
        ({"schema": {"$ref": "#"}}, "without end"),
        ({"schema": {"pattern": "("}}, "not a 'regex'"),
        ({"schema": {"default": {"pattern": "("}}}, "pattern of the schema"),
        ({"schema": {"patternProperties": {"^a": {}}}}, "patternProperties"),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(answer: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        check_task(Task("p/t", "Q", "json", answer))
    with pytest.raises(TaskError, match="row 1"):
        parse_pack("mine.jsonl", json.dumps({"prompt": "Q", "environment": "json", "answer": answer}))


def test_null_is_a_value_to_expect() -> None:
    assert judged("null", value=None).passed and not judged("0", value=None).passed


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_any_value_is_read_back_from_a_block_of_json_and_of_python(value: Any) -> None:
    for written in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1), repr(value)):
        assert judged(f"Here:\n```\n{written}\n```\nDone.", value=value).passed
