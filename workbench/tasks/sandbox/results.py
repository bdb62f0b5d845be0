"""Data that goes into the sandbox and comes out of it: limits, results, and the parent's check of what was reported.

Nothing that comes out of a sandbox is trusted: every line is parsed as strict JSON and validated here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from workbench.errors import ConfigError, SandboxError, TaskError

Tier = Literal["bubblewrap", "landlock", "wasm", "rlimits"]
# {"function": name, "args": [...]}, {"stdin": text} or {"check": code, "function": name}; see `check_calls`.
Call = Mapping[str, Any]
TEXT_LIMIT = 500  # characters of an error message, or of a value, that are shown
HUGE, HUGE_BITS = "\0int", 14_000  # as `program.py` has them
REFUSED = "SandboxError"  # type of the error of a call that the sandbox could not make
OUT_OF_CPU = -24  # a process ended by SIGXCPU, on the architectures that the sandbox knows


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program. Each call runs in a process of its own, and may take all of what is its own."""

    wall_s: float = 10.0  # of each call; generous, because a busy machine must not fail anyone
    cpu_s: int = 2  # of each call
    memory_bytes: int = 512 * 2**20  # address space of each call
    file_bytes: int = 2**20  # of each file, and of what a call prints
    printed_bytes: int = 4096  # how much of what a call printed is kept in `printed`
    output_bytes: int = 2**20  # of what each call reports
    report_bytes: int = 2**26  # of everything that is reported, all calls together
    threads: int = 0  # how many threads each call may start; 0: none

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 or (field.name == "threads" and value == 0)):
                raise ConfigError(f"The sandbox's {field.name} is {value}; it must be above 0.")

    def total_s(self, n_calls: int) -> float:
        """Wall-clock time of `n_calls` together, start included: each may use its processor time four times over."""
        return self.wall_s + 4 * self.cpu_s * n_calls


class Program(NamedTuple):
    """A program and the calls to make on it, as `run_python` takes them."""

    code: str
    calls: Sequence[Call]
    limits: Limits = Limits()
    packages: tuple[str, ...] = ()  # beyond the standard library; see `tiers.PACKAGES`


@dataclass(frozen=True, slots=True)
class CallError:
    """The error of one call that has no value."""

    type: str  # an exception's name, e.g. "NameError", "SyntaxError", "TimeoutError", "MemoryError", "ExitedEarly"
    message: str
    line: int | None = None  # in the program's text, from 1; None where no line is to blame
    last: str = ""  # of a check: the call of the program that it made last, and its value; untrusted text

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


# What a call may hold beside what it must: types by key.
_OPTIONAL: Mapping[str, Mapping[str, Any]] = {
    "function": {"kwargs": Mapping, "init": list | tuple, "argument": int},
    "check": {"setup": str},
    "stdin": {},
}


