"""Everything that a program in WebAssembly can reach: two files in memory, clocks, chance, and its own end.

An instance can do nothing but compute and call what is defined here. There is no other file, no directory, no socket,
no process and no thread; what WASI has for those answers with an error. Numbers come from untrusted code: every address
and length is checked against the instance's memory, and no call takes long.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import wasmtime

MODULE = "wasi_snapshot_preview1"
# Error numbers of WASI.
OK, BAD_DESCRIPTOR, FAULT, TOO_BIG, INVALID, NO_ENTRY, NOT_THERE, NO_SEEK = 0, 8, 21, 22, 28, 44, 52, 70
_REGULAR_FILE, _DEVICE = 4, 2  # kinds of file
_MOST_BUFFERS = 1024  # of one read or write, as IOV_MAX elsewhere
_MOST_CHANCE = 65536  # bytes of one request
_MOST_WAITS = 64  # conditions of one poll


class Ended(Exception):
    """The program ended itself; the argument is its exit status."""


class OutOfTime(Exception):
    """The program slept past its deadline."""


class Fault(Exception):
    """A call named memory that the instance does not have."""


@dataclass(slots=True)
class MemoryFile:
    """A file that exists only here, as descriptors 0 and 1 are files elsewhere: it can be read, written and sought."""

    data: bytearray = field(default_factory=bytearray)
    limit: int = 0  # most bytes that writing lets it have; 0: nothing can be written
    place: int = 0

    def read(self, size: int, place: int) -> bytes:
        """At most `size` bytes from a place on."""
        return bytes(self.data[place : place + size])

    def write(self, data: bytes, place: int) -> int | None:
        """Write what fits below the limit; how much that was, or None where nothing fits."""
        room = max(0, self.limit - place)
        if data and not room:
            return None
        data = data[:room]
        if place > len(self.data):
            self.data.extend(bytes(place - len(self.data)))
        self.data[place : place + len(data)] = data
        return len(data)

    def resize(self, size: int) -> bool:
        """Cut it, or lengthen it with zeros; False, and nothing done, above the limit."""
        if size > self.limit:
            return False
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))
        return True


class Channel(Protocol):
    """What takes the place of descriptor 2 where an instance has to ask something."""

    def write(self, data: bytes) -> None:
        """Take part of a question."""

    def read(self, size: int) -> bytes:
        """Give part of an answer; nothing where there is none to come."""


@dataclass(slots=True)
class World:
    """What one instance reaches. `sleep` waits some seconds, or raises OutOfTime at the program's deadline."""

    stdin: MemoryFile
    stdout: MemoryFile
    sleep: Callable[[float], None]
    channel: Channel | None = None
    arguments: tuple[bytes, ...] = ()
    environment: tuple[bytes, ...] = ()
    closed: set[int] = field(default_factory=set)

    def file(self, descriptor: int) -> MemoryFile | None:
        """The file behind descriptor 0 or 1, while it is open."""
        return None if descriptor in self.closed else {0: self.stdin, 1: self.stdout}.get(descriptor)


class Memory:
    """An instance's memory during one call into the host, with every access checked. Raises Fault."""

    def __init__(self, caller: wasmtime.Caller) -> None:
        self._caller = caller
        self._memory = cast(wasmtime.Memory, caller["memory"])
        self._size: int = self._memory.data_len(caller)

    def get(self, address: int, size: int) -> bytes:
        """Read `size` bytes."""
        if not 0 <= address <= address + size <= self._size:
            raise Fault
        return bytes(self._memory.read(self._caller, address, address + size))

    def put(self, address: int, data: bytes) -> None:
        """Write bytes."""
        if not 0 <= address <= address + len(data) <= self._size:
            raise Fault
        if data:
            self._memory.write(self._caller, bytearray(data), address)

    def put_number(self, address: int, value: int, kind: str = "I") -> None:
        """Write one number, of a `struct` kind."""
        self.put(address, struct.pack(f"<{kind}", value))

    def buffers(self, address: int, count: int) -> list[tuple[int, int]]:
        """A list of (address, size)."""
        numbers = struct.unpack(f"<{2 * count}I", self.get(address, 8 * count))
        return list(zip(numbers[::2], numbers[1::2], strict=True))


Handler = Callable[..., int]  # (world, memory, numbers...) -> error number


def define(linker: wasmtime.Linker, module: wasmtime.Module, current: Callable[[], World]) -> None:
    """Define all that the module imports; `current` gives the world of the instance that runs."""
    for item in module.imports:
        if isinstance(item.type, wasmtime.MemoryType):
            continue  # each instance brings its own
        if item.module != MODULE or not isinstance(item.type, wasmtime.FuncType):
            raise ValueError(f"the interpreter imports {item.module}.{item.name}, which is not known")
        handler = _HANDLERS.get(str(item.name), _not_there)
        linker.define_func(MODULE, str(item.name), item.type, _checked(handler, current, item.type), access_caller=True)


