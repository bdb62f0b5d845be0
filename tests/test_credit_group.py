"""Credit rolled up, against values added by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.credit.group import by_position, over_group, per_line, per_word

TOKENS = ["def", " f", "(xs", "):", "\n   ", " xs =", " sor", "ted", "(xs)", "\n\n", "    return xs", "<|end|>"]
VALUES = [0.1, 0.0, -0.5, 0.2, 0.3, 1.0, -2.0, -1.0, 0.05, 0.4, 0.7, -0.1]


def test_attempts_by_positions() -> None:
    rows = by_position([[1.0, 2.0], [], [3.0]])
    assert rows[0] == [1.0, 2.0] and rows[2][0] == 3.0
    assert all(math.isnan(value) for value in (*rows[1], rows[2][1])) and by_position([]) == []


def test_lines_hold_the_tokens_that_start_to_be_visible_in_them() -> None:
    first, second, empty, last = per_line(TOKENS, VALUES, noise_floor=0.05)
    assert (first.text, first.positions) == ("def f(xs):", (0, 1, 2, 3, 4))  # "\n   " shows nothing: it ends the line
    assert (first.counted, first.total) == (4, pytest.approx(0.1))
    assert first.mean == pytest.approx(0.1 / 4)
    assert (second.text, second.positions) == ("    xs = sorted(xs)", (5, 6, 7, 8, 9))
    assert (second.counted, second.total) == (4, pytest.approx(-1.6))  # 0.05 itself is noise
    assert (empty.text, empty.positions, empty.total) == ("", (), 0.0) and math.isnan(empty.mean)
    assert (last.text, last.positions, last.total) == ("    return xs<|end|>", (10, 11), pytest.approx(0.6))


def test_an_indentation_goes_with_what_it_indents() -> None:
    lines = per_line(["a:", "\n    return", " x"], [1.0, 2.0, 4.0], noise_floor=0.0)
    assert [line.total for line in lines] == [1.0, 6.0]


def test_words_hold_their_tokens_and_white_space_belongs_to_none() -> None:
    words = {word.text + str(word.start): word for word in per_word(TOKENS, VALUES, noise_floor=0.05)}
    assert words["sorted20"].positions == (6, 7) and words["sorted20"].total == pytest.approx(-3.0)
    assert words["sorted20"].mean == pytest.approx(-1.5)
    assert words["f4"].counted == 0 and math.isnan(words["f4"].mean)
    assert words["(5"].positions == (2,) and words["xs6"].positions == ()  # "(xs" belongs to its first word
    held = [position for word in words.values() for position in word.positions]
    assert sorted(held) == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]  # without the two tokens of white space


def test_a_part_of_a_character_goes_where_the_character_is() -> None:
    words = per_word(["na", "", "ï", "ve", " x"], [1.0, 2.0, 4.0, 8.0, 16.0], noise_floor=0.0)
    assert [(word.text, word.total) for word in words] == [("naïve", 15.0), ("x", 16.0)]


@given(st.lists(st.sampled_from(["a", " b", "\n", " ", "c.d", "", "\n  e"]), max_size=12))
def test_every_token_is_in_at_most_one_piece(tokens: list[str]) -> None:
    values = [float(2**i) for i in range(len(tokens))]
    for pieces in (per_line(tokens, values, noise_floor=0.0), per_word(tokens, values, noise_floor=0.0)):
        held = [position for piece in pieces for position in piece.positions]
        assert held == sorted(set(held))
        assert sum(piece.total for piece in pieces) == sum(values[position] for position in held)
    text = "".join(tokens)
    assert len(per_line(tokens, values, noise_floor=0.0)) == len(text.splitlines())


def test_equal_lines_of_a_group_are_added_up() -> None:
    texts = (["x = 1", "\n", "y"], ["  x = 1", "\n", "y"], ["z"])
    values = ([-3.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.5])
    lines = [per_line(tokens, row, noise_floor=0.1) for tokens, row in zip(texts, values, strict=True)]
    worst, y, z = over_group(lines)
    assert (worst.text, worst.attempts, worst.counted, worst.total, worst.mean) == ("x = 1", 2, 2, -4.0, -2.0)
    assert (y.text, y.attempts, y.counted, y.total) == ("y", 2, 1, 1.0) and z.total == 0.5


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError):
        per_line(["a", "b"], [1.0], noise_floor=0.0)
