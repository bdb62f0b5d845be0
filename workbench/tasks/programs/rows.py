"""Rows of the environment `python`: tests, checks, limits. One that cannot be judged is refused, with the field."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.sandbox import Limits
from workbench.tasks.sandbox.results import check_calls
from workbench.tasks.sandbox.tiers import PACKAGES

NEEDS = (
    'tests: [{"function": "f", "args": [1], "expected": 2}] or [{"stdin": "1", "expected": "2"}]; or a check: '
    '{"check": "def check(candidate): ...", "function": "f"}'
)
GRADINGS = ("sound", "paper")
_THREADS = 64  # that a call may start where a task allows threads
# Limits of each call that an answer may set: the field of `Limits`, what one unit of the number is of it, the most.
_SETTABLE: Mapping[str, tuple[str, int, int]] = {
    "cpu_s": ("cpu_s", 1, 60),
    "wall_s": ("wall_s", 1, 300),
    "memory_mb": ("memory_bytes", 2**20, 4096),
    "output_kb": ("file_bytes", 2**10, 16_384),
}
_CALL_FIELDS = ("function", "args", "kwargs", "init", "argument", "stdin")


def check_row(task: Task) -> None:
    """Raise TaskError, naming the field, where a task cannot be judged."""
    answer = task.answer
    tests = answer.get("tests", ())
    if not isinstance(tests, list | tuple) or not (tests or answer.get("check")):
        raise TaskError(f"Judging by 'python' needs {NEEDS}.")
    for test in tests:
        if not (isinstance(test, Mapping) and ("expected" in test or "checker" in answer)):
            raise TaskError(f"Judging by 'python' needs {NEEDS}.")
    try:
        check_calls(calls(task))
    except TaskError as error:
        raise TaskError(f"Judging by 'python' needs {NEEDS} ({error})") from error
    for field, argument in (("check", 1), ("checker", 3)):
        if field in answer and not _defines_check(answer[field], argument):
            names = "candidate" if argument == 1 else "input, output, expected"
            raise TaskError(f"The {field} of a program is no Python code that defines check({names}).")
    if answer.get("several_right") and "checker" not in answer:
        raise TaskError(
            "This task has several right answers and no checker, so it cannot be graded; add a checker, "
            '{"checker": "def check(input, output, expected): ..."}, or leave it out.'
        )
    if answer.get("grading", GRADINGS[0]) not in GRADINGS:
        raise TaskError(f"There is no grading {answer['grading']!r}; write one of {', '.join(GRADINGS)}.")
    if answer.get("grading") == "paper" and (not tests or {"check", "checker"} & set(answer)):
        raise TaskError("The paper's grading needs tests, and knows no check and no checker; leave out 'grading'.")
    packages = answer.get("packages", ())
    if not isinstance(packages, list | tuple) or not set(packages) <= set(PACKAGES):
        raise TaskError(f"Programs cannot use the packages {packages!r}; they can use {', '.join(PACKAGES)}.")
    tolerance = answer.get("tolerance", 0.0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise TaskError(f"The tolerance of a task is a number from 0, not {tolerance!r}.")
    limits(task)


def calls(task: Task) -> list[dict[str, Any]]:
    """The calls of the sandbox for a task's tests, then for its check: inputs only, but for the check itself."""
    listed = [{key: test[key] for key in _CALL_FIELDS if key in test} for test in task.answer.get("tests", ())]
    if task.answer.get("check"):
        listed.append({key: task.answer[key] for key in ("check", "setup", "function") if key in task.answer})
    return listed


def functions(task: Task) -> list[str]:
    """Names of the functions that a task's tests call; empty for scripts."""
    return list(dict.fromkeys(call["function"] for call in calls(task) if "function" in call))


def limits(task: Task, default: Limits = Limits()) -> Limits:  # noqa: B008  # frozen
    """The limits of a task's calls, those that it does not set being the default's. Raises TaskError."""
    chosen: dict[str, Any] = {field: getattr(default, field) for field in Limits.__slots__}
    setting = {name: task.answer[name] for name in _SETTABLE if name in task.answer}
    for name, value in setting.items():
        field, unit, most = _SETTABLE[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise TaskError(f"The limit {name!r} of a task is {value!r}; it must be above 0 and at most {most}.")
        chosen[field] = float(value) if field == "wall_s" else math.ceil(value * unit)
    if "cpu_s" in setting and "wall_s" not in setting:
        chosen["wall_s"] = max(chosen["wall_s"], 2.0 * chosen["cpu_s"])
    if "output_kb" in setting:
        chosen["output_bytes"] = max(chosen["output_bytes"], 2 * chosen["file_bytes"])
        chosen["report_bytes"] = max(chosen["report_bytes"], 8 * chosen["file_bytes"])
    threads = task.answer.get("threads", False)
    if not isinstance(threads, bool):
        raise TaskError(f"The field 'threads' of a task is true or false, not {threads!r}.")
    chosen["threads"] = _THREADS if threads else 0
    return Limits(**chosen)


def _defines_check(code: Any, arguments: int) -> bool:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    return bool(defined) and len(defined[-1].args.args) >= arguments
