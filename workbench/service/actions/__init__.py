"""The actions: one typed function per verb, grouped by what they act on."""

from __future__ import annotations

from workbench.service.action import Action, Immediate
from workbench.service.actions import (
    compare,
    discovery,
    experiments,
    learning,
    lift,
    round,
    runs,
    status,
    studies,
    tasks,
    timeline,
    tokens,
)

MODULES = (status, tasks, round, lift, tokens, timeline, compare, learning, discovery, studies, experiments, runs)


def every_action() -> dict[str, Action | Immediate]:
    """All actions by name, in the order of the page."""
    declared = (value for module in MODULES for value in vars(module).values() if isinstance(value, Action | Immediate))
    return {action.name: action for action in declared}
