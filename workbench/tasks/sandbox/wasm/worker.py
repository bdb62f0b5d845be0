"""The helper process of the WebAssembly tier: the only place in which wasmtime is loaded, and programs run.

    python -m workbench.tasks.sandbox.wasm.worker prepare    # interpreter in, prepared interpreter out
    python -m workbench.tasks.sandbox.wasm.worker serve      # prepared interpreter in, then one job after the other

All goes through standard input and output: this process reads and writes no file, has no environment to speak of, and
holds inputs only. Each call gets an instance, memory and standard streams of its own, which end with it; a program may
forge what its own call says, which is no more than it could return. What comes from here is checked by the parent.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import wasmtime
from wasmtime import _bindings

from workbench.errors import SandboxError
from workbench.tasks.sandbox.results import OUT_OF_CPU
from workbench.tasks.sandbox.wasm import binary, wasi
from workbench.tasks.sandbox.wasm.interpreter import RUN_STRING, STACK_POINTER

GUEST_SOURCES = [Path(__file__).with_name("guest.py"), Path(__file__).parents[1] / "program.py"]
# How deep C functions may call each other through Python, as memoised functions do. CPython for WASI allows 500, since
# its stack has half a mebibyte; other systems allow thousands, and so does this tier, whose stacks are larger: one in
# the instance's memory, and the processor's, on which the same calls lie. Python's limit has to be reached first.
_DEPTH, _OWN_DEPTH = 10_000, 500
_GUEST_STACK, _NATIVE_STACK, _THREAD_STACK = 24 * 2**20, 32 * 2**20, 48 * 2**20
_LEAST_BYTES = 2**20  # that a program may use, however low its limit
_LOOK_S = 0.02  # how often the clock is looked at


@dataclass(frozen=True, slots=True)
class Prepared:
    """A started interpreter, ready to go on: its code, and the memory with which each instance begins."""

    code: bytes  # machine code, as wasmtime serialises it
    memory: bytes  # a module that has only that memory, serialised too
    size: int  # bytes of the memory
    stack: int  # where the C stack begins
    letter: int  # address at which the harness leaves address and length of its report

    def to_bytes(self) -> bytes:
        """One line of JSON that says what follows, and what follows."""
        head = {"code": len(self.code), "size": self.size, "stack": self.stack, "letter": self.letter}
        return json.dumps(head).encode() + b"\n" + self.code + self.memory

    @classmethod
    def from_bytes(cls, data: bytes) -> Prepared:
        """The inverse of `to_bytes`, for bytes that came from there."""
        start = data.index(b"\n") + 1
        head = json.loads(data[:start])
        end = start + head["code"]
        return cls(data[start:end], data[end:], head["size"], head["stack"], head["letter"])


def engine() -> wasmtime.Engine:
    """The settings under which code is compiled and run: they must be the same."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    # The limit may not be above this one, for which wasmtime's Python has no setter. Nothing here is asynchronous.
    _bindings.wasmtime_config_async_stack_size_set(config.ptr(), _NATIVE_STACK)
    config.max_wasm_stack = _NATIVE_STACK
    return wasmtime.Engine(config)


class Machine:
    """Compiled code, the memory that its instances begin with, and what they may call. Runs one at a time."""

    def __init__(self, engine: wasmtime.Engine, code: wasmtime.Module, memory: wasmtime.Module) -> None:
        self.engine = engine
        self.world: wasi.World
        self._code, self._memory = code, memory
        self._linker = wasmtime.Linker(engine)
        self._linker.allow_shadowing = True  # each instance brings its own memory
        wasi.define(self._linker, code, lambda: self.world)

    @contextmanager
    def instance(self, world: wasi.World, memory_bytes: int) -> Iterator[Instance]:
        """A fresh instance whose memory may grow to `memory_bytes`; it ends with the block."""
        self.world = world
        store = wasmtime.Store(self.engine)
        try:
            store.set_limits(memory_size=memory_bytes, instances=2, memories=1, tables=1)
            store.set_epoch_deadline(1)
            memory = wasmtime.Instance(store, self._memory, []).exports(store)[binary.MEMORY_NAME]
            self._linker.define(store, binary.MEMORY_MODULE, binary.MEMORY_NAME, memory)
            yield Instance(store, self._linker.instantiate(store, self._code).exports(store), memory)
        finally:
            store.close()


