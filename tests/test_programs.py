"""The environment `python`: programs of every form people write, judged as a person at a terminal would judge them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sandbox_programs import has

from workbench.errors import SandboxError, TaskError
from workbench.records import Judgement, Task
from workbench.tasks import check_task, judge, judge_many
from workbench.tasks.sandbox import Limits, tiers

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "verdicts.json"


def task(*tests: dict[str, Any], **answer: Any) -> Task:
    return Task("pack/task", "Write it.", "python", {**({"tests": list(tests)} if tests else {}), **answer})


def returns(expected: Any, *args: Any, **more: Any) -> Task:
    return task({"function": "f", "args": list(args), "expected": expected, **more})


def prints(expected: str, stdin: str = "", **answer: Any) -> Task:
    return task({"stdin": stdin, "expected": expected}, **answer)


def judged(table: list[tuple[Task, str, bool]]) -> list[Judgement]:
    """Judge a table of (task, text, passed) at once and compare; a list of what differs is easier to read than one.

    What the WebAssembly tier cannot run (threads, mmap) is not judged where there is no other.
    """
    judgements = judge_many([(one, text) for one, text, _ in table])
    wrong = [
        (text, right, found.feedback)
        for (_, text, right), found in zip(table, judgements, strict=True)
        if found.passed is not right and not ("refused" in found.details and found.details["tier"] == "wasm")
    ]
    assert wrong == []
    return judgements


def test_the_known_cases() -> None:
    if not CASES.exists():
        pytest.skip("the cases are not here")
    rows = [row for row in json.loads(CASES.read_text()) if row["environment"] == "python"]
    assert len(rows) > 20
    judged([(Task("p/t", "Q", "python", row["answer"]), row["text"], row["passed"]) for row in rows])


VALUES: list[tuple[Any, str, bool]] = [
    (0.3, "0.1 + 0.2", True),
    (0.3, "0.3000004", True),
    (0.3, "0.31", False),
    (1e18, "10 ** 18 + 1000", True),  # relative
    (2.0, "2", True),
    (2, "2.0", True),
    (2, "2.0000001", False),  # an integer is exact
    (10**18, "10 ** 18 + 1", False),
    (10**18, "1e18", True),
    (10**18 + 1, "1e18", False),
    (0.5, "float('inf')", False),
    (0.5, "float('nan')", False),
    (0.5, "10 ** 400", False),
    (0.5, "'0.5'", False),
    (1, "True", False),
    (True, "1", False),
    (True, "1.0", False),
    ([1], "[True]", False),
    (0, "None", False),
    (None, "0", False),
    ("a", "'a'", True),
    ("a", "['a']", False),
    ([0, 1, 2], "(i for i in range(3))", True),
    ([0, 1, 2], "range(3)", True),
    ([0, 1, 2], "map(int, '012')", True),
    ([0, 1, 2], "reversed([2, 1, 0])", True),
    ([0, 1, 2], "deque([0, 1, 2])", True),
    ([0, 1, 2], "{0: 'a', 1: 'b', 2: 'c'}.keys()", True),
    ([[0, "a"]], "{0: 'a'}.items()", True),
    ([[0, "a"]], "enumerate('a')", True),
    ([[0.1, [0.30000000000000004]]], "[(0.1, (0.3,))]", True),
    ([0, 1, 2], "[0, 2, 1]", False),
    ([0, 1, 2], "[0, 1]", False),
    ([3, 10, 25], "{25, 10, 3}", True),  # a set stands for its elements in ascending order
    ({"set": [10, 3, 25]}, "{25, 10, 3}", True),
    ({"set": [10, 3, 25]}, "[3, 25, 10]", True),
    ({"set": [10, 3, 25]}, "[3, 25, 10, 10]", False),
    ({"set": [[1, 2], [0.3]]}, "[(0.1 + 0.2,), (1, 2)]", True),
    ([{"set": [1, 2]}, {"set": []}], "[{2, 1}, set()]", True),
    ({"a": 0.3}, "{'a': 0.1 + 0.2}", True),
    ({"a": 1}, "Counter('a')", True),
    ({"1": [2]}, "{1: (2,)}", True),
    ({"a": 1}, "{'a': 1, 'b': 2}", False),
    (2, "Fraction(4, 2)", True),
    (0.5, "Fraction(1, 2)", True),
    (0.1, "Decimal('0.1')", True),
    ([65, 66], "b'AB'", False),
    (2, "2 + 0j", False),
]


def test_values() -> None:
    judged([(returns(expected), f"def f():\n    return {code}\n", right) for expected, code, right in VALUES])


FORMS: list[tuple[Task, str, bool]] = [
    (returns(2, 1), "class Solution:\n    def f(self, x: int) -> Optional[int]:\n        return x + 1", True),
    (returns(2, 1), "class Solution:\n    @staticmethod\n    def f(x): return x + 1", True),
    (
        task({"function": "Box.get", "args": [1], "init": [4], "expected": 5}),
        "class Box:\n    def __init__(self, n):\n        self.n = n\n    def get(self, x):\n        return self.n + x",
        True,
    ),
    (task({"function": "Box.get", "args": [], "expected": 5}), "class Bax: pass", False),
    (returns(3, [1, 2]), "def f(x: List[int]) -> Dict[str, int]:\n    return sum(x)", True),
    (
        returns(6, 4),
        "def f(x):\n    return gcd(12, 18) if isqrt(x) == 2 and heapq and itertools and math.pi else inf",
        True,
    ),
    (returns(8, 2), "def f(x):\n    return pow(x, 3)", True),  # Python's own, not that of `math`
    (returns(8, 2), "@lru_cache(None)\ndef f(x):\n    return 1 if x < 0 else f(x - 1) * 2", True),
    (
        returns(4, 2),
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\ndef f(x): return P(x).x * 2",
        True,
    ),
    (returns(4, 2), "@dataclass\nclass P:\n    x: int\ndef f(x): return P(x).x * 2", True),
    (returns(4, 2), "async def f(x):\n    import asyncio\n    await asyncio.sleep(0)\n    return x * 2", True),
    (returns(100_000, 100_000), "def f(n): return 0 if n == 0 else 1 + f(n - 1)", True),
    (returns(10**5000), "def f(): return 10 ** 5000", True),
    (returns(10**5000), "def f(): return 10 ** 5000 + 1", False),
    (returns(5001, 10**5000), "def f(x): return len(str(x))", True),
    (returns([3, 1, 2], [1, 2, 3], argument=0), "def f(xs): xs.insert(0, xs.pop())", True),
    (returns([3, 1, 2], [1, 2, 3], argument=0), "def f(xs): return [3, 1, 2]", False),
    (returns(3, 1, kwargs={"b": 2}), "def f(a, *, b): return a + b", True),
    (
        returns(2, 1),
        "from math import *\ndef gcd(a, b): return 5\ndef f(x): return 2 if gcd(2, 4) == 5 else 0",
        True,
    ),
    (returns(2, 1), "if __name__ == '__main__':\n    raise SystemExit\ndef f(x): return x + 1", True),
    (returns(2, 1), "f = lambda x: x + 1", True),
    (returns(2, 1), "def g(x): return x + 1\n", False),
    (returns(2, 1), "def gcd(x): return gcd\nf = undefined_thing", False),
]


def test_forms_of_programs() -> None:
    judged(FORMS)


THREE = "3\n"
SCRIPTS: list[tuple[Task, str, bool]] = [
    (prints("4\n", THREE), "import sys\nsys.stdin = open(0)\nprint(int(sys.stdin.readline()) + 1)", True),
    (prints("4\n", THREE), "import sys\nprint(int(sys.stdin.buffer.read()) + 1, flush=True)", True),
    (prints("4\n", THREE), "import os\nos.write(1, b'%d' % (int(os.read(0, os.fstat(0).st_size)) + 1))", True),
    (prints("4\n", THREE), "import mmap\nprint(int(mmap.mmap(0, 0, access=mmap.ACCESS_READ).read()) + 1)", True),
    (prints("4\n", THREE), "def main():\n    print(int(input()) + 1)\nif __name__ == '__main__':\n    main()", True),
    (prints("4\n", THREE), "print(int(input()) + 1)\nexit()", True),
    (prints("4\n", THREE), "print(int(input()) + 1)\nraise SystemExit", True),
    (prints("4\n", THREE), "import sys\nprint(int(input()) + 1)\nsys.exit(1)", False),
    (prints("4\n", THREE), "import sys\nprint(int(input()) + 1)\nsys.exit('4')", False),
    (prints("4\n", THREE), "import os, sys\nprint(int(input()) + 1)\nsys.stdout.flush()\nos._exit(0)", True),
    (prints("4\n", THREE), "import os\nprint(int(input()) + 1)\nos._exit(0)", False),  # the buffer is lost
    (prints("4\n", THREE), "import os\nprint(int(input()) + 1, flush=True)\nos.abort()", False),
    (prints("4\n", THREE), "out = open(1, 'w', closefd=False)\nout.write(str(int(input()) + 1))", True),
    (prints("4\n", THREE), "import io, os, sys\nsys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w')))\n"
     "print(int(input()) + 1)", True),
    (prints("4\n", THREE), "import sys\nprint = sys.stdout.write\nprint(str(int(input()) + 1))", True),
    (prints("4\n", THREE), "import io, sys\nbuffer = io.StringIO()\nsys.stdout, real = buffer, sys.stdout\n"
     "print(int(input()) + 1)\nreal.write(buffer.getvalue())", True),
    (prints("4\n", THREE), "class Last:\n    def __del__(self):\n        print(4)\nlast = Last()", True),
    (prints("3\n", THREE), "try:\n    while True:\n        last = input()\nexcept EOFError:\n    print(last)", True),
    (prints("3\n", THREE), "import fileinput\nfor line in fileinput.input(): print(line, end='')", True),
    (prints("4\n", THREE), "print(int(input()) + 1)\ninput()", False),  # there is no second line
    (prints("caught\n", "x\n"), "try:\n    int(input())\nexcept ValueError:\n    print('caught')", True),
    (prints("1" * 100_000), "print((10 ** 100_000 - 1) // 9)", True),
    (prints("100000\n"), "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(100_000))", True),
    (prints("4\n", threads=True), "import sys, threading\nsys.setrecursionlimit(10**7)\nthreading.stack_size(2**26)\n"
     "def main(): print(4)\nthread = threading.Thread(target=main)\nthread.start()\nthread.join()", True),
    (prints("4\n", threads=True), "import threading\nthreading.Timer(0.05, lambda: print(4)).start()", True),
    (prints("10\n", threads=True), "from concurrent.futures import ThreadPoolExecutor\n"
     "with ThreadPoolExecutor(4) as pool: print(sum(pool.map(int, '1234')))", True),
    (prints("4\n"), "import threading\nthreading.Thread(target=lambda: print(4)).start()", False),  # not allowed here
    (prints("x" * 2_000_000, output_kb=4096), "print('x' * 2_000_000)", True),
    (prints("x" * 2_000_000), "print('x' * 2_000_000)", False),
    (prints("4\n"), "def f(x: List[int]): return 4\nprint(f([]))", False),  # a script has what it imports
]  # fmt: skip


def test_scripts_leave_what_a_process_would() -> None:
    judged(SCRIPTS)


OUTPUTS: list[tuple[str, str, bool]] = [
    ("1 2 3\n4 5 6\n", "1 2 3 \n4 5 6 \n", True),
    ("1\n2\n", "1\r\n2", True),
    ("1\r\n2\r\n", "1\n2\n\n\n", True),
    ("1\n2", "\n1\n2", True),
    ("1\n2\n", "1 2\n", False),
    ("1\n\n2\n", "1\n2\n", False),
    ("1 2\n", "1  2\n", True),
    ("1 2\n", "12\n", False),
    ("  *\n ***\n", "*\n***\n", False),  # a drawing
    ("  *\n ***\n", "  *  \n ***\n", True),
    ("0.3", "0.30000000000000004", True),
    ("0.333333", ".333333", True),
    ("0.3", "3e-1", True),
    ("1e9", "1000000000.1", True),
    ("1.0", "1", True),
    ("0.3", "0.31", False),
    ("0.3", "nan", False),
    ("1", "1.0", False),
    ("1000000000000000000", "1000000000000000001", False),
    ("007", "7", False),
    ("[0.1, 0.3]", "[0.1, 0.30000000000000004]", True),
    ("x = 0.5, y = -1", "x = 0.5000000001, y = -1", True),
    ("x = 0.5, y = -1", "x = 0.5, y = 1", False),
    ("v1.2.3", "v1.2.30", False),
    ("12:30.5", "12:30.500", True),
    ("-", "-", True),
    ("-", "", False),
    ("", "", True),
    ("Yes", "yes", False),
    ("é ß 世", "é ß 世", True),
]


def test_outputs() -> None:
    judged([(prints(expected), f"print({text!r}, end='')", right) for expected, text, right in OUTPUTS])


def test_a_tolerance_of_the_task() -> None:
    judged(
        [
            (task({"function": "f", "args": [], "expected": 0.3}, tolerance=0.1), "def f(): return 0.35", True),
            (task({"function": "f", "args": [], "expected": 0.3}, tolerance=0), "def f(): return 0.1 + 0.2", False),
            (prints("0.3", tolerance=0.1), "print(0.35)", True),
        ]
    )


def test_many_tests_do_not_fail_a_program() -> None:
    """Limits are those of each call: neither time nor output adds up."""
    slow = task(*({"stdin": str(n), "expected": str(n)} for n in range(4)), cpu_s=1, wall_s=60)
    busy = "import time\nwhile time.process_time() < 0.4: pass\nprint(input())"
    wide = task(*({"function": "f", "args": [n], "expected": f"{n}" + "x" * 20_000} for n in range(60)))
    judged([(slow, busy, True), (wide, "def f(n): return f'{n}' + 'x' * 20_000", True)])
    assert Limits().total_s(60) > 60 * Limits().cpu_s


def test_limits_of_the_task_hold() -> None:
    loop = "while True: pass"
    late, heavy, _ = judged(
        [
            (prints("", cpu_s=1), loop, False),
            (prints("100000000", memory_mb=64), "print(len(bytearray(10 ** 8)))", False),
            (prints("100000000"), "print(len(bytearray(10 ** 8)))", True),
        ]
    )
    assert [part.kind for part in late.parts] == ["timeout"]
    assert late.feedback == "TimeoutError: used more than 1 s of processor time, with input ''"
    assert [part.kind for part in heavy.parts] == ["error"] and heavy.feedback.startswith("MemoryError (line 1)")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"tests": [], "check": ""}, "needs tests"),
        ({"tests": [{"stdin": "", "expected": ""}], "cpu_s": 0}, "'cpu_s' of a task is 0"),
        ({"tests": [{"stdin": "", "expected": ""}], "cpu_s": 10**6}, "at most 60"),
        ({"tests": [{"stdin": "", "expected": ""}], "memory_mb": "much"}, "'memory_mb' of a task is 'much'"),
        ({"tests": [{"stdin": "", "expected": ""}], "threads": 5}, "'threads' of a task is true or false"),
        ({"tests": [{"stdin": "", "expected": ""}], "packages": ["os"]}, "cannot use the packages"),
        ({"tests": [{"stdin": "", "expected": ""}], "packages": ["../x"]}, "cannot use the packages"),
        ({"tests": [{"stdin": "", "expected": ""}], "tolerance": -1}, "tolerance of a task"),
        ({"tests": [{"stdin": "", "expected": ""}], "grading": "kind"}, "no grading 'kind'"),
        ({"tests": [{"stdin": "", "expected": ""}], "several_right": True}, "cannot be graded; add a checker"),
        ({"tests": [{"stdin": ""}], "checker": "def check(a): return True"}, "defines check"),
        ({"tests": [{"stdin": ""}], "checker": "def check(a, b, c:"}, "defines check"),
        ({"check": "assert True", "function": "f"}, "defines check"),
        ({"check": "def check(candidate): pass"}, "Call 1 must be"),
        ({"tests": [{"function": "f", "args": [1], "argument": 1, "expected": 1}]}, "Call 1 must be"),
        ({"tests": [{"function": "f", "args": [1], "kwargs": [1], "expected": 1}]}, "Call 1 must be"),
        ({"tests": [{"function": "f", "args": [1]}]}, "needs tests"),
    ],
)
def test_a_row_that_cannot_be_judged_is_one_sentence(answer: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=re.escape(says)):
        check_task(Task("p/t", "Q", "python", answer))


# Checkers and checks ------------------------------------------------------------------------------------------------
SUMS = (
    "def check(input, output, expected):\n"
    "    pair = [int(word) for word in output.split()]\n"
    "    if len(pair) != 2:\n"
    "        return [False, 'two numbers are needed']\n"
    "    return sum(pair) == int(input)\n"
)


def test_a_checker_accepts_every_right_answer() -> None:
    sums = task({"stdin": "10"}, checker=SUMS, several_right=True)
    _, _, wrong, form, odd, error = judged(
        [
            (sums, "print(3, 7)", True),
            (sums, "print(10, 0)", True),
            (sums, "print(3, 8)", False),
            (sums, "print(10)", False),
            (sums, "print('a', 'b')", False),
            (sums, "print(1 / 0)", False),
        ]
    )
    assert wrong.feedback == "with input '10' the program printed '3 8\\n', and the checker does not accept it"
    assert form.feedback.endswith("the checker says 'two numbers are needed'")
    assert "the checker could not read it (ValueError: invalid literal for int()" in odd.feedback
    assert error.feedback == "ZeroDivisionError: division by zero (line 1), with input '10'"
    values = task(
        {"function": "f", "args": [4], "expected": 0.5}, checker="def check(i, o, e): return o[0] == i[0] * e"
    )
    judged([(values, "def f(x): return [2.0]", True), (values, "def f(x): return [2.5]", False)])


CHECK = "def check(candidate):\n    assert candidate(2) == (2, {1})\n    assert candidate(3) == (3, {1}), 'three'\n"


def test_a_check_in_code_runs_apart_from_the_program() -> None:
    checked = task(check=CHECK, function="f")
    assert judge(checked, "def f(x): return x, {1}").passed
    wrong = judge(checked, "def f(x): return 2, {1}")
    assert [(part.kind, part.text) for part in wrong.parts] == [("example", "f(3) returned (2, {1}): three")]
    error = judge(checked, "def f(x):\n    return x / 0\n")
    assert error.feedback == "ZeroDivisionError: division by zero (line 2), in f(2)"
    assert judge(checked, "x = 1").feedback == "NameError: name 'f' is not defined, in f(2)"
    hidden = judge(task(check=CHECK, function="f", hidden=True), "def f(x): return 2, {1}")
    assert [(part.kind, part.text) for part in hidden.parts] == [("outcome", "A hidden test does not pass.")]


def test_checks_of_many_forms() -> None:
    setup = "import math\ndef poly(xs, x):\n    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n"
    zero = "def check(candidate):\n    assert math.isclose(poly([-4, 2], candidate([-4, 2])), 0)\n"
    changed = "def check(candidate):\n    xs = [2, 1]\n    candidate(xs)\n    assert xs == [1, 2]\n"
    raising = "def check(candidate):\n    try:\n        candidate(-1)\n    except ValueError as error:\n"
    raising += "        assert 'low' in str(error)\n    else:\n        assert False\n"
    named = "def check(candidate):\n    assert add(1, b=2) == 3\n"
    judged(
        [
            (task(check=zero, setup=setup, function="find"), "def find(xs): return -xs[0] / xs[1]", True),
            (task(check=zero, setup=setup, function="find"), "def find(xs): return None", False),
            (task(check=changed, function="f"), "def f(xs): xs.sort()", True),
            (task(check=changed, function="f"), "def f(xs): return sorted(xs)", False),
            (task(check=raising, function="f"), "def f(x):\n    raise ValueError('too low')", True),
            (task(check=raising, function="f"), "def f(x):\n    raise KeyError('too low')", False),
            (task(check=named, function="add"), "def add(a, b): return a + b", True),
            (task(check=named, function="add"), "def add(a, b):\n    while True: pass", False),
        ]
    )


@pytest.mark.parametrize(
    "check", ["def check(candidate): assert undefined", "def check(candidate): pass", "def check(candidate): return f"]
)
def test_a_check_that_never_asks_the_program_is_the_row_s_mistake(check: str) -> None:
    with pytest.raises(TaskError, match="The check of task 'pack/task' cannot be run"):
        judge(task(check=check, function="f"), "def f(x): return x")


# Feedback -----------------------------------------------------------------------------------------------------------
def test_feedback_is_told_by_kind() -> None:
    tests = [{"function": "f", "args": [x], "expected": x} for x in ("long" * 20, "ab", "a", 0, 7)]
    text = "def f(x):\n    if x == 0: return 1 / x\n    if x == 7: return {}[x]\n    return x + 'x'\n"
    parts = judge(task(*tests), text).parts
    assert [(part.kind, part.text) for part in parts] == [
        ("error", "ZeroDivisionError: division by zero (line 2), in f(0)"),
        ("example", "f('a') returned 'ax', expected 'a'"),  # the two shortest
        ("example", "f('ab') returned 'abx', expected 'ab'"),
    ]


def test_an_answer_without_a_program_is_a_matter_of_form() -> None:
    for text in ("I cannot.", "```cpp\nint x;\n```", ""):
        judgement = judge(returns(1), text)
        assert [part.kind for part in judgement.parts] == ["format"] and "```python" in judgement.feedback


def test_lines_are_counted_in_the_program_that_was_read() -> None:
    judgement = judge(returns(1), "First a word.\n\n```python\n\ndef f():\n    return x\n```")
    assert "(line 3)" in judgement.feedback
    assert str(judgement.details["read_as"]).split("\n")[2] == "    return x"


def test_a_mistake_of_the_language_is_told_once_with_its_line() -> None:
    judgement = judge(task({"stdin": "secret", "expected": "", "hidden": True}), "```python\nx = (\n```")
    assert [(part.kind, part.text) for part in judgement.parts] == [
        ("error", "SyntaxError: '(' was never closed (line 1)")
    ]


def test_hidden_tests_are_told_nothing_of() -> None:
    tests = [
        {"function": "f", "args": ["public"], "expected": 6},
        {"function": "f", "args": ["secret input"], "expected": "secret value", "hidden": True},
    ]
    one = task(*tests)
    texts = {
        "def f(x): return len(x)": ("outcome", "The public tests pass, and a hidden test does not."),
        "def f(x): return len(x) if x[0] == 'p' else int(x)": ("error", "ValueError in a hidden test (line 1)"),
        "def f(x):\n    if x[0] == 'p': return 6\n    raise type(x, (Exception,), {})(x)": (
            "error", "An error in a hidden test (line 3)"),
        "def f(x):\n    if x[0] == 'p': return 6\n    while True: pass": ("timeout", "A hidden test takes too long."),
    }  # fmt: skip
    judgements = judge_many([(one, text) for text in texts])
    for judgement, told in zip(judgements, texts.values(), strict=True):
        assert [(part.kind, part.text) for part in judgement.parts] == [told]
        assert "secret" not in repr(judgement)
        assert [test["hidden"] for test in judgement.details["tests"]] == [False, True]
    both = judge(one, "def f(x): return x")
    assert both.feedback == "f('public') returned 'public', expected 6"
    assert "secret" not in repr(both)


def test_of_an_outcome_alone_only_the_outcome_is_told() -> None:
    one = task({"function": "f", "args": [1], "expected": 2}, feedback="outcome")
    judgement = judge(one, "def f(x): return x")
    assert [(part.kind, part.text) for part in judgement.parts] == [("outcome", "The program does not pass its tests.")]


def test_long_values_are_cut_and_stored_short() -> None:
    judgement = judge(returns(10**6000), "def f(): return [10 ** 6000, 'x' * 100_000]")
    assert len(judgement.feedback) < 1500 and "an integer of about 6001 digits" in judgement.feedback
    assert len(json.dumps(dict(judgement.details))) < 10_000


# Packages -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def with_packages() -> None:
    if not (has("bubblewrap") or has("landlock")):
        pytest.skip("the WebAssembly tier has no packages, and this machine has no other")


@pytest.mark.usefixtures("with_packages")
def test_numpy_where_a_task_asks_for_it() -> None:
    tests = [{"function": "f", "args": [[x]], "expected": [2 * x]} for x in (1, 0.1)]
    true, number = ({"function": "f", "args": [], "expected": expected} for expected in (True, 3))
    numpy = {"packages": ["numpy"]}
    code = "import numpy as np\ndef f(x): return np.array(x) * 2\n"
    judged(
        [
            (task(*tests, **numpy), code, True),
            (task(*tests, **numpy), code.replace("import numpy as np\n", ""), True),
            (task(*tests, **numpy), "import numpy\ndef f(x): return [2 * numpy.float64(y) for y in x]", True),
            (task(*tests), code, False),
            (task(true, **numpy), "def f(): return np.bool_(True)", True),
            (task(number, **numpy), "def f(): return np.int64(3)", True),
        ]
    )


@pytest.mark.usefixtures("with_packages")
def test_a_package_that_is_missing_is_not_the_attempt_s_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "PACKAGES", {**tiers.PACKAGES, "numpy": ("numpy_that_is_not_here",)})
    with pytest.raises(SandboxError, match="use the package 'numpy', and 'numpy_that_is_not_here' is not installed"):
        judge(task({"function": "f", "args": [], "expected": 1}, packages=["numpy"]), "def f(): return 1")
