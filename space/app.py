"""A hub Space: a stored run to look at; live, where the secret WORKBENCH_AUTH has a name and a password for it.

The run is the archive `run.zip` beside this file if there is one, else a first round, made here when the Space starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from workbench.cli import main
from workbench.launch import AUTH

ARCHIVE = Path(__file__).resolve().parent / "run.zip"
RUN = Path("runs/demo")
PAGE = ["app", "--host", "0.0.0.0", "--port", os.environ.get("PORT", "7860"), "--embedded-in", "https://huggingface.co"]


def prepare() -> int:
    """Put the run in its place; the status of the first command that fails, or 0."""
    if RUN.exists():
        return 0
    if ARCHIVE.exists():
        return main(["import", str(ARCHIVE), str(RUN)])
    for command in (["attempt"], ["credit", "--contexts", "all"], ["update"]):
        if status := main([*command, "--run", str(RUN)]):
            return status
    return 0


if __name__ == "__main__":
    if os.environ.get(AUTH):
        sys.exit(main([*PAGE, "--run", str(RUN)]))
    sys.exit(prepare() or main([*PAGE, "--replay", str(RUN)]))
