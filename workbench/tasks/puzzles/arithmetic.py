"""Puzzles with numbers: countdown, sorting, prime factors."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

from workbench.tasks.puzzles.fault import Fault, parsed, quoted, unreadable, wrong

_EXPRESSION = re.compile(r"[0-9+\-*/() \t\n]{1,300}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?")  # no exponents: 1e999999999 would take all memory
_MOST_FACTORS = 64
_LARGEST = 10**12  # of a number that is typed
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "[": "(", "]": ")"})


def countdown(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """An expression that makes `target` of all `numbers`, each used once."""
    text = answer.translate(_SIGNS)
    if "=" in text:
        return unreadable("Write the expression alone, without '=' and the result.")
    if not _EXPRESSION.fullmatch(text):
        return unreadable(
            "Write one arithmetic expression of the numbers, +, -, *, / and parentheses, and nothing else."
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        value = _value(tree)
    except ZeroDivisionError:
        return wrong("The expression divides by zero.")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return unreadable("The expression cannot be read; check its parentheses and operators.")
    used = Counter(node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is int)
    given = Counter(puzzle["numbers"])
    for number in used - given:
        if not given[number]:
            return wrong(f"The number {number} is used, but is not among the given ones.")
        return wrong(f"The number {number} is used {used[number]} times, but is given {given[number]} times.")
    missing = given - used
    if missing:
        return wrong(f"Not all numbers are used: {', '.join(map(str, sorted(missing.elements())))} is missing.")
    if value != puzzle["target"]:
        return wrong(f"The expression makes {_decimal(value)}, not {puzzle['target']}.")
    return None


def _value(node: ast.expr) -> Fraction:
    """The value of an expression of +, -, *, / and whole numbers. Raises ValueError for any other."""
    if isinstance(node, ast.Constant) and type(node.value) is int and node.value <= _LARGEST:
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
    raise ValueError("no sum, difference, product or quotient of whole numbers")


def _decimal(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.6g}"


def number_sorting(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """The numbers of `original_numbers` as a list of texts, in the `direction`."""
    listed = parsed(answer.replace("'", '"'))
    if not isinstance(listed, list) or not all(isinstance(item, str | int | float) for item in listed):
        return unreadable("Write a list of the numbers as texts, such as ['-1', '2'].")
    if not all(_NUMBER.fullmatch(str(item)) for item in listed):
        return unreadable("The list contains something other than decimal numbers of up to 12 digits.")
    given = [Fraction(str(item)) for item in listed]
    right = [Fraction(str(item)) for item in puzzle["original_numbers"]]
    for missing in (Counter(right) - Counter(given)).elements():
        return wrong(f"The number {_decimal(missing)} is missing from the list.")
    for extra in (Counter(given) - Counter(right)).elements():
        return wrong(f"The list has the number {_decimal(extra)} too often, or it was not given.")
    descending = puzzle["direction"] == "descending"
    for position, (left, following) in enumerate(pairwise(given), start=1):
        if (left < following) if descending else (left > following):
            return wrong(
                f"The order is not {puzzle['direction']}: {_decimal(left)} stands before {_decimal(following)} "
                f"(places {position} and {position + 1})."
            )
    return None


def prime_factorization(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """The prime factors of `number`, separated by ×."""
    pieces = [piece.strip() for piece in re.split(r"[×x*·]", answer)]
    if len(pieces) > _MOST_FACTORS or not all(re.fullmatch("[0-9]{1,9}", piece) for piece in pieces):
        return unreadable("Write the factors alone, separated by ×, such as 2 × 2 × 3.")
    factors = [int(piece) for piece in pieces]
    for factor in factors:
        if not _is_prime(factor):
            return wrong(f"{factor} is not a prime number.")
    product = math.prod(factors)
    return (
        None
        if product == puzzle["number"]
        else wrong(f"The factors multiply to {quoted(product)}, not to {puzzle['number']}.")
    )


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
