"""The helper process of the WebAssembly tier: the only place in which wasmtime is loaded, and programs run.

    python -m workbench.tasks.sandbox.wasm.worker compile    # interpreter in, machine code out
    python -m workbench.tasks.sandbox.wasm.worker start      # both in, the memory of a started interpreter out
    python -m workbench.tasks.sandbox.wasm.worker serve      # machine code and memory in, then one job after the other

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
from collections.abc import Callable, Iterator
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

GUEST_SOURCES = [
    Path(__file__).with_name("guest.py"),
    *(Path(__file__).parents[1] / f"{name}.py" for name in ("program", "candidate")),
]
# How deep C functions may call each other through Python, as memoised functions do. CPython for WASI allows 500, since
# its stack has half a mebibyte; other systems allow thousands, and so does this tier, whose stacks are larger: one in
# the instance's memory, and the processor's, on which the same calls lie. Python's limit has to be reached first: a
# call takes up to 4 KiB of the instance's. The thread has room for a check and the program that it checks.
_DEPTH, _OWN_DEPTH = 30_000, 500
_GUEST_STACK, _NATIVE_STACK, _THREAD_STACK = 128 * 2**20, 128 * 2**20, 288 * 2**20
_MESSAGE_BYTES = 2**24  # of a question or an answer, as in `candidate.py`
_LEAST_BYTES = 2**20  # that a program may use, however low its limit
_LOOK_S = 0.02  # how often the clock is looked at


@dataclass(frozen=True, slots=True)
class Started:
    """A started interpreter, ready to go on: the memory with which each instance begins."""

    memory: bytes  # a module that has only that memory, as wasmtime serialises it
    size: int  # bytes of the memory
    stack: int  # where the C stack begins
    letter: int  # address at which the harness leaves address and length of its report

    def to_bytes(self) -> bytes:
        """One line of JSON with the numbers, and the memory."""
        return json.dumps([self.size, self.stack, self.letter]).encode() + b"\n" + self.memory

    @classmethod
    def from_bytes(cls, data: bytes) -> Started:
        """The inverse of `to_bytes`, for bytes that came from there."""
        line, _, memory = data.partition(b"\n")
        return cls(memory, *json.loads(line))


def engine() -> wasmtime.Engine:
    """The settings under which code is compiled and run: they must be the same."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    # The limit may not be above this one, for which wasmtime's Python has no setter. Nothing here is asynchronous.
    _bindings.wasmtime_config_async_stack_size_set(config.ptr(), _NATIVE_STACK)
    config.max_wasm_stack = _NATIVE_STACK
    return wasmtime.Engine(config)


class Machine:
    """Compiled code, the memory that its instances begin with, and what they may call. One instance runs at a time."""

    def __init__(self, engine: wasmtime.Engine, code: wasmtime.Module, memory: wasmtime.Module) -> None:
        self.engine = engine
        self.running: list[wasi.World] = []  # an instance may wait for another one's answer
        self._code, self._memory = code, memory
        self._linker = wasmtime.Linker(engine)
        self._linker.allow_shadowing = True  # each instance brings its own memory
        wasi.define(self._linker, code, lambda: self.running[-1])

    @contextmanager
    def instance(self, world: wasi.World, memory_bytes: int) -> Iterator[Instance]:
        """A fresh instance whose memory may grow to `memory_bytes`; it ends with the block."""
        store = wasmtime.Store(self.engine)
        try:
            store.set_limits(memory_size=memory_bytes, instances=2, memories=1, tables=1)
            store.set_epoch_deadline(1)
            memory = wasmtime.Instance(store, self._memory, []).exports(store)[binary.MEMORY_NAME]
            self._linker.define(store, binary.MEMORY_MODULE, binary.MEMORY_NAME, memory)
            exports = self._linker.instantiate(store, self._code).exports(store)
            yield Instance(self, world, store, exports, memory)
        finally:
            store.close()


class Instance:
    """A memory, a stack pointer and two functions to call."""

    def __init__(self, machine: Machine, world: wasi.World, store: wasmtime.Store, exports: Any, memory: Any) -> None:
        self.world, self.store = world, store
        self._machine, self._exports, self._memory = machine, exports, memory

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
        with self._running():
            self._exports["_start"](self.store)

    def run(self, text: str, stack: int) -> None:
        """Run Python code in a started interpreter, as `__main__`, with the C stack from there on."""
        code = text.encode() + b"\0"
        address = self.grow(len(code))
        self.write(address, code)
        self._exports["stack_pointer"].set_value(self.store, stack)
        with self._running():
            self._exports["run_string"](self.store, address, 0)

    @contextmanager
    def _running(self) -> Iterator[None]:
        self._machine.running.append(self.world)
        try:
            yield
        finally:
            self._machine.running.pop()


def compile_code(interpreter: bytes) -> bytes:
    """Compile the interpreter's code. Raises SandboxError."""
    return bytes(wasmtime.Module(engine(), _split(interpreter)[0]).serialize())


