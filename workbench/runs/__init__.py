"""A durable run: append-only events, content-addressed blobs, the head. Knows nothing of models."""

from __future__ import annotations

from workbench.runs.run import Run
from workbench.runs.state import RunState
from workbench.runs.store import Event
from workbench.runs.timeline import ROOT, Node, Timeline
from workbench.runs.verify import Verification, verify

__all__ = ["ROOT", "Event", "Node", "Run", "RunState", "Timeline", "Verification", "verify"]
