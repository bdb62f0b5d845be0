"""Reasoning and answer: an attempt's text is split at the marks that model families put around their thoughts.

The rules, in the order in which they decide (docs/graders.md has the reports behind them):

- A mark within quotes, inline code or a fenced block is only mentioned, unless nothing else could end the thought.
- A closing mark ends all reasoning before it, also where no mark opened it (the prompt did), and where an earlier one
  had seemed to end it: models close a thought and go on thinking.
- A thought that is never closed reaches to the end. So does one that is only announced by its channel (gpt-oss).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

Range = tuple[int, int]  # characters [start, end) of a text


@dataclass(frozen=True, slots=True)
class Split:
    """An attempt's text without its reasoning, and where the reasoning was."""

    answer: str
    reasoning: tuple[Range, ...]  # in order, apart from each other; marks included


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    end: int
    opens: bool
    word: str  # of a tag, lower case; "" for another mark


# <think>, <thinking>, <seed:think>, <mm:think>, <ifm|think>, <longcat_think>, <antThinking>, also with attributes.
_WORDS = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|analysis|reflection|rationale"
_TAG = rf"<(?P<slash>/?)(?:[a-z]\w{{0,11}}[:|_]|ant)?(?P<word>{_WORDS})(?:\s[^<>\n]{{0,80}})?>"
_OPENING = (
    r"\[THINK\]",  # Mistral
    "◁think▷",  # Kimi VL
    r"<\|channel>(?:thought\n?)?",  # Gemma 4
    r"<\|START_THINKING\|>",  # Command A
    r"<\|begin_of_thought\|>",  # Sky-T1, OpenThinker
    r"<\|think:start\|>",  # Solar
    r"<\|(?:think|thinking|thought|reasoning)\|>",
    r"<\|inner_prefix\|>",  # Apertus
    r"\[unused16\]",  # Pangu
    r"\A\s*Here(?: is|'s) my thought process:",  # Granite 3.2
    r"\A\s*Here are my reasoning steps:",  # Apriel
)
_CLOSING = (
    r"\[/THINK\]",
    "◁/think▷",
    r"<channel\|>",
    r"<\|END_THINKING\|>",
    r"<\|end_of_thought\|>",
    r"<\|think:end\|>",
    r"<\|/(?:think|thinking|thought|reasoning)\|>",
    r"<\|inner_suffix\|>",
    r"\[unused17\]",
    r"(?m:^)Here(?: is|'s) my response:",
    r"\[BEGIN FINAL RESPONSE\]",
)
_MARK = re.compile(f"{_TAG}|(?P<opening>{'|'.join(_OPENING)})|(?P<closing>{'|'.join(_CLOSING)})", re.IGNORECASE)
# The family's own marks around the rest: they are no part of the answer.
_WRAPPERS = (
    ("<response>", "</response>"),
    ("<output>", "</output>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("", "[END FINAL RESPONSE]"),
)
# gpt-oss: every message has a channel; "analysis" is reasoning, and what is sent "to=" a tool is a call.
_MESSAGE = re.compile(
    r"(?:(?:<\|start\|>[a-z]*|\A(?=\s*to=))(?P<to>[^<>]*))?<\|channel\|>(?P<header>[^<>]*(?:<\|constrain\|>[^<>]*)?)<\|message\|>"
)
_MESSAGE_END = re.compile(r"<\|(?:end|return)\|>\s*")
# The same, where a tokenizer dropped the special tokens and kept the words between them.
_BARE_CHANNELS = re.compile(r"\A\s*analysis(?=\S|\s+[^a-z\s]).*assistantfinal", re.DOTALL)
# Tags may stand on its line: "<think>```python", "```</think>".
_FENCE = re.compile(
    r"^(?:<[\w:|]{1,30}>)?[ \t>]*(?P<fence>`{3,}|~{3,})(?P<info>[^\n`<]*)(?=(?:</[\w:|]{1,30}>)?[ \t]*$)", re.MULTILINE
)
_QUOTED = re.compile(
    r"(?P<ticks>`+)(?!`)[^\n]*?(?<!`)(?P=ticks)(?!`)|\"[^\"\n]*\"|(?<!\w)'[^'\n]*'(?!\w)|“[^”\n]*”|‘[^’\n]*’|«[^»\n]*»"
)


def split_reasoning(text: str, *, opened: bool = False) -> Split:
    """Split a text into its answer and its reasoning; a text without marks is all answer.

    `opened`: the prompt had opened a thought, so a text that does not close it is all reasoning. Where reasoning stood
    between two pieces of the answer, they are joined by a newline.
    """
    if "<|channel|>" in text:
        return _of_channels(text)
    bare = _BARE_CHANNELS.match(text)
    return _without(text, [bare.span()] if bare else _ranges(text, opened))


def opens_reasoning(prompt: str) -> bool:
    """True where a prompt ends within a thought, as the templates of some families do."""
    return not split_reasoning(prompt + "x").answer.endswith("x")


def _ranges(text: str, opened_before: bool) -> list[Range]:
    """Find the reasoning between marks."""
    marks = [_Mark(0, 0, True, "")] * opened_before + list(_marks(text))
    if not marks or not text:
        return []
    blocks, quotes = _fenced(text), [match.span() for match in _QUOTED.finditer(text)]
    outside = [mark for mark in marks if not _within(mark, blocks) and not _is_quoted(text, mark, quotes)]
    opened = next((mark for mark in outside if mark.opens), None)
    if not any(not mark.opens and (opened is None or mark.start >= opened.end) for mark in outside):
        # A thought may leave a block of code open, so that its own end seems to stand in it.
        first = opened or next((mark for mark in marks if mark.opens), None)
        alone = [mark for mark in marks if not mark.opens and mark not in outside and _is_line(text, mark)]
        if opened is not None:
            outside += [mark for mark in alone if mark.start >= opened.end][:1]
        elif first is None and _has_open_block(text):
            outside += alone[:1]
    return _paired(text, sorted(outside, key=lambda mark: mark.start))


def _marks(text: str) -> Iterator[_Mark]:
    for match in _MARK.finditer(text):
        if match["word"]:
            yield _Mark(*match.span(), not match["slash"], match["word"].lower())
        else:
            yield _Mark(*match.span(), match["opening"] is not None, "")


def _paired(text: str, marks: list[_Mark]) -> list[Range]:
    ranges: list[Range] = []
    opened: _Mark | None = None
    closed = False  # after the first end of a thought
    for mark in marks:
        if mark.opens:
            opened = opened or mark
        elif opened is not None:
            ranges.append((opened.start, mark.end))
            opened, closed = None, True
        elif closed and not text[mark.end :].strip():
            ranges.append((mark.start, mark.end))  # nothing would be left: a stray mark behind the answer
        else:
            ranges, closed = [(0, mark.end)], True
    if opened is not None:
        ranges.append((opened.start, _end_of_unclosed(text, opened)))
    return ranges


def _end_of_unclosed(text: str, opened: _Mark) -> int:
    """A thought that nothing closes: all that follows. One written as <reasoning> ends where the answer's tag does."""
    answer = re.search(r"<answer>(?:(?!<answer>).)*</answer>\s*\Z", text[opened.end :], re.DOTALL | re.IGNORECASE)
    return opened.end + answer.start() if answer and opened.word == "reasoning" else len(text)


def _of_channels(text: str) -> Split:
    """Split messages with channels. Headers and ends of messages to the person are no part of the answer."""
    headers = list(_MESSAGE.finditer(text))
    ranges: list[Range] = []
    for header, following in zip_longest(headers, headers[1:]):
        end = following.start() if following else len(text)
        is_call = "to=" in (header["to"] or "") + header["header"]
        if header["header"].strip().startswith("analysis") and not is_call:
            ranges.append((header.start(), end))
        elif not is_call:
            ranges.append(header.span())
            closing = _MESSAGE_END.search(text, header.end(), end)
            ranges += [closing.span()] if closing else []
    if not headers:  # cut within the first header
        ranges.append((text.index("<|channel|>"), len(text)))
    elif text[: headers[0].start()].rstrip().endswith("<|end|>"):  # the prompt had opened the first message
        ranges.insert(0, (0, headers[0].start()))
    return _without(text, ranges)


def _without(text: str, ranges: list[Range]) -> Split:
    if not ranges:
        return Split(text, ())
    merged: list[Range] = []
    for start, end in ranges:
        if merged and not text[merged[-1][1] : start].strip():
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    starts = [0, *(end for _, end in merged)]
    ends = [*(start for start, _ in merged), len(text)]
    pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    answer = "\n".join(piece for piece in pieces if piece.strip())
    return Split(_unwrapped(answer), tuple(merged))


def _unwrapped(answer: str) -> str:
    for opening, closing in _WRAPPERS:
        stripped = answer.strip()
        if opening and stripped.startswith(opening):
            return stripped.removeprefix(opening).removesuffix(closing)
        if not opening and stripped.endswith(closing):
            return stripped.removesuffix(closing)
    return answer


def _fenced(text: str) -> list[Range]:
    """Fenced blocks that are closed: a fence as long as the one that opened them, without an info string."""
    blocks: list[Range] = []
    opening: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opening is None:
            opening = match
        elif _closes(match, opening):
            blocks.append((opening.start("fence"), match.end()))
            opening = None
    return blocks


def _closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    return fence["fence"].startswith(opening["fence"]) and not fence["info"].strip()


def _has_open_block(text: str) -> bool:
    """True where a block was left open: a fence with an info string follows one, or their number is odd."""
    fences = list(_FENCE.finditer(text))
    return len(fences) % 2 == 1 or any(fence["info"].strip() for fence in fences[1::2])


def _within(mark: _Mark, ranges: list[Range]) -> bool:
    return any(start <= mark.start and mark.end <= end for start, end in ranges)


def _is_quoted(text: str, mark: _Mark, quotes: list[Range]) -> bool:
    """True within inline code, and beside a quotation mark: two such marks further apart may be inches or accents."""
    if _is_line(text, mark):
        return False
    return any(
        text[start] == "`" or mark.start == start + 1 or mark.end == end - 1
        for start, end in quotes
        if start < mark.start and mark.end < end
    )


def _is_line(text: str, mark: _Mark) -> bool:
    """True for a mark that has its line to itself, as models write the real ones."""
    before, after = text[: mark.start].rpartition("\n")[2], text[mark.end :].partition("\n")[0]
    return not before.strip() and not after.strip()
