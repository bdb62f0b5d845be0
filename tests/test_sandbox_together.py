"""Programs that share a sandbox: the same results as alone, and none sees, changes or holds up another."""

from __future__ import annotations

import pytest
from sandbox_programs import call, has

from workbench.errors import TaskError
from workbench.tasks.sandbox import Limits, Program, run_many
from workbench.tasks.sandbox.run import run_in_tier, run_together
from workbench.tasks.sandbox.tiers import Tier

SECRET = "a secret of the neighbour"
# Searches the frames below it and all that the collector knows for bytes which it is told only as their successors, so
# that what it holds itself is not found.
SPY = """
import gc, sys
NEXT = bytes([*range(1, 256), 0])
def f(successors):
    needle, frame, held = bytes(successors), sys._getframe(), list(gc.get_objects())
    while frame:
        held.append(frame.f_locals)
        frame = frame.f_back
    texts = (repr(one) for one in held if isinstance(one, (dict, list, tuple)) and one is not held)
    return any(needle in text.encode("utf-8", "replace").translate(NEXT) for text in texts)
"""


@pytest.fixture(params=["bubblewrap", "landlock"])
def linux_tier(request: pytest.FixtureRequest) -> Tier:
    if not has(request.param):
        pytest.skip(f"this machine has no {request.param} tier")
    return request.param


def answer(value: object) -> Program:
    return Program(f"def f():\n    return {value!r}\n", [call(), call()])


def test_each_has_the_results_that_it_has_alone(tier: Tier) -> None:
    programs = [
        answer(1),
        Program("def f(:\n", [call()]),
        Program("print(input())", [{"stdin": "a\n"}, {"stdin": "b\n"}]),
        Program("raise SystemExit(3)", []),
        answer([2, "x"]),
    ]
    together = run_together(tier, programs)
    assert together == [run_in_tier(tier, one.code, one.calls, limits=one.limits) for one in programs]
    assert together[2].outputs == ("a\n", "b\n") and together[4].outputs == ([2, "x"],) * 2


def test_one_that_ends_its_process_or_takes_too_long_ends_nothing_else(tier: Tier) -> None:
    limits = Limits(cpu_s=1, wall_s=4.0)
    codes = ["import os\ndef f():\n    os._exit(0)\n", "def f():\n    while True: pass\n", "def f():\n    return 7\n"]
    ended, endless, right = run_together(tier, [Program(code, [call()], limits) for code in codes])
    assert ended.errors[0] is not None and ended.errors[0].type == "ExitedEarly"
    assert endless.timed_out and right.outputs == (7,) and right.error is None


def test_one_that_floods_the_report_leaves_the_others_theirs(linux_tier: Tier) -> None:
    limits = Limits(report_bytes=20_000)
    flood = Program("def f():\n    return 'x' * 9_000\n", [call()] * 3, limits)
    result = run_together(linux_tier, [answer(1)._replace(limits=limits), flood, answer(2)._replace(limits=limits)])
    assert [one.outputs for one in (result[0], result[2])] == [(1, 1), (2, 2)]
    assert "OutputLimitExceeded" in str(result[1].error)


@pytest.mark.parametrize("place", [0, 1])
def test_none_holds_the_text_of_another(linux_tier: Tier, place: int) -> None:
    neighbour = Program(f"x = {SECRET!r}\ndef f():\n    return x\n", [call()])
    spy = Program(SPY, [call([byte + 1 for byte in SECRET.encode()])])
    programs = [spy, neighbour] if place == 0 else [neighbour, spy]
    result = run_together(linux_tier, programs)
    assert result[1 - place].outputs == (SECRET,)
    assert result[place].outputs == (False,)


def test_the_search_would_find_what_its_own_process_holds(linux_tier: Tier) -> None:
    found = Program(f"x = [{SECRET!r}]\n{SPY}", [call([byte + 1 for byte in SECRET.encode()])])
    assert run_together(linux_tier, [found])[0].outputs == (True,)


def test_many_come_back_in_order_with_limits_of_their_own() -> None:
    slow = Limits(cpu_s=1)
    programs = [answer(number)._replace(limits=slow if number % 5 == 0 else Limits()) for number in range(21)]
    assert [one.outputs for one in run_many(programs, workers=2)] == [(number, number) for number in range(21)]
    with pytest.raises(TaskError, match="Call 1 must be"):
        run_many([answer(1), ("", [{"nothing": 1}])])
