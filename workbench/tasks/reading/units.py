"""Units of measurement: a small table with SI prefixes, and products and quotients of its entries.

A library (pint) would know more units, but it brings five packages and evaluates expressions of a text that a model
wrote; what answers need is a conversion between some hundred units, which is a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Dimensions = tuple[int, ...]  # powers of m, kg, s, A, K, mol, cd
_NONE: Dimensions = (0,) * 7


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: a value in it, times `factor`, plus `offset`, is the value in SI base units."""

    factor: Fraction
    dimensions: Dimensions
    offset: Fraction = Fraction(0)

    def times(self, other: Unit, power: int) -> Unit:
        """Multiply by a power of another unit. A temperature scale in a product counts as differences."""
        dimensions = tuple(a + power * b for a, b in zip(self.dimensions, other.dimensions, strict=True))
        return Unit(self.factor * other.factor**power, dimensions)

    def base(self, value: Fraction) -> Fraction:
        """Convert a value to SI base units."""
        return value * self.factor + self.offset


ONE = Unit(Fraction(1), _NONE)
_PREFIXES = {
    "Q": 30, "R": 27, "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "d": -1, "c": -2,
    "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12, "f": -15,
}  # fmt: skip
_PREFIX_NAMES = {
    "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2, "deci": -1, "centi": -2, "milli": -3, "micro": -6,
    "nano": -9, "pico": -12, "femto": -15,
}  # fmt: skip
# symbol | names | factor | powers of m kg s A K mol cd. Those of the first table take prefixes.
_PREFIXED = """
m | meter metre | 1 | 1
g | gram gramme | 1/1000 | 0 1
s | second sec | 1 | 0 0 1
A | ampere amp | 1 | 0 0 0 1
K | kelvin | 1 | 0 0 0 0 1
mol | mole | 1 | 0 0 0 0 0 1
cd | candela | 1 | 0 0 0 0 0 0 1
Hz | hertz | 1 | 0 0 -1
N | newton | 1 | 1 1 -2
Pa | pascal | 1 | -1 1 -2
J | joule | 1 | 2 1 -2
W | watt | 1 | 2 1 -3
C | coulomb | 1 | 0 0 1 1
V | volt | 1 | 2 1 -3 -1
F | farad | 1 | -2 -1 4 2
Ω | ohm | 1 | 2 1 -3 -2
S | siemens | 1 | -2 -1 3 2
Wb | weber | 1 | 2 1 -2 -1
T | tesla | 1 | 0 1 -2 -1
H | henry | 1 | 2 1 -2 -2
lm | lumen | 1 | 0 0 0 0 0 0 1
lx | lux | 1 | -2 0 0 0 0 0 1
Bq | becquerel | 1 | 0 0 -1
Gy | gray | 1 | 2 0 -2
Sv | sievert | 1 | 2 0 -2
L l | liter litre | 1/1000 | 3
M | molar | 1000 | -3 0 0 0 0 1
eV | electronvolt | 1.602176634e-19 | 2 1 -2
bar | bar | 100000 | -1 1 -2
cal | calorie | 4.184 | 2 1 -2
t | tonne | 1000 | 0 1
Da | dalton | 1.66053906660e-27 | 0 1
Wh | watthour | 3600 | 2 1 -2
Ah | amperehour | 3600 | 0 0 1 1
Nm | | 1 | 2 1 -2
pc | parsec | 30856775814913673 | 1
"""
_PLAIN = """
min | minute | 60 | 0 0 1
h hr hrs | hour | 3600 | 0 0 1
d | day | 86400 | 0 0 1
wk | week | 604800 | 0 0 1
yr | year | 31557600 | 0 0 1
Å Å | angstrom ångström | 1e-10 | 1
u amu | | 1.66053906660e-27 | 0 1
atm | atmosphere | 101325 | -1 1 -2
mmHg | | 133.322387415 | -1 1 -2
Torr torr | | 101325/760 | -1 1 -2
psi | | 6894.757293168 | -1 1 -2
inch | inches | 0.0254 | 1
ft | foot feet | 0.3048 | 1
yd | yard | 0.9144 | 1
mi | mile | 1609.344 | 1
mph | | 0.44704 | 1 0 -1
kph kmh | | 5/18 | 1 0 -1
lb lbs | pound | 0.45359237 | 0 1
oz | ounce | 0.028349523125 | 0 1
gal | gallon | 0.003785411784 | 3
ha | hectare | 10000 | 2
rad | radian | 1 |
° deg | degree | 0.017453292519943295 |
rpm | | 1/60 | 0 0 -1
ly | lightyear | 9460730472580800 | 1
hp | horsepower | 745.69987158227022 | 2 1 -3
ppm | | 1e-6 |
ppb | | 1e-9 |
"""
_SCALES = {  # temperatures: the only units with another zero
    "°C": Unit(Fraction(1), (0, 0, 0, 0, 1, 0, 0), Fraction("273.15")),
    "°F": Unit(Fraction(5, 9), (0, 0, 0, 0, 1, 0, 0), Fraction("459.67") * Fraction(5, 9)),
}
_SPELLED = (
    (re.compile(r"\\(?:degree|circ)(?![a-z])|\^\s*\{?\s*(?:\\circ|∘)\s*\}?|º|˚|∘"), "°"),
    (re.compile(r"(?:°|\bdeg(?:rees?)?)\s*(?:C\b|celsius\b)|\bcelsius\b|℃", re.IGNORECASE), "°C"),
    (re.compile(r"(?:°|\bdeg(?:rees?)?)\s*(?:F\b|fahrenheit\b)|\bfahrenheit\b|℉", re.IGNORECASE), "°F"),
    (re.compile(r"\\(?:Omega|ohm)(?![a-z])|Ω"), "Ω"),
    (re.compile(r"\\(?:mu|micro)(?![a-z])\s*"), "µ"),
    (re.compile(r"\\(?:AA|angstrom)(?![a-z])"), "Å"),
    (re.compile(r"(?<!\s)\s+per\s+"), "/"),
)
_FACTOR = re.compile(r"(?P<symbol>°[CF]?|[^\W\d_]+)(?:\^\{?\(?(?P<power>[-+]?\d)\)?\}?|(?P<bare>-?\d)(?![\d.]))?")
_NOT_UNITS = {"pH", "PS", "Gs", "has", "mad", "as", "am", "at"}  # read otherwise in prose


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Unit]:
    table: dict[str, Unit] = {}
    for rows, prefixed in ((_PLAIN, False), (_PREFIXED, True)):
        for row in rows.strip().splitlines():
            symbols, names, factor, powers = (field.strip() for field in row.split("|"))
            given = [int(power) for power in powers.split()]
            unit = Unit(Fraction(factor), (*given, *_NONE[len(given) :]))
            spelled = [*symbols.split(), *(name + end for name in names.split() for end in ("", "s"))]
            for symbol in spelled:
                table[symbol] = unit
            scales = (
                [(symbols.split(), _PREFIXES), (spelled[len(symbols.split()) :], _PREFIX_NAMES)] if prefixed else []
            )
            for words, prefixes in scales:
                for word in words:
                    for prefix, power in prefixes.items():
                        scaled = Unit(unit.factor * Fraction(10) ** power, unit.dimensions)
                        table.setdefault(prefix + word, scaled)
    return {**table, **_SCALES}


