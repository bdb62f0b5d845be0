"""Environments: what each judge passes, fails and says; nothing that a task or an attempt holds can hang it."""

from __future__ import annotations

import json
import time

import pytest

from workbench.errors import TaskError
from workbench.records import Judgement, Task
from workbench.tasks import check_task, judge, judge_many, parse_pack


def task(environment: str, **answer: object) -> Task:
    return Task("pack/task", "What is it?", environment, answer)


@pytest.mark.parametrize(
    ("one", "text", "passed"),
    [
        (task("exact", text="42"), " 42\n", True),
        (task("exact", text="42"), "It is 42.", False),
        (task("contains", text="42"), "It is 42.", True),
        (task("contains", text="Forty"), "forty", False),
        (task("choice", choice="B"), "I first thought A, but it is B.", True),
        (task("choice", choice="B"), "B? No: A.", False),
        (task("choice", choice="B"), "b", True),
        (task("choice", choice="B"), "a", False),
        (task("choice", choice="B"), "", False),
        (task("regex", pattern=r"^\d{4}$"), "2026", True),
        (task("regex", pattern=r"^\d{4}$"), "year 2026", False),
    ],
)
def test_the_judges_of_text(one: Task, text: str, passed: bool) -> None:
    judged = judge(one, text)
    assert (judged.passed, judged.reward) == (passed, float(passed))
    assert bool(judged.feedback) is not passed  # a failure says something, a pass does not


def test_a_person_s_task_waits_for_a_person() -> None:
    judged = judge(task("person"), "anything")
    assert (judged.passed, judged.feedback) == (False, "")
    assert "person" in judged.details["waiting"]


def test_a_pattern_that_would_never_end_is_stopped_and_nobody_is_blamed() -> None:
    started = time.process_time()
    judged = judge(task("regex", pattern=r"(a+)+$"), "a" * 60 + "!")
    assert not judged.passed and "TimeoutError" in judged.details["problem"]
    assert judged.feedback == "" and judged.parts == ()
    assert time.process_time() - started < 2  # the matching was not done in this process


@pytest.mark.parametrize(
    "pattern", ["(", "[z-a]", "a{2,1}", "(?P<n>a)(?P<n>b)", "(?<=a+)b", "*a", "(" * 5000, r"\\" * 6000]
)
def test_a_broken_pattern_is_refused_before_anything_is_sampled(pattern: str) -> None:
    with pytest.raises(TaskError, match=r"cannot be used|needs pattern"):
        check_task(task("regex", pattern=pattern))
    with pytest.raises(TaskError, match="row 1"):
        parse_pack("p.jsonl", json.dumps({"prompt": "Q", "environment": "regex", "answer": {"pattern": pattern}}))


@pytest.mark.parametrize(
    ("flags", "text", "passed"),
    [
        ("", "ANSWER", False),
        ("i", "ANSWER", True),
        ("im", "so:\nANSWER", True),
        (["IGNORECASE", "m"], "so:\nANSWER", True),
    ],
)
def test_a_pattern_has_flags(flags: object, text: str, passed: bool) -> None:
    assert judge(task("regex", pattern="^answer$", flags=flags), text).passed is passed


def test_a_pattern_for_the_whole_text_sees_the_reasoning() -> None:
    form = {"pattern": r"\A<think>.*</think>\s*\S", "flags": "s"}
    assert not judge(task("regex", **form), "<think>x</think> y").passed
    judged = judge(task("regex", **form, reasoning=True), "<think>x</think> y")
    assert judged.passed and "reasoning" not in judged.details


def test_flags_that_are_unknown_are_refused() -> None:
    for flags in ("iz", ["LOCALE"], 5, [5]):
        with pytest.raises(TaskError, match="no flag"):
            check_task(task("regex", pattern="a", flags=flags))


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("<answer>42</answer>", True),
        ("<think>41?</think>\n<answer>\n42\n</answer>", True),
        ("42\r\n", True),
        ("<answer>41</answer>", False),
        ("42 <answer>42</answer>", False),
    ],
)
def test_an_answer_tag_is_no_part_of_an_exact_answer(text: str, passed: bool) -> None:
    assert judge(task("exact", text="42"), text).passed is passed


def test_texts_are_equal_however_a_machine_writes_them() -> None:
    assert judge(task("exact", text="é\n1"), "e\u0301\r\n1").passed
    assert judge(task("contains", text="e\u0301\r\n1"), "so: é\n1.").passed