def start(code: bytes, interpreter: bytes) -> Started:
    """Start the compiled interpreter once, and keep what it then is. Raises SandboxError."""
    here = engine()
    sources = [path.read_text(encoding="utf-8").encode() for path in GUEST_SOURCES]
    stdout = wasi.MemoryFile(limit=64)
    world = wasi.World(
        wasi.MemoryFile(),
        stdout,
        lambda seconds: None,
        arguments=(b"python", b"-P", b"-s", b"-S", b"-B", b"-X", b"utf8", b"-c", *sources),
        environment=(b"PYTHONHASHSEED=0",),
    )
    empty = wasmtime.Module(here, _split(interpreter)[1])
    with Machine(here, wasmtime.Module.deserialize(here, code), empty).instance(world, 2**30) as instance:
        try:
            instance.start()
        except wasi.Ended as end:
            if end.args != (0,):
                raise SandboxError("The WebAssembly interpreter did not start.") from None
        stack = (instance.grow(_GUEST_STACK) + _GUEST_STACK) // 16 * 16
        left = _deeper(instance.memory)
    memory = wasmtime.Module(here, binary.memory_module(len(left), binary.without_zeros(left)))
    return Started(bytes(memory.serialize()), len(left), stack, int(stdout.data))


def _split(interpreter: bytes) -> tuple[bytes, bytes]:
    return binary.split(interpreter, {"run_string": RUN_STRING}, {"stack_pointer": STACK_POINTER})


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
    the other tiers. Time for which it waits for a processor does not count. A thread looks at it, and stops what runs.
    """

    def __init__(self, engine: wasmtime.Engine, limits: dict[str, Any], total_s: float, slower: float) -> None:
        self._engine, self._slower, self._total_s = engine, slower, total_s
        self._limit_s = {"cpu": float(limits["cpu_s"]), "wall": float(limits["wall_s"])}
        self._spent_s = 0.0  # by the calls before
        self._began_cpu_s = self._asleep_s = 0.0  # of the call that runs
        self.out_of: str | None = None  # "cpu" or "wall" of the call that runs, or the "total" of all of them

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count the time of one call, and stop it where it takes too long."""
        done = threading.Event()
        self._began_cpu_s, self._asleep_s = time.process_time(), 0.0

        def watch() -> None:
            while not done.wait(_LOOK_S):
                if self._look():
                    self._engine.increment_epoch()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except wasi.OutOfTime:
            pass
        finally:
            done.set()
            watcher.join()
            self._spent_s += self._cpu_s() + self._asleep_s

    def sleep(self, seconds: float) -> None:
        """Sleep for the program. Raises OutOfTime when its time is over."""
        taken_s = self._cpu_s() + self._asleep_s
        left_s = {"wall": self._limit_s["wall"] - taken_s, "total": self._total_s - self._spent_s - taken_s}
        kind = min(left_s, key=lambda name: left_s[name])
        asleep_s = max(0.0, min(seconds, left_s[kind]))
        time.sleep(asleep_s)
        self._asleep_s += asleep_s
        if seconds > left_s[kind]:
            self.out_of = kind
            raise wasi.OutOfTime

    def _cpu_s(self) -> float:
        return (time.process_time() - self._began_cpu_s) / self._slower

    def _look(self) -> bool:
        cpu_s = self._cpu_s()
        taken_s = cpu_s + self._asleep_s
        over = {"cpu": cpu_s > self._limit_s["cpu"], "total": self._spent_s + taken_s > self._total_s}
        over["wall"] = taken_s > self._limit_s["wall"]
        self.out_of = self.out_of or next((name for name, is_over in over.items() if is_over), None)
        return self.out_of is not None


