"""Tool calls in the form Thought / Action / Action Input, one label a line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from workbench.tasks.reading.calls import Call, Reading, calls_in, expression_calls
from workbench.tasks.reading.values import Unreadable, closing, decode

_DECORATION = r"[ \t>*_#`-]{0,9}"
_LABEL = re.compile(
    rf"^{_DECORATION}(?:\d{{1,3}}[.)][ \t]{{0,3}})?{_DECORATION}"
    r"(thought|action[ _-]?input|action|observation|final[ _]answer)[ \t]{0,3}\d{0,3}[ \t]{0,3}[*_`]{0,3}:[*_`]{0,3}",
    re.IGNORECASE | re.MULTILINE,
)
# Labels without a line of their own: a thought that ends in "Action: f", and "Action: f Action Input: {}".
_GLUED = re.compile(r"\baction:[ \t]*(\S{1,200})[ \t]*\r?\n(?=[ \t]*action[ _]input[ \t]*:)", re.IGNORECASE)
_INPUT_IN_LINE = re.compile(
    rf"^({_DECORATION}action[ \t]{{0,3}}:[^\n]{{1,300}}?)[ \t,;]+(?=action[ _]input[ \t]{{0,3}}:)",
    re.IGNORECASE | re.MULTILINE,
)
# Where a thought ends although no label follows: a call in another form.
_OTHER_FORM = re.compile(r"^[ \t]*(?:[\[{]|```|<)", re.MULTILINE)
_OPENING = re.compile(r"\s*(?:`{1,3}[A-Za-z]*)?\s*")  # before an input: blanks, a fence
_NO_TOOL = {"", "none", "n/a", "null", "no action"}


def read(text: str, known: Collection[str] = ()) -> Reading | None:
    """Read the calls of a text in this form; None where it is written in another."""
    text = _INPUT_IN_LINE.sub(r"\1\n", text)
    if not any(_kind(label) == "action" for label in _LABEL.finditer(text)):
        text = _GLUED.sub(r"\n\g<0>", text)
    calls = list(_calls(text, known))
    if not calls:
        return None
    unreadable = next((call.name for call in calls if call.arguments is None), None)
    problem = f"The input of the action {unreadable} could not be read as a JSON object." if unreadable else ""
    return Reading(tuple(calls), problem)


def without_thoughts(text: str) -> str:
    """Take out what is labelled as a thought: a call that it mentions is not made."""
    kept, position = [], 0
    for label in _LABEL.finditer(text):
        if _kind(label) != "thought" or label.start() < position:
            continue
        kept.append(text[position : label.start()])
        ends = [match.start() for match in (_LABEL.search(text, label.end()), _next_form(text, label)) if match]
        position = min(ends, default=len(text))
    return "".join([*kept, text[position:]])


def _next_form(text: str, label: re.Match[str]) -> re.Match[str] | None:
    line_end = text.find("\n", label.end())
    return None if line_end < 0 else _OTHER_FORM.search(text, line_end + 1)


def _kind(label: re.Match[str]) -> str:
    return re.sub(r"[ _-]", "", label[1].lower())


def _calls(text: str, known: Collection[str]) -> Iterator[Call]:
    waiting: str | None = None  # name of an action whose input has not come yet
    position = 0
    while label := _LABEL.search(text, position):
        if waiting is not None and _kind(label) != "actioninput":
            yield from _without_input(waiting, text[position : label.start()])
            waiting = None
        position = label.end()
        if _kind(label) == "actioninput" and waiting is not None:
            arguments, position = _input(text, position)
            call = Call.of(waiting, arguments)
            # A sentence with a sentence for its input is the form, repeated from the prompt.
            if call.arguments is not None or call.name in known or not re.search(r"\s", call.name):
                yield call
            waiting = None
        elif _kind(label) == "action":
            written, position = _action(text, position)
            complete, position = _complete(text, written, position, known)
            if complete is not None:
                yield from complete
            elif written.strip("`*\"' .").lower() not in _NO_TOOL:
                waiting = _first_known(written, known)
    if waiting is not None:
        yield from _without_input(waiting, text[position:])


def _without_input(name: str, between: str) -> Iterator[Call]:
    """A tool that takes nothing is called by its name alone; followed by prose, it is only mentioned."""
    if not between.strip():
        yield Call.of(name, {})


def _action(text: str, position: int) -> tuple[str, int]:
    """Read the rest of the line of an action, or the next line where it is empty."""
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    if not text[position:end].strip() and end < len(text) and not _LABEL.match(text, end + 1):
        following = text.find("\n", end + 1)
        end = len(text) if following < 0 else following
    return text[position:end], end


def _complete(text: str, written: str, end: int, known: Collection[str]) -> tuple[list[Call] | None, int]:
    """Read an action that has its arguments with it, as JSON or as Python writes a call; None where it is a name."""
    start = text.rfind(written, 0, end)
    opening = _OPENING.match(text, start)
    first = opening.end() if opening else start
    try:
        if text[first : first + 1] in ("{", "["):
            value, after = decode(text, first)
            calls = calls_in(value, known, marked=True)
            if calls is not None:
                return calls, after
        elif "(" in written and not written.rstrip("`* .").endswith("()"):
            after = closing(text, text.index("(", first))
            return expression_calls(text[first:after].strip("`* "), None), after
    except Unreadable:
        pass
    return None, end


def _first_known(written: str, known: Collection[str]) -> str:
    """Leave out an explanation behind the name of a known tool."""
    first = written.split(maxsplit=1)[0].strip("`*\"',.;:") if written.split() else written
    return first if first in known else written


def _input(text: str, position: int) -> tuple[object, int]:
    """Read an input: an object, a text that holds one, or nothing; "?" stands for what is none of these."""
    opening = _OPENING.match(text, position)
    start = opening.end() if opening else position
    line_start = text.rfind("\n", 0, start) + 1
    if start >= len(text) or (line_start >= position and _LABEL.match(text, line_start)):
        return {}, start
    try:
        if text[start] in "{[":
            return decode(text, start)
        line_end = text.find("\n", start)
        line_end = len(text) if line_end < 0 else line_end
        line = text[start:line_end].strip().rstrip("`")
        return (None if line.lower() in _NO_TOOL else line), line_end
    except Unreadable:
        return "?", start + 1
