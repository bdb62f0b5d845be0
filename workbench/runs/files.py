"""The file system, for all parts of a run: durable directories, and sentences for its errors."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

from workbench.errors import RunError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TRIES, _PAUSE_S = 8, 0.01  # the pause doubles: 1.3 s in all


def sync_directory(path: Path) -> None:
    """Make the names inside a directory durable, where a directory can be opened (not on Windows). Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable that was written and closed. Raises OSError."""
    with path.open("r+b") as file:  # Windows syncs only what could be written to
        os.fsync(file.fileno())


def put_in_place(finished: Path, target: Path) -> None:
    """Give a file or directory its name, in one step, in place of a file that has it. Raises OSError.

    Windows refuses while anyone has one of them open, as virus scanners and indexers do for a moment with whatever is
    new, so it is tried again there.
    """
    for attempt in range(_TRIES):
        try:
            return os.replace(finished, target)
        except PermissionError:
            if sys.platform != "win32" or attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_S * 2**attempt)


def disk_error(path: Path, error: OSError) -> RunError:
    """One sentence for an operating-system error that happened while writing to or reading from `path`."""
    if error.errno in _FULL:
        return RunError(f"The disk that holds {path} is full; free some space and try again (nothing was lost).")
    if error.errno in _DENIED:
        return RunError(f"{path} cannot be written; change its permissions, or open the run read-only.")
    reason = error.strerror or str(error)
    return RunError(f"{path} cannot be used ({reason}); check the path and the disk, then try again.")


def read_only_error(run: Path) -> RunError:
    """The error for an attempt to change a run that was opened read-only."""
    return RunError(f"This run is open read-only ({run.name}); open it normally to change it.")
