"""The sandbox: model-written Python runs where it can do no harm, and each result says how it was confined."""

from __future__ import annotations

from workbench.tasks.sandbox.results import CallError, Limits, Program, SandboxResult, Tier, packed, shown
from workbench.tasks.sandbox.run import (
    allow_unsafe,
    choose_tier,
    confinement,
    forbid,
    prepare,
    run_many,
    run_python,
    use_tier,
)
from workbench.tasks.sandbox.tiers import PREPARING

__all__ = [
    "PREPARING",
    "CallError",
    "Limits",
    "Program",
    "SandboxResult",
    "Tier",
    "allow_unsafe",
    "choose_tier",
    "confinement",
    "forbid",
    "packed",
    "prepare",
    "run_many",
    "run_python",
    "shown",
    "use_tier",
]
