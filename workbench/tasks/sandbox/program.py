"""One call of a model-written program: load it, call it, and say its value or its error. Portable Python only.

The source of this file is handed to an interpreter beside the harness of its tier, which confines the process, gives
it its standard streams, and passes on what `run_call` returns; nothing in the workbench imports it to use it. It
holds inputs only: verdicts are made by the parent, outside.

Standard library only, and little of it, because its imports are paid on every start; nothing of one system alone (no
fork, no file descriptors but 0 and 1, no ctypes), because one tier is not Linux.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import json
import sys

TYPE_CHECKING = False  # to import `typing` would take a ninth of the start
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

SOURCE = "<attempt>"
HUGE = "\0int"  # key of an integer that no reader of decimal digits takes: {HUGE: hexadecimal digits}
_HUGE_BITS = 14_000
_DEEPEST = 500  # lists in lists; the parent's reader of JSON gives up a little later
_MESSAGE_LIMIT = 2000  # characters of an error's message that are reported
_RECURSION = 110_000  # calls in calls: the most whose frames fit into the stack that `confine.py` gives a process
# Names that a function may use without importing them, as the sites do on which such tasks are solved. Whole modules,
# then single names by module. A name of Python itself (`pow`) is never replaced, nor is one that the program defines.
_MODULES = (
    "math cmath collections itertools functools heapq bisect operator string re random sys os io json copy time "
    "datetime statistics decimal fractions typing queue array dataclasses numpy"
)
_NAMES = {
    "typing": "Any AnyStr Callable ClassVar Counter DefaultDict Deque Dict Final FrozenSet Generator Generic Hashable "
    "Iterable Iterator List Literal Mapping MutableMapping NamedTuple NoReturn Optional OrderedDict Protocol Sequence "
    "Set Sized Tuple Type TypeVar TypedDict Union",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "itertools": "accumulate chain combinations combinations_with_replacement compress count cycle dropwhile groupby "
    "islice pairwise permutations product repeat starmap takewhile tee zip_longest",
    "functools": "cache cached_property cmp_to_key lru_cache partial reduce singledispatch total_ordering wraps",
    "heapq": "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
    "bisect": "bisect_left bisect_right insort insort_left insort_right",
    "math": "ceil comb cos degrees dist factorial floor fsum gcd hypot inf isclose isqrt lcm log log10 log2 perm pi "
    "prod radians sin sqrt tan",
    "operator": "attrgetter itemgetter",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits",
    "random": "randint",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "dataclasses": "dataclass",
    "queue": "PriorityQueue",
}


def lift_limits() -> None:
    """Replace Python's own limits, which are for people, by wider ones: time and memory are limited by the tier."""
    sys.setrecursionlimit(_RECURSION)
    sys.set_int_max_str_digits(0)


def run_call(code: str, call: dict[str, Any] | None, limits: dict[str, int]) -> dict[str, Any]:
    """Make one call of the program; `call` None only loads it. Raises nothing.

    Returns {"value": plain JSON} or {"error": {"type", "message", "line"}}; {} where it ran and there is no value: it
    was only loaded, or it is a script ({"stdin": ...}). A script's value is what has been written to descriptor 1 once
    the interpreter has ended: the harness must then end it as a script's end does, with status 0, or 1 after an error.
    """
    try:
        if call is None:
            load(code, "attempt")
        elif "stdin" in call:
            _run_script(code)
        else:
            names = load(code, "attempt", without=call["function"])
            return {"value": plain(_called(names, call))}
        return {}
    except Unspeakable as exc:
        return {"error": {"type": "ReturnError", "message": f"returned no plain value: {exc}", "line": None}}
    except BaseException as exc:
        described = error(exc, limits)
        exc.__traceback__ = None  # frees what the program held, a full memory for instance
        return {"error": described}
    finally:
        if call is None or "stdin" not in call:  # the end of a script flushes, as that of a process does
            with contextlib.suppress(BaseException):
                sys.stdout.flush()


def load(code: str, name: str, *, without: str | None = None) -> dict[str, Any]:
    """Execute the program as a fresh module, which `sys.modules` knows (dataclasses look there); returns its names.

    Functions find common names ready; `without`: the one that the program itself is asked for.
    """
    module = type(sys)(name)
    sys.modules[name] = module
    compiled = compile(code, SOURCE, "exec", dont_inherit=True)
    if without is not None:
        _provide(compiled, module.__dict__, without)
    exec(compiled, module.__dict__)
    return module.__dict__


def _run_script(code: str) -> None:
    """Execute the program as a script; ending itself with status 0 is how many scripts end."""
    sys.argv[:] = ["program.py"]
    _open_standard_streams_by_name()
    try:
        load(code, "__main__")
    except SystemExit as exc:
        if exc.code not in (None, 0):
            raise


