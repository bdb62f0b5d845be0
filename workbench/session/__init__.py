"""A session: one run directory, one policy, one lock; every step of a round as a method."""

from __future__ import annotations

from workbench.session.attempts import OnToken
from workbench.session.credit_test import CreditTest
from workbench.session.run_book import TimelineNode
from workbench.session.session import Session

__all__ = ["CreditTest", "OnToken", "Session", "TimelineNode"]
