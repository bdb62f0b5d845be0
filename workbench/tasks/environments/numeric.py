"""The environment `numeric`: a number, with a unit where the task names one, within a tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from workbench.errors import TaskError
from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.environment import Environment
from workbench.tasks.fields import AnswerField
from workbench.tasks.reading.numbers import Number, parse_number
from workbench.tasks.reading.quantities import Quantity, read_quantity
from workbench.tasks.reading.units import ONE, Unit, parse_unit
from workbench.tasks.sandbox import SandboxResult

_USUAL = Fraction(1, 10**6)  # relative, of a value that is written with decimals
_ROUNDING = Fraction(1, 10**9)  # of values that hold a root or pi
_PERCENT = Unit(Fraction(1, 100), ONE.dimensions)


class Numeric(Environment):
    """A number as people write it. docs/graders.md says what is read, and what counts as equal."""

    name = "numeric"
    label = "a number"
    needs = (
        'value: the right number, as {"value": "3.5"}; optional: unit, as "m/s"; tolerance, relative as 0.01 or '
        '{"relative": 0.01}, or {"absolute": 0.1} in the unit; decimal, "," where 1,234 means 1.234'
    )
    answer_field = "value"
    fields = (
        AnswerField("value", "Right number", needed=True, info="As 3.5, 3/4 or 2.5e-3."),
        AnswerField("unit", "Unit", info="As m/s, kg m^2 or J/(mol K)."),
        AnswerField("relative", "Relative tolerance", "number", info="0.01 passes one per cent more or less."),
        AnswerField("absolute", "Absolute tolerance", "number", info="In the unit."),
    )

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read both tolerances as one field of the answer."""
        answer = super().filled(values)
        tolerance = {name: answer.pop(name) for name in ("relative", "absolute") if name in answer}
        return {**answer, "tolerance": tolerance} if tolerance else answer

    def check(self, task: Task) -> None:
        """Require a number that can be read, and a unit and a tolerance that can."""
        answer = task.answer
        value, unit = answer.get("value"), answer.get("unit", "")
        self.require(isinstance(value, int | float | str) and not isinstance(value, bool) and isinstance(unit, str))
        self.require(answer.get("decimal", ".") in (".", ","))
        if _value(task) is None:
            raise TaskError(f"The value {value!r} is not a number that can be read; write it as 3.5, 3/4 or 2.5e-3.")
        if _unit(task) is None:
            raise TaskError(f"The unit {unit!r} is not known; write it as m/s, kg m^2 or J/(mol K), or leave it out.")
        _tolerance(task)

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass a number within the tolerance. One without a unit is read in the task's unit."""
        quantity = read_quantity(text, task.answer.get("decimal", "."))
        right, unit = _value(task), _unit(task)
        assert right is not None and unit is not None  # checked
        if quantity is None:
            return self.judgement(False, [FeedbackPart("format", "No number was found in the answer.")], read_as="")
        if quantity.number is None:
            several = FeedbackPart("format", f"{quantity.shown} is more than one number; answer with one.")
            return self.judgement(False, [several], read_as=quantity.shown)
        unit_name = str(task.answer.get("unit", ""))
        answer = FeedbackPart("answer", f"The right answer is {task.answer['value']} {unit_name}".rstrip() + ".")
        if unit_name and quantity.unit is not None and not _fits(quantity.unit, unit):
            wrong = FeedbackPart("format", f"{quantity.shown} is not in a unit of the kind of {unit_name}.")
            return self.judgement(False, [wrong, answer], read_as=quantity.shown)
        passed = any(_is_right(task, value, right, unit) for value in _values(quantity, unit, bool(unit_name)))
        outcome = FeedbackPart("outcome", f"{quantity.shown} is not the right number.")
        return self.judgement(passed, [outcome, answer], read_as=quantity.shown)


def _fits(given: Unit, expected: Unit) -> bool:
    """Tell whether a value in one unit can be one in the other; 25 C stands for 25 °C."""
    return given.dimensions == expected.dimensions or (bool(expected.offset) and given == parse_unit("C"))


def _values(quantity: Quantity, unit: Unit, has_unit: bool) -> list[Number]:
    """Values of a quantity in base units, as the task may mean them."""
    number = quantity.number
    assert number is not None
    if not has_unit:
        return [number]  # a unit is no matter: 42 apples are 42
    if unit == _PERCENT:  # a bare 50 is in the unit that was asked for, and 0.5 is the same share
        share = Number(number.value / 100, number.exact, False)
        return [number] if number.percent else [share, number]
    given = quantity.unit if quantity.unit is not None and quantity.unit.dimensions == unit.dimensions else unit
    return [Number(given.base(number.value), number.exact, False)]


def _is_right(task: Task, given: Number, right: Number, unit: Unit) -> bool:
    base = right.value if right.percent else unit.base(right.value)
    relative, absolute = _tolerance(task)
    if relative is None and absolute is None:
        written = str(task.answer["value"])
        is_whole = right.value.denominator == 1 and not set(written) & set(".,/eE\\")
        relative = Fraction(0) if is_whole else _USUAL
    allowed = max((relative or 0) * abs(base), (absolute or 0) * unit.factor)
    if not (given.exact and right.exact):
        allowed = max(allowed, _ROUNDING * abs(base))
    return abs(given.value - base) <= allowed


def _value(task: Task) -> Number | None:
    value = task.answer["value"]
    return parse_number(value, task.answer.get("decimal", ".")) if isinstance(value, str) else parse_number(repr(value))


def _unit(task: Task) -> Unit | None:
    name = str(task.answer.get("unit", "")).strip()
    value = _value(task)
    return _PERCENT if name == "%" or (value is not None and value.percent and not name) else parse_unit(name)


def _tolerance(task: Task) -> tuple[Fraction | None, Fraction | None]:
    """Relative and absolute tolerance of a task. Raises TaskError where it is something else."""
    given = task.answer.get("tolerance")
    fields = given if isinstance(given, Mapping) else {} if given is None else {"relative": given}
    read = {name: parse_number(str(value)) for name, value in fields.items() if not isinstance(value, bool)}
    if len(read) < len(fields) or not read.keys() <= {"relative", "absolute"}:
        raise TaskError('The tolerance must be a number, {"relative": 0.01} or {"absolute": 0.1}.')
    values = {name: number.value for name, number in read.items() if number is not None and number.value >= 0}
    if len(values) < len(read):
        raise TaskError("The tolerance must be a number from 0 on.")
    return values.get("relative"), values.get("absolute")
