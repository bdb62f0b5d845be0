"""The sandbox, with real programs in real processes, values, errors and forged reports."""

from __future__ import annotations

import os
import time

import pytest
from sandbox_programs import call, value_of

from workbench.errors import TaskError
from workbench.tasks.sandbox import Limits, choose_tier, run_many, run_python
from workbench.tasks.sandbox.results import parse_report, read_call
from workbench.tasks.sandbox.run import DEFAULT_LIMITS, run_in_tier
from workbench.tasks.sandbox.tiers import Tier


def test_values_of_several_calls_in_order(tier: Tier) -> None:
    calls = [call(1, 2), call("a", "b"), call([1], [None, True, 2.5]), call({"k": []}, 0)]
    result = run_in_tier(tier, "def f(a, b):\n    return (a, b)\n", calls, limits=DEFAULT_LIMITS)
    assert result.outputs == ([1, 2], ["a", "b"], [[1], [None, True, 2.5]], [{"k": []}, 0])
    assert result.errors == (None,) * 4
    assert (result.error, result.tier, result.timed_out) == (None, tier, False)


def test_runtime_error_names_the_line_of_the_program(tier: Tier) -> None:
    code = "def f(x):\n    y = x + 1\n    return y + xx\n"
    result = run_in_tier(tier, code, [call(1)], limits=DEFAULT_LIMITS)
    assert result.outputs == (None,)
    assert result.error == "NameError: name 'xx' is not defined (line 3)"
    assert result.errors[0] is not None and result.errors[0].line == 3


def test_the_deepest_line_of_the_program_is_named_even_below_the_library(boundary: Tier) -> None:
    code = "import json\ndef g(x):\n    return json.loads(x)\ndef f(x):\n    return g(x)\n"
    result = run_python(code, [call("{")])
    assert result.errors[0] is not None
    assert (result.errors[0].type, result.errors[0].line) == ("JSONDecodeError", 3)


def test_one_failing_call_leaves_the_others(boundary: Tier) -> None:
    result = run_python("def f(x):\n    return 10 // x\n", [call(5), call(0), call(2)])
    assert result.outputs == (2, None, 5)
    assert [error is None for error in result.errors] == [True, False, True]
    assert result.error == "ZeroDivisionError: integer division or modulo by zero (line 2)"


def test_syntax_error_names_the_line(boundary: Tier) -> None:
    result = run_python("def f(x):\n    return (x\n\ndef g(): pass\n", [call(1), call(2)])
    assert result.error == "SyntaxError: '(' was never closed (line 2)"
    assert result.outputs == (None, None)


def test_missing_function_and_wrong_arguments(boundary: Tier) -> None:
    assert run_python("def g():\n    return 1\n", [call()]).error == "NameError: name 'f' is not defined"
    error = run_python("def f(a):\n    return a\n", [call(1, 2)]).error
    assert error is not None and error.startswith("TypeError: f() takes 1 positional argument but 2 were given")


def test_without_calls_the_program_is_loaded(boundary: Tier) -> None:
    assert run_python("x = 1", []).error is None
    result = run_python("x = 1\nx.y", [])
    assert result.error == "AttributeError: 'int' object has no attribute 'y' (line 2)"
    assert result.outputs == result.errors == ()


@pytest.mark.parametrize(
    "program",
    [
        "n = int(input())\nprint(sum(int(input()) for _ in range(n)))",
        "import sys\nn, *rest = map(int, sys.stdin.read().split())\nsys.stdout.write(f'{sum(rest)}\\n')",
        "print(sum(map(int, open(0).read().split()[1:])))",
        "print(sum(map(int, open('/dev/stdin').read().split()[1:])))",
        "import pathlib, sys\nlines = pathlib.Path('/dev/stdin').read_text().split()\n"
        "print(sum(map(int, lines[1:])), file=open('/dev/stdout', 'w'))",
        "import os, sys\nos.write(1, b'%d\\n' % sum(map(int, sys.stdin.buffer.read().split()[1:])))\nsys.exit(0)",
        "import sys\nif __name__ == '__main__':\n    print(sum(int(x) for x in list(sys.stdin)[1:]))\n    exit()",
    ],
)
def test_scripts_read_standard_input_and_print(boundary: Tier, program: str) -> None:
    result = run_python(program, [{"stdin": "2\n3\n4\n"}, {"stdin": "1\n-5\n"}])
    assert result.error is None
    assert result.outputs == ("7\n", "-5\n")


