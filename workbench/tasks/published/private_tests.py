"""The private tests of LiveCodeBench: JSON, or JSON within pickle within zlib within base64.

A row comes from anyone, and a pickle is a program. So only a pickle that holds one text is read: its instructions are
looked through first, and the unpickler that then reads it refuses every global. All sizes are limited.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import pickletools
import zlib
from typing import Any, NoReturn

from workbench.errors import TaskError

LONGEST_PAYLOAD = 64 * 2**20  # characters of base64
LARGEST = 128 * 2**20  # bytes when inflated
MOST_TESTS = 10_000
_MOST_OPCODES = 100
# All that it takes to write one text, in any protocol.
_TEXT_OPCODES = {
    *("PROTO", "FRAME", "STOP", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}


def decode_tests(payload: str) -> list[dict[str, Any]]:
    """Decode tests, [{"input", "output", "testtype"}], which are plain data: nothing in a row is run.

    Raises TaskError with the reason why they cannot be decoded.
    """
    if len(payload) > LONGEST_PAYLOAD:
        _refuse(f"they have more than {LONGEST_PAYLOAD:,} characters")
    text = payload if payload.lstrip()[:1] in ("[", "{") else _unpickled(_inflated(payload))
    try:
        tests = json.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse(f"they are not JSON: {type(error).__name__}")
    if not isinstance(tests, list) or len(tests) > MOST_TESTS:
        _refuse(f"they are not a list of at most {MOST_TESTS:,} tests")
    for number, test in enumerate(tests, start=1):
        if not isinstance(test, dict) or not all(isinstance(test.get(key), str) for key in ("input", "output")):
            _refuse(f"test {number} has no 'input' and 'output' as text")
    return tests


def _inflated(payload: str) -> bytes:
    try:
        packed = base64.b64decode("".join(payload.split()), validate=True)
    except ValueError:
        _refuse("they are neither JSON nor base64")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed, LARGEST)
    except zlib.error as error:
        _refuse(f"they cannot be inflated: {error}")
    if inflater.unconsumed_tail:
        _refuse(f"they have more than {LARGEST:,} bytes when inflated")
    if not inflater.eof:
        _refuse("they are cut off")
    return data


def _unpickled(data: bytes) -> str:
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name not in _TEXT_OPCODES or count > _MOST_OPCODES:
                _refuse("they are a pickle of something other than text, which is never loaded")
            if "PUT" in opcode.name and int(argument or 0) > _MOST_OPCODES:  # each such number is memory
                _refuse("they are a pickle that asks for memory without need")
        value = _NoGlobals(io.BytesIO(data)).load()
    except TaskError:
        raise
    except Exception as error:  # a broken pickle raises nearly anything
        _refuse(f"they are no readable pickle: {type(error).__name__}")
    if not isinstance(value, str):
        _refuse("they are a pickle of something other than text, which is never loaded")
    return str(value)


class _NoGlobals(pickle.Unpickler):
    """An unpickler that finds no class, no function and nothing stored elsewhere."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError("a global")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("a persistent id")


def _refuse(why: str) -> NoReturn:
    raise TaskError(f"the private tests cannot be decoded: {why}.")
