"""The harness inside the WebAssembly interpreter. Its source is handed over with `-c`; nothing imports it to use it.

Its one argument is the source of `program.py`, which says what a call is in every tier. It runs once, when the tier is
prepared: it imports what most programs need and ends the interpreter without tidying up. The memory that is left is the
one with which every call begins, in an instance of its own: there `wake` is the first thing that runs.
"""

from __future__ import annotations

import array
import builtins
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from workbench.tasks.sandbox import program
else:
    program = type(sys)("program")
    exec(sys.argv.pop(), program.__dict__)

# Imported once instead of by each call, where it would take longer than all the rest.
for _name in [
    "bisect",
    "collections",
    "dataclasses",
    "functools",
    "heapq",
    "itertools",
    "math",
    "re",
    "string",
    "typing",
]:
    __import__(_name)

letter = array.array("I", [0, 0])  # address and length of the report, for the host to read
report = array.array("B")


def wake(text: str) -> None:
    """Make one call. `text`: the job, as JSON: "code", "call", "limits"."""
    global report
    job = json.loads(text)
    call, limits = job["call"], job["limits"]
    frame = program.run_call(job["code"], call, limits)
    if call is not None and "stdin" in call and "error" not in frame:
        frame["value"] = _printed(limits["file_bytes"])
    frame["printed"] = _printed(limits["printed_bytes"])
    report = array.array("B", json.dumps(frame).encode())
    letter[0], letter[1] = report.buffer_info()


def _printed(limit: int) -> str:
    """Output of the program on descriptor 1, at most `limit` bytes of it."""
    return os.pread(1, limit, 0).decode("utf-8", "replace")


os.environ.clear()
builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # absent under -S; programs use them
sys.argv[:] = ["-c"]
os.write(1, str(letter.buffer_info()[0]).encode())
sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
os._exit(0)
