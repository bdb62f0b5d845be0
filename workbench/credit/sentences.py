"""Sentences of a text in any script, by the rules of Unicode's UAX #29 that need no dictionary, and a few for Markdown.

A newline always ends a sentence. A full stop, `?` or `!` ends one where white space and no lower-case letter
follow; a full stop only where it belongs to no initial, abbreviation or number of a list's item. The marks of other
scripts always do. Brackets, quotation marks and emphasis that close behind the mark belong to its sentence.
"""

from __future__ import annotations

import re

_STOP = r"[.․﹒．…]"  # ends a sentence, or a number, an abbreviation, an initial
_TERMINATOR = r"[!?‼⁇⁈⁉。！？｡؟۔।॥։።፧፨។៕။]"
_CLOSE = r"""[)\]}"'’”»›」』）】》〉*_`~]*"""
_END = re.compile(rf"(?:(?P<terminator>(?:{_TERMINATOR}|{_STOP})*{_TERMINATOR}{_STOP}*)|{_STOP}+){_CLOSE}(?P<gap>\s*)")
_LETTER = r"[^\W\d_]"
_ABBREVIATION = re.compile(
    rf"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|cf|approx|Fig|Figs|Eq|No|Nr|Vol|al|bzw|ca|usw|т\.е|т\.д)"
    rf"|(?:\b{_LETTER}\.\s?)+{_LETTER})$"
)
_INITIAL = re.compile(rf"(?:^\W*|{_LETTER}\.\s|\b[A-ZÀ-ÞА-Я]{_LETTER}+\s)[A-ZÀ-ÞА-Я]$")
_LETTERS_IN_A_ROW = re.compile(rf"\b{_LETTER}\. ?(?={_LETTER}\.)")  # J. R. Smith; z. B.
_ITEM = re.compile(r"^[\s>#*_]*\(?(?:\d{1,4}|[a-z])$")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BEFORE = 64  # characters of a line that are looked at before a full stop


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Ranges [start, end) of the sentences; together they are the text, with the white space behind each sentence."""
    spans = []
    for line in _LINE.finditer(text):
        start = line.start()
        for end in _ends(line.group()):
            spans.append((start, line.start() + end))
            start = line.start() + end
        if start < line.end():
            spans.append((start, line.end()))
    return spans


def _ends(line: str) -> list[int]:
    """Characters of a line at which a sentence ends before the line does."""
    body = line.rstrip()
    start, ends = 0, []
    for match in _END.finditer(body):
        if match.end() < len(body) and _is_end(body, start, match):
            start = match.end()
            ends.append(start)
    return ends


def _is_end(line: str, start: int, match: re.Match[str]) -> bool:
    following = line[match.end()]
    if match["terminator"]:
        if not match["terminator"].isascii():
            return True  # these scripts need no space behind it
        return bool(match["gap"]) and not following.islower()
    if not match["gap"] or following.islower():
        return False
    if _LETTERS_IN_A_ROW.match(line, match.start() - 1):
        return False
    before = line[max(start, match.start() - _BEFORE) : match.start()]
    return not (_ABBREVIATION.search(before) or _INITIAL.search(before) or _ITEM.search(before))
