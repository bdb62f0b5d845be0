"""Environments: an attempt's text in, a judgement out. One table of judges, each naming what it needs.

Code and regular expressions run in the sandbox; verdicts are made here, where expected values stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import TaskError
from workbench.records import Judgement, Task
from workbench.tasks.house_rules import pack as house_rules
from workbench.tasks.house_rules.world import parse_specification
from workbench.tasks.sandbox import SandboxResult, run_many, shown

Program = tuple[str, list[dict[str, Any]]]  # code and the calls to make on it

MODEL = "model"  # name of the environment in which another model judges

_MATCHER = "import re\ndef found(pattern, text):\n    return re.search(pattern, text) is not None\n"


@dataclass(frozen=True, slots=True)
class Environment:
    """How one kind of task is judged: with a program that the sandbox runs, or from the text alone."""

    needs: str  # what the task's answer must hold, for people
    validate: Callable[[Mapping[str, Any]], bool]
    verdict: Callable[[Task, str, SandboxResult | None], Judgement]
    program: Callable[[Task, str], Program] | None = None  # None: nothing is run


def _judgement(passed: bool, feedback: str, **details: Any) -> Judgement:
    return Judgement(float(passed), passed, "" if passed else feedback, details)


def _exact(task: Task, text: str, _: SandboxResult | None) -> Judgement:
    return _judgement(text.strip() == str(task.answer["text"]).strip(), "The answer is not the expected one.")


def _contains(task: Task, text: str, _: SandboxResult | None) -> Judgement:
    wanted = str(task.answer["text"])
    return _judgement(wanted in text, f"The answer does not contain {wanted!r}.")


def _choice(task: Task, text: str, _: SandboxResult | None) -> Judgement:
    letters = re.findall(r"\b([A-J])\b", text)
    if not letters:
        return _judgement(False, "No choice was found; answer with one capital letter.")
    return _judgement(letters[-1] == task.answer["choice"], f"{letters[-1]} is not the right choice.")


def _person(_: Task, __: str, ___: SandboxResult | None) -> Judgement:
    # Nobody has judged yet: no pass, no feedback; a person gives both on the page.
    return Judgement(0.0, False, "", {"waiting": "a person's verdict"})


def _model(task: Task, _: str, __: SandboxResult | None) -> Judgement:
    raise TaskError(f"Task {task.id!r} is judged by another model; only a run with its policy loads one.")


def _regex(task: Task, _: str, result: SandboxResult | None) -> Judgement:
    assert result is not None
    if result.error is not None:
        return Judgement(0.0, False, f"The pattern could not be tried: {result.error}", {"tier": result.tier})
    passed = result.outputs[0] is True
    return _judgement(passed, f"The answer does not match {task.answer['pattern']!r}.", tier=result.tier)


def _python_calls(task: Task) -> list[dict[str, Any]]:
    return [{key: test[key] for key in ("function", "args", "stdin") if key in test} for test in task.answer["tests"]]


def _python(task: Task, _: str, result: SandboxResult | None) -> Judgement:
    assert result is not None
    details = {"tier": result.tier, "outputs": list(result.outputs)}
    if result.error is not None:
        return Judgement(0.0, False, result.error, details)
    lines = []
    for test, returned in zip(task.answer["tests"], result.outputs, strict=True):
        wanted = test["expected"]
        matches = _text(returned) == _text(wanted) if "stdin" in test else _equal(returned, wanted)
        if not matches:
            lines.append(f"{_called(test)} returned {shown(returned)}, expected {shown(wanted)}")
    return _judgement(not lines, "\n".join(lines[:2]), **details)


def _equal(returned: object, wanted: object) -> bool:
    """Equality of plain JSON, in which 2.0 is 2 but true is not 1."""
    if isinstance(returned, list) and isinstance(wanted, list | tuple):
        return len(returned) == len(wanted) and all(map(_equal, returned, wanted))
    if isinstance(returned, dict) and isinstance(wanted, Mapping):
        return returned.keys() == wanted.keys() and all(_equal(returned[key], wanted[key]) for key in returned)
    return isinstance(returned, bool) == isinstance(wanted, bool) and returned == wanted


def _text(value: object) -> str:
    return str(value).rstrip()


def _called(test: Mapping[str, Any]) -> str:
    if "stdin" in test:
        return f"with input {shown(test['stdin'])} the program"
    return f"{test['function']}({', '.join(map(shown, test['args']))})"


def _valid_tests(answer: Mapping[str, Any]) -> bool:
    tests = answer.get("tests")
    return isinstance(tests, list | tuple) and bool(tests) and all(map(_valid_test, tests))


def _valid_test(test: object) -> bool:
    if not isinstance(test, Mapping) or "expected" not in test:
        return False
    if "stdin" in test:
        return isinstance(test["stdin"], str) and "function" not in test
    return isinstance(test.get("function"), str) and isinstance(test.get("args"), list | tuple)


def _valid_house(answer: Mapping[str, Any]) -> bool:
    checks, house = answer.get("checks"), answer.get("house")
    return (
        isinstance(house, int)
        and isinstance(checks, list | tuple)
        and bool(checks)
        and all(isinstance(xs, list | tuple) and all(type(x) is int for x in xs) for xs in checks)
    )


def _valid_model(answer: Mapping[str, Any]) -> bool:
    named = isinstance(answer.get("model"), str) and bool(answer["model"].strip())
    return named and isinstance(answer.get("criteria", ""), str)


def _is_text(key: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda answer: isinstance(answer.get(key), str) and bool(answer[key])


def _program_of(task: Task, text: str) -> Program:
    code = house_rules.extract_code(text)
    return code, house_rules.calls(task) if task.environment == house_rules.PACK else _python_calls(task)


def _house_verdict(task: Task, _: str, result: SandboxResult | None) -> Judgement:
    assert result is not None
    return house_rules.verdict(task, result)


ENVIRONMENTS: Mapping[str, Environment] = {
    "house-rules": Environment(
        "a house and checks",
        _valid_house,
        _house_verdict,
        _program_of,
    ),
    "python": Environment(
        'tests: [{"function": "f", "args": [1], "expected": 2}] or [{"stdin": "1", "expected": "2"}]',
        _valid_tests,
        _python,
        _program_of,
    ),
    "exact": Environment('text: the whole answer, as {"text": ...}', _is_text("text"), _exact),
    "contains": Environment('text: what must occur, as {"text": ...}', _is_text("text"), _contains),
    "regex": Environment(
        'pattern: a regular expression, as {"pattern": ...}',
        _is_text("pattern"),
        _regex,
        lambda task, text: (_MATCHER, [{"function": "found", "args": [task.answer["pattern"], text]}]),
    ),
    "choice": Environment(
        'choice: the right letter from A to J, as {"choice": "B"}',
        lambda answer: re.fullmatch("[A-J]", str(answer.get("choice"))) is not None,
        _choice,
    ),
    MODEL: Environment(
        'model: the judge, a directory or a hub id, with criteria or without, as {"model": ..., "criteria": ...}',
        _valid_model,
        _model,
    ),
    "person": Environment("nothing: a person gives the verdict", lambda answer: True, _person),
}


def check_task(task: Task) -> Task:
    """The task itself. Raises TaskError where it cannot be judged: empty prompt, unknown judge, missing answer."""
    if not task.prompt.strip():
        raise TaskError("The task is empty; write what the policy should do.")
    if task.environment not in ENVIRONMENTS:
        known = ", ".join(ENVIRONMENTS)
        raise TaskError(f"There is no way of judging called {task.environment!r}; choose one of {known}.")
    if not ENVIRONMENTS[task.environment].validate(task.answer):
        needs = ENVIRONMENTS[task.environment].needs
        raise TaskError(f"Judging by {task.environment!r} needs {needs}.")
    if task.environment == house_rules.PACK:
        parse_specification(task.prompt)  # raises where the checker could not read the question
    return task


def judge(task: Task, text: str) -> Judgement:
    """The judgement of one attempt. Raises TaskError for a task that cannot be judged."""
    return judge_many([(task, text)])[0]


def judge_many(pairs: Sequence[tuple[Task, str]]) -> list[Judgement]:
    """Judgements of many attempts; their programs run side by side."""
    environments = [ENVIRONMENTS[check_task(task).environment] for task, _ in pairs]
    programs = {
        index: environment.program(task, text)
        for index, (environment, (task, text)) in enumerate(zip(environments, pairs, strict=True))
        if environment.program is not None
    }
    # Attempts of a group repeat each other: each different program runs once.
    distinct = {repr(program): program for program in programs.values()}
    results = dict(zip(distinct, run_many(list(distinct.values())), strict=True))
    return [
        environment.verdict(task, text, results[repr(programs[index])] if index in programs else None)
        for index, (environment, (task, text)) in enumerate(zip(environments, pairs, strict=True))
    ]
