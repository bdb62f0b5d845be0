"""A check that is code, `def check(candidate): assert ...`, kept apart from the program that it checks.

The check, which a task brings, and the program, which an attempt brings, run in two confined processes. The check's
`candidate` is a stand-in: it sends its arguments down one pipe, and the value comes back on another. So the program
never sees the check, cannot change what an assertion means, and what it sends is read as plain values. As `program.py`,
this is source that an interpreter is handed; it uses `program`, which the harness puts among its names.
"""

from __future__ import annotations

import builtins
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from workbench.tasks.sandbox import program

_LINE_LIMIT = 2**24  # bytes of one message
_SHOWN = 500  # characters of the last call's text that are reported


def serve(code: str, function: str, limits: dict[str, int], requests: int, answers: int) -> None:
    """As the program's process: load it, then answer calls until there are no more. Raises nothing of the program."""
    served = Served(code, function, limits)
    for request in _lines(requests):
        _write(answers, served.answer(request))


class Served:
    """A loaded program that answers calls of one of its functions."""

    def __init__(self, code: str, function: str, limits: dict[str, int]) -> None:
        """Load it. Raises nothing of the program."""
        self._names: dict[str, Any] = {}
        self._function, self._limits = function, limits
        self._failed: dict[str, Any] | None = None
        try:
            self._names = program.load(code, "attempt", without=function)
        except BaseException as exc:
            self._failed = program.error(exc, limits)

    def answer(self, request: Any) -> dict[str, Any]:
        """Make one call. Returns its value and what became of its arguments, or its error. Raises nothing."""
        if self._failed is not None:
            return {"error": self._failed}
        try:
            arguments, named = _unpack(request["args"]), _unpack(request["kwargs"])
            value = program.find(self._names, self._function, [])(*arguments, **named)
            return {"value": _pack(value), "args": _pack(arguments)}
        except BaseException as exc:
            return {"error": program.error(exc, self._limits)}


def run_check(call: dict[str, Any], limits: dict[str, int], requests: int, answers: int) -> dict[str, Any] | None:
    """As the check's process: returns {"value": True}, or {"error"} with, under "last", the call that was made last.

    The error's type is "CheckError" where the check itself is to blame. None: the program's process has ended.
    """
    candidate = Candidate(requests, answers, call["function"])
    try:
        names: dict[str, Any] = {"__name__": "check"}
        for source in (call.get("setup", ""), call["check"]):
            exec(compile(source, "<check>", "exec", dont_inherit=True), names)
        names[call["function"].rpartition(".")[2]] = candidate  # checks that use its own name
        names["check"](candidate)
        if not candidate.calls:
            raise LookupError("it never calls the candidate")
        return {"value": True}
    except _Ended:
        return None
    except BaseException as exc:
        described = getattr(exc, "of_program", None) or {**program.error(exc, limits), "line": None}
        if not candidate.calls:
            described = {"type": "CheckError", "message": f"{type(exc).__name__}: {exc}", "line": None}
        return {"error": described, "last": candidate.last}


class Candidate:
    """The stand-in for the program's function."""

    def __init__(self, requests: int, answers: int, name: str) -> None:
        self.__name__ = name
        self.calls, self.last = 0, ""
        self._requests, self._lines = requests, _lines(answers)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the program's function; raises what it raised, where Python has such an error, else an Exception."""
        shown = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
        message = {"args": _pack(list(args)), "kwargs": _pack(kwargs)}
        self.calls, self.last = self.calls + 1, _cut(f"{self.__name__}({shown})")
        try:
            _write(self._requests, message)
            answer = next(self._lines, None)
        except OSError:
            answer = None
        if not isinstance(answer, dict):
            raise _Ended
        if "error" in answer:
            raise _raised(answer["error"])
        value = _unpack(answer["value"])
        for mine, theirs in zip(args, _unpack(answer["args"]), strict=False):
            if type(mine) is type(theirs) and isinstance(mine, list | dict | set) and mine != theirs:
                mine.clear()
                (mine.extend if isinstance(mine, list) else mine.update)(theirs)
        self.last += " returned " + _cut(repr(value))
        return value


class _Ended(BaseException):
    """The program's process has ended."""


class Opaque:
    """A value of a type that does not come across: equal to nothing."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __repr__(self) -> str:
        return f"<{self._kind}>"


def _raised(described: dict[str, Any]) -> BaseException:
    kind = getattr(builtins, str(described["type"]), None)
    raised: Any
    try:
        is_known = isinstance(kind, type) and issubclass(kind, Exception)
        raised = kind(described["message"]) if kind and is_known else Exception(described["message"])
    except TypeError:  # one that takes other arguments, as UnicodeDecodeError does
        raised = Exception(described["message"])
    raised.of_program = described
    return raised


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


_LISTS = {"tuple": tuple, "set": set, "frozenset": frozenset}


def _pack(value: Any) -> Any:
    """A value as JSON that tells Python's own types apart; {"opaque": type} for another."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_pack(item) for item in value]
    if kind is dict:
        return {"dict": [[_pack(key), _pack(item)] for key, item in value.items()]}
    if kind.__name__ in _LISTS and kind.__module__ == "builtins":
        return {kind.__name__: [_pack(item) for item in value]}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is bytes:
        return {"bytes": value.hex()}
    base: Any
    for base in (str, int, float, tuple, list, dict, set, frozenset):  # e.g. a named tuple, a Counter
        if isinstance(value, base):
            return _pack(base(value))
    return {"opaque": kind.__name__}


def _unpack(data: Any) -> Any:
    """The inverse of `_pack`. Raises an exception for what `_pack` does not write."""
    if isinstance(data, list):
        return [_unpack(item) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, held),) = data.items()
    if kind == "dict":
        return {_unpack(key): _unpack(item) for key, item in held}
    if kind == "complex":
        return complex(*held)
    if kind == "bytes":
        return bytes.fromhex(held)
    return Opaque(str(held)) if kind == "opaque" else _LISTS[kind](map(_unpack, held))


def _write(descriptor: int, message: dict[str, Any]) -> None:
    view = memoryview(json.dumps(message).encode() + b"\n")
    while view:
        view = view[os.write(descriptor, view) :]


def _lines(descriptor: int) -> Any:
    """Go through the messages that come down a pipe; ends where one is no JSON, or too long."""
    held = b""
    while len(held) < _LINE_LIMIT:
        chunk = os.read(descriptor, 65536)
        held += chunk
        if not chunk:
            return
        *complete, held = held.split(b"\n")
        for line in complete:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                return
