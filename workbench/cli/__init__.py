"""Headless commands over the public API: `python -m workbench COMMAND`. Knows nothing of pages and tensors.

With `--json` a command prints one line per committed event, `{"event": id, "kind": ...}`, as soon as it is durable,
and a summary object last; without it, tables for people. Exit status: 0, 2 for a mistake that a person can act on
(one sentence on stderr), 1 for a bug (with its traceback).
"""

from __future__ import annotations

from workbench.cli.app import main

__all__ = ["main"]
