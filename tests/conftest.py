"""What tests share. Hypothesis draws the same examples each time, however slow the machine is."""

from __future__ import annotations

import os

# For small models threads cost more than they give, and programs that the tests start share the machine with them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from sandbox_programs import has

from workbench.tasks.sandbox.tiers import TIERS, Tier

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each tier of the sandbox that this machine has."""
    if not has(request.param):
        pytest.skip(f"this machine has no {request.param} tier")
    return request.param