def _open_standard_streams_by_name() -> None:
    """Let a script open its input and output as many do on Linux, though there is no /dev here."""
    import io

    opened, streams = io.open, {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/fd/0": 0, "/dev/fd/1": 1}

    def open_(file: Any, *args: Any, **options: Any) -> Any:
        return opened(streams.get(str(file), file), *args, **options)

    builtins.open = io.open = open_


def _provide(code: CodeType, names: dict[str, Any], without: str) -> None:
    """Import what the program refers to of the names above, and nothing else: an import costs time in every call."""
    names_used = _referred(code) - {without}
    for module in _MODULES.split():
        if module in names_used:
            with contextlib.suppress(ImportError):
                names[module] = __import__(module)
    if "np" in names_used and "numpy" in sys.modules:
        names["np"] = sys.modules["numpy"]
    for module, known in _NAMES.items():
        for name in names_used.intersection(known.split()):
            if not hasattr(builtins, name):
                names[name] = getattr(__import__(module), name)  # of a name in two modules, the later one's


def _referred(code: CodeType) -> set[str]:
    """Names of globals and attributes in a piece of code and in those within it."""
    names: set[str] = set()
    pending = [code]
    while pending:
        part = pending.pop()
        names.update(part.co_names)
        pending += [inner for inner in part.co_consts if isinstance(inner, type(code))]
    return names


def _called(names: dict[str, Any], call: dict[str, Any]) -> Any:
    """Call what is asked for; returns its value, or the argument that the call is to have changed."""
    arguments = call["args"]
    value = find(names, call["function"], call.get("init", []))(*arguments, **call.get("kwargs", {}))
    if hasattr(type(value), "__await__"):
        import asyncio  # only where it is needed: it takes longer to import than most calls to run

        value = asyncio.run(_awaited(value))
    return value if call.get("argument") is None else arguments[call["argument"]]


async def _awaited(value: Any) -> Any:
    return await value


def find(names: dict[str, Any], function: str, init: list[Any]) -> Any:
    """Find a function of the program, "Class.method" of an instance made with `init`, or a method of `Solution`."""
    owner, _, method = function.rpartition(".")
    if not owner and function not in names and hasattr(names.get("Solution"), function):
        owner = "Solution"
    if (owner or function) not in names:
        raise NameError(f"name '{owner or function}' is not defined")
    if not owner:
        return names[function]
    held = names[owner]
    return getattr(held(*init) if isinstance(held, type) else held, method)


class Unspeakable(Exception):
    """A value that has no form in JSON."""


def plain(value: Any, depth: int = 0) -> Any:
    """Convert a value to plain JSON; raises Unspeakable for one without such a form.

    Whatever can be gone through once becomes a list: tuples, generators, views, deques, arrays. A set becomes the list
    of its elements in ascending order. A fraction or decimal becomes the integer that it equals, else a float.
    """
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if depth > _DEEPEST:
        raise Unspeakable(f"more than {_DEEPEST} values inside one another")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _integer(int.__index__(value))
    if isinstance(value, float):
        return _finite(float.__float__(value))
    if isinstance(value, dict):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if kind.__module__ in ("fractions", "decimal"):
        return _number(value)
    if isinstance(value, set | frozenset):
        with contextlib.suppress(TypeError):
            value = sorted(value)
    elif hasattr(kind, "tolist"):  # an array or number of `array` or NumPy
        value = value.tolist()
        if not isinstance(value, list):
            return plain(value, depth + 1)
    if isinstance(value, bytes | bytearray | memoryview | type) or not hasattr(kind, "__iter__"):
        raise Unspeakable(f"Object of type {kind.__name__} is not JSON serializable")
    return [plain(item, depth + 1) for item in value]


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, int | float):
        return json.dumps(key)
    raise Unspeakable(f"keys must be text or numbers, not {type(key).__name__}")


def _integer(value: int) -> Any:
    return value if value.bit_length() <= _HUGE_BITS else {HUGE: format(value, "x")}


def _finite(value: float) -> float:
    if value - value != 0.0:
        raise Unspeakable(f"{value} is no finite number")
    return value


def _number(value: Any) -> Any:
    """Give the integer that a `Fraction` or `Decimal` equals, else a float."""
    try:
        whole = int(value)
    except (OverflowError, ValueError):  # infinite, or no number
        raise Unspeakable(f"{value} is no finite number") from None
    return _integer(whole) if whole == value else _finite(float(value))


def unpacked(value: Any) -> Any:
    """Restore the huge integers of plain JSON that came from outside."""
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if isinstance(value, dict):
        return int(value[HUGE], 16) if HUGE in value else {key: unpacked(item) for key, item in value.items()}
    return value


def error(exc: BaseException, limits: dict[str, int]) -> dict[str, Any]:
    """Type, message and line number in the program's text (None where no line of it is to blame)."""
    line = None
    trace = exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == SOURCE:
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        message = str(exc)[:_MESSAGE_LIMIT]
    except BaseException:
        message = "the error has no text"
    kind = type(exc).__name__
    if isinstance(exc, SyntaxError) and exc.filename == SOURCE:
        message, line = str(exc.msg), exc.lineno
    elif isinstance(exc, OSError) and exc.errno == errno.EFBIG:
        kind, message = "OutputLimitExceeded", f"wrote more than {limits['file_bytes']} bytes"
    return {"type": kind, "message": message, "line": line}
