"""Programs in processes that Linux confines: several in one, whose start takes as long as a few of them run.

The process's report is read with a hard cap and a hard deadline, and it is always ended.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal

from workbench.errors import SandboxError
from workbench.tasks.sandbox.calls import SECCOMP_CALL, system_call_filter
from workbench.tasks.sandbox.results import Program, SandboxResult, Tier, packed, result_from
from workbench.tasks.sandbox.tiers import command_for, package_paths, readable_folders

LENGTH = 16  # as `child.py` has it: characters that say how long the part about all programs is
GRACE = 5  # the same: times that a call on a busy machine gets its time again


def run(tier: Tier, programs: Sequence[Program]) -> list[SandboxResult]:
    """Run programs with the same limits and packages, one after the other, in one sandbox.

    None can see, change or hold up another: where the sandbox is ended before all have run, each is run alone.
    """
    report, stopped = _report(tier, programs)
    reports = _by_program(report)
    if len(programs) > 1 and (stopped or len(reports) < len(programs)):
        return [run(tier, [program])[0] for program in programs]
    return [
        result_from(
            reports.get(number, b""),
            len(program.calls),
            limits=program.limits,
            tier=tier,
            stopped=stopped,
            scripts={index for index, call in enumerate(program.calls) if "stdin" in call},
        )
        for number, program in enumerate(programs)
    ]


def _report(tier: Tier, programs: Sequence[Program]) -> tuple[bytes, Literal["time", "output"] | None]:
    """The sandbox's report on programs, and why it was cut."""
    limits, packages = programs[0].limits, programs[0].packages
    folders, machine = package_paths(packages), os.uname().machine
    with tempfile.TemporaryDirectory(prefix="attempt-", ignore_cleanup_errors=True) as scratch:
        reader, writer = os.pipe()
        try:
            job = {
                "limits": asdict(limits),
                "descriptor": writer,
                "filter": system_call_filter(machine).hex(),
                "thread_filter": system_call_filter(machine, threads=True).hex(),
                "seccomp": SECCOMP_CALL[machine],
                "readable": readable_folders(tier, folders),
                "packages": list(packages),
                "package_folders": sorted({os.path.dirname(path) for path in folders}),
            }
            # Above all that the harness allows, which knows whether a busy machine has let a call run at all.
            allowed_s = sum(limits.total_s(len(program.calls)) + GRACE * limits.wall_s for program in programs)
            deadline = time.monotonic() + allowed_s
            folder = scratch if tier == "rlimits" else "/"  # whose name, alone, an error may quote: always the same one
            process = _start(command_for(tier, folders), _written(job, programs), writer, folder)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        try:
            return _read(reader, cap_bytes=limits.report_bytes, deadline=deadline)
        finally:
            os.close(reader)
            _end(process)


def _written(job: dict[str, Any], programs: Sequence[Program]) -> bytes:
    """Write a job as `child.py` reads it: what is said of all programs, then each program and the code of its checks.

    Only a process of its own reads a program, and only a check's own process reads its code, so that no memory of
    another has ever held them.
    """
    parts, sizes = [], []
    for program in programs:
        text, checks = _apart(program)
        parts += [text, checks]
        sizes.append((len(text), len(text) + len(checks)))
    header = json.dumps({**job, "sizes": sizes}).encode()
    return b"".join([f"{len(header):{LENGTH}}".encode(), header, *parts])


def _apart(program: Program) -> tuple[bytes, bytes]:
    """A program with its calls, and the code of its checks, which the calls name by their places in it."""
    calls, codes, size = [], [], 0
    for call in packed(program.calls):
        if "check" in call:
            codes.append(json.dumps({key: call[key] for key in ("check", "setup") if key in call}).encode())
            call = {"function": call["function"], "check": [size, len(codes[-1])]}
            size += len(codes[-1])
        calls.append(call)
    return json.dumps({"code": program.code, "calls": calls}).encode(), b"".join(codes)


def _start(command: list[str], job: bytes, report: int, folder: str) -> subprocess.Popen[bytes]:
    """Start the process, in a session of its own, with the job as its standard input and no inherited environment."""
    with tempfile.TemporaryFile() as stdin:  # a file, not a pipe: a process that never reads cannot block us
        stdin.write(job)
        stdin.seek(0)
        try:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PYTHONHASHSEED": "0"},
                cwd=folder,
                pass_fds=(report,),
                start_new_session=True,
            )
        except OSError as exc:
            raise SandboxError(f"No confined process could be started ({exc}); check the machine's limits.") from exc


def _by_program(report: bytes) -> dict[int, bytes]:
    """The lines of a report by the number of the program that begins each; the harness alone writes it."""
    lines: dict[int, list[bytes]] = {}
    for line in report.split(b"\n"):
        number, _, rest = line.partition(b" ")
        if rest:
            lines.setdefault(int(number), []).append(rest)
    return {number: b"\n".join(texts) for number, texts in lines.items()}


def _read(descriptor: int, *, cap_bytes: int, deadline: float) -> tuple[bytes, Literal["time", "output"] | None]:
    """Read up to the end of the pipe, and None; or what came before the "time" or the "output" cap."""
    chunks: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return b"".join(chunks), "time"
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return b"".join(chunks), None
            size += len(chunk)
            if size > cap_bytes:
                return b"".join(chunks), "output"
            chunks.append(chunk)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole session and reap the process; nothing of it is left when this returns."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
