"""One call of a model-written program: load it, call it, and say its value or its error. Portable Python only.

The source of this file is handed to an interpreter beside the harness of its tier, which confines the process, gives
it its standard streams, and passes on what `run_call` returns; nothing in the workbench imports it to use it. It
holds inputs only: verdicts are made by the parent, outside.

Standard library only, and little of it, because its imports are paid on every start; nothing of one system alone (no
fork, no file descriptors but 0 and 1, no ctypes), because one tier is not Linux.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sys

TYPE_CHECKING = False  # to import `typing` would take a ninth of the start
if TYPE_CHECKING:
    from typing import Any

SOURCE = "<attempt>"


def run_call(code: str, call: dict[str, Any] | None, limits: dict[str, int]) -> dict[str, Any]:
    """Make one call of the program; `call` None only loads it. Raises nothing.

    Returns {"value": plain JSON} or {"error": {"type", "message", "line"}}; {} where it ran and there is no value: it
    was only loaded, or it is a script ({"stdin": ...}), whose value is what it wrote to descriptor 1. Everything that
    it printed is flushed when this returns.
    """
    frame: dict[str, Any] = {}
    stdout = sys.stdout  # the program may replace it
    try:
        if call is None:
            _run_program(code, "attempt")
        elif "stdin" in call:
            _run_script(code)
        else:
            frame = _value(code, call)
        if not stdout.closed:
            stdout.flush()
    except BaseException as exc:
        frame = {"error": _error(exc, limits)}
        exc.__traceback__ = None  # frees what the program held, a full memory for instance
    with contextlib.suppress(BaseException):
        stdout.flush()  # what an error left in the buffer
    return frame


def _run_program(code: str, name: str) -> dict[str, Any]:
    """Execute the program as a fresh module, which `sys.modules` knows (dataclasses look there)."""
    module = type(sys)(name)
    sys.modules[name] = module
    exec(compile(code, SOURCE, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _value(code: str, call: dict[str, Any]) -> dict[str, Any]:
    """Value of a function call, as JSON, or the reason why it has none. Raises what the program raises."""
    names = _run_program(code, "attempt")
    if call["function"] not in names:
        raise NameError(f"name '{call['function']}' is not defined")
    value = names[call["function"]](*call["args"])
    try:
        return {"value": json.loads(json.dumps(value, allow_nan=False))}
    except (TypeError, ValueError, RecursionError) as exc:
        return {"error": {"type": "ReturnError", "message": f"returned no plain value: {exc}", "line": None}}


def _run_script(code: str) -> None:
    """Execute the program as a script; ending itself with status 0 is how many scripts end."""
    try:
        _run_program(code, "__main__")
    except SystemExit as exc:
        if exc.code not in (None, 0):
            raise


def _error(exc: BaseException, limits: dict[str, int]) -> dict[str, Any]:
    """Type, message and line number in the program's text (None where no line of it is to blame)."""
    line = None
    trace = exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == SOURCE:
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        message = str(exc)
    except BaseException:
        message = "the error has no text"
    kind = type(exc).__name__
    if isinstance(exc, SyntaxError) and exc.filename == SOURCE:
        message, line = str(exc.msg), exc.lineno
    elif isinstance(exc, OSError) and exc.errno == errno.EFBIG:
        kind, message = "OutputLimitExceeded", f"wrote more than {limits['file_bytes']} bytes"
    return {"type": kind, "message": message, "line": line}
