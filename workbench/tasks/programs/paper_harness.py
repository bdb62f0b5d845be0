"""Runs of a program as the paper's harness makes them, faults included; source for the sandbox alone.

A program finds few of Python's built-in names, a short list of modules, and text streams in memory; docs/graders.md
says what follows from that. `run` says what happened, and never what was expected.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import io
import sys
import traceback
import typing
from collections.abc import MutableMapping
from typing import Any

_FILE = "Solution.py"
_BUILTINS = (
    "abs all any bool bytes callable chr dict enumerate filter float format frozenset hash hex input int isinstance "
    "issubclass iter len list map max min next object ord pow print range repr reversed round set slice sorted str sum "
    "tuple zip __build_class__"
)
_MODULES = (
    "array bisect cmath collections dataclasses datetime decimal fractions functools heapq io itertools json math "
    "numpy operator random re sortedcontainers statistics string sys time typing"
)
_TYPING = (
    "Any Callable DefaultDict Deque Dict FrozenSet Generic Iterable Iterator List Literal Mapping MutableMapping "
    "MutableSequence MutableSet NoReturn Optional Sequence Set Tuple Type TypeVar TypedDict Union overload"
)
_HIDDEN_MODULES = "ctypes inspect multiprocessing resource socket ssl subprocess threading urllib"


class _Names(MutableMapping[str, Any]):
    """The program's names, of which it cannot replace `debug_print`."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def __getitem__(self, key: str) -> Any:
        return self._names[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "debug_print":
            self._names[key] = value

    def __delitem__(self, key: str) -> None:
        del self._names[key]

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _import(name: str, *rest: Any, **named: Any) -> Any:
    if name.split(".")[0] not in _MODULES.split():
        raise ImportError(f"Import of module '{name}' is not allowed")
    return builtins.__import__(name, *rest, **named)


def _namespace(debug: io.StringIO) -> dict[str, Any]:
    known: dict[str, Any] = {name: getattr(builtins, name) for name in _BUILTINS.split()}
    known |= {"open": None, "__import__": _import}
    provided = {name: getattr(typing, name) for name in _TYPING.split()}
    return {"__builtins__": known, "debug_print": lambda *a, **k: print(*a, file=debug, **k), **provided}


def run(program: str, function: str | None, given: Any) -> dict[str, Any]:
    """Run a program on one input: the text of a script, or the arguments of a function.

    Returns {"value"} or {"error": text}, and "debug". A function's value is plain JSON; tuples are lists.
    """
    debug, output = io.StringIO(), io.StringIO()
    names = _namespace(debug)
    sys.modules.update(dict.fromkeys(_HIDDEN_MODULES.split()))  # type: ignore[arg-type]  # None: cannot be imported
    frame, sys._getframe = sys._getframe, None  # type: ignore[assignment]
    streams = sys.stdin, sys.stdout, sys.stderr
    sys.stdout, sys.stderr = output, debug
    try:
        if function is None:
            sys.stdin = io.StringIO(given)
            exec(compile('__name__ = "__main__"\n' + program, _FILE, "exec", dont_inherit=True), names, _Names(names))
            result = {"value": output.getvalue()}
        else:
            names["__name__"] = "__not_main__"
            code = compile(program, _FILE, "exec", __future__.annotations.compiler_flag, dont_inherit=True)
            exec(code, names, _Names(names))
            value = names[_name(program, function, names)](*given)
            try:
                result = {"value": _plain(value)}
            except TypeError as exc:
                result = {"error": str(exc)}
    except BaseException as exc:
        sys._getframe = frame
        result = {"error": _trace(exc)}
    finally:
        sys._getframe = frame
        sys.stdin, sys.stdout, sys.stderr = streams
    return {**result, "debug": debug.getvalue()}


def _name(program: str, function: str, names: dict[str, Any]) -> str:
    """The function that is called: the one asked for, else the program's first, else the word before a bracket."""
    if callable(names.get(function)):
        return function
    first = [node.name for node in ast.parse(program).body if isinstance(node, ast.FunctionDef)][:1]
    return first[0] if first and callable(names.get(first[0])) else program.split("(")[0].split()[-1]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"Non-serializable result type: {type(value).__name__}")


def _trace(exc: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == _FILE]
    places = [f"Line {frame.lineno} in {frame.name} ({_FILE})" for frame in frames[-3:]]
    return "\n".join([f"{type(exc).__name__}: {exc}", *places])