def _checked(handler: Handler, current: Callable[[], World], kind: wasmtime.FuncType) -> Callable[..., int | None]:
    masks = [0xFFFFFFFF if str(parameter) == "i32" else 0xFFFFFFFFFFFFFFFF for parameter in kind.params]

    def call(caller: wasmtime.Caller, *numbers: int) -> int | None:
        unsigned = (number & mask for number, mask in zip(numbers, masks, strict=True))  # they come as signed ones
        try:
            return handler(current(), Memory(caller), *unsigned)
        except Fault:
            return FAULT

    return call


def _not_there(world: World, memory: Memory, *numbers: int) -> int:
    return NOT_THERE


def _bad_descriptor(world: World, memory: Memory, *numbers: int) -> int:
    return BAD_DESCRIPTOR


def _no_entry(world: World, memory: Memory, *numbers: int) -> int:
    return NO_ENTRY


def _proc_exit(world: World, memory: Memory, status: int) -> int:
    raise Ended(status)


def _sched_yield(world: World, memory: Memory) -> int:
    return OK


def _strings(name: str) -> tuple[Handler, Handler]:
    def sizes(world: World, memory: Memory, count: int, size: int) -> int:
        strings = getattr(world, name)
        memory.put_number(count, len(strings))
        memory.put_number(size, sum(len(text) + 1 for text in strings))
        return OK

    def get(world: World, memory: Memory, pointers: int, buffer: int) -> int:
        for number, text in enumerate(getattr(world, name)):
            memory.put_number(pointers + 4 * number, buffer)
            memory.put(buffer, text + b"\0")
            buffer += len(text) + 1
        return OK

    return sizes, get


def _clock_res_get(world: World, memory: Memory, clock: int, result: int) -> int:
    memory.put_number(result, 1000, "Q")
    return OK


def _clock_time_get(world: World, memory: Memory, clock: int, precision: int, result: int) -> int:
    now = {0: time.time_ns, 1: time.monotonic_ns}.get(clock, time.process_time_ns)
    memory.put_number(result, now(), "Q")
    return OK


def _random_get(world: World, memory: Memory, address: int, size: int) -> int:
    if size > _MOST_CHANCE:
        return INVALID
    memory.put(address, os.urandom(size))
    return OK


def _fd_close(world: World, memory: Memory, descriptor: int) -> int:
    if descriptor > 2 or descriptor in world.closed:
        return BAD_DESCRIPTOR
    world.closed.add(descriptor)
    return OK


def _fd_fdstat_get(world: World, memory: Memory, descriptor: int, result: int) -> int:
    if descriptor > 2 or descriptor in world.closed:
        return BAD_DESCRIPTOR
    everything = 2**64 - 1
    kind = _DEVICE if descriptor == 2 else _REGULAR_FILE
    memory.put(result, struct.pack("<BxHxxxxQQ", kind, 0, everything, everything))
    return OK


def _fd_filestat_get(world: World, memory: Memory, descriptor: int, result: int) -> int:
    if descriptor > 2 or descriptor in world.closed:
        return BAD_DESCRIPTOR
    file = world.file(descriptor)
    kind = _DEVICE if file is None else _REGULAR_FILE
    size = 0 if file is None else len(file.data)
    memory.put(result, struct.pack("<QQB7xQQQQQ", 0, descriptor, kind, 1, size, 0, 0, 0))
    return OK


def _fd_filestat_set_size(world: World, memory: Memory, descriptor: int, size: int) -> int:
    file = world.file(descriptor)
    if file is None:
        return INVALID if descriptor == 2 else BAD_DESCRIPTOR
    return OK if file.resize(size) else TOO_BIG


def _fd_seek(world: World, memory: Memory, descriptor: int, offset: int, whence: int, result: int) -> int:
    file = world.file(descriptor)
    if file is None:
        return NO_SEEK if descriptor == 2 else BAD_DESCRIPTOR
    offset -= 2**64 if offset >= 2**63 else 0
    place = offset + {0: 0, 1: file.place, 2: len(file.data)}.get(whence, -(2**63))
    if not 0 <= place < 2**63:
        return INVALID
    file.place = place
    memory.put_number(result, place, "Q")
    return OK


def _fd_tell(world: World, memory: Memory, descriptor: int, result: int) -> int:
    file = world.file(descriptor)
    if file is None:
        return NO_SEEK if descriptor == 2 else BAD_DESCRIPTOR
    memory.put_number(result, file.place, "Q")
    return OK


