"""Sentences in several scripts, and what they add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.credit import TokenCredit
from workbench.credit.group import per_line, per_sentence
from workbench.credit.sentences import sentence_spans


@pytest.mark.parametrize(
    "sentences",
    [
        ["It is Sydney. ", "Many think so! ", "Is it? ", "No"],
        ["He paid $3.50 for v1.2 at example.org. ", "Then e.g. this, cf. that, etc. and so on. ", "Done."],
        ["Dr. Smith met J. R. Smith and George W. Bush. ", "They talked."],
        ["The answer is B. ", "So A is wrong."],  # a choice, not an initial
        ['"Really?" she said. ', "(It is so.) ", "**Bold.** ", "Wait... ", "Go on… ", "End"],
        ["1. First of all. ", "It has two.\n", "b) Second.\n", "\n", "# Head\n", "x != 3 and f(a)?b:c!d\n", "Last"],
        ["你好。", "我是学生！", "他说：“好。”", "然后走了。"],
        ["اسمت چیست؟ ", "می‌خواهم بدانم. ", "خوب۔ ", "باشد"],
        ["यह एक है। ", "यह दूसरा है॥ ", "तीसरा"],
        ["Столица — Сидней. ", "Почему, т.е. зачем? ", "Так."],
        ["Das heißt z. B. heute. ", "Gut."],
        [],
    ],
)
def test_sentences_end_where_people_end_them(sentences: list[str]) -> None:
    text = "".join(sentences)
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


@given(st.text("aB1 .!?。\n)\"*'", max_size=40) | st.text(max_size=20))
def test_sentences_are_the_whole_text_and_none_reaches_over_a_line(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end and "\n" not in text[start : end - 1] for start, end in spans)


def test_a_sentence_adds_up_the_tokens_that_start_to_be_visible_in_it() -> None:
    tokens = ["It", " is", " B", ". So", " A", " is", " not", ".", "\n\n", "Yes", "."]
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 0.01, 256.0, 512.0, 1024.0]
    first, second, blank, last = per_sentence(tokens, values, noise_floor=0.1)
    assert (first.text, first.positions, first.total) == ("It is B.", (0, 1, 2, 3), 15.0)
    assert (second.text, second.positions, second.total) == ("So A is not.", (4, 5, 6, 7, 8), 368.0)
    assert (blank.text, blank.positions) == ("", ()) and last.total == 1536.0
    whole = sum(piece.total for piece in per_line(tokens, values, noise_floor=0.1))
    assert whole == sum(piece.total for piece in per_sentence(tokens, values, noise_floor=0.1))


def test_the_payload_carries_the_sentences_that_python_gives() -> None:
    tokens = ("It", " is", " B", ".", " So", " there", ".")
    contexts = {"student": (-1.0,) * 7, "teacher": (-1.0, -2.0, -5.0, -1.0, -0.5, -1.0, -1.0)}
    numbers = ((0.0,) * 7,) * 4
    credit = TokenCredit("a", tokens, tuple(range(7)), contexts, *numbers, 0.0, 1.0, ((),) * 7)
    expected = per_sentence(tokens, credit.view("raw"), noise_floor=0.0)
    assert credit.payload(top=False)["sentences"] == [list(piece.positions) for piece in expected]
    assert [piece.total for piece in expected] == [-5.0, 0.5]
