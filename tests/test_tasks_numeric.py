"""Numbers and quantities as people, machines and LaTeX write them: exact, with units and tolerances, not evaluated."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import TaskError
from workbench.records import Judgement, Task
from workbench.tasks import check_task, judge, parse_pack
from workbench.tasks.reading.numbers import parse_number
from workbench.tasks.reading.units import ONE, parse_unit

NINES = "9" * 500
MS = {"value": "3.5", "unit": "m/s"}


def judged(answer: dict[str, Any], text: str) -> Judgement:
    return judge(Task("p/t", "Q", "numeric", answer), text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", "42"),
        ("-3", "-3"),
        ("−3", "-3"),
        ("1,234.5", "2469/2"),
        ("1.234,5", "2469/2"),
        ("1,234", "1234"),
        ("1.234", "617/500"),
        ("3,5", "7/2"),
        ("0,234", "117/500"),
        ("1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("12,34,567", "1234567"),
        ("1 234 567", "1234567"),
        ("1'234.5", "2469/2"),
        ("1_000", "1000"),
        ("3/4", "3/4"),
        ("1 1/2", "3/2"),
        ("-1 1/2", "-3/2"),
        ("4 10/3", None),
        ("2.5e-3", "1/400"),
        ("2.5E-3", "1/400"),
        ("2.5×10^-3", "1/400"),
        ("2.5 x 10^-3", "1/400"),
        ("2.5×10⁻³", "1/400"),
        ("2.5 \\times 10^{-3}", "1/400"),
        ("2.5*10**-3", "1/400"),
        ("2.5 x 10-3", "1/400"),
        ("\\frac{3}{4}", "3/4"),
        ("\\dfrac34", "3/4"),
        ("-\\frac{3}{4}", "-3/4"),
        ("1\\frac{1}{2}", "3/2"),
        ("50%", "1/2"),
        ("50\\%", "1/2"),
        ("50 percent", "1/2"),
        (".5", "1/2"),
        ("½", "1/2"),
        ("1½", "3/2"),
        ("$42$", "42"),
        ("\\(42\\)", "42"),
        ("1{,}234", "1234"),
        ("1\\,234", "1234"),
        ("\\sqrt{16}", "4"),
        ("2\\sqrt{4}", "4"),
        ("\\sqrt[3]{27}", "3"),
        ("10^5", "100000"),
        ("2^{10}", "1024"),
        ("3-4", None),
        ("2024-05-01", None),
        ("1.2.3", None),
        ("1e999", None),
        ("9^9^9", None),
        ("10^{5000}", None),
        ("(3)", "3"),
        ("１２", "12"),
        ("1,2,3", None),
        ("\\frac{1}{0}", None),
        ("((((((((((((((((1))))))))))))))))", None),
        ("\\frac{1+\\sqrt{9}}{2}", "2"),
        ("1e5", "100000"),
        ("**42**", "42"),
        ("1,23,4", None),
        ("007", "7"),
        ("3/4/5", "3/20"),
        ("\\frac{-3}{4}", "-3/4"),
        ("1+1", None),
        ("5/0", None),
        ("\\text{42}", "42"),
        ("2^-1", "1/2"),
        ("4^{1/2}", "2"),
        ("1 000 000.5", "2000001/2"),
        ("٣", "3"),
        ("1 1", None),
        ("1.2 million", "1200000"),
        ("3 hundred thousand", "300000"),
        ("2.5 \\text{ billion}", "2500000000"),
        ("2 thousandths", None),
        ("4 million-year", None),
        (NINES, None),
    ],
)
def test_a_number_is_read_exactly(text: str, value: str | None) -> None:
    number = parse_number(text)
    assert (number and number.value) == (value and Fraction(value))


def test_roots_and_pi_are_read_as_floats_do() -> None:
    for text, value in (
        ("\\pi", 3.141592653589793),
        ("2π", 6.283185307179586),
        ("\\sqrt{2}", 2**0.5),
        ("2^{0.5}", 2**0.5),
    ):
        number = parse_number(text)
        assert number is not None and not number.exact and float(number.value) == pytest.approx(value, rel=1e-14)


def test_the_decimal_sign_is_the_task_s_where_a_text_leaves_it_open() -> None:
    comma = parse_number("1,234", ","), parse_number("1.234", ","), parse_number("1.23", ",")
    assert [number and number.value for number in comma] == [Fraction("1.234"), 1234, Fraction("1.23")]


@pytest.mark.parametrize(
    ("answer", "text", "passed"),
    [
        ({"value": "3.5"}, "3.5", True),
        ({"value": "3.5"}, "The answer is 3.5.", True),
        ({"value": "3.5"}, "7/2", True),
        ({"value": "3.5"}, "3 1/2", True),
        ({"value": "3.5"}, "≈ 3.5 m/s", True),
        ({"value": "3.5"}, "\\boxed{\\frac{7}{2}}", True),
        ({"value": "3.5"}, "x = 3.5", True),
        ({"value": "3.5"}, "It is 3.5, not 4", True),
        ({"value": "3.5"}, "Answer: 3.5, not 4", True),
        ({"value": "3.5"}, "3.6", False),
        ({"value": "3.5"}, "3,5", True),
        ({"value": "3.5"}, "So 1.5 + 2 = 3.5", True),
        ({"value": "3.5"}, "<answer>3.5</answer>", True),
        ({"value": "3.5"}, "The answer is 3.5 or 4", False),
        ({"value": "42"}, "41 or 42", False),
        ({"value": "42"}, "It lies between 41 and 42.", False),
        ({"value": "7"}, "From 3 and 4 we get 7.", True),
        ({"value": "42"}, "In 2020, 42 were left.", True),
        ({"value": "42"}, "The answer is not 42", False),
        ({"value": "42"}, "It is not 41 but 42", True),
        ({"value": "3.4641", "tolerance": 1e-4}, "2√3", True),
        ({"value": "3.5"}, "", False),
        ({"value": "3.5"}, "none", False),
        ({"value": "3.5"}, "I have 3.5", True),
        ({"value": "3.5"}, "-3.5", False),
        ({"value": "3.5"}, "−3.5", False),
        ({"value": "3.5"}, "#### 3.5", True),
        ({"value": "3.5"}, "**3.5**", True),
        ({"value": "3.5"}, "$3.5$", True),
        ({"value": "3.5"}, "Answer: approximately 3.5 units", True),
        (MS, "3.5 m/s", True),
        (MS, "3.5 m s^-1", True),
        (MS, "3.5 m·s⁻¹", True),
        (MS, "350 cm/s", True),
        (MS, "12.6 km/h", True),
        (MS, "12.6 kph", True),
        (MS, "3.5", True),
        (MS, "3.5 meters per second", True),
        (MS, "3.5\\,\\text{m/s}", True),
        (MS, "\\boxed{3.5\\ \\mathrm{m\\,s^{-1}}}", True),
        (MS, "3.5 kg", False),
        (MS, "3.5 km/s", False),
        (MS, "v = 3.5 m/s", True),
        (MS, "3.5 m / s", True),
        (MS, "3.5 m s−1", True),
        (MS, "The speed is 3.5 m/s in total.", True),
        ({"value": 42}, "42", True),
        ({"value": 42}, "42.0", True),
        ({"value": 42}, "42.0000001", False),
        ({"value": 1000000000000000000}, "1000000000000000001", False),
        ({"value": 1234}, "1,234", True),
        ({"value": "1234.5"}, "1.234,5", True),
        ({"value": 1.234, "decimal": ","}, "1,234", True),
        ({"value": 1234, "decimal": ","}, "1.234", True),
        ({"value": 50, "unit": "%"}, "50%", True),
        ({"value": 50, "unit": "%"}, "50", True),
        ({"value": 50, "unit": "%"}, "0.5", True),
        ({"value": 50, "unit": "%"}, "5%", False),
        ({"value": 50, "unit": "%"}, "0.5%", False),
        ({"value": "0.5"}, "50%", True),
        ({"value": "0.5"}, "50", False),
        ({"value": "50%"}, "50 \\%", True),
        ({"value": "50%"}, "1/2", True),
        ({"value": "50%"}, "50 percent", True),
        ({"value": "3.14", "tolerance": 0.01}, "3.15", True),
        ({"value": "3.14", "tolerance": {"absolute": 0.001}}, "3.15", False),
        ({"value": "3.14"}, "3.14159", False),
        ({"value": "1/3", "tolerance": {"relative": 0.01}}, "0.333", True),
        ({"value": "1/3"}, "\\frac{1}{3}", True),
        ({"value": "1/3"}, "0.33333333", True),
        ({"value": "2.5e-3"}, "2.5×10⁻³", True),
        ({"value": "2.5e-9"}, "0", False),
        ({"value": "\\sqrt{2}"}, "1.41421356", True),
        ({"value": "2\\pi"}, "2π", True),
        ({"value": 25, "unit": "°C"}, "25 °C", True),
        ({"value": 25, "unit": "°C"}, "25^\\circ C", True),
        ({"value": 25, "unit": "°C"}, "298.15 K", True),
        ({"value": 25, "unit": "°C"}, "25 C", True),
        ({"value": 25, "unit": "°C"}, "77 °F", True),
        ({"value": 25, "unit": "°C"}, "25 degrees Celsius", True),
        ({"value": "8.314", "unit": "J/(mol K)"}, "8.314 J/mol·K", True),
        ({"value": "8.314", "unit": "J/(mol K)"}, "8.314 J mol^-1 K^-1", True),
        ({"value": "56", "unit": "pC"}, "5.6e-11 C", True),
        ({"value": "56", "unit": "pC"}, "\\boxed{56 \\mathrm{~pC}}", True),
        ({"value": "1094.31", "unit": "Å^3"}, "1094.31 Å³", True),
        ({"value": 2, "unit": "kWh"}, "7.2 MJ", True),
        ({"value": 90, "unit": "°"}, "90°", True),
        ({"value": 90, "unit": "min"}, "1.5 hours", True),
        ({"value": 5, "unit": "N"}, "5 kg m/s^2", True),
        ({"value": 5, "unit": "L"}, "5000 mL", True),
        ({"value": 5, "unit": "L"}, "5000 cm^3", True),
        ({"value": 8}, "Step 1: 5 + 3 = 8\nThe answer is 5 + 3 = 8.", True),
        ({"value": 8}, "The answer is that 8 of 12 birds", True),
        ({"value": 2}, "H2O has 2", True),
        ({"value": 5}, "between 3-5", False),
        ({"value": 72}, "Natalia sold 48+24 = <<48+24=72>>72 clips.\n#### 72", True),
        ({"value": 72}, "#### $72", True),
        ({"value": -5}, "the answer is -5", True),
        ({"value": -5}, "x=−5", True),
        ({"value": 3}, "In 2020 there were 3.", True),
        ({"value": 1000}, "1 000", True),
        ({"value": 0}, "0", True),
        ({"value": 0}, "0.0", True),
        ({"value": "0.1"}, "1/10", True),
        ({"value": 7}, "<think>8</think>7", True),
        ({"value": 7}, "<think>7", False),
        ({"value": "1,234", "decimal": ","}, "1.234.000", False),
    ],
)
def test_the_number_of_an_answer(answer: dict[str, Any], text: str, passed: bool) -> None:
    assert judged(answer, text).passed is passed


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("km", 1000),
        ("µm", Fraction(1, 10**6)),
        ("\\mu m", Fraction(1, 10**6)),
        ("g/cm^3", 1000),
        ("W/m^2/K", 1),
        ("J/(kg K)", 1),
        ("kilograms", 1),
        ("milliseconds", Fraction(1, 1000)),
        ("mmol/L", 1),
        ("", 1),
    ],
)
def test_units_have_prefixes_powers_and_names(unit: str, factor: float) -> None:
    read = parse_unit(unit)
    assert read is not None and read.factor == factor


def test_what_is_no_unit_is_not_read_as_one() -> None:
    assert [parse_unit(text) for text in ("bananas", "as", "m/", "m/(s", "7", "pH")] == [None] * 6
    assert parse_unit(" ") == ONE


def test_the_verdict_shows_what_was_read_and_why_it_failed() -> None:
    wrong, kind, none, several = (judged(MS, text) for text in ("4 m/s", "It is 3.5 kg.", "hm", "Answer: 3 or 4"))
    assert [verdict.details["read_as"] for verdict in (wrong, kind, none)] == ["4 m/s", "3.5 kg", ""]
    assert [verdict.parts[0].kind for verdict in (wrong, kind, none, several)] == ["outcome", *["format"] * 3]
    assert wrong.feedback == "4 m/s is not the right number."
    assert "3.5" not in wrong.feedback and "3.5 m/s" in wrong.parts[1].text and wrong.parts[1].kind == "answer"
    assert "unit of the kind of m/s" in kind.feedback


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "needs value"),
        ({"value": None}, "needs value"),
        ({"value": True}, "needs value"),
        ({"value": "five"}, "not a number"),
        ({"value": "__import__('os')"}, "not a number"),
        ({"value": 1e400}, "not a number"),
        ({"value": 1, "unit": "bananas"}, "unit"),
        ({"value": 1, "unit": 5}, "needs value"),
        ({"value": 1, "tolerance": "wide"}, "tolerance"),
        ({"value": 1, "tolerance": -1}, "tolerance"),
        ({"value": 1, "tolerance": {"rel": 1}}, "tolerance"),
        ({"value": 1, "tolerance": True}, "tolerance"),
        ({"value": 1, "decimal": ";"}, "needs value"),
    ],
)
def test_a_number_that_cannot_be_compared_is_refused(answer: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        check_task(Task("p/t", "Q", "numeric", answer))
    row = {"prompt": "Q", "environment": "numeric", "answer": answer}
    with pytest.raises(TaskError, match="row 1"):
        parse_pack("mine.jsonl", json.dumps(row))


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_a_fraction_is_read_in_every_form(top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    sign = "-" if top < 0 else ""
    for text in (f"{top}/{bottom}", f"{sign}\\frac{{{abs(top)}}}{{{bottom}}}", f"${top} / {bottom}$"):
        number = parse_number(text)
        assert number is not None and number.value == value and number.exact
    assert judged({"value": f"{top:,}"}, f"So it is \\boxed{{{top:,}}}").passed


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789.,eE+-*/^%(){}\\frac sqrtpi=xm", max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(judged({"value": 1, "unit": "m"}, text).passed, bool)