def make_calls(machine: Machine, started: Started, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the calls of a job: one line for each that ended, and a last one that says whether they were stopped."""
    limits, reported, stopped = job["limits"], 0, None
    budget = Budget(machine.engine, limits, job["total_s"], job["slower"])
    for index, call in enumerate(job["calls"] or [None]):
        made = _Call(machine, started, job, call, budget.sleep)
        with budget.call():
            made.run()
        line = made.line()
        reported += len(line["said"] or "") + len(line["printed"])
        if budget.out_of == "total" or reported > limits["report_bytes"]:
            stopped = "time" if budget.out_of else "output"
            break
        if budget.out_of:
            line |= {"said": "", "ended": OUT_OF_CPU if budget.out_of == "cpu" else 1, "late": budget.out_of == "wall"}
        yield {"call": index, **line}
        if budget.out_of:
            break  # the calls that follow would most likely take as long
    yield {"done": True, "stopped": stopped}


class _Call:
    """One call: its instance, or two where a check and the program that it checks run apart."""

    def __init__(
        self,
        machine: Machine,
        started: Started,
        job: dict[str, Any],
        call: dict[str, Any] | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._machine, self._started, self._job, self._call, self._sleep = machine, started, job, call, sleep
        self._limits = job["limits"]
        self._stdout = wasi.MemoryFile(limit=self._limits["file_bytes"])
        self._said: str | None = ""
        self._ended = 0

    def run(self) -> None:
        """Make the call. Raises OutOfTime."""
        asked = {"call": self._call, "limits": self._limits}
        if self._call is not None and "check" in self._call:
            with self._instance() as program:
                serve = {"do": "serve", "code": self._job["code"], "function": self._call["function"]}  # not the check
                candidate = _Candidate(self, program, {**serve, "limits": self._limits})
                with self._instance(candidate) as check:
                    self._said = self.ask(check, {**asked, "do": "check"}, self._limits["output_bytes"])
        else:
            with self._instance() as program:
                asked |= {"do": "call", "code": self._job["code"]}
                self._said = self.ask(program, asked, self._limits["output_bytes"])

    def line(self) -> dict[str, Any]:
        """What is reported of it, as of every tier's calls."""
        limit = "file_bytes" if self._call is not None and "stdin" in self._call else "printed_bytes"
        printed = bytes(self._stdout.data[: self._limits[limit]]).decode("utf-8", "replace")
        return {"said": self._said, "printed": printed, "ended": self._ended, "late": False}

    def ask(self, instance: Instance, asked: dict[str, Any], limit: int) -> str | None:
        """Have an instance do something; what it says then: "" for nothing, None for more than `limit` bytes."""
        instance.write(self._started.letter, bytes(8))
        try:
            instance.run(f"wake({json.dumps(asked)!r})", self._started.stack)
        except wasi.Ended as end:
            self._ended = self._ended or int(end.args[0])
        except (wasmtime.Trap, wasmtime.WasmtimeError):
            self._ended = self._ended or 1
            return ""
        address, size = struct.unpack("<II", instance.read(self._started.letter, 8))
        return None if size > limit else instance.read(address, size).decode("utf-8", "replace")

    def _instance(self, channel: wasi.Channel | None = None) -> Any:
        text = "" if self._call is None else self._call.get("stdin", "")
        stdin = wasi.MemoryFile(bytearray(text.encode("utf-8", "replace")), limit=self._limits["file_bytes"])
        world = wasi.World(stdin, self._stdout, self._sleep, channel)
        least = self._started.size + _LEAST_BYTES
        return self._machine.instance(world, max(self._limits["memory_bytes"] + _GUEST_STACK, least))


class _Candidate:
    """The channel from a check to the program that it checks: a line down it is a call, a line back its answer.

    The lines come from untrusted code and are not read here, only handed on.
    """

    def __init__(self, call: _Call, program: Instance, serve: dict[str, Any]) -> None:
        self._call, self._program, self._serve = call, program, serve
        self._question, self._answer = bytearray(), bytearray()
        self._is_loaded = self._has_ended = False

    def write(self, data: bytes) -> None:
        if self._has_ended:
            return
        self._question += data
        self._has_ended = len(self._question) > _MESSAGE_BYTES
        if self._has_ended or not self._question.endswith(b"\n"):
            return
        question, self._question = self._question.decode("utf-8", "replace"), bytearray()
        if not self._is_loaded:
            self._is_loaded = self._call.ask(self._program, self._serve, _MESSAGE_BYTES) == "loaded"
        asked = {"do": "answer", "request": question}
        said = self._call.ask(self._program, asked, _MESSAGE_BYTES) if self._is_loaded else None
        self._has_ended = not said
        self._answer += said.encode() + b"\n" if said else b""

    def read(self, size: int) -> bytes:
        data = bytes(self._answer[:size])
        del self._answer[:size]
        return data


def _send(stream: IO[bytes], line: dict[str, Any]) -> None:
    stream.write(json.dumps(line).encode() + b"\n")
    stream.flush()


def serve(jobs: IO[bytes], results: IO[bytes]) -> None:
    """Take code and memory, then make one job after the other until there are no more."""
    code, started = _parts(jobs)
    state, here = Started.from_bytes(started), engine()
    try:
        modules = [wasmtime.Module.deserialize(here, part) for part in (code, state.memory)]
    except wasmtime.WasmtimeError as error:
        _send(results, {"ready": False, "problem": " ".join(str(error).split())[:300]})
        return
    machine = Machine(here, *modules)
    _send(results, {"ready": True})
    for line in jobs:
        for result in make_calls(machine, state, json.loads(line)):
            _send(results, result)


def _parts(stream: IO[bytes]) -> list[bytes]:
    """What comes first on standard input: a line with the sizes of some parts, and the parts."""
    return [stream.read(size) for size in json.loads(stream.readline())]


def main() -> None:
    """Run one of the three commands on standard input and output, in a thread whose stack is deep enough."""
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # no library's print gets among the results

    def work() -> None:
        if sys.argv[1] == "serve":
            serve(jobs, results)
        elif sys.argv[1] == "start":
            results.write(start(*_parts(jobs)).to_bytes())
        else:
            results.write(compile_code(*_parts(jobs)))
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
