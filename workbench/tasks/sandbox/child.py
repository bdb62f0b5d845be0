"""The harness inside the sandbox. Its code is handed to a bare interpreter with `-c`; nothing imports it to use it.

Its arguments are the code of `program.py` and `candidate.py`, which run a call anywhere, and of `confine.py`, which
confines a process on Linux. Descriptor 0 is a file with a job and its programs. The harness forks once per program, so
that nobody holds the text of two, and then once per call, so that no call sees what an earlier one left in memory. The
forked process locks itself down, runs the model-written program and writes one line of JSON into a pipe of its own; the
harness, which runs nothing of the program, passes it on with the numbers of program and call to the descriptor that the
job names. So a program may forge what its own call says, which is no more than it could return, and nothing of another
call. It holds inputs only; the code of checks stands behind the program in the file, and only the process of a check
ever reads it. Verdicts are made by the parent.

Knows nothing of the workbench: standard library only, and little of it, because its imports are paid on every start.
"""

from __future__ import annotations

import builtins
import json
import marshal
import os
import signal
import sys
import time

TYPE_CHECKING = False  # to import `typing` would take a ninth of the start
if TYPE_CHECKING:
    from typing import Any

    from workbench.tasks.sandbox import candidate, confine, program
else:
    program, candidate, confine = (type(sys)(name) for name in ("program", "candidate", "confine"))
    candidate.program = program
    for _module in (program, candidate, confine):
        exec(marshal.loads(bytes.fromhex(sys.argv.pop(1))), _module.__dict__)


_AWAKE_S = 0.001  # processor time that a process uses which does not just wait
_STARVED = 0.2  # of a processor: less is what a busy machine leaves
_GRACE = 5  # times that a call on a busy machine gets its time again
_LENGTH = 16  # characters at the file's beginning that say how long the part about all programs is


def _processor_s(process: int) -> float:
    """Processor time that a process has used; 0 where it has ended. The clock's number is Linux's own."""
    try:
        return time.clock_gettime((~process << 3) | 2)
    except OSError:
        return 0.0


def _read_file(start: int, size: int) -> bytes:
    """Read a part of the file on descriptor 0; a single read may stop short."""
    held = b""
    while len(held) < size and (chunk := os.pread(0, size - len(held), start + len(held))):
        held += chunk
    return held


def _standard_streams(text: str, stdout: int) -> None:
    """Make descriptors 0 and 1 memory files, so that `open(0)` and `os.write(1, ...)` work as programs expect."""
    stdin = os.memfd_create("stdin")
    view = memoryview(text.encode("utf-8", "replace"))
    while view:
        view = view[os.write(stdin, view) :]
    os.lseek(stdin, 0, os.SEEK_SET)
    for memory, descriptor in ((stdin, 0), (stdout, 1)):
        os.dup2(memory, descriptor)
        os.close(memory)
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__ = sys.stdin, sys.stdout  # type: ignore[misc]  # programs replace the others


def _send(descriptor: int, frame: dict[str, Any], before: str = "") -> None:
    view = memoryview(f"{before}{json.dumps(frame)}\n".encode())
    while view:
        view = view[os.write(descriptor, view) :]


