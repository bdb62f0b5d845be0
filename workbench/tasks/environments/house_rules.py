"""The environment `house-rules`: programs judged by the conventions of a house."""

from __future__ import annotations

from workbench.records import Judgement, Task
from workbench.tasks.environment import Environment, Program, is_list
from workbench.tasks.fields import AnswerField
from workbench.tasks.house_rules import pack as house_rules
from workbench.tasks.house_rules.world import parse_specification
from workbench.tasks.reading.programs import read_program
from workbench.tasks.sandbox import SandboxResult


class HouseRulesEnvironment(Environment):
    """Six calls of `f(xs)`, whose right values only the house knows."""

    name = house_rules.PACK
    label = "house rules (Write f(xs): …)"
    needs = (
        'house: its number, and checks: inputs of f, as {"house": 7, "checks": [[3, 1, 2]]}; both are made for a task '
        "that is typed"
    )
    feedback_kinds = house_rules.KINDS
    fields = (
        AnswerField(
            "house",
            "House",
            "number",
            info=f"Its number, such as 7; {house_rules.DEFAULT_HOUSE} where it is empty. The prompt is in the language "
            f"of house rules: {house_rules.FIRST_SPECIFICATION} Its checks are made from it.",
        ),
    )

    def check(self, task: Task) -> None:
        """Require a house and checks, and a prompt that can be parsed."""
        house, checks = task.answer.get("house"), task.answer.get("checks")
        self.require(
            isinstance(house, int)
            and is_list(checks)
            and bool(checks)
            and all(is_list(xs) and all(type(x) is int for x in xs) for xs in task.answer["checks"])
        )
        parse_specification(task.prompt)

    def program(self, task: Task, text: str) -> Program:
        """Give the attempt's code, and the inputs of the checks."""
        return read_program(text, ["f"], trim=False) or text, house_rules.calls(task)

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass where the program follows the house's conventions."""
        assert result is not None
        return house_rules.verdict(task, result)
