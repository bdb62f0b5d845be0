"""Puzzles with words: word ladders, sorting."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.puzzles.fault import Fault, quoted, unreadable, wrong


def word_ladder(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """Words from `start_word` to `end_word`, separated by commas, each different from the last in one letter."""
    steps = [word.strip().upper() for word in answer.split(",")]
    first, last = puzzle["start_word"], puzzle["end_word"]
    if len(steps) < 2 or not all(re.fullmatch("[A-Z]+", word) for word in steps):
        return unreadable("Write the words alone, separated by commas, from the first to the last.")
    if steps[0] != first:
        return wrong(f"The ladder begins with {quoted(steps[0])}, not with {first}.")
    for before, word in pairwise(steps):
        if len(word) != len(first):
            return wrong(f"{quoted(word)} does not have {len(first)} letters.")
        changed = sum(one != other for one, other in zip(before, word, strict=True))
        if changed != 1:
            return wrong(f"From {before} to {word}, {changed} letters change; it must be one.")
        if word not in _known_words(len(first)):
            return wrong(f"{word} is not a word of the list.")
    return None if steps[-1] == last else wrong(f"The ladder ends with {steps[-1]}, not with {last}.")


@lru_cache
def _known_words(length: int) -> frozenset[str]:
    """The words of a length in reasoning-gym's list, read as data. Raises TaskError where the package is missing."""
    spec = find_spec("reasoning_gym")
    path = Path(str(spec.origin)).parent / "data" / "words.csv" if spec is not None else Path()
    if not path.is_file():
        raise TaskError("Word ladders are judged by the word list of the package reasoning-gym; install it.")
    with path.open(encoding="utf-8", newline="") as file:
        return frozenset(word.upper() for row in csv.DictReader(file) if (word := row.get(f"{length}_letter")))


def word_sorting(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """The words of `original_words`, separated by commas, in the `direction` of their code points."""
    listed = [word.strip() for word in answer.split(",")]
    if not all(listed):
        return unreadable("Write the words alone, separated by commas.")
    right = Counter(puzzle["original_words"])
    for missing in (right - Counter(listed)).elements():
        return wrong(f"The word {missing!r} is missing.")
    for extra in (Counter(listed) - right).elements():
        return wrong(f"The word {quoted(extra)} is there too often, or was not given.")
    descending = puzzle["direction"] == "descending"
    for left, following in pairwise(listed):
        if (left < following) if descending else (left > following):
            return wrong(
                f"The order is not {puzzle['direction']}: {left!r} stands before {following!r} (capital letters come "
                "before small ones)."
            )
    return None