def check_calls(calls: Sequence[Call]) -> None:
    """Raise TaskError unless each call is one of these, as plain JSON.

    - {"function": name, "args": [...]}: the value of a function, of "Class.method" or of a method of `Solution`. Also
      "kwargs", "init" (arguments of the class), and "argument": the position, from 0, of the argument whose value
      after the call is wanted instead.
    - {"stdin": text}: what a script prints.
    - {"check": code, "function": name}: whether `check(candidate)` of that code passes; "setup": code before it.
    """
    for number, call in enumerate(calls, start=1):
        kind = next((key for key in ("check", "stdin", "function") if isinstance(call.get(key), str)), "")
        needed = {"check": {"check", "function"}, "function": {"function", "args"}}.get(kind, {kind})
        optional = _OPTIONAL.get(kind, {})
        if (
            not needed <= set(call) <= needed | set(optional)
            or not all(isinstance(call[key], optional[key]) for key in set(call) - needed)
            or not isinstance(call.get("function", ""), str)
            or not isinstance(call.get("args", []), list | tuple)
            or ("argument" in call and not is_position(call["argument"], call["args"]))
        ):
            raise TaskError(
                f'Call {number} must be {{"function": name, "args": [...]}}, {{"stdin": text}} or '
                '{"check": code, "function": name}.'
            )
        try:
            json.dumps(packed(call), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise TaskError(f"Call {number} has arguments that are not plain JSON: {exc}.") from exc


def is_position(value: object, items: Sequence[Any]) -> bool:
    """True for the position of an item, from 0."""
    return type(value) is int and 0 <= value < len(items)


def packed(value: Any) -> Any:
    """Convert a value for the way into the sandbox: huge integers, which JSON's readers and writers refuse, as text."""
    if isinstance(value, list | tuple):
        return [packed(item) for item in value]
    if isinstance(value, Mapping):
        return {key: packed(item) for key, item in value.items()}
    return {HUGE: format(value, "x")} if type(value) is int and value.bit_length() > HUGE_BITS else value


def _unpacked(value: Any) -> Any:
    """The inverse, for a value that a program reported."""
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if isinstance(value, dict):
        digits = value.get(HUGE)
        if len(value) == 1 and isinstance(digits, str) and re.fullmatch("-?[0-9a-f]+", digits):
            return int(digits, 16)
        return {key: _unpacked(item) for key, item in value.items()}
    return value


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
    try:
        text = repr(value)
    except ValueError:  # an integer longer than Python writes; never slow: its length is limited by the report's
        text = _with_huge(value)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def _with_huge(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {shown(item)}" for key, item in value.items()) + "}"
    assert isinstance(value, int)
    digits = int(value.bit_length() * math.log10(2)) + 1
    return f"an integer of about {digits} digits that ends in {abs(value) % 10**9:09}"


def _error_from(data: object, last: object = None) -> CallError:
    if not isinstance(data, dict):
        return CallError("ReportError", "the program reported something unreadable")
    line = data.get("line")
    is_line = isinstance(line, int) and not isinstance(line, bool) and line > 0
    called = _clean(last) if isinstance(last, str) else ""
    return CallError(_clean(data.get("type")), _clean(data.get("message")), line if is_line else None, called)


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


def read_call(line: dict[str, Any], limits: Limits, *, is_script: bool = False) -> tuple[Any, CallError | None, str]:
    """(value, error, printed) of one call: the first readable line that its process wrote, or how it ended."""
    output, ended, printed = line.get("said"), line.get("ended"), line.get("printed")
    printed = printed if isinstance(printed, str) else ""
    start = printed[: limits.printed_bytes]
    if output is None and "said" in line:
        return None, CallError("OutputLimitExceeded", f"reported more than {limits.output_bytes} bytes"), start
    frame = next((data for data in map(_strict, str(output).split("\n")) if data is not None), None)
    if line.get("late") is True:
        return None, CallError("TimeoutError", f"did not finish within {limits.wall_s:g} s"), start
    if frame is not None and "error" in frame:
        return None, _error_from(frame["error"], frame.get("last")), start
    if frame is not None and "refused" in frame:
        return None, CallError(REFUSED, _clean(frame["refused"])), start
    if is_script and ended == 0:
        return printed, None, start
    if frame is None or is_script:
        full = len(printed.encode()) >= limits.file_bytes
        limit = CallError("OutputLimitExceeded", f"wrote more than {limits.file_bytes} bytes")
        return None, limit if full else _ended(ended, limits.cpu_s), start
    return _unpacked(frame.get("value")), None, start


def result_from(
    report: bytes,
    n_calls: int,
    *,
    limits: Limits,
    tier: Tier,
    stopped: Literal["time", "output"] | None,
    scripts: Collection[int] = (),
) -> SandboxResult:
    """Turn a report into a result. Raises SandboxError where the harness says that it could run nothing.

    Args:
        report: what came over the result descriptor, complete or cut.
        n_calls: how many calls were requested; with 0 the program was only loaded.
        stopped: why the parent ended the run, or None.
        scripts: the indices of the calls whose value is what they printed.
    """
    for line in map(_strict, report.split(b"\n")):
        if line is not None and "refused" in line and "call" not in line:
            raise SandboxError(f"The sandbox could not be set up ({_clean(line['refused'])}); check the machine.")
    lines = parse_report(report, n_calls)
    too_much = f"all calls together reported more than {limits.report_bytes} bytes"
    missing = {
        "time": CallError("TimeoutError", f"did not finish within {limits.total_s(n_calls):g} s"),
        "output": CallError("OutputLimitExceeded", too_much),
        None: CallError("ExitedEarly", "the program ended before this call was run"),
    }[stopped]
    out_of_time = any(line.get("ended") == OUT_OF_CPU or line.get("late") is True for line in lines.values())
    if out_of_time:
        missing = CallError("TimeoutError", "not run: an earlier call ran out of time")
    rows: list[tuple[Any, CallError | None, str]] = []
    for index in range(max(n_calls, 1)):
        if index in lines:
            rows.append(read_call(lines[index], limits, is_script=index in scripts))
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
        timed_out=out_of_time or stopped == "time",
        refused=_refusal(errors),
    )


def _refusal(errors: Sequence[CallError | None]) -> str | None:
    first = next((error for error in errors if error is not None), None)
    return first.message if first is not None and first.type == REFUSED else None


def merged(results: Sequence[SandboxResult]) -> SandboxResult:
    """One result of a program whose calls ran in several sandboxes, in order."""
    return replace(
        results[0],
        outputs=tuple(value for result in results for value in result.outputs),
        errors=tuple(error for result in results for error in result.errors),
        printed=tuple(text for result in results for text in result.printed),
        error=next((result.error for result in results if result.error is not None), None),
        timed_out=any(result.timed_out for result in results),
        refused=next((result.refused for result in results if result.error is not None), None),
    )
