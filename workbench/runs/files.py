"""The file system, for all parts of a run: durable directories, and sentences for its errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from workbench.errors import RunError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def sync_directory(path: Path) -> None:
    """Make the names inside a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
