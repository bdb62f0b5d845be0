"""What a form or a program gives, as the settings and texts that the workbench takes; one sentence where it cannot.

Knows nothing of Gradio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from workbench.errors import ConfigError, TaskError
from workbench.tasks.sandbox import shown

LONGEST_TEXT = 20_000  # characters of a prompt or a feedback
LONGEST_NAME = 60  # characters of a branch or a pack
LONGEST_PACK = 2_000_000  # characters of a pack's file
# Numbers for which "none" means something.
MAY_BE_EMPTY = ("is_clip", "advantage_clip", "teacher_update_rate", "kl_limit")


def is_text(value: object) -> bool:
    """Whether a value is text that can be stored: JSON can also spell halves of characters (lone surrogates)."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def plural(count: int, word: str) -> str:
    """ "1 task", "2 tasks"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def checked_text(value: object, what: str) -> str:
    """The value itself. Raises TaskError for what is no text, or too long."""
    if not isinstance(value, str) or not is_text(value):
        raise TaskError(f"{what} must be text.")
    if len(value) > LONGEST_TEXT:
        raise TaskError(f"{what} has {len(value):,} characters; at most {LONGEST_TEXT:,} are taken.")
    return value


def check_name(name: object, what: str) -> None:
    """Raise TaskError for what cannot be a name that people read in a list."""
    if not isinstance(name, str) or not is_text(name) or not 0 < len(name.strip()) <= LONGEST_NAME:
        raise TaskError(f"{what} needs a name of at most {LONGEST_NAME} characters.")


def whole_number(value: object, what: str, least: int, most: int) -> int:
    """The number of a form or a program. Raises ConfigError for what is none, or out of its bounds."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = int(value) if isinstance(value, float) and value.is_integer() else value if whole else None
    if not isinstance(number, int) or not least <= number <= most:
        raise ConfigError(f"{what} is {shown(value)}; it must be a whole number from {least:,} to {most:,}.")
    return number


def make_config(kind: type, values: Mapping[str, Any] | None) -> Any:
    """`SamplingConfig` or `SDPOConfig` from plain values; ConfigError for an unknown name or an impossible value."""
    defaults = {item.name: item.default for item in fields(kind)}
    made = {}
    for name, value in (values or {}).items():
        if name not in defaults:
            raise ConfigError(f"There is no setting named {name!r}; there are {', '.join(defaults)}.")
        wanted = float if name in MAY_BE_EMPTY else type(defaults[name])
        made[name] = None if value is None and name in MAY_BE_EMPTY else _as(wanted, name, value)
    return kind(**made)


def changed_setting(kind: type, given: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Plain settings of a `kind` with one of them changed. Raises ConfigError where that is impossible."""
    changed = {**given, name: value}
    make_config(kind, changed)
    return changed


def setter(kind: type, name: str) -> Callable[[Mapping[str, Any], Any], dict[str, Any]]:
    """The handler of one field: (settings so far, its value) -> settings."""
    return lambda given, value: changed_setting(kind, given, name, value)


def _as(kind: type, name: str, value: Any) -> Any:
    """A form's or a program's value as bool, int, float or str: what `kind` says, or ConfigError."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind is float and number:
        return float(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    raise ConfigError(f"{name} is {value!r}; it must be {wanted}.")
