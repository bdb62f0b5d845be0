"""Numbers as people, machines and LaTeX write them: exact fractions, read by a small parser that evaluates nothing.

1,234.5 · 1.234,5 · 1 234 · 3/4 · 1 1/2 · 2.5e-3 · 2.5×10⁻³ · 1.2 million · \\frac{3}{4} · 2\\sqrt{3} · 50 % · ½ · −1.
Everything is bounded: digits, exponents, nesting. (A library would add little to this, and sympy's parsers evaluate
their text.)
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction

_DIGITS, _EXPONENT, _DEPTH = 400, 400, 12  # at most


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was read."""

    value: Fraction  # of a percentage: the share
    exact: bool  # False: a root or pi is in it, rounded
    percent: bool  # written with a percent sign


class _Unreadable(Exception):
    pass


_SIGNS = str.maketrans(
    {
        "−": "-",
        "－": "-",
        "﹣": "-",
        "＋": "+",
        "×": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "∗": "*",
        "÷": "/",
        "∕": "/",
        "⁄": "/",
    }
    | {"，": ",", "．": ".", "％": "%", "（": "(", "）": ")", "’": "'", "\u00a0": " ", "\u2009": " ", "\u202f": " "}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_FRACTION_SIGN = re.compile("[¼½¾⅐-⅞]")
_PERCENT = re.compile(r"\\%|\b(?:percent|per cent|pct)\b", re.IGNORECASE)
_TIMES = re.compile(r"\\(?:times|cdot|ast)(?![a-z])\s*|\*\*?|(?<=[\d)}])\s*[xX]\s*(?=10\s*(?:\^|\*\*|[-+]\d))")
_LOST_CARET = re.compile(r"(\*\s*10)\s*([-+]\d{1,3})(?!\d)")
_FRAMES = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|big|Big|bigl|bigr)(?![a-z])|\\[()\[\]]|[$`]|\*\*(?=\S)|(?<=\S)\*\*|\\[!;:]"
)
_MACRO = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname|boldsymbol|bm)\s*\{([^{}]*)\}")
_RUN = re.compile(r"\d+(?:[.,'_ ]\d+)*|\.\d+")
_SCIENTIFIC = re.compile(r"[eE]([-+]?\d{1,4})(?![\w.])")
_MIXED = re.compile(r" ?(?P<top>\d{1,9})\s*/\s*(?P<bottom>\d{1,9})(?![\d.,]\d)")
_MAGNITUDE = re.compile(r"[ -]{0,3}(hundred|thousand|million|billion|trillion)(?![\w-])", re.IGNORECASE)
_MAGNITUDES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ROOT = re.compile(r"√\s?(?:\(([^()\n]{1,40})\)|(\d+(?:\.\d+)?))")


def plain(text: str) -> str:
    """Write signs, superscripts and LaTeX's spaces plainly: what the readers of numbers and units expect."""
    text = text.translate(_SIGNS)
    text = _SUPERSCRIPT.sub(lambda match: "^" + unicodedata.normalize("NFKC", match.group()).replace("−", "-"), text)
    text = _FRACTION_SIGN.sub(
        lambda match: " " + str(Fraction(unicodedata.numeric(match.group())).limit_denominator(10)), text
    )
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2]}}}", text)
    for _ in range(4):
        text, changed = _MACRO.subn(r" \1 ", text)
        if not changed:
            break
    text = text.replace("{,}", ",").replace("\\,", " ").replace("\\ ", " ").replace("~", " ")
    text = _power(_FRAMES.sub("", _double_star(text)))
    text = re.sub(r"\\[dtc]frac", r"\\frac", _PERCENT.sub("%", text))
    return _LOST_CARET.sub(r"\1^\2", _TIMES.sub("*", text))


def _double_star(text: str) -> str:
    """Two stars between numbers are a power; elsewhere they are emphasis."""
    return re.sub(r"(?<=[\d)])\s*\*\*\s*(?=[-+(]?\d)", "^", text)


def _power(text: str) -> str:
    return re.sub(r"\^\s*\{\s*([-+]?\d+)\s*\}", r"^\1", text)


def parse_number(text: str, decimal: str = ".") -> Number | None:
    """Read a text that is one number and nothing else."""
    text = plain(text).strip()
    prefix = number_at(text, 0, decimal)
    return prefix[0] if prefix and not text[prefix[1] :].strip() else None


def number_at(text: str, place: int, decimal: str = ".") -> tuple[Number, int] | None:
    """Read the number that begins at a place of a `plain` text: it, and where it ends.

    `decimal`: the sign before decimals where a text leaves it open, as 1,234 does. A range such as 3-4 is no number.
    """
    parser = _Parser(text, decimal)
    try:
        number, end = parser.sum(place, 0)
    except (_Unreadable, OverflowError, ZeroDivisionError):
        return None
    return number, end


class _Parser:
    """Recursive descent; each method returns a number and the place behind it."""

    def __init__(self, text: str, decimal: str) -> None:
        self.text, self.decimal = text, decimal

    def sum(self, place: int, depth: int) -> tuple[Number, int]:
        if depth > _DEPTH:
            raise _Unreadable
        start = place
        total, place = self.signed(place, depth)
        while (match := self._sign(r"\s*([-+])\s*(?=[\d.(\\π])", place)) is not None:
            try:
                term, end = self.product(match.end(), depth)
            except _Unreadable:
                break
            # Between plain numbers it is a range, a date or a list, not a sum.
            if depth == 0 and not re.search(r"\\(?:sqrt|pi|frac)|π|\(", self.text[start:end]):
                raise _Unreadable
            sign = -1 if match[1] == "-" else 1
            total = Number(total.value + sign * term.value, total.exact and term.exact, total.percent and term.percent)
            place = end
        return total, place

    def signed(self, place: int, depth: int) -> tuple[Number, int]:
        match = self._sign(r"\s*([-+]?)\s*", place)
        assert match is not None  # it may be empty
        number, end = self.product(match.end(), depth)
        return (replace(number, value=-number.value) if match[1] == "-" else number), end

    def product(self, place: int, depth: int) -> tuple[Number, int]:
        product, place = self.power(place, depth)
        while (match := self._sign(r"\s*([*/])\s*|\s*(?=\\(?:sqrt|pi|frac)|π|\()", place)) is not None:
            try:
                factor, end = self.power(match.end(), depth)
            except _Unreadable:
                break
            exact = product.exact and factor.exact
            if match[1] == "/":
                whole = factor.percent and not product.percent  # 27/2 % is 13.5 %
                value = product.value / factor.value / (10_000 if whole else 1)
            elif match[1] is None and self.text.startswith("\\frac", match.end()) and product.value.denominator == 1:
                value = product.value + factor.value  # 1\frac{1}{2}
            else:
                value = product.value * factor.value
            product, place = Number(_bounded(value), exact, product.percent or factor.percent), end
        return product, place

    def power(self, place: int, depth: int) -> tuple[Number, int]:
        base, place = self.atom(place, depth)
        if (match := self._sign(r"\s*\^\s*", place)) is not None:
            exponent, place = self._exponent(match.end(), depth)
            base = _raised(base, exponent)
        while (match := _MAGNITUDE.match(self.text, place)) is not None:  # "3 hundred thousand"
            base, place = Number(_bounded(base.value * _MAGNITUDES[match[1].lower()]), base.exact, False), match.end()
        if (match := self._sign(r"\s*%", place)) is not None:
            base, place = Number(base.value / 100, base.exact, True), match.end()
        return base, place

    def _exponent(self, place: int, depth: int) -> tuple[Number, int]:
        if self.text.startswith(("{", "("), place):
            return self.atom(place, depth)
        match = self._sign(r"[-+]?\d{1,4}", place)
        if match is None:
            raise _Unreadable
        return Number(Fraction(match.group()), True, False), match.end()

    def atom(self, place: int, depth: int) -> tuple[Number, int]:
        text = self.text
        if text.startswith(("{", "("), place):
            number, end = self.sum(place + 1, depth + 1)
            return number, self._closed(end, "}" if text[place] == "{" else ")")
        if text.startswith("\\frac", place):
            top, end = self._argument(place + 5, depth)
            bottom, end = self._argument(end, depth)
            return Number(_bounded(top.value / bottom.value), top.exact and bottom.exact, False), end
        if text.startswith("\\sqrt", place):
            match = self._sign(r"\s*\[\s*(\d{1,2})\s*\]", place + 5)
            number, end = self._argument(match.end() if match else place + 5, depth)
            return _root(number, int(match[1]) if match else 2), end
        for pi in ("\\pi", "π"):
            if text.startswith(pi, place):
                return Number(Fraction(math.pi), False, False), place + len(pi)
        return self._literal(place)

    def _argument(self, place: int, depth: int) -> tuple[Number, int]:
        """An argument of a macro: in braces, or a single digit."""
        match = self._sign(r"\s*(\d)", place)
        if match is not None:
            return Number(Fraction(match[1]), True, False), match.end()
        match = self._sign(r"\s*(?=\{)", place)
        if match is None:
            raise _Unreadable
        return self.atom(match.end(), depth)

    def _closed(self, place: int, bracket: str) -> int:
        match = self._sign(rf"\s*{re.escape(bracket)}", place)
        if match is None:
            raise _Unreadable
        return match.end()

    def _literal(self, place: int) -> tuple[Number, int]:
        run = _RUN.match(self.text, place)
        if run is None:
            raise _Unreadable
        written, length = _grouped(run.group(), self.decimal)
        if len(written) > _DIGITS:
            raise _Unreadable
        value, end = Fraction(written), place + length
        if (match := _SCIENTIFIC.match(self.text, end)) is not None:
            return Number(_scaled(value, int(match[1])), True, False), match.end()
        if value.denominator == 1 and self.text[end : end + 1] == " " and (match := _MIXED.match(self.text, end)):
            top, bottom = int(match["top"]), int(match["bottom"])
            if bottom == 0 or top >= bottom:
                raise _Unreadable  # 4 10/3 is neither 4 nor 10
            return Number(value + Fraction(top, bottom), True, False), match.end()
        return Number(value, True, False), end

    def _sign(self, pattern: str, place: int) -> re.Match[str] | None:
        return re.compile(pattern).match(self.text, place)


def _grouped(run: str, decimal: str) -> tuple[str, int]:
    """Write digits and separators as Python does, and give how many characters of them were read."""
    parts = re.split(r"([.,'_ ])", run)
    digits, separators = parts[0::2], parts[1::2]
    while True:
        written = _one_number(digits, separators, decimal)
        if written is not None:
            return written, sum(map(len, digits)) + len(separators)
        if len(separators) > 1 and set(separators) <= {"."}:
            raise _Unreadable  # 1.2.3 is a version
        digits, separators = digits[:-1], separators[:-1]  # the rest is another number


def _one_number(digits: list[str], separators: list[str], decimal: str) -> str | None:
    if not separators:
        return digits[0]
    kinds = list(dict.fromkeys(separators))
    if len(kinds) > 2 or (len(kinds) == 2 and (separators.count(kinds[1]) > 1 or kinds[1] not in ".,")):
        return None
    whole, rest = (digits, "") if len(kinds) == 1 else (digits[:-1], digits[-1])
    groups = _in_thousands(whole)
    if len(kinds) == 2:
        return f"{''.join(whole)}.{rest}" if groups else None
    if kinds[0] not in ".,":
        return "".join(digits) if groups else None
    is_decimal = len(separators) == 1 and (kinds[0] == decimal or not groups or (kinds[0] == "." and decimal == "."))
    if is_decimal:
        return f"{digits[0] or '0'}.{digits[1]}"
    return "".join(digits) if groups else None


def _in_thousands(digits: list[str]) -> bool:
    """True for groups of three digits behind one of one to three, and for those of India (12,34,567)."""
    first, *others, last = digits
    if not first or first == "0" or first.startswith("0") or len(last) != 3:
        return False
    return (len(first) <= 3 and all(len(group) == 3 for group in others)) or (
        len(first) <= 2 and bool(others) and all(len(group) == 2 for group in others)
    )


def _raised(base: Number, exponent: Number) -> Number:
    if exponent.value.denominator == 1 and abs(exponent.value) <= _EXPONENT:
        power = int(exponent.value)
        size = max(base.value.numerator.bit_length(), base.value.denominator.bit_length()) * max(1, abs(power))
        if size <= 20_000 and (base.value or power >= 0):
            return Number(base.value**power, base.exact, False)
    if base.value <= 0:
        raise _Unreadable
    return Number(_rounded(float(base.value) ** float(exponent.value)), False, False)


def _root(number: Number, degree: int) -> Number:
    if number.value < 0 or degree == 0:
        raise _Unreadable
    root = Number(_rounded(float(number.value) ** (1 / degree)), False, False)
    near = root.value.limit_denominator(10**6)
    return Number(near, number.exact, False) if near**degree == number.value else root


def _scaled(value: Fraction, exponent: int) -> Fraction:
    if abs(exponent) > _EXPONENT:
        raise _Unreadable
    return value * Fraction(10) ** exponent


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 40_000:
        raise _Unreadable
    return value


def _rounded(value: float) -> Fraction:
    if not math.isfinite(value):
        raise _Unreadable
    return Fraction(value)