def _fd_read(world: World, memory: Memory, descriptor: int, buffers: int, count: int, result: int) -> int:
    file = world.file(descriptor)
    if file is None and descriptor == 2 and world.channel is not None and count:
        ((address, size), *_) = memory.buffers(buffers, min(count, _MOST_BUFFERS))
        data = world.channel.read(size)
        memory.put(address, data)
        memory.put_number(result, len(data))
        return OK
    if file is None:
        return BAD_DESCRIPTOR
    error, size = _read(memory, file, buffers, count, file.place)
    file.place += size
    if error == OK:
        memory.put_number(result, size)
    return error


def _fd_pread(world: World, memory: Memory, descriptor: int, buffers: int, count: int, place: int, result: int) -> int:
    file = world.file(descriptor)
    if file is None:
        return BAD_DESCRIPTOR
    error, size = _read(memory, file, buffers, count, place)
    if error == OK:
        memory.put_number(result, size)
    return error


def _read(memory: Memory, file: MemoryFile, buffers: int, count: int, place: int) -> tuple[int, int]:
    if count > _MOST_BUFFERS:
        return INVALID, 0
    done = 0
    for address, size in memory.buffers(buffers, count):
        data = file.read(size, place + done)
        memory.put(address, data)
        done += len(data)
    return OK, done


def _fd_write(world: World, memory: Memory, descriptor: int, buffers: int, count: int, result: int) -> int:
    file = world.file(descriptor)
    error, size = _write(world, memory, descriptor, buffers, count, 0 if file is None else file.place)
    if file is not None:
        file.place += size
    if error == OK:
        memory.put_number(result, size)
    return error


def _fd_pwrite(world: World, memory: Memory, descriptor: int, buffers: int, count: int, place: int, result: int) -> int:
    error, size = _write(world, memory, descriptor, buffers, count, place)
    if error == OK:
        memory.put_number(result, size)
    return error


def _write(world: World, memory: Memory, descriptor: int, buffers: int, count: int, place: int) -> tuple[int, int]:
    """Write to a file, or down the channel; where there is none, what goes to descriptor 2 is dropped."""
    file = world.file(descriptor)
    if descriptor > 2 or descriptor in world.closed:
        return BAD_DESCRIPTOR, 0
    if count > _MOST_BUFFERS:
        return INVALID, 0
    done = 0
    for address, size in memory.buffers(buffers, count):
        if file is None:
            if world.channel is not None:
                world.channel.write(memory.get(address, size))
            done += size
            continue
        room = max(0, file.limit - place - done) + 1  # no more is copied than can be written
        written = file.write(memory.get(address, min(size, room)), place + done)
        if written is None:
            return (TOO_BIG, 0) if not done else (OK, done)
        done += written
        if written < size:
            break
    return OK, min(done, 2**32 - 1)


def _poll_oneoff(world: World, memory: Memory, waits: int, events: int, count: int, result: int) -> int:
    """Sleep until the earliest clock; files in memory are always ready."""
    if not 0 < count <= _MOST_WAITS:
        return INVALID
    ready: list[tuple[int, int]] = []
    clocks: list[tuple[float, int]] = []
    for number in range(count):
        wait = memory.get(waits + 48 * number, 48)
        data, kind = struct.unpack_from("<QB", wait)
        if kind:
            ready.append((data, kind))
            continue
        clock, timeout, flags = struct.unpack_from("<I4xQ8xH", wait, 16)
        now = {0: time.time_ns, 1: time.monotonic_ns}.get(clock, time.monotonic_ns)()
        clocks.append((max(0, timeout - now if flags & 1 else timeout) / 1e9, data))
    if not ready:
        seconds, data = min(clocks)
        world.sleep(seconds)
        ready = [(data, 0)]
    for number, (data, kind) in enumerate(ready):
        memory.put(events + 32 * number, struct.pack("<QHB5xQH6x", data, OK, kind, 0, 0))
    memory.put_number(result, len(ready))
    return OK


_args_sizes_get, _args_get = _strings("arguments")
_environ_sizes_get, _environ_get = _strings("environment")
_HANDLERS: dict[str, Handler] = {
    "args_get": _args_get,
    "args_sizes_get": _args_sizes_get,
    "environ_get": _environ_get,
    "environ_sizes_get": _environ_sizes_get,
    "clock_res_get": _clock_res_get,
    "clock_time_get": _clock_time_get,
    "fd_close": _fd_close,
    "fd_fdstat_get": _fd_fdstat_get,
    "fd_filestat_get": _fd_filestat_get,
    "fd_filestat_set_size": _fd_filestat_set_size,
    "fd_prestat_get": _bad_descriptor,
    "fd_pread": _fd_pread,
    "fd_pwrite": _fd_pwrite,
    "fd_read": _fd_read,
    "fd_seek": _fd_seek,
    "fd_tell": _fd_tell,
    "fd_write": _fd_write,
    "path_filestat_get": _no_entry,
    "path_open": _no_entry,
    "poll_oneoff": _poll_oneoff,
    "proc_exit": _proc_exit,
    "random_get": _random_get,
    "sched_yield": _sched_yield,
}
