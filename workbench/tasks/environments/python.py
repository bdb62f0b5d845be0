"""The environment `python`: a program whose calls, or whose output, are compared with what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.records import Judgement, Task
from workbench.tasks.blocks import Block, table_block, text_block
from workbench.tasks.environment import Environment, Program, is_list
from workbench.tasks.fields import AnswerField
from workbench.tasks.house_rules.pack import extract_code
from workbench.tasks.sandbox import SandboxResult, shown
from workbench.tasks.typed_tests import typed_test

EXAMPLES_SHOWN = 2
SAMPLES_SHOWN = 3


class PythonTests(Environment):
    """Tests of functions, or of a script that reads and prints. Values are compared as plain JSON."""

    name = "python"
    label = "Python tests"
    needs = 'tests: [{"function": "f", "args": [1], "expected": 2}] or [{"stdin": "1", "expected": "2"}]'
    feedback_kinds = ("error", "example")  # why it did not run; what it returned, and what was expected

    fields = (
        AnswerField(
            "tests",
            "Tests",
            "table",
            needed=True,
            columns=("call, or input", "value, or output"),
            info="One a row: f(3, [1]) and its value; or what a script reads, and what it prints.",
        ),
    )

    def show(self, task: Task) -> Sequence[Block]:
        """Show the problem, and the first of its public tests as samples."""
        public = [test for test in task.answer.get("tests", ()) if not test.get("hidden")][:SAMPLES_SHOWN]
        rows = [(test["stdin"] if "stdin" in test else _called(test), _expected(test)) for test in public]
        samples = [table_block("Samples", ("call, or input", "value, or output"), rows)] if rows else []
        return [text_block(task.prompt), *samples]

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read the rows of the form as tests."""
        return {"tests": [typed_test(*row.values()) for row in super().filled(values)["tests"]]}

    def typed_answer(self, text: str) -> dict[str, Any]:
        """The list of tests alone."""
        return {"tests": self.parse_json(text)}

    def check(self, task: Task) -> None:
        """Require at least one test."""
        tests = task.answer.get("tests")
        self.require(is_list(tests) and bool(tests) and all(map(_is_test, task.answer["tests"])))

    def program(self, task: Task, text: str) -> Program:
        """Give the attempt's code, and the inputs of the tests."""
        keys = ("function", "args", "stdin")
        return extract_code(text), [{key: test[key] for key in keys if key in test} for test in task.answer["tests"]]

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass where every test does; the first two that fail are the feedback."""
        assert result is not None
        details: dict[str, Any] = {"tier": result.tier, "outputs": list(result.outputs)}
        if result.error is not None:
            return self.judgement(False, self.feedback(task, error=result.error), **details)
        lines = [
            f"{_called(test)} returned {shown(returned)}, expected {shown(test['expected'])}"
            for test, returned in zip(task.answer["tests"], result.outputs, strict=True)
            if not _matches(test, returned)
        ]
        examples = "\n".join(lines[:EXAMPLES_SHOWN])
        return self.judgement(not lines, self.feedback(task, example=examples), **details)


def _is_test(test: object) -> bool:
    if not isinstance(test, Mapping) or "expected" not in test:
        return False
    if "stdin" in test:
        return isinstance(test["stdin"], str) and "function" not in test
    return isinstance(test.get("function"), str) and is_list(test.get("args"))


def _matches(test: Mapping[str, Any], returned: object) -> bool:
    expected = test["expected"]
    return str(returned).rstrip() == str(expected).rstrip() if "stdin" in test else _equal(returned, expected)


def _equal(returned: object, expected: object) -> bool:
    """Compare plain JSON, in which 2.0 is 2 but true is not 1."""
    if isinstance(returned, list) and isinstance(expected, list | tuple):
        return len(returned) == len(expected) and all(map(_equal, returned, expected))
    if isinstance(returned, dict) and isinstance(expected, Mapping):
        return returned.keys() == expected.keys() and all(_equal(returned[key], expected[key]) for key in returned)
    return isinstance(returned, bool) == isinstance(expected, bool) and returned == expected


def _expected(test: Mapping[str, Any]) -> str:
    return str(test["expected"]) if "stdin" in test else shown(test["expected"])


def _called(test: Mapping[str, Any]) -> str:
    if "stdin" in test:
        return f"with input {shown(test['stdin'])} the program"
    return f"{test['function']}({', '.join(map(shown, test['args']))})"
