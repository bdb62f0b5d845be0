"""How the helper process of the WebAssembly tier is started, and how it is handed what it needs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_KEPT_VARIABLES = ("SYSTEMROOT",)  # without it Windows starts no Python


def worker_process(command: str) -> dict[str, Any]:
    """Arguments of `subprocess` for a helper process: no inherited environment, nothing from the working directory."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment["PYTHONPATH"] = str(Path(__file__).parents[4])  # where the package lies
    line = [sys.executable, "-P", "-s", "-B", "-X", "utf8", "-m", "workbench.tasks.sandbox.wasm.worker", command]
    return {"args": line, "env": environment, "cwd": os.path.abspath(os.sep)}


def parts(*given: bytes) -> bytes:
    """What a helper process reads first: a line with the sizes of some parts, and the parts."""
    return b"".join([json.dumps([len(part) for part in given]).encode(), b"\n", *given])
