"""A session: one run directory, one policy, one lock; every step of a round as a method."""

from __future__ import annotations

from workbench.session.credit_test import CreditTest
from workbench.session.history import TimelineNode
from workbench.session.session import Session
from workbench.session.writing import OnToken

__all__ = ["CreditTest", "OnToken", "Session", "TimelineNode"]