class Instance:
    """A memory, a stack pointer and two functions to call."""

    def __init__(self, store: wasmtime.Store, exports: Any, memory: Any) -> None:
        self.store, self._exports, self._memory = store, exports, memory

    @property
    def size(self) -> int:
        """Bytes of the memory."""
        return int(self._memory.data_len(self.store))

    @property
    def memory(self) -> bytes:
        """All of the memory."""
        return bytes(self._memory.read(self.store))

    def grow(self, size: int) -> int:
        """Add at least `size` bytes to the memory; the address of the first new one."""
        end = self.size
        if size > 0:
            self._memory.grow(self.store, -(-size // binary.PAGE))
        return end

    def read(self, address: int, size: int) -> bytes:
        """Part of the memory; less where it ends before."""
        return bytes(self._memory.read(self.store, address, address + size)) if size else b""

    def write(self, address: int, data: bytes) -> None:
        """Set part of the memory."""
        self._memory.write(self.store, bytearray(data), address)

    def start(self) -> None:
        """Start the interpreter from nothing."""
        self._exports["_start"](self.store)

    def run(self, text: str, stack: int) -> bool:
        """Run Python code in a started interpreter, as `__main__`; False where it ended in an error."""
        code = text.encode() + b"\0"
        address = self.grow(len(code))
        self.write(address, code)
        self._exports["stack_pointer"].set_value(self.store, stack)
        return self._exports["run_string"](self.store, address, 0) == 0


def prepare(interpreter: bytes) -> Prepared:
    """Compile the interpreter, start it once, and keep what it then is. Raises SandboxError."""
    here = engine()
    functions, mutable_globals = {"run_string": RUN_STRING}, {"stack_pointer": STACK_POINTER}
    code, memory = (wasmtime.Module(here, part) for part in binary.split(interpreter, functions, mutable_globals))
    sources = [path.read_text(encoding="utf-8").encode() for path in GUEST_SOURCES]
    stdout = wasi.MemoryFile(limit=64)
    world = wasi.World(
        wasi.MemoryFile(),
        stdout,
        lambda: 0.0,
        (b"python", b"-P", b"-s", b"-S", b"-B", b"-X", b"utf8", b"-c", *sources),
        (b"PYTHONHASHSEED=0",),
    )
    with Machine(here, code, memory).instance(world, 2**30) as instance:
        try:
            instance.start()
        except wasi.Ended as end:
            if end.args != (0,):
                raise SandboxError("The WebAssembly interpreter did not start.") from None
        stack = (instance.grow(_GUEST_STACK) + _GUEST_STACK) // 16 * 16
        left = _deeper(instance.memory)
    begin = wasmtime.Module(here, binary.memory_module(len(left), binary.without_zeros(left)))
    return Prepared(bytes(code.serialize()), bytes(begin.serialize()), len(left), stack, int(stdout.data))


def _deeper(memory: bytes) -> bytes:
    """Set how deep C functions may go, in the one record of the interpreter's thread. Raises SandboxError.

    The record holds three numbers in a row: how deep Python functions may still go, how deep they may go at all, and
    how deep C functions may still go.
    """
    limit = struct.pack("<i", 1000)  # Python's own default, which nothing has changed
    places = []
    place = memory.find(limit)
    while place >= 0:
        if place % 4 == 0 and place >= 4 and place + 8 <= len(memory):
            left, _, c_left = struct.unpack_from("<iii", memory, place - 4)
            if 950 <= left <= 1000 and _OWN_DEPTH - 50 <= c_left <= _OWN_DEPTH:
                places.append(place + 4)
        place = memory.find(limit, place + 1)
    if len(places) != 1:
        raise SandboxError("The WebAssembly interpreter's limit of recursion was not found; install its package anew.")
    return memory[: places[0]] + struct.pack("<i", _DEPTH) + memory[places[0] + 4 :]


class Budget:
    """The time that a job may take, in seconds of a program that runs natively.

    Time in the processor is divided by `slower`, and time asleep is not, so that a program has as much of either as in
    the other tiers. Looked at by a thread, which stops the instance.
    """

    def __init__(self, engine: wasmtime.Engine, limits: dict[str, Any], slower: float) -> None:
        self._engine, self._slower = engine, slower
        self._cpu_s, self._wall_s = float(limits["cpu_s"]), float(limits["wall_s"])
        self._spent = 0.0
        self.out_of: str | None = None  # "cpu" of the call that runs, or "time" of all of them

    def _taken(self, wall: float, cpu: float) -> tuple[float, float]:
        cpu_s = time.process_time() - cpu
        return max(0.0, time.monotonic() - wall - cpu_s) + cpu_s / self._slower, cpu_s / self._slower

    @contextmanager
    def call(self) -> Iterator[wasi.World]:
        """Count the time of one call, and stop it where it takes too long; gives the world's answer on sleeping."""
        wall, cpu, done = time.monotonic(), time.process_time(), threading.Event()

        def watch() -> None:
            while not done.wait(_LOOK_S):
                taken, cpu_s = self._taken(wall, cpu)
                self.out_of = "time" if self._spent + taken > self._wall_s else "cpu" if cpu_s > self._cpu_s else None
                if self.out_of:
                    self._engine.increment_epoch()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield lambda: self._wall_s - self._spent - self._taken(wall, cpu)[0]
        except wasi.OutOfTime:
            self.out_of = "time"
        finally:
            done.set()
            watcher.join()
            self._spent += self._taken(wall, cpu)[0]


def make_calls(machine: Machine, prepared: Prepared, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the calls of a job: one line for each that ended, and a last one that says whether all of them did."""
    limits, size, stopped = job["limits"], 0, None
    budget = Budget(machine.engine, limits, job["slower"])
    for index, call in enumerate(job["calls"] or [None]):
        with budget.call() as may_sleep:
            ended, said = _call(machine, prepared, job["code"], call, limits, may_sleep)
        if budget.out_of == "time":
            stopped = "time"
            break
        size += len(said or "")
        if size > limits["output_bytes"]:
            stopped = "output"
            break
        if budget.out_of == "cpu":
            yield {"call": index, "said": "", "ended": OUT_OF_CPU}
            break  # the calls that follow would most likely burn as long
        yield {"call": index, "said": said, "ended": ended}
    yield {"done": True, "stopped": stopped}


def _call(
    machine: Machine, prepared: Prepared, code: str, call: dict[str, Any] | None, limits: dict[str, Any], may_sleep: Any
) -> tuple[int, str | None]:
    """Make one call; its exit status, and what it said: "" for nothing, None for too much."""
    text = "" if call is None else call.get("stdin", "")
    world = wasi.World(
        wasi.MemoryFile(bytearray(text.encode("utf-8", "replace"))),
        wasi.MemoryFile(limit=limits["file_bytes"]),
        may_sleep,
    )
    work = {"code": code, "call": call, "limits": limits}
    with machine.instance(world, max(limits["memory_bytes"], prepared.size + _LEAST_BYTES)) as instance:
        try:
            if not instance.run(f"wake({json.dumps(work)!r})", prepared.stack):
                return 1, ""
        except wasi.Ended as end:
            return int(end.args[0]), ""
        except (wasmtime.Trap, wasmtime.WasmtimeError):
            return 1, ""
        address, size = struct.unpack("<II", instance.read(prepared.letter, 8).ljust(8, b"\0"))
        if size > limits["output_bytes"]:
            return 0, None
        return 0, instance.read(address, size).decode("utf-8", "replace")


def _send(stream: IO[bytes], line: dict[str, Any]) -> None:
    stream.write(json.dumps(line).encode() + b"\n")
    stream.flush()


def serve(jobs: IO[bytes], results: IO[bytes]) -> None:
    """Take the prepared interpreter, then make one job after the other until there are no more."""
    data = jobs.read(json.loads(jobs.readline())["bytes"])
    prepared = Prepared.from_bytes(data)
    here = engine()
    try:
        parts = [wasmtime.Module.deserialize(here, part) for part in (prepared.code, prepared.memory)]
    except wasmtime.WasmtimeError as error:
        _send(results, {"ready": False, "problem": " ".join(str(error).split())[:300]})
        return
    machine = Machine(here, *parts)
    _send(results, {"ready": True})
    for line in jobs:
        for result in make_calls(machine, prepared, json.loads(line)):
            _send(results, result)


def main() -> None:
    """Run `prepare` or `serve` on standard input and output, in a thread whose stack is deep enough."""
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # no library's print gets among the results

    def work() -> None:
        if sys.argv[1] == "serve":
            serve(jobs, results)
        else:
            results.write(prepare(jobs.read()).to_bytes())
            results.flush()

    failures: list[BaseException] = []
    threading.excepthook = lambda failure: failures.append(failure.exc_value or SystemExit())
    threading.stack_size(_THREAD_STACK)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise SystemExit(f"{type(failures[0]).__name__}: {failures[0]}")


if __name__ == "__main__":
    main()