@pytest.mark.parametrize("name", ["exact", "contains", "regex"])
def test_no_feedback_discloses_the_expected_text(name: str) -> None:
    judged = judge(task(name, **{"pattern" if name == "regex" else "text": "pineapple"}), "pear")
    assert "pineapple" not in judged.feedback and judged.feedback == judged.parts[0].text
    assert [part.kind for part in judged.parts] == ["outcome", "answer"]
    assert judged.details["read_as"] == "pear"


PYTHON = task(
    "python",
    tests=[
        {"function": "add", "args": [2, 3], "expected": 5},
        {"function": "add", "args": ["a", "b"], "expected": "ab"},
        {"function": "pair", "args": [1], "expected": [1, {"n": 1}]},
    ],
)
RIGHT = "def add(a, b):\n    return a + b\ndef pair(x):\n    return x, {'n': x}\n"


def test_python_calls_are_compared_as_plain_json() -> None:
    assert judge(PYTHON, RIGHT) == Judgement(1.0, True, "", judge(PYTHON, RIGHT).details)
    failed = judge(PYTHON, RIGHT.replace("a + b", "b + a"))
    assert failed.feedback == "add('a', 'b') returned 'ba', expected 'ab'"
    assert (
        judge(PYTHON, "def add(a, b):\n    return a + c\n").feedback
        == "NameError: name 'c' is not defined (line 2), in add(2, 3)"
    )


@pytest.mark.parametrize(
    ("returned", "expected", "same"),
    [
        ("2.0", 2, True),
        ("True", 1, False),
        ("[True]", [1], False),
        ("{'a': 1}", {"a": True}, False),
        ("(1, 2)", [1, 2], True),
        ("[1]", [1, 2], False),
        ("None", None, True),
    ],
)
def test_equality_of_values(returned: str, expected: object, same: bool) -> None:
    tests = [{"function": "f", "args": [], "expected": expected}]
    assert judge(task("python", tests=tests), f"def f():\n    return {returned}\n").passed is same


def test_a_script_is_judged_by_what_it_prints() -> None:
    double = task("python", tests=[{"stdin": "21", "expected": "42"}])
    assert judge(double, "print(2 * int(input()))").passed
    assert judge(double, "print(input())").feedback == "with input '21' the program printed '21\\n', expected '42'"


def test_no_expected_value_can_be_found_from_inside() -> None:
    secret = 918_273_645
    peeking = (
        "import gc, sys\n"
        "def f():\n"
        "    frames, frame = [], sys._getframe()\n"
        "    while frame:\n"
        "        frames.append(repr(frame.f_locals)); frame = frame.f_back\n"
        "    return str(gc.get_objects()) + str(frames)\n"
    )
    judged = judge(task("python", tests=[{"function": "f", "args": [], "expected": secret}]), peeking)
    assert not judged.passed
    assert str(secret) not in str(judged.details["outputs"])


def test_a_program_that_says_it_passed_has_not() -> None:
    for code in ("print('passed')", "import sys\nsys.exit(0)", "class int(int):\n    def __eq__(self, o): return True"):
        assert not judge(PYTHON, code).passed


def test_many_attempts_are_judged_each_for_itself_and_in_order() -> None:
    mixed = [
        (task("exact", text="x"), "x"),
        (PYTHON, RIGHT),
        (PYTHON, "nonsense("),
        (PYTHON, RIGHT),
        (task("contains", text="y"), "x"),
    ]
    assert [judgement.passed for judgement in judge_many(mixed)] == [True, True, False, True, False]
    assert judge_many([]) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Task("p/t", "  ", "person"), "empty"),
        (Task("p/t", "Q", "oracle"), "no environment named 'oracle'"),
        (task("exact"), "'exact' needs text"),
        (task("exact", text=""), "'exact' needs text"),
        (task("contains", text=5), "'contains' needs text"),
        (task("regex", pattern=None), "'regex' needs pattern"),
        (task("choice", choice="Z"), "'choice' needs choice"),
        (task("choice", choice="AB"), "'choice' needs choice"),
        (task("python"), "'python' needs tests"),
        (task("python", tests=5), "'python' needs tests"),
        (task("python", tests=[]), "'python' needs tests"),
        (task("python", tests=["f(1) == 2"]), "'python' needs tests"),
        (task("python", tests=[{"function": "f", "args": [1]}]), "'python' needs tests"),
        (task("python", tests=[{"function": "f", "args": 1, "expected": 1}]), "'python' needs tests"),
        (task("python", tests=[{"function": "f", "args": [], "stdin": "", "expected": 1}]), "'python' needs tests"),
        (task("house-rules"), "'house-rules' needs house: its number"),
    ],
)
def test_a_task_that_cannot_be_judged_is_one_sentence(broken: Task, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        check_task(broken)
    with pytest.raises(TaskError, match=says):
        judge(broken, "x")
