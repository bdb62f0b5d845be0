"""On the page: what was read as the answer, and the reasoning of an attempt in pieces and in tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workbench import heatmap
from workbench.credit.group import token_ranges
from workbench.records import Attempt, Task
from workbench.service.actions.round import AttemptDetail
from workbench.tasks import judge
from workbench.ui.tabs.round.attempts import cards
from workbench.ui.tabs.round.credit import heat, pieces

TASK = Task("p/t", "Q", "choice", {"choice": "B"})
TEXT = "<think>A?\n</think>\nIt is B."
TOKENS = ("<think>", "A", "?\n", "</think>", "\n", "It is", " B", ".", "<|end|>")


def attempt(text: str = TEXT, task: Task = TASK) -> Attempt:
    verdict = judge(task, text)
    ids = tuple(range(len(TOKENS)))
    given = Attempt("a", "p/t", "g", "root", (1,), ids, text, (0.0,) * len(ids), True, 1.0, 1.0, True, "")
    return replace(given, reward=verdict.reward, passed=verdict.passed, details=verdict.details)


def test_the_pieces_of_a_text_join_to_it_again() -> None:
    assert pieces(attempt()) == [
        {"text": "<think>A?\n</think>", "reasoning": True},
        {"text": "\nIt is B.", "reasoning": False},
    ]
    assert pieces(attempt("B")) == [{"text": "B", "reasoning": False}]
    cut = attempt("<think>B")
    assert pieces(cut) == [{"text": "<think>B", "reasoning": True}] and not cut.passed


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (TOKENS, ((0, 4),)),
        (("<thi", "nk>A?", "\n</th", "ink>\nIt", " is B."), ((0, 4),)),  # a token that holds both is folded with it
        (("<think>A?\n</think>", "", "\nIt is B."), ((0, 1),)),
        (("It is B.",), ()),  # an older run, whose text lacks what its tokens show
    ],
)
def test_the_tokens_that_hold_the_reasoning(tokens: tuple[str, ...], expected: tuple[tuple[int, int], ...]) -> None:
    assert token_ranges(tokens, TEXT, attempt().details["reasoning"]) == expected


def test_what_was_read_stands_beside_the_verdict() -> None:
    right, none = attempt(), attempt("Hm.")
    payload: dict[str, Any] = {"tokens": [{"text": text, "id": 0} for text in TOKENS], "views": [], "noise_floor": 0.0}
    shown = heat(right, (1, 2), AttemptDetail(payload, "", (), ()), None, [], "idle")
    assert shown["title"] == "Attempt 1 of 2: passed, reward 1, read as: B"
    heatmap.check(shown)
    waiting = heat(none, (2, 2), None, None, [], "idle")
    assert waiting["title"].endswith("failed, reward 0, read as: nothing") and waiting["pieces"] == pieces(none)
    person = attempt("B", Task("p/t", "Q", "person"))
    assert heat(person, (1, 1), None, None, [], "idle")["title"] == "Attempt 1 of 1: failed, reward 0"
    rows = cards([right, none, person], None, None, [None] * 3, None, None, ())["rows"]
    assert [row["read_as"] for row in rows] == ["B", "", None]


def test_a_range_outside_the_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="reasoning"):
        heatmap.check({"tokens": [{"text": "a", "id": 0}], "reasoning": [[0, 2]]})
