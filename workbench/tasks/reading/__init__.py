"""Reading an answer: what an attempt's text says, without its reasoning. Pure functions of text; no verdicts."""

from __future__ import annotations

from workbench.tasks.reading.reasoning import Split, split_reasoning

__all__ = ["Split", "split_reasoning"]