def test_every_tier_gives_a_program_the_same_folder(boundary: Tier) -> None:
    assert run_python("import os\ndef f(): return os.getcwd()", [{"function": "f", "args": []}]).outputs == ("/",)


def test_a_check_hands_over_huge_numbers_and_deep_lists_and_finds_the_program_again(boundary: Tier) -> None:
    check = (
        "def check(candidate):\n    assert candidate(10 ** 20_000) == 10 ** 20_000\n    deep = []\n"
        "    for _ in range(2_000): deep = [deep]\n    assert candidate(deep) == deep\n"
    )
    assert run_python("def f(x): return x", [{"check": check, "function": "f"}]).outputs == (True,)
    twice = "def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(2) == 2\n"
    program = "import sys\nsys.modules.clear()\ndef f(x): return x"
    assert run_python(program, [{"check": twice, "function": "f"}]).outputs == (True,)


def test_standard_streams_are_files_that_can_be_sought_cut_and_written(boundary: Tier) -> None:
    programs = {
        "import os\nos.write(1, b'999')\nos.ftruncate(1, 1)\nos.lseek(1, 0, 2)\nos.write(1, b'x')": "9x",
        "import sys\nprint('abc', flush=True)\nsys.stdout.seek(0)\nsys.stdout.truncate()\nprint(4)": "4\n",
        "import os\nos.ftruncate(0, 2)\nprint(input())": "45\n",
        "import os\nos.write(0, b'9')\nos.lseek(0, 0, 0)\nprint(input())": "9567\n",
        "import os\nos.ftruncate(1, 2 ** 40)": None,
        "import os\nos.ftruncate(0, 2 ** 40)": None,
    }
    for program, printed in programs.items():
        assert run_python(program, [{"stdin": "4567\n"}]).outputs == (printed,)


def test_a_script_that_ends_with_a_status_fails(boundary: Tier) -> None:
    result = run_python("import sys\nprint('part')\nsys.exit(3)\n", [{"stdin": ""}])
    assert result.outputs == (None,)
    assert result.error == "SystemExit: 3 (line 3)"
    assert result.printed == ("part\n",)


def test_what_functions_print_is_kept_and_cut(boundary: Tier) -> None:
    result = value_of("print('x' * 100)\nreturn 1", limits=Limits(printed_bytes=10))
    assert result.outputs == (1,)
    assert result.printed == ("x" * 10,)


def test_calls_share_no_memory(boundary: Tier) -> None:
    code = "seen = []\ndef f(x):\n    seen.append(x)\n    return seen\n"
    assert run_python(code, [call(1), call(2)]).outputs == ([1], [2])


def test_set_order_is_the_same_every_time(boundary: Tier) -> None:
    results = {str(value_of("return list({'a', 'bb', 'ccc', 'dddd', 'eeeee'})").outputs) for _ in range(4)}
    assert len(results) == 1


@pytest.mark.parametrize(
    "expression", ["object()", "b'x'", "float('nan')", "[float('inf')]", "lambda: 1", "2j", "int", "{(1,): 2}"]
)
def test_values_that_are_not_json_are_errors(boundary: Tier, expression: str) -> None:
    result = value_of(f"return {expression}")
    assert result.outputs == (None,)
    assert result.errors[0] is not None and result.errors[0].type == "ReturnError"


def test_a_value_that_contains_itself_is_an_error(boundary: Tier) -> None:
    result = value_of("x = []\nx.append(x)\nreturn x")
    assert result.errors[0] is not None and result.errors[0].type == "ReturnError"


