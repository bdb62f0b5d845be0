"""A session: one run directory, one policy, one lock; every step of a round as a method."""

from __future__ import annotations

from workbench.session.attempts import OnToken
from workbench.session.session import Session, TimelineNode

__all__ = ["OnToken", "Session", "TimelineNode"]
