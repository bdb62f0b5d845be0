"""One writer per run: a lock on the file `.lock`, which holds the owner's process id for the error a second one gets.

The system drops the lock with the process, however it ends, so a stale file never blocks anyone. The file itself
stays: removing it would let two processes lock two different files of the same name.
"""

from __future__ import annotations

import os
from pathlib import Path

from filelock import lock_descriptor

from workbench.errors import RunError
from workbench.runs.files import disk_error

_OWNER = 1  # offset of the process id: where the lock is one of Windows, nobody else can read the first byte


class RunLock:
    """The exclusive lock on one run directory, held from construction to `release()`.

    Raises RunError when another opening holds it (the sentence names the process) or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise disk_error(path, error) from error
        try:
            if not lock_descriptor(descriptor, blocking=False):
                raise RunError(
                    f"This run is open in process {_owner(descriptor)}; close it there, or open it here read-only "
                    f"({path.parent})."
                )
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b" " * _OWNER + str(os.getpid()).encode())
        except OSError as error:
            os.close(descriptor)
            raise disk_error(path, error) from error
        except RunError:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def _owner(descriptor: int) -> str:
    os.lseek(descriptor, _OWNER, os.SEEK_SET)
    text = os.read(descriptor, 32).decode("ascii", "replace").strip()
    # Between another process's lock and its write, the file is empty or names its predecessor.
    return text if text.isdigit() else "(unknown)"
