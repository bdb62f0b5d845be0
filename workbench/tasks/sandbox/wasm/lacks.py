"""What programs need and the WebAssembly tier does not have: there the tier gives up; the program has not failed."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

from workbench.tasks.sandbox.results import REFUSED, Call, CallError, SandboxResult

_NO_MODULE = re.compile(r"No module named '(\w+)(?:\.\w+)*'(?:; .*)?")
_NO_NAME = (
    re.compile(r"module '(?P<module>\w+)' has no attribute '(?P<name>\w+)'(?:\. .*)?"),
    re.compile(r"cannot import name '(?P<name>\w+)' from '(?P<module>\w+)'(?: .*)?"),
)
_SENTENCE = "not judged: the program {}, and the WebAssembly tier cannot do that"
_NO_THREAD = "can't start new thread"


def give_up_where_due(result: SandboxResult) -> SandboxResult:
    """Turn the first error into a refusal, where a program needs what only the other tiers could have.

    A program may feign such an error: then it gets no verdict, which is no pass.
    """
    first = next((error for error in result.errors if error is not None), None)
    lack = None if first is None else _lack(first)
    if first is None or lack is None:
        return result
    refusal = CallError(REFUSED, _SENTENCE.format(lack), first.line)
    errors = tuple(refusal if error is first else error for error in result.errors)
    return replace(result, errors=errors, error=str(refusal), refused=refusal.message)


def without_packages(calls: Sequence[Call], packages: Sequence[str]) -> SandboxResult:
    """The result of a program that may use packages: it is not run."""
    refusal = CallError(REFUSED, _SENTENCE.format(f"may use {', '.join(packages)}"))
    n = len(calls)
    return SandboxResult((None,) * n, (refusal,) * n, ("",) * n, str(refusal), "wasm", False, refusal.message)


def _lack(error: CallError) -> str | None:
    if error.type == "ModuleNotFoundError" and (match := _NO_MODULE.fullmatch(error.message)):
        name = match.group(1)
        if name.isidentifier() and (name in sys.stdlib_module_names or find_spec(name) is not None):
            return f"imports {name}"
    if error.type in ("AttributeError", "ImportError"):
        for pattern in _NO_NAME:
            if (match := pattern.fullmatch(error.message)) and _is_here(match["module"], match["name"]):
                return f"uses {match['module']}.{match['name']}"
    if error.type == "RuntimeError" and error.message == _NO_THREAD:
        return "starts a thread"
    return None


def _is_here(module: str, name: str) -> bool:
    """Whether a module of the standard library has a name here. It is not imported: the program names it."""
    return module in sys.stdlib_module_names and name in vars(sys.modules.get(module, object))
