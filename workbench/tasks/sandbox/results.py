"""Data that goes into the sandbox and comes out of it: limits, results, and the parent's check of what was reported.

Nothing that comes out of a sandbox is trusted: every line is parsed as strict JSON and validated here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from workbench.errors import ConfigError, TaskError

Tier = Literal["bubblewrap", "landlock", "wasm", "rlimits"]
TEXT_LIMIT = 500  # characters of an error message, or of a value, that are shown
REFUSED = "SandboxError"  # type of the error of a call that the sandbox could not make
OUT_OF_CPU = -24  # a process ended by SIGXCPU, on the architectures that the sandbox knows


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program. Each call runs in a process of its own."""

    wall_s: float = 10.0  # of all calls together, start included; generous, because a busy machine must not fail anyone
    cpu_s: int = 2  # of each call
    memory_bytes: int = 512 * 2**20  # address space of each call
    file_bytes: int = 2**20  # of each file, and of what a call prints
    printed_bytes: int = 4096  # how much of what a call printed is kept in `printed`
    output_bytes: int = 2**20  # of everything that is reported, all calls together

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"The sandbox's {field.name} is {value}; it must be above 0.")


@dataclass(frozen=True, slots=True)
class CallError:
    """The error of one call that has no value."""

    type: str  # an exception's name, e.g. "NameError", "SyntaxError", "TimeoutError", "MemoryError", "ExitedEarly"
    message: str
    line: int | None = None  # in the program's text, from 1; None where no line is to blame

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}" if self.message else self.type
        return text if self.line is None else f"{text} (line {self.line})"


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """One program's calls, in the order of the request."""

    outputs: tuple[Any, ...]  # plain JSON values (tuples come back as lists, keys as text); None where a call failed
    errors: tuple[CallError | None, ...]  # one per call
    printed: tuple[str, ...]  # the start of what each call printed; untrusted text
    error: str | None  # the first error as one line of text; None when every call gave a value
    tier: Tier  # how strongly the program was confined
    timed_out: bool  # a call ran out of wall-clock or processor time
    refused: str | None = None  # one sentence, where the tier could not run it: nothing was learned about the program


def check_calls(calls: Sequence[Mapping[str, Any]]) -> None:
    """Raise TaskError unless each call is {"function": name, "args": [...]} or {"stdin": text}, as plain JSON."""
    for number, call in enumerate(calls, start=1):
        is_function = set(call) == {"function", "args"} and isinstance(call["function"], str)
        is_program = set(call) == {"stdin"} and isinstance(call["stdin"], str)
        if not (is_program or (is_function and isinstance(call["args"], list | tuple))):
            raise TaskError(f'Call {number} must be {{"function": name, "args": [...]}} or {{"stdin": text}}.')
        try:
            json.dumps(call, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise TaskError(f"Call {number} has arguments that are not plain JSON: {exc}.") from exc


def _clean(value: object) -> str:
    """Reduce untrusted text to one short, printable line."""
    text = value if isinstance(value, str) else "unreadable"
    text = "".join(char if char.isprintable() else " " for char in text[: TEXT_LIMIT + 1])
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def shown(value: object) -> str:
    """Quote a value that a program returned or printed: untrusted, so one short line.

    In quotes and with escapes where it is text (control, bidirectional and invisible characters, line ends): it cannot
    pass for the text around it.
    """
    text = repr(value)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def _error_from(data: object) -> CallError:
    if not isinstance(data, dict):
        return CallError("ReportError", "the program reported something unreadable")
    line = data.get("line")
    is_line = isinstance(line, int) and not isinstance(line, bool) and line > 0
    return CallError(_clean(data.get("type")), _clean(data.get("message")), line if is_line else None)


def _ended(status: object, cpu_s: int) -> CallError:
    """The error of a call whose process ended without a report; a negative status is a signal's number."""
    if status == OUT_OF_CPU:
        return CallError("TimeoutError", f"used more than {cpu_s} s of processor time")
    if isinstance(status, int) and status < 0:
        return CallError("ExitedEarly", f"the process was ended by signal {-status}")
    return CallError("ExitedEarly", "the program ended its process before it gave a value")


def _strict(line: bytes | str) -> dict[str, Any] | None:
    """A line as a JSON object; None for anything else: NaN, 1e999, lone surrogates, another type, no JSON at all."""
    try:
        data = json.loads(line)
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def parse_report(report: bytes, n_calls: int) -> dict[int, dict[str, Any]]:
    """The harness's line on each call that ended: "call", "said" and "ended". A line that was cut is dropped."""
    lines: dict[int, dict[str, Any]] = {}
    for line in map(_strict, report.split(b"\n")):
        index = line.get("call") if line is not None else None
        if line is not None and isinstance(index, int) and not isinstance(index, bool) and 0 <= index < max(n_calls, 1):
            lines.setdefault(index, line)
    return lines


def read_call(line: dict[str, Any], limits: Limits) -> tuple[Any, CallError | None, str]:
    """(value, error, printed) of one call: the first readable line that its process wrote, or how it ended."""
    output = line.get("said")
    if output is None and "said" in line:
        return None, CallError("OutputLimitExceeded", f"reported more than {limits.output_bytes} bytes"), ""
    frame = next(filter(None, map(_strict, str(output).split("\n"))), None)
    if frame is None:
        return None, _ended(line.get("ended"), limits.cpu_s), ""
    printed = frame.get("printed")
    printed = printed[: limits.printed_bytes] if isinstance(printed, str) else ""
    if "error" in frame:
        return None, _error_from(frame["error"]), printed
    if "refused" in frame:
        return None, CallError(REFUSED, _clean(frame["refused"])), printed
    return frame.get("value"), None, printed


def result_from(report: bytes, n_calls: int, *, limits: Limits, tier: Tier, stopped: str | None) -> SandboxResult:
    """Turn a report into a result.

    Args:
        report: what came over the result descriptor, complete or cut.
        n_calls: how many calls were requested; with 0 the program was only loaded.
        stopped: why the parent ended the run ("time", "output"), or None.
    """
    lines = parse_report(report, n_calls)
    missing = {
        "time": CallError("TimeoutError", f"did not finish within {limits.wall_s:g} s"),
        "output": CallError("OutputLimitExceeded", f"reported more than {limits.output_bytes} bytes"),
        None: CallError("ExitedEarly", "the program ended before this call was run"),
    }[stopped]
    out_of_cpu = any(line.get("ended") == OUT_OF_CPU for line in lines.values())
    if out_of_cpu:
        missing = CallError("TimeoutError", "not run: an earlier call ran out of time")
    rows: list[tuple[Any, CallError | None, str]] = []
    for index in range(max(n_calls, 1)):
        if index in lines:
            rows.append(read_call(lines[index], limits))
        else:
            rows.append((None, missing, ""))
    errors = [error for _, error, _ in rows]
    kept = rows[:n_calls]
    return SandboxResult(
        outputs=tuple(value for value, _, _ in kept),
        errors=tuple(error for _, error, _ in kept),
        printed=tuple(printed for _, _, printed in kept),
        error=next((str(error) for error in errors if error is not None), None),
        tier=tier,
        timed_out=out_of_cpu or stopped == "time",
        refused=next((error.message for error in errors if error is not None and error.type == REFUSED), None),
    )
