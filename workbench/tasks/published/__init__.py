"""Rows in the formats in which the paper's data sets are published, as rows of the workbench's own format.

Read without a mapping: SciKnowEval (multiple choice), ToolUse, and LiveCodeBench, both as its authors publish it and as
the paper's code does.
"""

from __future__ import annotations

from workbench.tasks.published.rows import graded_row, is_published, own_row

__all__ = ["graded_row", "is_published", "own_row"]
