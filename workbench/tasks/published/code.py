"""Rows of LiveCodeBench: problems with public tests in the text, and private ones.

As its authors publish them (`question_content`, `private_test_cases`, ...), or as the paper's code does: `tests` is
JSON text of {"inputs", "outputs", "testtype", "fn_name", "time_limit"}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.published.private_tests import MOST_TESTS, decode_tests

CPU_S = 6  # of each test, as the paper's harness has it
MEMORY_MB = 1024
_TASK = "Write a Python program that solves the problem, and put all of it into one fenced code block.\n\n"
_STDIN = "It reads its input from standard input and prints its output."
_FUNCTION = "Complete this code; the function is called by the tests:"


def is_code(row: Mapping[str, Any]) -> bool:
    """True for a row of LiveCodeBench, in either form."""
    if row.get("kind") == "code":
        return isinstance(row.get("tests"), str)
    return "question_content" in row and "private_test_cases" in row


def code_row(row: Mapping[str, Any], grading: str) -> dict[str, Any]:
    """Turn a problem into a row of the environment `python`. Raises TaskError, naming the field."""
    return _papers_row(row, grading) if row.get("kind") == "code" else _authors_row(row, grading)


def _authors_row(row: Mapping[str, Any], grading: str) -> dict[str, Any]:
    question, starter = _text(row, "question_content"), _text(row, "starter_code", "")
    metadata = _object(row, "metadata")
    function = str(metadata.get("func_name") or "")
    public = _decoded(row, "public_test_cases") if row.get("public_test_cases") else []
    private = _decoded(row, "private_test_cases")
    # The paper's grader knows the private tests only, and shows them.
    tests = [] if grading == "paper" else _tests(public, function, "public_test_cases", hidden=False)
    tests += _tests(private, function, "private_test_cases", hidden=grading != "paper")
    if not tests:
        raise TaskError("the field 'private_test_cases' has no tests.")
    ending = f"{_FUNCTION}\n```python\n{starter.rstrip()}\n```" if starter.strip() else _STDIN
    name = row.get("question_id")
    return {
        "prompt": f"{_TASK}{question.strip()}\n\n{ending}",
        "environment": "python",
        "answer": _answer(tests, CPU_S),
        "name": None if name is None else str(name),
    }


def _papers_row(row: Mapping[str, Any], grading: str) -> dict[str, Any]:
    prompt, stored = _text(row, "prompt"), _object(row, "tests")
    inputs, outputs = stored.get("inputs"), stored.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs) or not inputs:
        raise TaskError("the field 'tests' has no 'inputs' with as many 'outputs'.")
    if len(inputs) > MOST_TESTS:
        raise TaskError(f"the field 'tests' has more than {MOST_TESTS:,} tests.")
    kind = stored.get("testtype")
    pairs = zip(inputs, outputs, strict=True)
    listed = [{"input": given, "output": output, "testtype": kind} for given, output in pairs]
    tests = _tests(listed, str(stored.get("fn_name") or ""), "tests", hidden=grading != "paper")
    limit = stored.get("time_limit")
    seconds = limit if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0 else CPU_S
    # Functions are called by themselves, so that their signature is shown without the class.
    return {
        "prompt": prompt.replace("(self, ", "(").replace("(self)", "()"),
        "environment": "python",
        "answer": _answer(tests, seconds),
    }


def _answer(tests: list[dict[str, Any]], cpu_s: float) -> dict[str, Any]:
    return {"tests": tests, "cpu_s": cpu_s, "memory_mb": MEMORY_MB}


def _tests(listed: Sequence[Mapping[str, Any]], function: str, field: str, *, hidden: bool) -> list[dict[str, Any]]:
    """Turn tests into those of the environment `python`. Raises TaskError, naming the field and the test."""
    return [
        {**_test(test, function, f"the field {field!r}, test {number},"), **({"hidden": True} if hidden else {})}
        for number, test in enumerate(listed, start=1)
    ]


def _test(test: Mapping[str, Any], function: str, where: str) -> dict[str, Any]:
    kind, given, output = test.get("testtype"), test["input"], test["output"]
    if kind not in ("stdin", "functional"):
        raise TaskError(f"{where} is of the type {kind!r}; it must be 'stdin' or 'functional'.")
    if not isinstance(given, str) or not isinstance(output, str):
        raise TaskError(f"{where} has an input or an output that is not text.")
    if kind == "stdin":
        return {"stdin": given, "expected": output}
    if not function:
        raise TaskError(f"{where} calls a function that the row does not name.")
    try:
        return {"function": function, "args": _values(given), "expected": json.loads(output)}
    except (ValueError, RecursionError):
        raise TaskError(f"{where} has an input or an output that is not JSON.") from None


def _values(text: str) -> list[Any]:
    """Decode the arguments of a call: one JSON value after the other, usually one a line."""
    values, position, decoder = [], 0, json.JSONDecoder()
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        values.append(value)
    return values


def _decoded(row: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    value = row[field]
    if isinstance(value, list):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise TaskError(f"the field {field!r} is not text.")
    try:
        return decode_tests(value)
    except TaskError as error:
        raise TaskError(f"the field {field!r}: {error}") from error


def _text(row: Mapping[str, Any], field: str, missing: str | None = None) -> str:
    value = row.get(field)
    value = missing if value is None else value
    if not isinstance(value, str):
        raise TaskError(f"the field {field!r} is missing or is not text.")
    return value


def _object(row: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Decode a field that holds an object, or JSON text of one; an empty one for nothing."""
    value = row.get(field)
    if value is None or value == "":
        return {}
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise TaskError(f"the field {field!r} is not JSON text of an object.")
    return value
