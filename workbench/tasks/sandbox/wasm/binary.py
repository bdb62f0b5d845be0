"""The WebAssembly binary of the interpreter, taken apart: a module of its code, and the bytes its memory begins with.

The code imports its memory, which comes from a module that has nothing else. So the code is compiled once and serves
both to start the interpreter and to go on, many times, from the memory of a started one; and a memory that begins with
many bytes costs an instance only the pages that it changes. No library that is kept writes this format; the file is
pinned by its hash, so only what it contains is understood, and anything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workbench.errors import SandboxError

Runs = list[tuple[int, bytes]]  # (address, content) of stretches of memory; everything else is zero
PAGE = 65536
_HEADER = b"\0asm\x01\0\0\0"
_CUSTOM, _IMPORT, _MEMORY, _EXPORT, _DATA = 0, 2, 5, 7, 11
_I32_CONST, _END = 0x41, 0x0B
_FUNCTION, _A_MEMORY, _GLOBAL = 0, 2, 3
MEMORY_MODULE, MEMORY_NAME = "memory", "memory"
_GRAIN = 4096  # bytes; a stretch of zeros of this size is left out


def split(binary: bytes, functions: dict[str, int], mutable_globals: dict[str, int]) -> tuple[bytes, bytes]:
    """Return a module of the code, without its debugging sections, and a module of its memory.

    The first exports more under the given names: functions and globals, by number. Raises SandboxError for a
    binary that is built differently.
    """
    sections = dict(_sections(binary)) if binary.startswith(_HEADER) else {}
    if not {_IMPORT, _MEMORY, _EXPORT, _DATA} <= set(sections):
        raise SandboxError("The WebAssembly interpreter is not the kind of module that it should be; install it anew.")
    memories, limits = _unsigned(sections[_MEMORY], 0)
    no_maximum, least = _unsigned(sections[_MEMORY], limits)
    if memories != 1 or no_maximum != 0:
        raise SandboxError("The WebAssembly interpreter has another kind of memory than it should; install it anew.")
    module = bytearray(_HEADER)
    for kind, body in _sections(binary):
        if kind == _IMPORT:
            count, start = _unsigned(body, 0)
            memory = _bytes(MEMORY_MODULE.encode()) + _bytes(MEMORY_NAME.encode())
            entry = memory + bytes([_A_MEMORY]) + sections[_MEMORY][limits:]
            module += bytes([kind]) + _bytes(_number(count + 1) + body[start:] + entry)
        elif kind == _EXPORT:
            count, start = _unsigned(body, 0)
            added = [(name, _FUNCTION, number) for name, number in functions.items()]
            added += [(name, _GLOBAL, number) for name, number in mutable_globals.items()]
            entries = b"".join(_bytes(name.encode()) + bytes([what]) + _number(n) for name, what, n in added)
            module += bytes([kind]) + _bytes(_number(count + len(added)) + body[start:] + entries)
        elif kind not in (_CUSTOM, _MEMORY, _DATA):
            module += bytes([kind]) + _bytes(body)
    pages, _ = _unsigned(sections[_MEMORY], least)
    return bytes(module), memory_module(pages * PAGE, _segments(sections[_DATA]))


def memory_module(size: int, runs: Iterable[tuple[int, bytes]]) -> bytes:
    """A module that exports one memory of `size` bytes, with this content."""
    memory = _number(1) + bytes([0]) + _number(size // PAGE)
    export = _number(1) + _bytes(MEMORY_NAME.encode()) + bytes([_A_MEMORY]) + _number(0)
    segments = [b"\0" + bytes([_I32_CONST]) + _signed(at) + bytes([_END]) + _bytes(content) for at, content in runs]
    data = _number(len(segments)) + b"".join(segments)
    parts = ((_MEMORY, memory), (_EXPORT, export), (_DATA, data))
    return _HEADER + b"".join(bytes([kind]) + _bytes(body) for kind, body in parts)


def without_zeros(memory: bytes) -> Runs:
    """The stretches of a memory that are not zero."""
    runs: list[list[int]] = []
    zeros = bytes(_GRAIN)
    for start in range(0, len(memory), _GRAIN):
        if memory[start : start + _GRAIN] != zeros:
            if runs and runs[-1][1] == start:
                runs[-1][1] += _GRAIN
            else:
                runs.append([start, start + _GRAIN])
    return [(start, memory[start:end]) for start, end in runs]


def _sections(binary: bytes) -> Iterator[tuple[int, bytes]]:
    place = len(_HEADER)
    while place < len(binary):
        size, start = _unsigned(binary, place + 1)
        yield binary[place], binary[start : start + size]
        place = start + size


def _segments(body: bytes) -> Iterable[tuple[int, bytes]]:
    count, place = _unsigned(body, 0)
    for _ in range(count):
        mode, place = _unsigned(body, place)
        address, place = _unsigned(body, place + 1) if body[place] == _I32_CONST else (0, -1)
        if mode != 0 or place < 0 or body[place] != _END:
            raise SandboxError("The WebAssembly interpreter fills its memory in an unknown way.")
        size, place = _unsigned(body, place + 1)
        yield address, body[place : place + size]
        place += size


def _unsigned(data: bytes, place: int) -> tuple[int, int]:
    """A LEB128 number and the place after it; signed numbers are read alike where they are positive."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def _number(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def _signed(value: int) -> bytes:
    """A positive number as signed LEB128: the last byte's second bit is the sign."""
    data = _number(value)
    return data if data[-1] < 0x40 else data[:-1] + bytes([data[-1] | 0x80, 0])


def _bytes(data: bytes) -> bytes:
    return _number(len(data)) + data