def test_subclasses_with_their_own_equality_arrive_as_plain_values(boundary: Tier) -> None:
    code = (
        "class Sly(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "class Text(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
        "def f():\n    return [Sly(3), Text('a')]\n"
    )
    output = run_python(code, [call()]).outputs[0]
    assert output == [3, "a"] and output != [4, "a"]
    assert [type(item) for item in output] == [int, str]


@pytest.mark.parametrize("ending", ["import os\nos._exit(0)", "import os\nos.abort()"])
def test_ending_the_process_gives_no_value_and_spares_the_other_calls(boundary: Tier, ending: str) -> None:
    body = "\n".join("        " + line for line in ending.splitlines())
    result = run_python(f"def f(x):\n    if x:\n{body}\n    return 'here'\n", [call(0), call(1), call(0)])
    assert result.outputs == ("here", None, "here")
    assert result.errors[1] is not None and result.errors[1].type == "ExitedEarly"


def test_leaving_a_function_with_status_zero_is_no_value(boundary: Tier) -> None:
    result = value_of("import sys\nsys.exit(0)")
    assert result.outputs == (None,)
    assert result.error == "SystemExit: 0 (line 3)"


def test_result_lines_on_standard_output_are_just_text(boundary: Tier) -> None:
    forged = '{"call": 0, "value": "forged"}'
    result = value_of(f"print('{forged}')\nimport os\nos.write(1, b'{forged}\\n')\nreturn 'mine'")
    assert result.outputs == ("mine",)
    assert forged in result.printed[0]


UNREADABLE = [
    '{"value": NaN}',
    '{"value": 1e999}',
    '{"value": "\\ud800"}',
    "[" * 100_000,
    '{"value": ' + "9" * 5000 + "}",
    "\ufffd",
    '{"value": 1',
    "1",
]


def test_what_a_call_says_is_parsed_strictly() -> None:
    output = "\n".join(UNREADABLE)
    value, error, _ = read_call({"call": 0, "said": output, "ended": 0}, DEFAULT_LIMITS)
    assert value is None and error is not None and error.type == "ExitedEarly"
    again = output + '\n{"value": 1}\n{"value": 2}'
    assert read_call({"call": 0, "said": again, "ended": 0}, DEFAULT_LIMITS) == (1, None, "")


def test_a_line_of_the_harness_that_was_cut_is_dropped() -> None:
    lines = [b'{"call": true, "said": ""}', b'{"call": 7, "said": ""}', b'{"call": -1}', b"\xff", b'{"call": 0, "sa']
    assert parse_report(b"\n".join(lines), 1) == {}
    kept = parse_report(b"\n".join([*lines, b'{"call": 0, "said": "a"}', b'{"call": 0, "said": "b"}']), 1)
    assert kept == {0: {"call": 0, "said": "a"}}


def test_forged_errors_are_one_short_printable_line(boundary: Tier) -> None:
    frame = '{"error": {"type": "E", "message": "a\\\\n\\\\u001b[31m\\\\u202e" + "x" * 9999, "line": "no"}}'
    body = f"import os, json\nframe = eval('{frame}')\nfor n in range(3, 32):\n"
    body += "    try: os.write(n, json.dumps(frame).encode() + b'\\n')\n    except OSError: pass\nos._exit(0)"
    error = value_of(body).errors[0]
    if boundary == "wasm":  # which has no descriptors that a harness would read
        assert error is not None and error.type == "ExitedEarly"
        return
    assert error is not None and error.type == "E" and error.line is None
    assert error.message.isprintable() and len(error.message) <= 501


def test_32_attempts_are_judged_in_under_two_seconds(boundary: Tier) -> None:
    program = ("def f(x):\n    return sorted(x)\n", [call([3, 1, 2]), call([]), call([2, 1])])
    choose_tier()
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy with something else
        start = time.monotonic()
        results = run_many([program] * 32)
        seconds.append(time.monotonic() - start)
        if seconds[-1] < 2:
            break
    if min(seconds) >= 2 and os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip(f"the machine is busy (load {os.getloadavg()[0]:.1f}): took {min(seconds):.1f} s")
    assert min(seconds) < 2
    assert {str(result.outputs) for result in results} == {"([1, 2, 3], [], [1, 2])"}


def test_run_many_keeps_the_order(boundary: Tier) -> None:
    programs = [(f"def f():\n    return {number}\n", [call()]) for number in range(9)]
    assert [result.outputs[0] for result in run_many(programs)] == list(range(9))


@pytest.mark.parametrize(
    "bad", [{}, {"function": "f"}, {"function": "f", "args": 1}, {"stdin": 3}, {"stdin": "", "args": []}]
)
def test_malformed_calls_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(TaskError, match="Call 1 must be"):
        run_python("", [bad])


def test_arguments_that_are_not_json_are_refused() -> None:
    with pytest.raises(TaskError, match="not plain JSON"):
        run_python("", [call(float("nan"))])
    with pytest.raises(TaskError, match="not plain JSON"):
        run_python("", [call({1})])


@pytest.mark.parametrize(
    "code", ["\x00", "x = '\ud800'", "(" * 5000, "x = " + "-" * 100_000 + "1", "é = 1\ndef f(): return é"]
)
def test_strange_source_text_is_handled(boundary: Tier, code: str) -> None:
    result = run_python(code, [call()])
    assert (result.outputs == (1,)) == code.startswith("é")
    assert (result.error is None) == code.startswith("é")
