"""Programs for the sandbox's tests, and which tiers this machine has."""

from __future__ import annotations

from functools import lru_cache

from workbench.tasks.sandbox import Limits, SandboxResult, run_python
from workbench.tasks.sandbox.run import DEFAULT_LIMITS, open_doors
from workbench.tasks.sandbox.tiers import Tier, why_not


def call(*args: object) -> dict[str, object]:
    return {"function": "f", "args": list(args)}


def value_of(body: str, *args: object, limits: Limits = DEFAULT_LIMITS) -> SandboxResult:
    """Runs `def f(*args)` with this body."""
    lines = "\n".join("    " + line for line in body.splitlines())
    return run_python(f"def f(*args):\n{lines}\n", [call(*args)], limits=limits)


@lru_cache
def has(tier: Tier) -> bool:
    """True where a tier holds on this machine."""
    return why_not(tier) is None and not open_doors(tier)
