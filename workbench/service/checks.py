"""Checks of the values that forms and programs pass, as parts of the types of an action's arguments.

    def sample(context, task: TaskId, n: Annotated[int, whole("n", 1, 64)] = 8, ...)

A check takes a value and returns the one to use, or raises a WorkbenchError: one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError, FeedbackError, NoSignalError, TaskError, WorkbenchError
from workbench.tasks.sandbox import shown

LONGEST_TEXT = 20_000  # characters of a prompt or a feedback
LONGEST_NAME = 60  # characters of a branch or a pack
LONGEST_PACK = 64 * 2**20  # characters of a pack's file; a program's request holds fewer
# Numbers for which "none" means something, and their kind.
MAY_BE_EMPTY: Mapping[str, type] = MappingProxyType(
    {
        "learning_rate": float,
        "steps": int,
        "is_clip": float,
        "advantage_clip": float,
        "teacher_update_rate": float,
        "kl_limit": float,
    }
)

Check = Callable[[Any], Any]
Spans = Mapping[str, Sequence[int]]  # attempt id -> (start, end) of its marked tokens, end excluded


def is_text(value: object) -> bool:
    """True for text that can be stored: JSON can also spell halves of characters (lone surrogates)."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def plural(count: int, word: str) -> str:
    """ "1 task", "2 tasks"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def chosen(sentence: str, error: type[WorkbenchError]) -> Check:
    """An id that must be given; `sentence` says what to choose first."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not value:
            raise error(sentence)
        return value

    return check


def several(sentence: str, error: type[WorkbenchError]) -> Check:
    """A list of ids, at least one."""

    def check(values: object) -> list[str]:
        listed = list(values) if isinstance(values, (list, tuple)) else []
        if not listed or not all(isinstance(value, str) for value in listed):
            raise error(sentence)
        return listed

    return check


def text(what: str, longest: int = LONGEST_TEXT) -> Check:
    """Text of limited length; TaskError otherwise."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not is_text(value):
            raise TaskError(f"{what} must be text.")
        if len(value) > longest:
            raise TaskError(f"{what} has {len(value):,} characters; at most {longest:,} are accepted.")
        return value

    return check


def name(what: str) -> Check:
    """A name that people read in a list; TaskError otherwise."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not is_text(value) or not 0 < len(value.strip()) <= LONGEST_NAME:
            raise TaskError(f"{what} needs a name of at most {LONGEST_NAME} characters.")
        return value.strip()

    return check


def optional_name(what: str) -> Check:
    """A name that may be missing: "", None and blanks give "". TaskError for an impossible one."""

    def check(value: object) -> str:
        empty = value is None or (isinstance(value, str) and not value.strip())
        return "" if empty else name(what)(value)  # type: ignore[no-any-return]

    return check


def whole(what: str, least: int, most: int, error: type[WorkbenchError] = ConfigError) -> Check:
    """A whole number within bounds. A form may send 8.0."""
    return lambda value: parse_int(value, what, least, most, error)


def parse_int(value: object, what: str, least: int, most: int, error: type[WorkbenchError] = ConfigError) -> int:
    """Parse a whole number from a form or a program. Raises `error` for anything else, or out of bounds."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    number = int(value) if isinstance(value, float) and value.is_integer() else value if is_int else None
    if not isinstance(number, int) or not least <= number <= most:
        raise error(f"{what} is {shown(value)}; it must be a whole number from {least:,} to {most:,}.")
    return number


def one_of(what: str, options: Sequence[str], error: type[WorkbenchError]) -> Check:
    """One of a few names."""

    def check(value: object) -> str:
        if value not in options:
            raise error(f"{what} is {value!r}; choose {' or '.join(options)}.")
        return str(value)

    return check


def make_config(kind: type, values: Mapping[str, Any] | None) -> Any:
    """`SamplingConfig` or `SDPOConfig` from plain values; ConfigError for an unknown name or an impossible value."""
    defaults = {item.name: item.default for item in fields(kind)}
    chosen_values = {}
    for name, value in (values or {}).items():
        if name not in defaults:
            raise ConfigError(f"There is no setting named {name!r}; there are {', '.join(defaults)}.")
        field_type = MAY_BE_EMPTY.get(name) or type(defaults[name])
        chosen_values[name] = None if value is None and name in MAY_BE_EMPTY else _as(field_type, name, value)
    return kind(**chosen_values)


def settings(kind: type) -> Check:
    """Settings of a `kind`: unchanged, from a program's object, or the defaults for None."""
    return lambda value: value if isinstance(value, kind) else make_config(kind, value)


def changed_setting(kind: type, given: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Plain settings of a `kind` with one of them changed. Raises ConfigError for an impossible value."""
    changed = {**given, name: value}
    make_config(kind, changed)
    return changed


def setter(kind: type, name: str) -> Callable[[Mapping[str, Any], Any], dict[str, Any]]:
    """The handler of one field: (settings so far, its value) -> settings."""
    return lambda given, value: changed_setting(kind, given, name, value)


def _as(kind: type, name: str, value: Any) -> Any:
    """Convert a form's or a program's value to `kind` (bool, int, float, str or tuple). Raises ConfigError."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind is float and number:
        return float(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text", tuple: "a list"}[kind]
    raise ConfigError(f"{name} is {value!r}; it must be {expected}.")


TaskId = Annotated[str, chosen("Choose a task first.", TaskError)]
AttemptId = Annotated[str, chosen("Choose an attempt first.", FeedbackError)]
AttemptIds = Annotated[list[str], several("There are no attempts to learn from; sample some first.", NoSignalError)]
Config = Annotated[SDPOConfig, settings(SDPOConfig)]
DEFAULT_CONFIG = SDPOConfig()