def unit_at(text: str, place: int) -> tuple[Unit, int] | None:
    """Read the longest unit that begins at a place of a `spelled` text: it, and where it ends; None where none does.

    What stands behind a slash is divided by, up to a space: J/(mol K), J/mol·K, m/s^2, W/m^2/K.
    """
    unit, end, power = ONE, place, 1
    bracket = False
    while True:
        match = re.compile(r"\s*(?P<sign>[*/])?\s*(?P<open>\()?\s*").match(text, end)
        assert match is not None  # it may be empty
        if match["sign"] == "/":
            power = -1
        elif match["sign"] is None and " " in match.group() and not bracket:
            power = 1
        factor = _FACTOR.match(text, match.end())
        known = factor and _known(factor["symbol"])
        if factor is None or known is None or (end > place and match.end() == end):
            break
        unit = (
            known
            if end == place and not factor["power"] and not factor["bare"] and power == 1
            else unit.times(known, power * int(factor["power"] or factor["bare"] or 1))
        )
        bracket, end = bracket or match["open"] is not None, factor.end()
        if bracket and (closing := re.compile(r"\s*\)").match(text, end)):
            bracket, end = False, closing.end()
    return (unit, end) if end > place and not bracket else None


def spelled(text: str) -> str:
    """Write degrees, ohms and the like in a `plain` text as the table does."""
    for pattern, symbol in _SPELLED:
        text = pattern.sub(symbol, text)
    return text


def parse_unit(text: str) -> Unit | None:
    """Read a text that is one unit and nothing else; an empty one is a pure number."""
    text = spelled(text).strip()
    if not text:
        return ONE
    read = unit_at(text, 0)
    return read[0] if read and not text[read[1] :].strip() else None


def _known(symbol: str) -> Unit | None:
    if symbol in _NOT_UNITS:
        return None
    table = _table()
    return table.get(symbol) or (table.get(symbol.lower()) if len(symbol) > 3 else None)
