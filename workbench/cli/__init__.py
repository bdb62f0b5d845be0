"""The commands: `sdpo-workbench COMMAND`, the same as `python -m workbench COMMAND`. Knows nothing of tensors.

With `--json` a command prints one line per committed event, `{"event": id, "kind": ...}`, as soon as it is durable,
and a summary object last; without it, tables for people. Exit status: 0, 2 for a mistake that a person can act on
(one sentence on stderr), 1 for a bug (with its traceback). `app` serves the page; no other command loads Gradio.
"""

from __future__ import annotations

from workbench.cli.commands import main

__all__ = ["main"]
