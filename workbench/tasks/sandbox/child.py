"""What runs inside the sandbox. Its source is handed to a bare interpreter with `-c`; nobody imports it to use it.

It reads one JSON job on descriptor 0, then forks once per call, so that no call sees what an earlier one left in
memory. The forked process locks itself down, runs the model-written program and writes one line of JSON on the
descriptor that the job names. The program may read and forge all of this: it holds inputs only, and a forged line
can say no more than a returned value could. Verdicts are made by the parent.

Knows nothing of the workbench: standard library only, and little of it, because its imports are paid on every start.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import struct
import sys
from typing import Any

SOURCE = "<attempt>"

# Linux system calls that end in EPERM, by machine: (x86_64, aarch64), None where the machine has no such call.
# No processes or threads (RLIMIT_NPROC does not bind root), no signals to others, no one else's memory, no network,
# no change to a file's owner, mode, times or attributes (Landlock leaves those open).
_FORBIDDEN_CALLS: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "socket": (41, 198),
    "io_uring_setup": (425, 425),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000  # x86_64 calls through the x32 table carry this bit; they would slip past the numbers above


def _system_call_filter(machine: str) -> bytes:
    """A classic BPF program (array of struct sock_filter) that refuses the calls above with EPERM."""
    column = ("x86_64", "aarch64").index(machine)
    numbers = [row[column] for row in _FORBIDDEN_CALLS.values() if row[column] is not None]
    load, jump_equal, jump_at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    steps = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (jump_equal, 0, len(numbers) + 3, _AUDIT_ARCH[machine]),  # another architecture: refuse
        (load, 0, 0, 0),  # seccomp_data.nr
        (jump_at_least, len(numbers) + 1, 0, _X32_BIT),
        *((jump_equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _restrict_files(libc: Any, readable: list[str], writable: list[str]) -> None:
    """Landlock: from here on this process opens files below these folders only. Raises OSError where it cannot.

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
    for paths, rights in ((readable, reading), (writable, everything)):
        for path in paths:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, folder), 12)
            failed |= call(445, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)) != 0
            os.close(folder)
    if failed or call(446, ctypes.c_int(ruleset), ctypes.c_uint(0)):
        raise OSError(ctypes.get_errno(), "Landlock refused the rules")
    os.close(ruleset)


def _lock_down(job: dict[str, Any]) -> None:
    """Resource limits, no capabilities, no new privileges, the filter. Raises OSError: then nothing may run."""
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
    program = _system_call_filter(os.uname().machine)
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))  # capabilities, version 3, this process
    zero, one = ctypes.c_ulong(0), ctypes.c_ulong(1)
    no_capabilities = libc.capset(header, bytes(24))  # empty sets
    no_new_privileges = libc.prctl(38, one, zero, zero, zero)  # PR_SET_NO_NEW_PRIVS
    if no_capabilities or no_new_privileges:
        raise OSError(ctypes.get_errno(), "this system cannot drop privileges")
    if job["landlock"] is not None:
        _restrict_files(libc, **job["landlock"])
    if libc.prctl(22, ctypes.c_ulong(2), filter_program, zero, zero):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "this system cannot filter system calls")


def _standard_streams(text: str) -> Any:
    """Descriptors 0 and 1 become memory files, so that `open(0)` and `os.write(1, ...)` work as programs expect.

    Returns the text stream over descriptor 1, which the program may replace in `sys`.
    """
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
    return sys.stdout


def _printed(limit: int) -> str:
    """What the program wrote on descriptor 1, at most `limit` bytes of it."""
    return os.pread(1, limit, 0).decode("utf-8", "replace")


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


def _run_program(code: str, name: str) -> dict[str, Any]:
    """Executes the program as a fresh module, which `sys.modules` knows (dataclasses look there)."""
    module = type(sys)(name)
    sys.modules[name] = module
    exec(compile(code, SOURCE, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _value(job: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    """What a function call returned, as JSON, or why that is impossible. Raises what the program raises."""
    names = _run_program(job["code"], "attempt")
    if call["function"] not in names:
        raise NameError(f"name '{call['function']}' is not defined")
    value = names[call["function"]](*call["args"])
    try:
        return {"value": json.loads(json.dumps(value, allow_nan=False))}
    except (TypeError, ValueError, RecursionError) as exc:
        return {"error": {"type": "ReturnError", "message": f"returned no plain value: {exc}", "line": None}}


def _run_script(job: dict[str, Any]) -> None:
    """The program as a script; ending itself with status 0 is how many scripts end."""
    try:
        _run_program(job["code"], "__main__")
    except SystemExit as exc:
        if exc.code not in (None, 0):
            raise


def _run_call(job: dict[str, Any], call: dict[str, Any] | None, stdout: Any) -> dict[str, Any]:
    """One call's frame: its value or its error, and what it printed. `call` None only loads the program."""
    limits = job["limits"]
    frame: dict[str, Any] = {}
    try:
        if call is None:
            _run_program(job["code"], "attempt")
        elif "stdin" in call:
            _run_script(job)
        else:
            frame = _value(job, call)
        if not stdout.closed:
            stdout.flush()
    except BaseException as exc:
        frame = {"error": _error(exc, limits)}
        exc.__traceback__ = None  # frees what the program held, a full memory for instance
    with contextlib.suppress(BaseException):
        stdout.flush()  # what an error left in the buffer
    if call is not None and "stdin" in call and "error" not in frame:
        frame["value"] = _printed(limits["file_bytes"])
    frame["printed"] = _printed(limits["printed_bytes"])
    return frame


def _send(descriptor: int, frame: dict[str, Any]) -> None:
    view = memoryview(json.dumps(frame).encode() + b"\n")
    while view:
        view = view[os.write(descriptor, view) :]


def _call_process(job: dict[str, Any], index: int, call: dict[str, Any] | None) -> None:
    """The life of a forked process: lock down, run, report, and end without running anyone's exit handlers."""
    status = 1
    try:
        stdout = _standard_streams("" if call is None else call.get("stdin", ""))
        try:
            _lock_down(job)
        except (OSError, ValueError, AttributeError) as exc:
            _send(job["descriptor"], {"call": index, "refused": str(exc)})
            return
        _send(job["descriptor"], {**_run_call(job, call, stdout), "call": index})
        status = 0
    finally:
        os._exit(status)


def main() -> None:
    """Reads the job and runs its calls one after the other, each in a process of its own."""
    with open(0, "rb", closefd=False) as stream:
        job = json.loads(stream.read())
    os.environ.clear()
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # absent under -S; programs use them
    for index, call in enumerate(job["calls"] or [None]):
        process = os.fork()
        if process == 0:
            _call_process(job, index, call)
        ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        _send(job["descriptor"], {"call": index, "ended": ended})  # ignored where the call has reported
        if ended == -signal.SIGXCPU:
            break  # the calls that follow would most likely burn as long


if __name__ == "__main__":
    main()
