"""`Fault`: what is wrong with an answer to a puzzle; and how its text is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from workbench.tasks.sandbox import shown

LONGEST_ANSWER = 20_000  # characters that are looked at
_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake: of the form, so that the answer could not be read, or of the outcome."""

    kind: Literal["format", "outcome"]
    sentence: str  # for the one who answered; never the answer itself


def unreadable(sentence: str) -> Fault:
    """A fault of the form."""
    return Fault("format", sentence)


def wrong(sentence: str) -> Fault:
    """A fault of the outcome."""
    return Fault("outcome", sentence)


def answer_in(text: str) -> str:
    """The answer in an attempt: in the last answer tags, else in the last fenced block, else all of it."""
    tagged = _TAGS.findall(text)
    inside = tagged[-1] if tagged else text
    fenced = _FENCE.findall(inside)
    return str(fenced[-1] if fenced else inside).strip()[:LONGEST_ANSWER]


def parsed(text: str) -> Any:
    """The JSON in a text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def quoted(value: object) -> str:
    """A piece of an answer, short enough to be quoted."""
    return shown(value)
