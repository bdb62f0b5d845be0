"""Results of a program's tests, and the feedback on those that fail, by kind.

Of a hidden test nothing is told but that it fails, and how: neither input, output nor expected value, nor the message
of an error, into which a program could put its input.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import SandboxError, TaskError
from workbench.records import FeedbackKind, FeedbackPart, Task
from workbench.tasks.programs.compare import TOLERANCE, same_output, same_value
from workbench.tasks.sandbox import CallError, Limits, Program, SandboxResult, run_many, shown

EXAMPLES_SHOWN = 2
_ALONE: tuple[FeedbackKind, ...] = ("error", "timeout")  # kinds of which the first says enough
_SANDBOX_ERRORS = frozenset({"ExitedEarly", "OutputLimitExceeded", "ReturnError"})
_Ran = tuple[Mapping[str, Any], Any, CallError | None]  # a test, the program's value, its error


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test, and what became of it."""

    passed: bool
    hidden: bool
    kind: FeedbackKind = "outcome"  # of what is said of it
    says: str = ""  # one line; "" where it passed, or is hidden and just wrong
    length: int = 0  # characters of its input and output: short ones are told first

    @property
    def stored(self) -> dict[str, Any]:
        """Data that an attempt keeps of it, for the page."""
        return {"passed": self.passed, "hidden": self.hidden, "says": self.says}


def judge_tests(task: Task, result: SandboxResult) -> list[TestResult]:
    """Compare the values of a program's calls with what a task expects; its checker runs here, in the sandbox.

    Raises TaskError where the row's check cannot be run, SandboxError where its checker cannot run in this tier.
    """
    pairs: list[_Ran] = list(zip(task.answer.get("tests", ()), result.outputs, result.errors, strict=False))
    if "checker" in task.answer:
        verdicts = _checked(task, pairs)
    else:
        verdicts = [(error is None and _matches(task, test, output), "") for test, output, error in pairs]
    results = [_judged(pair, *verdict) for pair, verdict in zip(pairs, verdicts, strict=True)]
    return [*results, _check_result(task, result.errors[-1])] if task.answer.get("check") else results


def _matches(task: Task, test: Mapping[str, Any], output: Any) -> bool:
    tolerance = float(task.answer.get("tolerance", TOLERANCE))
    if "stdin" in test:
        return same_output(str(output), str(test["expected"]), tolerance)
    return same_value(output, test["expected"], tolerance)


def _judged(ran: _Ran, passed: bool, reason: str) -> TestResult:
    test, output, error = ran
    hidden = bool(test.get("hidden"))
    if passed:
        return TestResult(True, hidden)
    what = called(test)
    if error is not None:
        return _failed(error, hidden, f", {what}" if "stdin" in test else f", in {what}")
    expected = [f"expected {shown(test['expected'])}"] if "expected" in test else []
    did = f"{what} the program printed" if "stdin" in test else f"{what} returned"
    says = ", ".join([f"{did} {shown(output)}", *expected, *([reason] if reason else [])])
    return TestResult(False, hidden, "outcome" if hidden else "example", "" if hidden else says, len(says))


def _failed(error: CallError, hidden: bool, where: str) -> TestResult:
    """The result of a test that ended in an error; `where`: the call, for people."""
    late = error.type == "TimeoutError" and error.line is None
    text = str(error) + where
    if hidden and late:
        text = "A hidden test takes too long."
    elif hidden:
        line = "" if error.line is None else f" (line {error.line})"
        text = f"{_known_type(error.type)} in a hidden test{line}"
    return TestResult(False, hidden, "timeout" if late else "error", text)


def _known_type(name: str) -> str:
    """The name of an error, where it is not the program's own: into that it could write anything."""
    kind = getattr(builtins, name, None)
    known = name in _SANDBOX_ERRORS or (isinstance(kind, type) and issubclass(kind, BaseException))
    return name if known else "An error"


