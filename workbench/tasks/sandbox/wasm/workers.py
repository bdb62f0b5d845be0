"""Programs in WebAssembly, as the workbench's process sees them: helper processes that wait for jobs."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any, Literal

from workbench.errors import SandboxError
from workbench.tasks.sandbox.processors import processors
from workbench.tasks.sandbox.results import Call, Limits, SandboxResult, packed, result_from
from workbench.tasks.sandbox.wasm import cache
from workbench.tasks.sandbox.wasm.command import parts, worker_process
from workbench.tasks.sandbox.wasm.lacks import give_up_where_due, without_packages

SLOWER = 16  # times as long as natively that a program may take; measured ones take 4 to 15 (`bench sandbox`)
_PATIENCE_S = 60.0  # for a helper to start on a busy machine
_GRACE_S = 10.0  # a helper ends a job by itself; one that has not by then is ended
_LINE_BYTES = 4096  # of a result, besides what the program said


class Worker:
    """One helper process. It makes one job at a time; between jobs it holds nothing of them."""

    def __init__(self, prepared: tuple[bytes, bytes]) -> None:
        """Start it. Raises SandboxError where it does not start, or cannot use what was prepared."""
        try:
            self._process = subprocess.Popen(
                **worker_process("serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise SandboxError(
                f"No helper process could be started for WebAssembly ({error}); check the machine's limits."
            ) from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._jobs: IO[bytes] = self._process.stdin
        self._results: IO[bytes] = self._process.stdout
        with self._deadline(_PATIENCE_S), suppress(OSError):
            self._jobs.write(parts(*prepared))
            self._jobs.flush()
            answer = _object(self._results.readline(_LINE_BYTES))
            if answer.get("ready"):
                return
            self.end()
            raise SandboxError(f"The prepared interpreter cannot be used ({answer.get('problem', 'it says nothing')}).")
        self.end()
        raise SandboxError("The helper process for WebAssembly ended at once; run `sdpo-workbench doctor`.")

    def make(self, job: Mapping[str, Any], limits: Limits) -> tuple[bytes, Literal["time", "output"] | None]:
        """Make one job; the lines on its calls, and why it was stopped, if it was ("time", "output")."""
        lines: list[bytes] = []
        size = 0
        with self._deadline(job["total_s"] * job["slower"] + _GRACE_S) as late, suppress(OSError):
            self._jobs.write(json.dumps(job).encode() + b"\n")
            self._jobs.flush()
            while True:
                # A byte is at most six characters in JSON.
                line = self._results.readline(6 * (limits.output_bytes + limits.file_bytes) + _LINE_BYTES)
                answer = _object(line)
                if answer.get("done") is True:
                    stopped = answer.get("stopped")
                    return b"".join(lines), stopped if stopped in ("time", "output") else None
                if "call" not in answer:
                    break
                size += len(line)
                if size > 6 * limits.report_bytes:
                    self.end()
                    return b"".join(lines), "output"
                lines.append(line)
        self.end()  # it ended by itself, or says nothing sensible
        return b"".join(lines), "time" if late.is_set() else None

    @property
    def runs(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        for stream in (self._jobs, self._results):
            with suppress(OSError):
                stream.close()
        self._process.wait()

    def _deadline(self, seconds: float) -> _Deadline:
        return _Deadline(self._process, seconds)


def _object(line: bytes) -> dict[str, Any]:
    """A line of JSON as an object; {} for anything else."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


class _Deadline:
    """Kills a process after some time, within a `with` block; gives an event that is set once it has."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process, self._late = process, threading.Event()
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True

    def _kill(self) -> None:
        self._late.set()
        self._process.kill()

    def __enter__(self) -> threading.Event:
        self._timer.start()
        return self._late

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class Workers:
    """The helper processes of this process: as many as processors, started when they are needed, then kept."""

    def __init__(self) -> None:
        self._process_id = os.getpid()
        self._free: list[Worker] = []
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(processors())
        self._loading = threading.Lock()
        self._prepared: tuple[bytes, bytes] | None = None

    def run(self, code: str, calls: Sequence[Call], limits: Limits) -> SandboxResult:
        """Run a program. Waiting for a free helper counts towards no limit. Raises SandboxError."""
        total_s = limits.total_s(len(calls))
        job = {"code": code, "calls": packed(calls), "limits": asdict(limits), "total_s": total_s, "slower": SLOWER}
        with self._places:
            with self._lock:
                worker = self._free.pop() if self._free else None
            if worker is None or not worker.runs:
                worker = self._start()
            try:
                report, stopped = worker.make(job, limits)
            except BaseException:
                worker.end()
                raise
            if worker.runs:
                with self._lock:
                    self._free.append(worker)
        scripts = {index for index, call in enumerate(calls) if "stdin" in call}
        result = result_from(report, len(calls), limits=limits, tier="wasm", stopped=stopped, scripts=scripts)
        return give_up_where_due(result)

    def _start(self) -> Worker:
        with self._loading:
            if self._prepared is None:
                self._prepared = cache.prepared()
                try:
                    return Worker(self._prepared)
                except SandboxError:  # e.g. made on another processor, as a home on a network may be
                    self._prepared = cache.prepared(anew=True)
        return Worker(self._prepared)

    def close(self) -> None:
        """End all helpers that wait."""
        with self._lock:
            free, self._free = self._free, []
        for worker in free:
            worker.end()


_workers: Workers | None = None
_making = threading.Lock()


def run(code: str, calls: Sequence[Call], limits: Limits, packages: Sequence[str]) -> SandboxResult:
    """Run a program in the WebAssembly tier, unless it may need packages. Raises SandboxError: it cannot be used."""
    global _workers
    if packages:
        return without_packages(calls, packages)
    with _making:
        # A forked process has helpers of its own: it must not speak with its parent's.
        if _workers is None or _workers._process_id != os.getpid():
            _workers = Workers()
            atexit.register(_workers.close)
        workers = _workers
    return workers.run(code, calls, limits)
