"""The harness inside the sandbox. Its source is handed to a bare interpreter with `-c`; nothing imports it to use it.

Its one argument is the source of `program.py`, which runs a call anywhere; here is what confines it on Linux. It reads
one JSON job on descriptor 0, then forks once per call, so that no call sees what an earlier one left in memory. The
forked process locks itself down, runs the model-written program and writes one line of JSON into a pipe of its own; the
harness, which runs nothing of the program, passes it on with the call's number to the descriptor that the job names. So
a program may forge what its own call says, which is no more than it could return, and nothing of another call. It holds
inputs only. Verdicts are made by the parent.

Knows nothing of the workbench: standard library only, and little of it, because its imports are paid on every start.
"""

from __future__ import annotations

import builtins
import ctypes
import json
import os
import resource
import signal
import struct
import sys

TYPE_CHECKING = False  # to import `typing` would take a ninth of the start
if TYPE_CHECKING:
    from typing import Any

    from workbench.tasks.sandbox import program
else:
    program = type(sys)("program")
    exec(sys.argv.pop(), program.__dict__)


def _restrict_files(libc: Any, readable: list[str]) -> None:
    """Apply Landlock: from here on this process reads below these folders and writes nowhere. Raises OSError.

    Needs no_new_privs. The three system calls have the same numbers on every architecture (444 to 446).
    """
    call, ulong = libc.syscall, ctypes.c_ulong
    version = call(444, None, ulong(0), ctypes.c_uint(1))  # landlock_create_ruleset(LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        raise OSError(ctypes.get_errno(), "this kernel has no Landlock")
    everything = {1: 0x1FFF, 2: 0x3FFF}.get(version, 0x7FFF)  # every right over files that the version knows
    reading = 0x1 | 0x4 | 0x8  # execute, read file, list folder
    ruleset = call(444, ctypes.create_string_buffer(struct.pack("Q", everything), 8), ulong(8), ctypes.c_uint(0))
    failed = ruleset < 0
    for path in readable:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("<Qi", reading, folder), 12)
        failed |= call(445, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)) != 0
        os.close(folder)
    if failed or call(446, ctypes.c_int(ruleset), ctypes.c_uint(0)):
        raise OSError(ctypes.get_errno(), "Landlock refused the rules")
    os.close(ruleset)


def _lock_down(job: dict[str, Any]) -> None:
    """Set limits, drop capabilities and privileges, install the filter. Raises OSError: then nothing may run."""
    limits = job["limits"]
    for name, amount in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (amount, amount))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))  # SIGXCPU, then SIGKILL

    libc = ctypes.CDLL(None, use_errno=True)
    program = bytes.fromhex(job["filter"])
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))  # capabilities, version 3, this process
    zero, enabled = ctypes.c_ulong(0), ctypes.c_ulong(1)
    no_capabilities = libc.capset(header, bytes(24))  # empty sets
    no_new_privileges = libc.prctl(38, enabled, zero, zero, zero)  # PR_SET_NO_NEW_PRIVS
    if no_capabilities or no_new_privileges:
        raise OSError(ctypes.get_errno(), "this system cannot drop privileges")
    if job["readable"] is not None:
        _restrict_files(libc, job["readable"])
    if libc.prctl(22, ctypes.c_ulong(2), filter_program, zero, zero):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "this system cannot filter system calls")


def _standard_streams(text: str) -> None:
    """Make descriptors 0 and 1 memory files, so that `open(0)` and `os.write(1, ...)` work as programs expect."""
    for descriptor in (0, 1):
        memory = os.memfd_create("stream")
        if descriptor == 0:
            view = memoryview(text.encode("utf-8", "replace"))
            while view:
                view = view[os.write(memory, view) :]
            os.lseek(memory, 0, os.SEEK_SET)
        os.dup2(memory, descriptor)
        os.close(memory)
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _printed(limit: int) -> str:
    """Output of the program on descriptor 1, at most `limit` bytes of it."""
    return os.pread(1, limit, 0).decode("utf-8", "replace")


def _run_call(job: dict[str, Any], call: dict[str, Any] | None) -> dict[str, Any]:
    """Make one call; returns its value or its error, and what it printed. `call` None only loads the program."""
    limits = job["limits"]
    frame = program.run_call(job["code"], call, limits)
    if call is not None and "stdin" in call and "error" not in frame:
        frame["value"] = _printed(limits["file_bytes"])
    frame["printed"] = _printed(limits["printed_bytes"])
    return frame


def _send(descriptor: int, frame: dict[str, Any]) -> None:
    view = memoryview(json.dumps(frame).encode() + b"\n")
    while view:
        view = view[os.write(descriptor, view) :]


def _call_process(job: dict[str, Any], call: dict[str, Any] | None, descriptor: int) -> None:
    """Run one call as the forked process: lock down, run, report, and end without running anyone's exit handlers."""
    status = 1
    try:
        os.close(job["descriptor"])
        _standard_streams("" if call is None else call.get("stdin", ""))
        try:
            _lock_down(job)
        except (OSError, ValueError, AttributeError) as exc:
            _send(descriptor, {"refused": str(exc)})
            return
        _send(descriptor, _run_call(job, call))
        status = 0
    finally:
        os._exit(status)


def _read_pipe(descriptor: int, limit: int) -> str | None:
    """Everything that a call wrote into its pipe; None where that is more than `limit` bytes."""
    chunks, size = [], 0
    while chunk := os.read(descriptor, 65536):
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", "replace")


def main() -> None:
    """Read the job and run its calls one after the other, each in a process of its own."""
    with open(0, "rb", closefd=False) as stream:
        job = json.loads(stream.read())
    os.environ.clear()
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # absent under -S; programs use them
    for index, call in enumerate(job["calls"] or [None]):
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            _call_process(job, call, writer)
        os.close(writer)
        output = _read_pipe(reader, job["limits"]["output_bytes"])
        os.close(reader)
        if output is None:
            os.kill(process, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        _send(job["descriptor"], {"call": index, "said": output, "ended": ended})
        if ended == -signal.SIGXCPU:
            break  # the calls that follow would most likely burn as long


if __name__ == "__main__":
    main()