class _Call:
    """One call: its process, or two where a check and the program that it checks run apart."""

    def __init__(self, job: dict[str, Any], call: dict[str, Any] | None) -> None:
        """`call` None only loads the program."""
        self._job, self._call = job, call
        self._limits: dict[str, Any] = job["limits"]
        self._stdout = os.memfd_create("stdout")
        self._reader, self._writer = os.pipe()
        self._guard = confine.Guard(self._limits["threads"]) if self._limits["threads"] else None
        self._processes: list[int] = []
        self._late, self._used_s, self._grace = False, 0.0, _GRACE

    def run(self) -> dict[str, Any]:
        """Run it. Returns "said": what the process reported, None where that was too much; "printed"; "ended": its
        status as `subprocess` has it; "late": whether it was ended because it took too long.
        """
        signal.signal(signal.SIGALRM, self._end_late)
        signal.setitimer(signal.ITIMER_REAL, self._limits["wall_s"])
        if self._call is not None and "check" in self._call:
            self._start_check(self._call)
        else:
            self._fork(self._run_program, self._writer, (self._reader,), self._guard)
        os.close(self._writer)
        if self._guard is not None:
            self._guard.take()
        report = self._read()
        if report is None or report:
            self._end(self._processes[:-1])  # a program is done once its check is
        for process in self._processes:
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        signal.setitimer(signal.ITIMER_REAL, 0)  # from here on the numbers may become those of other processes
        ended = [self._reap(process) for process in self._processes]
        is_script = self._call is not None and "stdin" in self._call
        printed = os.pread(self._stdout, self._limits["file_bytes" if is_script else "printed_bytes"], 0)
        for descriptor in (self._reader, self._stdout):
            os.close(descriptor)
        if self._guard is not None:
            self._guard.close()
        status = ended[0] or ended[-1]
        return {"said": report, "printed": printed.decode("utf-8", "replace"), "ended": status, "late": self._late}

    def _start_check(self, call: dict[str, Any]) -> None:
        """Start the program's process and then the check's; each holds its own ends of the two pipes alone."""
        requests, asks = os.pipe()
        answered, answers = os.pipe()
        code, function = self._job["code"], call["function"]
        theirs = (self._reader, self._writer, asks, answered)
        self._fork(lambda: candidate.serve(code, function, self._limits, requests, answers), -1, theirs, self._guard)
        checking = (self._reader, requests, answers)
        self._fork(lambda: candidate.run_check(call, self._limits, asks, answered), self._writer, checking, None, call)
        for descriptor in (requests, asks, answered, answers):
            os.close(descriptor)

    def _run_program(self) -> dict[str, Any]:
        return program.run_call(self._job["code"], program.unpacked(self._call), self._limits)

    def _fork(
        self, work: Any, report: int, theirs: tuple[int, ...], guard: Any, check: dict[str, Any] | None = None
    ) -> None:
        """Fork a process that locks itself down, does its work and reports what that returns, unless it is None.

        `report`: the descriptor to report to, or -1. `theirs`: descriptors that it must not hold. `check`: the call
        whose code it reads.
        """
        process = os.fork()
        if process:
            self._processes.append(process)
            return
        status, is_script = 1, False
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            if check is not None:
                start, size = check["check"]  # after the job
                check |= json.loads(_read_file(self._job["end"] + start, size))
            for held in (self._job["descriptor"], *theirs):
                os.close(held)
            _standard_streams((self._call or {}).get("stdin", ""), self._stdout)
            if self._guard is not None:
                self._guard.enter(asks=guard is not None)
            try:
                confine.lock_down(self._job, guard and guard.theirs)
            except (OSError, ValueError, AttributeError) as exc:
                frame = {"refused": str(exc)}
            else:
                program.lift_limits()
                frame = work()
                is_script = self._call is not None and "stdin" in self._call
            if frame is not None and report >= 0:
                _send(report, frame)
            status = int(bool(frame))
        finally:
            if not is_script:
                os._exit(status)
        raise SystemExit(status)  # the interpreter ends as after any script: threads, exit handlers, buffers

    def _read(self) -> str | None:
        """Everything that the call wrote into its pipe; None where that is more than the limit, which ends it."""
        chunks: list[bytes] = []
        size = 0
        while True:
            if self._guard is not None:
                self._guard.wait(self._reader)
            chunk = os.read(self._reader, 65536)
            size += len(chunk)
            if not chunk:
                return b"".join(chunks).decode("utf-8", "replace")
            if size > self._limits["output_bytes"]:
                self._end(self._processes)
                return None
            chunks.append(chunk)

    def _end(self, processes: list[int]) -> None:
        for process in processes:
            os.kill(process, signal.SIGKILL)

    def _end_late(self, *_: object) -> None:
        """End a call whose time is over, unless the machine was so busy that it has hardly come to run.

        One that used no processor time at all waits for something, and one that used much has had its chance.
        """
        used_s, self._used_s = self._used_s, sum(map(_processor_s, self._processes))
        spent_s = self._used_s - used_s
        if self._grace > 0 and _AWAKE_S < spent_s < _STARVED * self._limits["wall_s"]:
            self._grace -= 1
            signal.setitimer(signal.ITIMER_REAL, self._limits["wall_s"])
            return
        self._late = True
        self._end(self._processes)

    def _reap(self, process: int) -> int:
        """Status of a process; one that ignored the signal of its processor time counts as ended by it."""
        _, status, usage = os.wait4(process, 0)
        ended = os.waitstatus_to_exitcode(status)
        out_of_cpu = usage.ru_utime + usage.ru_stime > self._limits["cpu_s"]
        return -signal.SIGXCPU if ended == -signal.SIGKILL and out_of_cpu and not self._late else ended


def _import_packages(job: dict[str, Any]) -> None:
    """Import the packages that the task asks for, once for all calls; nothing else of their folders can be imported.

    Raises what the import raises.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sys.path[:0] = job["package_folders"]
    for name in job["packages"]:
        __import__(name)
    del sys.path[: len(job["package_folders"])]
    os.environ.clear()


def _run_calls(job: dict[str, Any], number: int) -> None:
    """Run the calls of one program one after the other; each line of the report begins with the program's number."""
    for index, call in enumerate(job["calls"] or [None]):
        line = {"call": index, **_Call(job, call).run()}
        _send(job["descriptor"], line, f"{number} ")
        if line["late"] or line["ended"] == -signal.SIGXCPU:
            break  # the calls that follow would most likely take as long


def main() -> None:
    """Read the job and run its programs one after the other, each in a process that has read no other."""
    size = int(_read_file(0, _LENGTH))
    job = json.loads(_read_file(_LENGTH, size))
    os.environ.clear()
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # absent under -S; programs use them
    if job["packages"]:
        try:
            _import_packages(job)
        except Exception as exc:
            for number in range(len(job["sizes"])):
                _send(job["descriptor"], {"refused": f"{type(exc).__name__}: {exc}"}, f"{number} ")
            return
    place = _LENGTH + size
    for number, (length, with_checks) in enumerate(job["sizes"]):
        process = os.fork()
        if process == 0:
            loaded = json.loads(_read_file(place, length))
            _run_calls({**job, **loaded, "end": place + length}, number)
            os._exit(0)
        os.waitpid(process, 0)
        place += with_checks


if __name__ == "__main__":
    main()