def called(test: Mapping[str, Any]) -> str:
    if "stdin" in test:
        return f"with input {shown(test['stdin'])}"
    named = [f"{key}={shown(value)}" for key, value in test.get("kwargs", {}).items()]
    call = f"{test['function']}({', '.join([*map(shown, test['args']), *named])})"
    return f"argument {test['argument']} after {call}" if "argument" in test else call


# Code of the row ---------------------------------------------------------------------------------------------------
def _checked(task: Task, ran: Sequence[_Ran]) -> list[tuple[bool, str]]:
    """(passed, reason) of each test by the task's checker, which sees outputs as plain values in a sandbox of its own.

    It returns True, or False, or [False, reason]. One that fails on an output does not accept it.
    """
    tests = [(test, output) for test, output, error in ran if error is None]
    verdicts: Iterator[tuple[bool, str]] = iter(())
    if tests:
        result = _run_checker(task, tests)
        if result.refused is not None:
            # Was it the checker, or did an output that it evaluates ask for what is not there? The right one tells.
            right = _run_checker(task, [(test, test.get("expected", "")) for test, _ in tests])
            if right.refused is not None:
                raise SandboxError(
                    f"The checker of task {task.id!r} cannot run in this tier of the sandbox ({right.refused}); choose "
                    "another tier, or leave the task out."
                )
        verdicts = map(_read_verdict, result.outputs, result.errors)
    return [(False, "") if error is not None else next(verdicts) for _, _, error in ran]


def _run_checker(task: Task, tests: Sequence[tuple[Mapping[str, Any], Any]]) -> SandboxResult:
    inputs = [
        {"function": "check", "args": [test.get("stdin", test.get("args")), output, test.get("expected")]}
        for test, output in tests
    ]
    return run_many([Program(task.answer["checker"], inputs, Limits(), tuple(task.answer.get("packages", ())))])[0]


def _read_verdict(value: Any, error: CallError | None) -> tuple[bool, str]:
    if error is not None:
        return False, f"the checker could not read it ({error})"
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
        return value[0] is True, f"the checker says {shown(value[1])}"
    return value is True, "and the checker does not accept it"


def _check_result(task: Task, error: CallError | None) -> TestResult:
    """The result of `check(candidate)`. Raises TaskError where it failed before it called the program."""
    hidden = bool(task.answer.get("hidden"))
    if error is None:
        return TestResult(True, hidden)
    if error.type == "CheckError":
        raise TaskError(f"The check of task {task.id!r} cannot be run ({error.message}); correct it.")
    called = error.last or f"check({task.answer['function']})"
    if error.type != "AssertionError" or error.line is not None:
        return _failed(error, hidden, f", in {called}")
    says = f"{called}: {error.message or 'an assertion on it does not hold'}"
    return TestResult(False, hidden, "outcome" if hidden else "example", "" if hidden else says, len(says))


# Feedback ----------------------------------------------------------------------------------------------------------
def feedback(results: Sequence[TestResult]) -> list[FeedbackPart]:
    """Say what went wrong: the first error, the first test that took too long, the two shortest wrong examples.

    Public tests before hidden ones; nothing where hidden tests are just wrong.
    """
    failing = sorted((test for test in results if not test.passed), key=lambda test: test.hidden)
    parts = []
    for kind in _ALONE:
        parts += [FeedbackPart(kind, test.says) for test in failing if test.kind == kind][:1]
    examples = sorted((test for test in failing if test.kind == "example"), key=lambda test: test.length)
    return parts + [FeedbackPart("example", test.says) for test in examples[:EXAMPLES_SHOWN]]


def outcome(results: Sequence[TestResult]) -> str:
    """Say that tests fail, and no more: neither how many, nor which."""
    if any(not (test.passed or test.hidden) for test in results):
        return "The program does not pass its tests."
    public = any(not test.hidden for test in results)
    return "The public tests pass, and a hidden test does not." if public else "A hidden test does not pass."
