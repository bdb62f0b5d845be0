"""Tool calls in an answer, in the forms in which models write them.

In this order, the first that is there: marks of a model's template (Hermes and Qwen `<tool_call>`, Mistral
`[TOOL_CALLS]`, Llama `<|python_tag|>`, ...); Thought, Action, Action Input; calls as JSON, fenced or bare; calls as
Python writes them. Values are parsed by `values`; nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator

from workbench.tasks.reading import react
from workbench.tasks.reading.calls import Call, Reading, calls_in, expression_calls
from workbench.tasks.reading.values import Unreadable, closing, decode

LONGEST = 200_000  # characters that are read; what follows is ignored
MOST_TRIES = 100  # brackets that may turn out to open nothing; also marks that are read
# A mark after which calls stand, as JSON or as Python.
_MARK = re.compile(
    r"<tool_calls?>|<\|tool_calls?\|>|<\|tool_call_start\|>|<function_calls?>|<functioncall>|<\|python_tag\|>"
    r"|\[TOOL_CALLS\]|```tool_(?:code|call)s?\b",
    re.IGNORECASE,
)
# A mark that names the tool, after which its arguments stand.
_NAMED_MARK = re.compile(
    r"<function=([^>\n]{1,200})>"
    r"|<[^<>\s/]{0,20}(?:invoke|function_call) name=[\"']([^\"'<>\n]{1,200})[\"'][^<>\n]{0,40}>"  # MiniMax
    r"|<tool_call>\s{0,9}([\w.-]{1,200})\s{0,9}(?=<arg_key>|</tool_call>)"  # GLM
    r"|<name>\s{0,9}([\w.-]{1,200})\s{0,9}</name>\s{0,9}<(?:arguments|parameters|input)>(?=\s{0,9}\{)"
    r"|\[TOOL_CALLS\]\s{0,9}([\w.-]{1,200})\s{0,9}(?:\[CALL_ID\]\w{1,40})?(?:\[ARGS\])?(?=\s{0,9}\{)"
    r"|to=functions\.([\w.-]{1,200})(?:[^{}]{0,100}<\|message\|>|[ \t]{0,9}(?:json|code)?[ \t]{0,9}(?=\{))"  # gpt-oss
    r"|<｜tool▁call▁begin｜>\s{0,9}([\w.-]{1,200})<｜tool▁sep｜>(?=\s{0,9}\{)"  # DeepSeek 3.1
    r"|<｜tool▁sep｜>([\w.-]{1,200})(?=\s)"  # earlier ones
    r"|<\|tool_call_begin\|>\s{0,9}([\w.-]{1,200})(?::\d{1,9})?\s{0,9}<\|tool_call_argument_begin\|>"  # Kimi
    r"|<(?:start_function_call|\|tool_call)>\s{0,9}call:([\w.-]{1,200})(?=\{)"  # Gemma
    r"|✿FUNCTION✿:\s{0,9}([\w.-]{1,200})\s{0,9}✿ARGS✿:(?=\s{0,9}\{)"  # Qwen 1
)
_PARAMETER = re.compile(
    r"\s*(?:<parameter=([^>\n]{1,200})>\n?(.*?)\n?</parameter>"
    r"|<[^<>\s/]{0,20}parameter name=[\"']([^\"'<>\n]{1,200})[\"'][^<>\n]{0,40}>\n?(.*?)\n?</[^<>\s]{0,20}parameter>"
    r"|<arg_key>([^<>]{1,200})</arg_key>\s*<arg_value>\n?(.*?)\n?</arg_value>)",
    re.DOTALL,
)
# Gemma's arguments: {city:<escape>Paris<escape>,days:3}, or the same with <|"|> in place of <escape>.
_GEMMA_TEXT = re.compile(r"(<escape>|<\|\"\|>)(.*?)\1", re.DOTALL)
_GEMMA_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)\s*:")
_SPACE = re.compile(r"[\s,;]*(?:```[a-z_]*)?\s*", re.IGNORECASE)  # between calls, an opening fence included
# An object that was meant to be a call.
_LIKE_A_CALL = re.compile(r"""\{\s*["'](?:name|function|tool|tool_name|action|arguments|parameters)["']\s*:""")
_BRACKET = re.compile(r"[{\[]")
_BLANK = re.compile(r"\s*(?:```[a-z_]*)?\s*(?:```)?\s*", re.IGNORECASE)
_CALL_OPENS = re.compile(
    r"^[ \t`]*(?:[A-Za-z_]\w{0,99}[ \t]*=[ \t]*)?(\[\s*)?(?:await[ \t]+)?[A-Za-z_][\w.]{0,199}[ \t]*\(", re.MULTILINE
)


def read_calls(text: str, known: Collection[str] = ()) -> Reading:
    """Read the calls in an answer from which reasoning is taken off.

    `known`: names of tools, for forms in which a call looks like other text. A reading without calls and without a
    problem means that the answer calls nothing.
    """
    text = text[:LONGEST]
    rest = react.without_thoughts(text)
    marked = list(_marked_calls(rest, known))
    if marked:
        return _joined(marked)
    labelled = react.read(text, known)
    if labelled is not None:
        return labelled
    as_json = _json_calls(rest, known)
    return as_json if as_json.calls or as_json.problem or as_json.empty else _python_calls(rest, known)


def _joined(readings: list[Reading]) -> Reading:
    calls = [call for reading in readings for call in reading.calls]
    problems = [reading.problem for reading in readings if reading.problem]
    return Reading(tuple(calls), problems[0] if problems else "")


def _marked_calls(text: str, known: Collection[str]) -> Iterator[Reading]:
    """Read what stands after each mark of a template."""
    position = 0
    for _ in range(MOST_TRIES):
        named, mark = _NAMED_MARK.search(text, position), _MARK.search(text, position)
        if named and (mark is None or named.start() <= mark.start() or not text[mark.end() : named.start()].strip()):
            reading, position = _arguments_after(text, named)
            yield reading
        elif mark:
            reading, position = _calls_after(text, mark.end(), known)
            yield reading
        else:
            return


def _arguments_after(text: str, mark: re.Match[str]) -> tuple[Reading, int]:
    name = next(group for group in mark.groups() if group)
    start = _skip(text, mark.end())
    parameters, position = {}, mark.end()
    while parameter := _PARAMETER.match(text, position):
        key, value = (group for group in parameter.groups() if group is not None)
        parameters[key.strip()] = value
        position = parameter.end()
    if parameters:
        return Reading((Call.of(name, parameters, untyped=True),)), position
    if mark.group().endswith(f"call:{name}"):
        closing_mark = re.compile(r"<(?:end_function_call|tool_call\|)>").search(text, start)
        end = closing_mark.start() if closing_mark else len(text)
        return Reading((Call.of(name, _from_gemma(text[start:end])),)), end
    if text[start : start + 1] == "{":
        try:
            arguments, end = decode(text, start)
            return Reading((Call.of(name, arguments),)), end
        except Unreadable:
            return Reading((Call.of(name, "?"),)), start + 1
    return Reading((Call.of(name, {}),)), start


def _from_gemma(written: str) -> str:
    """Write Gemma's arguments as JSON."""
    pieces, position = [], 0
    for quoted in _GEMMA_TEXT.finditer(written):
        pieces += [_GEMMA_KEY.sub(r'\1"\2":', written[position : quoted.start()]), json.dumps(quoted[2])]
        position = quoted.end()
    return "".join([*pieces, _GEMMA_KEY.sub(r'\1"\2":', written[position:])])


def _calls_after(text: str, position: int, known: Collection[str]) -> tuple[Reading, int]:
    """Read one value after the other, or else calls as Python writes them, up to the next mark."""
    calls: list[Call] = []
    position = first = _skip(text, position)
    while text[position : position + 1] in ("{", "["):
        try:
            value, end = decode(text, position)
        except Unreadable:
            break
        read = calls_in(value, known, marked=True)
        if read is None:
            break
        calls += read
        position = _skip(text, end)
    else:
        if position > first:
            return Reading(tuple(calls), empty=not calls), position
    following = _MARK.search(text, position)
    stop = following.start() if following else len(text)
    segment = re.split(r"</|<\||```", text[position:stop], maxsplit=1)[0]
    read = expression_calls(segment, None)
    if read:
        return Reading((*calls, *read)), position + len(segment)
    return Reading(tuple(calls), "What stands after the mark of a tool call could not be read."), stop


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _json_calls(text: str, known: Collection[str]) -> Reading:
    """Read the calls that a text holds as JSON: its last list of them, or else all single ones."""
    single: list[Call] = []
    listed: list[Call] | None = None
    broken, opened, position, tries = False, -1, 0, 0  # opened: the last "[" that opens no readable list
    while tries < MOST_TRIES and (match := _BRACKET.search(text, position)):
        start = match.start()
        try:
            value, position = decode(text, start)
        except Unreadable:
            tries, position = tries + 1, start + 1
            opened = start if text[start] == "[" else opened
            # Before the first call it may be a form that the text quotes; after one, a call was lost.
            broken = broken or (bool(single or listed) and _LIKE_A_CALL.match(text, start) is not None)
            continue
        calls = calls_in(value, known)
        if calls is None:
            continue
        if opened >= 0 and not text[opened + 1 : start].strip():
            broken = True  # the first of a list that cannot be read as a whole
        if calls and isinstance(value, dict):
            single += calls
        elif calls or _BLANK.fullmatch(text[:start] + text[position:]):
            listed = calls
    calls = single if listed is None else listed
    if broken or (not calls and _LIKE_A_CALL.search(text)):
        return Reading((), "A tool call could not be read as JSON.")
    return Reading(tuple(calls), empty=listed is not None and not listed)


def _python_calls(text: str, known: Collection[str]) -> Reading:
    """Read `[f(a=1), g()]` anywhere, or lines that are calls of known tools."""
    lists: list[Call] = []
    lines: list[Call] = []
    position = tries = 0
    while tries < MOST_TRIES and (match := _CALL_OPENS.search(text, position)):
        tries += 1
        start = match.start() if match[1] is None else match.start(1)
        try:
            end = closing(text, start if match[1] else match.end() - 1)
            calls = expression_calls(text[start:end].strip("` \t"), None if match[1] else known)
        except Unreadable:
            position = match.end()
            continue
        position = end
        if match[1]:
            lists = calls or lists
        else:
            lines += calls or []
    calls = lists or lines or _listed_in_prose(text, known)
    return Reading(tuple(calls))


def _listed_in_prose(text: str, known: Collection[str]) -> list[Call]:
    """Read the last `[f(a=1)]` of known tools behind other words on its line."""
    listed: list[Call] = []
    for match in list(re.finditer(r"\[\s{0,9}[A-Za-z_][\w.]{0,199}\(", text))[:MOST_TRIES]:
        try:
            listed = expression_calls(text[match.start() : closing(text, match.start())], known) or listed
        except Unreadable:
            continue
    return listed
