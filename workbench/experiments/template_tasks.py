"""The tasks of the study of templates: kinds of feedback, each with tasks to choose a template by and fresh ones.

Every task comes with one remark, in the words of a person who saw a wrong answer. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workbench.records import Task

PACK = "template-study"
CHOICE, FRESH = "choice", "fresh"  # tasks that a template is chosen by; tasks that are reported
SPLITS = (CHOICE, FRESH)


@dataclass(frozen=True, slots=True)
class Case:
    """A task, and a remark on a wrong answer to it."""

    task: Task
    feedback: str


def _case(prompt: str, environment: str, answer: Mapping[str, Any], feedback: str) -> Case:
    return Case(Task(f"{PACK}/{prompt[:40]}", prompt, environment, answer), feedback)


def _contains(prompt: str, text: str, feedback: str) -> Case:
    return _case(prompt, "contains", {"text": text}, feedback)


def _number(prompt: str, value: int, feedback: str) -> Case:
    return _case(prompt, "numeric", {"value": str(value)}, feedback)


def _matches(prompt: str, pattern: str, feedback: str) -> Case:
    return _case(prompt, "regex", {"pattern": pattern}, feedback)


def _letter(question: str, options: str, right: str, feedback: str) -> Case:
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip("ABCD", options.split(", "), strict=True))
    return _case(f"{question}\n{listed}\nAnswer with one letter.", "choice", {"choice": right}, feedback)


def _at_most(words: int) -> str:
    return rf"^\s*(\S+\s+){{0,{words - 1}}}\S+\s*$"


# Kind of feedback -> its tasks, first those to choose by, then the fresh ones.
CASES: Mapping[str, Mapping[str, tuple[Case, ...]]] = MappingProxyType(
    {
        "unknown fact": {
            CHOICE: (
                _contains("Who keeps the lighthouse of Norvik?", "Mary", "The keeper of the lighthouse is Mary Olsen."),
                _contains("What is the code name of the new printer?", "Heron", "The code name is Heron."),
            ),
            FRESH: (
                _contains("Who leads the choir of Tarnby?", "Ruth", "The choir is led by Ruth Lind."),
                _contains("What is the cat of our office called?", "Pixel", "The cat's name is Pixel."),
            ),
        },
        "known fact": {
            CHOICE: (
                _contains("What is the capital of Australia?", "Canberra", "It is not Sydney but Canberra."),
                _contains("Which planet is the largest?", "Jupiter", "The largest planet is Jupiter, not Saturn."),
            ),
            FRESH: (
                _contains("What is the capital of Brazil?", "Brasília", "It is not Rio de Janeiro but Brasília."),
                _contains("Which metal is liquid at room temperature?", "ercury", "It is mercury, not gallium."),
            ),
        },
        "arithmetic": {
            CHOICE: (
                _number("What is 17 + 26?", 43, "You forgot to carry: 7 + 6 is 13, so the result is 30 + 13."),
                _number("What is 8 times 7?", 56, "8 times 7 is 8 more than 48."),
            ),
            FRESH: (
                _number("What is 38 + 25?", 63, "You forgot to carry: 8 + 5 is 13, so the result is 50 + 13."),
                _number("What is 9 times 6?", 54, "9 times 6 is 9 more than 45."),
            ),
        },
        "format": {
            CHOICE: (
                _matches("Name a colour.", r"^\s*[A-Z]+\W*$", "Write a single word in capital letters."),
                _matches("Name a fruit.", r"^\s*<b>[^<]+</b>\s*$", "Put the answer between <b> and </b>."),
            ),
            FRESH: (
                _matches("Name an animal.", r"^\s*[A-Z]+\W*$", "Write a single word in capital letters."),
                _matches("Name a country.", r"^\s*<i>[^<]+</i>\s*$", "Put the answer between <i> and </i>."),
            ),
        },
        "letter": {
            CHOICE: (
                _letter("Which is a bird?", "trout, heron, beetle, otter", "B", "A heron is a bird, so it is B."),
                _letter("Which is a metal?", "oak, wool, glass, copper", "D", "Copper is a metal, so it is D."),
            ),
            FRESH: (
                _letter("Which is a fish?", "salmon, frog, eagle, mole", "A", "A salmon is a fish, so it is A."),
                _letter("Which is a tree?", "rose, fern, birch, moss", "C", "A birch is a tree, so it is C."),
            ),
        },
        "pattern": {
            CHOICE: (
                _matches("Write a date in May 2024.", r"2024-05-\d\d", "Write it as year-month-day, like 2023-01-31."),
                _matches("Write a time in the evening.", r"\b(1[89]|2\d):\d\d\b", "Use the 24-hour clock, like 07:30."),
            ),
            FRESH: (
                _matches("Write a date in June 2021.", r"2021-06-\d\d", "Write it as year-month-day, like 2023-01-31."),
                _matches("Write a price in euros.", r"€\d+\.\d\d", "Write it with the sign first, like €3.50."),
            ),
        },
        "word limit": {
            CHOICE: (
                _matches("Why is the sky blue?", _at_most(10), "Use at most ten words."),
                _matches("What is bread made of?", _at_most(5), "Use at most five words."),
            ),
            FRESH: (
                _matches("Why do leaves fall?", _at_most(10), "Use at most ten words."),
                _matches("What is a bicycle for?", _at_most(5), "Use at most five words."),
            ),
        },
    }
)
