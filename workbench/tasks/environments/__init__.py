"""The built-in environments, in the order in which they are offered to people."""

from __future__ import annotations

from workbench.tasks.environment import Environment
from workbench.tasks.environments.choice import Choice
from workbench.tasks.environments.house_rules import HouseRulesEnvironment
from workbench.tasks.environments.others import MODEL, Model, Person
from workbench.tasks.environments.python import PythonTests
from workbench.tasks.environments.regex import RegularExpression
from workbench.tasks.environments.text import Contains, Exact
from workbench.tasks.environments.tool_calls import ToolCalls

BUILT_IN: tuple[Environment, ...] = (
    HouseRulesEnvironment(),
    PythonTests(),
    Exact(),
    Contains(),
    RegularExpression(),
    Choice(),
    ToolCalls(),
    Model(),
    Person(),
)

__all__ = ["BUILT_IN", "MODEL"]
