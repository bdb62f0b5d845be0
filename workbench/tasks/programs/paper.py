"""Grading a program as the paper's harness does, for comparison with it; docs/graders.md says where it is wrong.

The longest closed block is the program. Its output must be the expected one exactly, apart from line ends that are
blanks and what surrounds the whole; a function's value must be equal as JSON. The reward is the share of tests that
pass, and of a held-out task 1 or 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.records import FeedbackKind, FeedbackPart, Judgement, Task
from workbench.tasks.programs.rows import limits
from workbench.tasks.sandbox import CallError, Limits, Program, SandboxResult

_LIMITS = Limits(cpu_s=7, wall_s=20.0, memory_bytes=2**30)  # 6 s, and the second that it grants
_EXAMPLES, _LINE, _LINES, _DEBUG_LINE, _DEBUG_LINES, _TEXT = 2, 250, 8, 300, 10, 2000
_NO_PROGRAM = "Incorrect Format: Put your code inside a ```python ... ``` block."


@dataclass(frozen=True, slots=True)
class _Record:
    """One test, as the harness keeps it."""

    number: int  # from 1
    test: Mapping[str, Any]
    passed: bool
    kind: FeedbackKind  # of what went wrong
    actual: str
    debug: str

    @property
    def given(self) -> Any:
        """The input, for people."""
        return self.test.get("stdin", self.test.get("args"))


def read_block(text: str) -> str | None:
    """Read the longest closed fenced block; None where there is none."""
    return max(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL), key=len, default=None)


@lru_cache(maxsize=1)
def _harness() -> str:
    return Path(__file__).with_name("paper_harness.py").read_text(encoding="utf-8")


def program(task: Task, text: str) -> Program | None:
    """Give the harness as the program to run, and the attempt's program as its input."""
    code = read_block(text)
    if code is None:
        return None
    inputs = [
        {"function": "run", "args": [code, test.get("function"), test.get("stdin", test.get("args"))]}
        for test in task.answer["tests"]
    ]
    return Program(_harness(), inputs, limits(task, _LIMITS), tuple(task.answer.get("packages", ())))


def verdict(task: Task, text: str, result: SandboxResult | None) -> Judgement:
    """Judge the harness's results."""
    if result is None:
        return Judgement(0.0, False, _NO_PROGRAM, {"read_as": ""}, (FeedbackPart("format", _NO_PROGRAM),))
    ran = zip(task.answer["tests"], result.outputs, result.errors, strict=True)
    records = [_record(number, *outcome) for number, outcome in enumerate(ran, start=1)]
    passed = all(record.passed for record in records)
    share = sum(record.passed for record in records) / len(records)
    parts = () if passed else tuple(_feedback(records))
    details = {
        "tier": result.tier,
        "read_as": read_block(text),
        "tests": [
            {"passed": record.passed, "hidden": bool(record.test.get("hidden")), "says": ""} for record in records
        ],
    }
    joined = "\n".join(part.text for part in parts)
    return Judgement(float(passed) if task.split == "held_out" else share, passed, joined, details, parts)


def _record(number: int, test: Mapping[str, Any], report: Any, error: CallError | None) -> _Record:
    if error is not None and error.type == "TimeoutError" and error.line is None:
        return _Record(number, test, False, "timeout", "", "")
    if error is not None or not isinstance(report, dict):  # a process that ends without a word counts as a wrong answer
        return _Record(number, test, False, "example", "Process Error: EOFError: ", "")
    debug = str(report.get("debug", ""))
    if "error" in report:
        return _Record(number, test, False, "error", str(report["error"]), debug)
    value = report.get("value")
    if "stdin" in test:
        passed = _flat(str(value)) == _flat(_expected(str(test["expected"])))
        actual = str(value).strip()
    else:
        passed = json.dumps(value, sort_keys=True) == json.dumps(test["expected"], sort_keys=True)
        actual = str(value)
    return _Record(number, test, passed, "example", actual, debug)


def _flat(text: str) -> str:
    return text.strip().replace("\n", " ").replace("\r", "")


def _expected(text: str) -> str:
    """A trailing "-" is taken for a mark of the row's, also where it is the answer."""
    text = text.strip()
    return text[:-1].rstrip() if text.endswith("-") else text


# Feedback ----------------------------------------------------------------------------------------------------------
def _feedback(records: list[_Record]) -> list[FeedbackPart]:
    """The first error, else the first timeout, alone; else the two shortest wrong answers. Nothing of hidden tests."""
    failing = [record for record in records if not record.passed and not record.test.get("hidden")]
    for kind in ("error", "timeout"):
        first = next((record for record in failing if record.kind == kind), None)
        if first is not None:
            failing = [first]
            break
    else:
        failing.sort(key=lambda record: len(str(record.given)) + len(record.actual))
    parts: list[FeedbackPart] = []
    left = _TEXT
    for record in failing[:_EXAMPLES]:
        text = ("\n" if parts else "") + "\n".join(_told(record)).rstrip()  # an empty line between two
        if left > 1:
            parts.append(FeedbackPart(record.kind, text[:left]))
        left -= len(text) + 1
    return parts


def _told(record: _Record) -> list[str]:
    if record.kind == "error":
        lines = ["Runtime Error", record.actual, "", *_block("Last Executed Input", record.given)]
    elif record.kind == "timeout":
        lines = ["Time Limit Exceeded", "", *_block("Last Executed Input", record.given)]
    else:
        lines = [f"Test Case {record.number}: Wrong Answer", "", *_block("Input", record.given), ""]
        lines += ["Output", _cut(record.actual), "", "Expected", _cut(str(record.test["expected"]))]
    debug = record.debug.strip().split("\n") if record.debug.strip() else []
    if debug:
        lines += ["", "Debug Output", *(_cut(line, _DEBUG_LINE) for line in debug[:_DEBUG_LINES])]
        lines += [f"... ({len(debug) - _DEBUG_LINES} more lines)"] if len(debug) > _DEBUG_LINES else []
    return lines


def _block(title: str, given: Any) -> list[str]:
    lines = (given if isinstance(given, str) else " ".join(map(json.dumps, given))).splitlines()
    more = [f"... ({len(lines) - _LINES} more lines)"] if len(lines) > _LINES else []
    return [title, *map(_cut, lines[:_LINES]), *more]


def _cut(text: str, most: int = _LINE) -> str:
    return text if len(text) <= most else text[:most] + "..."
