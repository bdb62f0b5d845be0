"""Credit rolled up: attempts by positions, per line, sentence or word, and equal pieces over a group.

Pure functions of display tokens and per-token numbers, whatever view they are of; values up to the noise floor count
as nothing. Knows nothing of models and pages.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from workbench.credit.sentences import sentence_spans

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_WORD = re.compile(r"\w+|[^\w\s]+")  # an identifier or number, or a run of signs


@dataclass(frozen=True, slots=True)
class Piece:
    """A line, sentence or word of an attempt with the tokens that belong to it."""

    text: str
    start: int  # character at which it starts in the joined display text
    positions: tuple[int, ...]  # its tokens, from 0; empty where an earlier piece holds the token
    counted: int  # tokens whose value is above the noise floor
    total: float  # sum of their values, in the values' unit
    mean: float  # total / counted; NaN where nothing counts


@dataclass(frozen=True, slots=True)
class Shared:
    """Equal pieces over several attempts."""

    text: str
    attempts: int  # in how many attempts it stands
    counted: int
    total: float
    mean: float  # total / counted; NaN where nothing counts


def by_position(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Attempts by positions: G rows of different lengths -> (G, T), T the longest; NaN where an attempt has ended."""
    longest = max((len(row) for row in rows), default=0)
    return [[*row, *[math.nan] * (longest - len(row))] for row in rows]


def token_ranges(tokens: Sequence[str], text: str, ranges: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Ranges [start, end) of the tokens that hold ranges [start, end) of a text's characters.

    A token that reaches over the end of a range is part of it. None where the tokens spell another text.
    """
    if not "".join(tokens).startswith(text):
        return ()
    ends = list(accumulate(map(len, tokens)))
    return tuple((bisect_right(ends, start), min(len(tokens), bisect_left(ends, end) + 1)) for start, end in ranges)


def per_line(tokens: Sequence[str], values: Sequence[float], *, noise_floor: float) -> list[Piece]:
    """One piece per line of the attempt, in order; a newline ends the line that it stands in.

    A token that reaches over lines belongs to the line of its first visible character (an indentation goes with
    what it indents), or of its first character where nothing of it is visible.
    """
    lines = [(match.start(), match.group().rstrip("\n"), match.end()) for match in _LINE.finditer("".join(tokens))]
    return _rolled_up(tokens, values, lines, noise_floor)


def per_sentence(tokens: Sequence[str], values: Sequence[float], *, noise_floor: float) -> list[Piece]:
    """One piece per sentence, in order; a newline ends a sentence too, so that each lies in one line.

    A token that reaches over sentences belongs to that of its first visible character, as in `per_line`.
    """
    text = "".join(tokens)
    sentences = [(start, text[start:end].rstrip(), end) for start, end in sentence_spans(text)]
    return _rolled_up(tokens, values, sentences, noise_floor)


def per_word(tokens: Sequence[str], values: Sequence[float], *, noise_floor: float) -> list[Piece]:
    """One piece per word (an identifier, a number, a run of signs), in order; white space belongs to none.

    A token that reaches over words belongs to the first of them; one without text of its own (a part of a character)
    to where the next text is.
    """
    words = [(match.start(), match.group(), match.end()) for match in _WORD.finditer("".join(tokens))]
    return _rolled_up(tokens, values, words, noise_floor)


def over_group(attempts: Iterable[Sequence[Piece]]) -> list[Shared]:
    """Equal pieces (up to white space at their ends) of several attempts added up, the largest |total| first."""
    places_by_text: dict[str, list[tuple[int, Piece]]] = {}
    for number, pieces in enumerate(attempts):
        for piece in pieces:
            if piece.text.strip():
                places_by_text.setdefault(piece.text.strip(), []).append((number, piece))
    shared = []
    for text, places in places_by_text.items():
        counted, total = sum(piece.counted for _, piece in places), sum(piece.total for _, piece in places)
        shared.append(Shared(text, len({number for number, _ in places}), counted, total, _mean(total, counted)))
    return sorted(shared, key=lambda piece: -abs(piece.total))


def _rolled_up(
    tokens: Sequence[str], values: Sequence[float], spans: Sequence[tuple[int, str, int]], noise_floor: float
) -> list[Piece]:
    """`spans`: (start, text, end) of pieces that do not overlap, in order."""
    members: list[list[int]] = [[] for _ in spans]
    here, start = 0, 0
    for position, (token, _) in enumerate(zip(tokens, values, strict=True)):
        seen = start + len(token) - len(token.lstrip()) if token.strip() else start
        start += len(token)
        while here < len(spans) and spans[here][2] <= seen:
            here += 1
        if here < len(spans) and spans[here][0] <= seen:
            members[here].append(position)
    pieces = []
    for (begin, text, _), positions in zip(spans, members, strict=True):
        above = [values[position] for position in positions if abs(values[position]) > noise_floor]
        total = sum(above)
        pieces.append(Piece(text, begin, tuple(positions), len(above), total, _mean(total, len(above))))
    return pieces


def _mean(total: float, counted: int) -> float:
    return total / counted if counted else math.nan
