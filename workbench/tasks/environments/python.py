"""The environment `python`: a program whose calls, or whose output, are compared with what is expected."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import TaskError
from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.blocks import Block, table_block, text_block
from workbench.tasks.environment import Environment, Program
from workbench.tasks.fields import AnswerField
from workbench.tasks.programs import paper
from workbench.tasks.programs.results import called, feedback, judge_tests, outcome
from workbench.tasks.programs.rows import NEEDS, calls, check_row, functions, limits
from workbench.tasks.reading.programs import read_program
from workbench.tasks.sandbox import Program as SandboxProgram
from workbench.tasks.sandbox import SandboxResult, shown
from workbench.tasks.typed_tests import typed_test

NO_PROGRAM = "No Python program was found in the answer; put it in a block that begins with ```python."
_STORED = 4000  # characters of a program, and of an output, that are kept with an attempt
SAMPLES_SHOWN = 3


class PythonTests(Environment):
    """Tests of functions, of a script that reads and prints, or a check in code (docs/graders.md, "Programs")."""

    name = "python"
    label = "Python tests"
    needs = NEEDS
    feedback_kinds = ("format", "error", "timeout", "example", "outcome")

    fields = (
        AnswerField(
            "tests",
            "Tests",
            "table",
            needed=True,
            columns=("call, or input", "value, or output"),
            info="One a row: f(3, [1]) and its value; or what a script reads, and what it prints.",
        ),
        AnswerField("hidden", "Hidden tests", "number", info="How many of the last rows count without being shown."),
        AnswerField(
            "checker",
            "Checker",
            "lines",
            info="Where several outputs are right: def check(input, output, expected): return ...",
        ),
        AnswerField("cpu_s", "Processor time", "number", info="Seconds for each test; 2 where it is empty."),
        AnswerField("memory_mb", "Memory", "number", info="MiB for each test; 512 where it is empty."),
    )

    def show(self, task: Task) -> Sequence[Block]:
        """Show the problem, and the first of its public tests as samples."""
        public = [test for test in task.answer.get("tests", ()) if not test.get("hidden")][:SAMPLES_SHOWN]
        rows = [_sample(test) for test in public]
        samples = [table_block("Samples", ("call, or input", "value, or output"), rows)] if rows else []
        return [text_block(task.prompt), *samples]

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read the rows of the form as tests, the last of them hidden where the form says so."""
        answer = super().filled(values)
        tests = [typed_test(*row.values()) for row in answer["tests"]]
        hidden = answer.pop("hidden", 0)
        if hidden not in range(len(tests) + 1):
            raise TaskError(
                f"The field “Hidden tests” is {hidden}; write how many of the last rows are hidden, 0 to {len(tests)}."
            )
        for test in tests[len(tests) - int(hidden) :]:
            test["hidden"] = True
        return {**answer, "tests": tests}

    def typed_answer(self, text: str) -> dict[str, Any]:
        """The list of tests alone, or the whole answer."""
        typed = self.parse_json(text)
        return typed if isinstance(typed, dict) else {"tests": typed}

    def check(self, task: Task) -> None:
        """Require tests or a check, and that all the rest of the row can be used."""
        check_row(task)

    def program(self, task: Task, text: str) -> Program | None:
        """Give the attempt's program, and the inputs of the tests."""
        if task.answer.get("grading") == "paper":
            return paper.program(task, text)
        code = read_program(text, functions(task))
        packages = tuple(task.answer.get("packages", ()))
        return None if code is None else SandboxProgram(code, calls(task), limits(task), packages)

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass where every test does."""
        if task.answer.get("grading") == "paper":
            return paper.verdict(task, text, result)
        code = read_program(text, functions(task))
        if code is None or result is None:
            return self.judgement(False, [FeedbackPart("format", NO_PROGRAM)], read_as="")
        tests = judge_tests(task, result)
        outputs = zip(tests, result.outputs, strict=True)
        details: dict[str, Any] = {
            "tier": result.tier,
            "read_as": code if len(code) <= _STORED else code[:_STORED] + "…",
            "tests": [test.stored for test in tests],
            "outputs": [None if test.hidden else _stored(output) for test, output in outputs],
        }
        if all(test.passed for test in tests):
            return self.judgement(True, **details)
        broken = _syntax_error(code)
        parts = feedback(tests) if broken is None else [FeedbackPart("error", broken)]
        if not any(part.kind in self.wanted_feedback(task) for part in parts):
            parts.append(FeedbackPart("outcome", outcome(tests)))
        return self.judgement(False, parts, **details)


def _syntax_error(code: str) -> str | None:
    """The mistake for which a program cannot even be loaded: it tells nothing of a test, hidden ones included."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def _stored(output: Any) -> Any:
    """An output as it is kept: as it is, or its beginning where it is long or cannot be written as JSON."""
    try:
        return output if len(json.dumps(output)) <= _STORED else shown(output)
    except ValueError:
        return shown(output)


def _sample(test: Mapping[str, Any]) -> tuple[str, str]:
    """A test as a row of the table of samples; what a checker decides has no expected value."""
    expected = test.get("expected", "as its checker decides")
    return (test["stdin"], str(expected)) if "stdin" in test else (called(test), shown(expected))
