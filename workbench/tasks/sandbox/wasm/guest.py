"""The harness inside the WebAssembly interpreter. Its source is handed over with `-c`; nothing imports it to use it.

Its arguments are the sources of `program.py` and `candidate.py`, which say what a call is in every tier. It runs once,
when the tier is prepared: it imports what most programs need and ends the interpreter without tidying up. The memory
that is left is the one with which every call begins, in an instance of its own: there `wake` is the first thing that
runs.
"""

from __future__ import annotations

import array
import builtins
import io
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from workbench.tasks.sandbox import candidate, program
else:
    program, candidate = type(sys)("program"), type(sys)("candidate")
    candidate.program = program
    for _module in (program, candidate):
        exec(sys.argv.pop(1), _module.__dict__)

CHANNEL = 2  # in a check's instance, descriptor to ask the program that it checks, and to get its answers
# Imported once instead of by each call, where it would take longer than all the rest.
_COMMON = (
    *("asyncio", "bisect", "collections", "dataclasses", "functools", "heapq", "itertools", "math", "re", "string"),
    "typing",
)
for _name in _COMMON:
    __import__(_name)

# An event loop makes itself a pair of sockets, so that other threads can wake it; there are neither here.
_loop: Any = sys.modules["asyncio.selector_events"].BaseSelectorEventLoop
_loop._make_self_pipe = _loop._close_self_pipe = lambda self: None
_loop._ssock = _loop._csock = None

letter = array.array("I", [0, 0])  # address and length of the report, for the host to read
report = array.array("B")
served: candidate.Served
_modules, _own = sys.modules, sys.modules["__main__"]


def wake(text: str) -> None:
    """Do one thing, which the host asks for as JSON.

    - "call": make a call; a script then ends the interpreter, as the end of a script does.
    - "check": call a check, whose candidate is another instance.
    - "serve": load a program, to answer the calls of a check; "answer": answer one, which is JSON in turn.
    """
    global served
    asked = json.loads(text)
    what, call, limits = asked["do"], asked.get("call"), asked.get("limits")
    program.lift_limits()
    if what == "call":
        frame = program.run_call(asked["code"], program.unpacked(call), limits)
        _report(frame)
        if call is not None and "stdin" in call:
            sys.exit(int(bool(frame)))
    elif what == "check":
        sys.stderr = sys.__stderr__ = _Nothing()  # type: ignore[misc, assignment]
        checked = candidate.run_check(call, limits, CHANNEL, CHANNEL)
        if checked is not None:
            _report(checked)
    elif what == "serve":
        served = candidate.Served(asked["code"], asked["function"], limits)
        _send("loaded")
    else:
        _report(served.answer(json.loads(asked["request"])))
    _modules["__main__"] = _own  # where the next question looks for this function, whatever a program did to it


def _report(frame: dict[str, Any]) -> None:
    _send(json.dumps(frame))


def _send(text: str) -> None:
    global report
    report = array.array("B", text.encode())
    letter[0], letter[1] = report.buffer_info()


class _Nothing(io.TextIOBase):
    """A stream that drops what is written to it."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


os.environ.clear()
builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # absent under -S; programs use them
sys.argv[:] = ["-c"]
os.write(1, str(letter.buffer_info()[0]).encode())
sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
sys.__stdin__, sys.__stdout__ = sys.stdin, sys.stdout  # type: ignore[misc]  # programs replace the others
os._exit(0)
