"""The number that an answer gives, with its unit: the last explicit answer's, else the last number of the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.tasks.reading.explicit import Explicit, explicit_answers
from workbench.tasks.reading.numbers import Number, number_at, plain
from workbench.tasks.reading.text import brief
from workbench.tasks.reading.units import Unit, spelled, unit_at

_LONGEST = 50_000  # characters that are read, from the end
_START = re.compile(r"(?<![\w^_\\.,])(?:(?<![\w)\]}]\s)[-+]|(?<![-+]))(?=\d|\.\d|\\frac|\\sqrt|\\pi|π|\()")
_LEAD = re.compile(
    r"(?:[\s≈~<>:=*#\"'({\[$€£]|about|approximately|approx\.?|around|roughly|nearly|exactly|just|the|number|value|of|is|circa|ca\.)*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\.(?=\s|$)(?<!\bapprox\.)|[\n!?。；;]")
_EQUALS = re.compile(r"=|≈|\\approx|\\simeq|\\sim(?![a-z])|\\Rightarrow|→")
_OTHER = re.compile(r"\s*(?:or|oder|ou|and|und|或|和|(?P<list>,(?=\s)|;))\s*(?=[-+]?[\d\\.])")
_DENIED_BEFORE = re.compile(
    r"(?:(?:\b(?:not|never)|n['’]t)\b(?:\s+(?:equal|to|the|exactly))*|≠|\\neq?\b|!=|不是|不等于|不)\s*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, as it was read; `number` is None where several were given at once."""

    number: Number | None
    unit: Unit | None  # None: no unit was given, or none that is known
    shown: str  # as people read it


def read_quantity(text: str, decimal: str = ".") -> Quantity | None:
    """Read the number that a text gives as its answer; None where it gives none. `decimal` as in `number_at`."""
    text = text[-_LONGEST:]
    for explicit in reversed(explicit_answers(text)):
        quantity = _stated(explicit, decimal)
        if quantity is not None:
            return quantity
    return _last(spelled(plain(text)), decimal)


def _stated(explicit: Explicit, decimal: str) -> Quantity | None:
    content = spelled(plain(explicit.content)).strip()
    if not explicit.closed:
        content = content[: _end_of_sentence(content)]
    if not explicit.linked:
        return _leading(content, decimal)
    content = _EQUALS.split(content)[-1] if _EQUALS.search(content) else content
    return _leading(content, decimal) or _first(content, decimal)


def _end_of_sentence(text: str) -> int:
    match = _SENTENCE_END.search(text.lstrip())
    return len(text) if match is None else len(text) - len(text.lstrip()) + match.start()


def _leading(content: str, decimal: str) -> Quantity | None:
    lead = _LEAD.match(content)
    place = lead.end() if lead else 0
    for start in (place, 0) if place else (0,):  # a bracket may belong to the number
        if quantity := _at(content, start, decimal):
            return quantity[0]
    return None


def _first(content: str, decimal: str) -> Quantity | None:
    for match in _START.finditer(content):
        if quantity := _at(content, match.start(), decimal):
            return quantity[0]
    return None


def _last(text: str, decimal: str) -> Quantity | None:
    """The last number of a text; those within words (H2O, x_1) and those that are denied ("not 3") are none."""
    last, place = None, 0
    while match := _START.search(text, place):
        quantity = _at(text, match.start(), decimal)
        if quantity is None or _DENIED_BEFORE.search(text, max(0, match.start() - 40), match.start()):
            place = match.start() + 1 if quantity is None else quantity[1]
            continue
        last, place = quantity[0], max(quantity[1], match.start() + 1)
    return last


def _at(text: str, place: int, decimal: str) -> tuple[Quantity, int] | None:
    read = number_at(text, place, decimal)
    if read is None:
        return None
    number, end = read
    if re.match(r"[^\W\d_]*-[^\W\d_]", text[end:]) or text[end : end + 1] == "_":
        return None  # "3-dimensional"; a name
    measured = None if number.percent else unit_at(text, _unit_place(text, end))
    if measured is not None and text[measured[1] : measured[1] + 1].isalnum():
        measured = None
    if measured is None and (other := _OTHER.match(text, end)) and number_at(text, other.end(), decimal):
        shown = brief(text[place:].strip())
        while (
            (other := _OTHER.match(text, end)) and not other["list"] and (read := number_at(text, other.end(), decimal))
        ):
            end = read[1]
        return Quantity(None, None, shown), end
    unit, end = measured or (None, end)
    return Quantity(number, unit, brief(text[place:end].strip())), end


def _unit_place(text: str, place: int) -> int:
    """Place of a unit behind a number: within a pair of brackets or not."""
    match = re.compile(r"\s*\[?\s*").match(text, place)
    return match.end() if match else place
