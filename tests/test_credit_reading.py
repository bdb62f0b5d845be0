"""What is said of an attempt's credit: pivots, concentration, leakage, and when feedback does no more than none."""

from __future__ import annotations

import dataclasses
import math

import pytest

from workbench.credit import TokenCredit, TopToken
from workbench.credit.statistics import cosine, strongest
from workbench.errors import CreditError

CREDIT = (0.001, -6.0, 0.5, 2.0, -0.4, 0.0)


def made(credit: tuple[float, ...] = CREDIT, **others: tuple[float, ...]) -> TokenCredit:
    """An attempt with this raw credit; `others`: credit that further contexts give."""
    student = (-1.0,) * len(credit)
    contexts = {"student": student, "teacher": tuple(value - 1.0 for value in credit)}
    contexts |= {name: tuple(value - 1.0 for value in values) for name, values in others.items()}
    zeros = (0.0,) * len(credit)
    top = tuple((TopToken(f"t{i}", i, -1.0, -2.0), TopToken(f"w{i}", 90 + i, -2.0, -0.1)) for i in range(len(credit)))
    tokens = tuple(f"t{i}" for i in range(len(credit)))
    return TokenCredit("a1", tokens, tuple(range(len(credit))), contexts, zeros, zeros, zeros, zeros, 0.01, 1.0, top)


def test_pivots_are_the_fewest_tokens_with_most_of_the_credit() -> None:
    first, second = made().pivots()  # 6 + 2 of 8.9 is the first to reach 80 %; 0.001 and 0 are noise
    assert (first.position, first.token, first.credit) == (1, "t1", -6.0)
    assert (first.teacher_writes, first.teacher_writes_id) == ("w1", 91)
    assert first.share == pytest.approx(6 / 8.9) and second.share == pytest.approx(2 / 8.9)
    assert [pivot.position for pivot in made().pivots(share=0.5)] == [1]
    assert [pivot.position for pivot in made().pivots(share=1.0)] == [1, 3, 2, 4]
    assert made((0.005, -0.009)).pivots() == [] and made(()).pivots() == []


def test_strongest_stops_where_the_share_is_reached() -> None:
    assert strongest([1.0, 1.0, 1.0, 1.0], 0.5, noise_floor=0.0) == [0, 1]
    assert strongest([0.1, -3.0], 1.0, noise_floor=0.1) == [1]
    assert strongest([1.0, 2.0], 0.0, noise_floor=0.0) == []


def test_concentration() -> None:
    found = made((0.0,) * 19 + (-3.0,)).concentration()
    assert (found.top_share, found.top_count, found.gini) == (1.0, 1, pytest.approx(19 / 20))
    assert math.isnan(made(()).concentration().gini)


def test_leakage_is_the_cosine_with_what_the_answer_alone_gives() -> None:
    assert made(answer_only=tuple(3 * value for value in CREDIT)).leakage() == pytest.approx(1.0)
    assert made(answer_only=tuple(-value for value in CREDIT)).leakage() == pytest.approx(-1.0)
    assert made((3.0, 4.0), answer_only=(4.0, -3.0)).leakage() == pytest.approx(0.0)
    assert cosine([1.0, 1.0], [1.0, 0.0]) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(made(answer_only=(0.0,) * 6).leakage())
    with pytest.raises(CreditError, match="needs the context 'answer_only': it was not scored"):
        made().leakage()
    absent = dataclasses.replace(made(), absent={"answer_only": "there is nothing to show"})
    with pytest.raises(CreditError, match="'answer_only': there is nothing to show"):
        absent.leakage()


SAME = "This feedback gives about the same credit as no feedback: see the control view."


@pytest.mark.parametrize(("kept", "said"), [(1.0, True), (0.95, True), (0.8, False), (0.0, False), (-1.0, False)])
def test_the_summary_says_when_no_feedback_does_the_same(kept: float, said: bool) -> None:
    """`kept`: how much of the credit the template alone gives."""
    credit = made(template_only=tuple(kept * value for value in CREDIT))
    assert credit.summary().endswith(SAME) == said
    assert SAME not in made().summary()  # where it was not measured, nothing is said of it
