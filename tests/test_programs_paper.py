"""Grading programs as the paper's harness does: its verdicts, wrong ones included, and the text of its feedback."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks import check_task, judge, judge_many


def task(*tests: dict[str, Any], split: Any = None, **answer: Any) -> Task:
    return Task("p/t", "Write it.", "python", {"tests": list(tests), "grading": "paper", **answer}, split=split)


def prints(expected: str, stdin: str = "") -> Task:
    return task({"stdin": stdin, "expected": expected})


def returns(expected: Any, *args: Any) -> Task:
    return task({"function": "f", "args": list(args), "expected": expected})


# (task, program, the paper's verdict, the right one)
CASES: list[tuple[Task, str, bool, bool]] = [
    (prints("4\n", "3\n"), "print(int(input()) + 1)", True, True),
    (prints("1\n2\n"), "print(1, 2)", True, False),  # a line end is a blank
    (prints("1 2\n3\n"), "print(1, 2, '')\nprint(3)", False, True),  # and so is a blank before one
    (prints("1\n2\n"), "print('1\\r\\n2')", True, True),
    (prints("-"), "print('-')", False, True),
    (prints("0.333333"), "print('.333333')", False, True),
    (prints("0.3"), "print(0.1 + 0.2)", False, True),
    (prints("4"), "import sys\nprint(4)\nsys.exit(0)", False, True),
    (prints("3", "3"), "import sys\nprint(sys.stdin.buffer.read().decode())", False, True),
    (prints("3", "3"), "print(open(0).read())", False, True),
    (prints("4"), "try:\n    int('x')\nexcept ValueError:\n    print(4)", False, True),
    (prints("4"), "class A:\n    pass\nclass B(A):\n    def __init__(self):\n        super().__init__()\nB()\nprint(4)",
     False, True),
    (prints("4"), "import os\nprint(4)", False, True),
    (prints("4"), "if __name__ == '__main__':\n    print(4)", True, True),
    (returns(2, 1), "def f(x: List[int]):\n    return x + 1", True, True),
    (returns(2, 1), "class Solution:\n    def f(self, x):\n        return x + 1", False, True),
    (returns(2, 1), "def g(x):\n    return x + 1", True, False),  # the first function, whatever its name
    (returns(2, 1), "def f(x):\n    return x + 1.0", False, True),
    (returns(1, 1), "def f(x):\n    return x == 1", False, False),
    (returns([1, 2]), "def f():\n    return (1, 2)", True, True),
    (returns([0, 1]), "def f():\n    return (i for i in range(2))", False, True),
    (returns(0.3), "def f():\n    return 0.1 + 0.2", False, True),
]  # fmt: skip


def test_verdicts_and_where_they_differ_from_the_right_ones() -> None:
    pairs = [(one, f"```python\n{code}\n```") for one, code, _, _ in CASES]
    sound = [(Task(one.id, one.prompt, one.environment, {"tests": one.answer["tests"]}), text) for one, text in pairs]
    papers, rights = judge_many(pairs), judge_many(sound)
    wrong = [
        (code, paper.passed, right.passed, paper.feedback)
        for (_, code, *verdicts), paper, right in zip(CASES, papers, rights, strict=True)
        if [paper.passed, right.passed] != verdicts
    ]
    assert wrong == []


def test_the_longest_closed_block_is_the_program() -> None:
    long, short = "# long enough\nprint(4)\n", "print(5)\n"
    assert judge(prints("4"), f"```python\n{long}```\n```python\n{short}```").passed
    unclosed = judge(prints("4"), f"```python\n{long}")
    assert [(part.kind, part.text) for part in unclosed.parts] == [
        ("format", "Incorrect Format: Put your code inside a ```python ... ``` block.")
    ]


def test_the_reward_is_the_share_of_tests_or_of_held_out_tasks_all_or_nothing() -> None:
    tests = [{"function": "f", "args": [x], "expected": x % 2} for x in range(4)]
    text = "```\ndef f(x):\n    return 0\n```"
    assert (judge(task(*tests), text).reward, judge(task(*tests), text).passed) == (0.5, False)
    assert judge(task(*tests, split="held_out"), text).reward == 0.0


def test_feedback_is_worded_as_the_paper_s() -> None:
    tests = [
        {"stdin": "long input\n", "expected": "1"},
        {"stdin": "b\n", "expected": "2"},
        {"stdin": "a\n", "expected": "3"},
    ]
    wrong = judge(task(*tests), "```python\nprint('x')\n```")
    assert wrong.feedback == (
        "Test Case 2: Wrong Answer\n\nInput\nb\n\nOutput\nx\n\nExpected\n2\n\n"
        "Test Case 3: Wrong Answer\n\nInput\na\n\nOutput\nx\n\nExpected\n3"
    )
    assert [part.kind for part in wrong.parts] == ["example", "example"]
    code = "debug_print('seen')\ndef f():\n    return int(input())\nif input() == 'b':\n    f()\nprint(1)\n"
    error = judge(task(*tests), f"```python\n{code}```")
    assert error.feedback == (  # alone, and its lines are one too high
        "Runtime Error\nEOFError: EOF when reading a line\nLine 6 in <module> (Solution.py)\n"
        "Line 4 in f (Solution.py)\n\nLast Executed Input\nb\n\nDebug Output\nseen"
    )
    assert [part.kind for part in error.parts] == ["error"]
    function = judge(returns(3, 1, [2]), "```python\ndef f(x, y):\n    return {x}\n```")
    assert function.feedback == ("Runtime Error\nNon-serializable result type: set\n\nLast Executed Input\n1 [2]")


def test_long_feedback_is_cut_line_by_line_and_in_all() -> None:
    shouting = "```python\nprint('x' * 300)\n```"
    cut = judge(prints("y" * 300, "\n".join("z" * 99 for _ in range(12))), shouting).feedback
    assert f"\n{'z' * 99}\n... (4 more lines)\n\nOutput\n{'x' * 250}...\n\nExpected\n{'y' * 250}..." in cut
    assert len(judge(prints("y", "\n".join("z" * 300 for _ in range(12))), shouting).feedback) == 2000


def test_a_program_without_end_or_word() -> None:
    tests = [{"stdin": "", "expected": "1"}, {"stdin": "x", "expected": "1"}]
    late = judge(task(*tests, cpu_s=1), "```python\nwhile True:\n    pass\n```")
    assert late.feedback == "Time Limit Exceeded\n\nLast Executed Input" and late.parts[0].kind == "timeout"
    dead = judge(prints("1"), "```python\nf = lambda x: f(x)\nimport sys\nsys.modules['posix']._exit(0)\n```")
    assert "Output\nProcess Error: EOFError:" in dead.feedback  # taken for a wrong answer


def test_hidden_tests_stay_hidden() -> None:
    judgement = judge(task({"stdin": "secret", "expected": "1", "hidden": True}), "```python\nprint(input())\n```")
    assert not judgement.passed and "secret" not in repr(judgement)


@pytest.mark.parametrize("more", [{"checker": "def check(a, b, c): return True"}, {"check": "def check(c): pass"}])
def test_it_knows_no_checks(more: dict[str, str]) -> None:
    with pytest.raises(TaskError, match="knows no check and no checker"):
        check_task(task({"function": "f", "args": [], "expected": 1}, function="f", **more))
