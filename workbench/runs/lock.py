"""One writer per run: `flock` on `.lock`, which holds the owner's process id for the error that a second one gets.

The kernel drops the lock with the process, however it ends, so a stale file never blocks anyone. The file itself
stays: removing it would let two processes lock two different files of the same name.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from workbench.errors import RunError
from workbench.runs.files import disk_error


class RunLock:
    """The exclusive lock on one run directory, held from construction to `release()`.

    Raises RunError when another opening holds it (the sentence names the process) or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_error(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            owner = _owner(descriptor)
            os.close(descriptor)
            raise RunError(
                f"This run is open in process {owner}; close it there, or open it here read-only ({path.parent})."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise disk_error(path, error) from error
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def _owner(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    # Between another process's flock and its write, the file is empty or names its predecessor.
    return text if text.isdigit() else "(unknown)"
