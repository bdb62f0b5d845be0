"""Named moments of the commit path, so that a test can stop the process (or fail a call) at each of them.

A fail point is a callable that gets the moment's name. In ordinary use it does nothing; a kill harness sends
itself SIGKILL there, a disk-full test raises OSError. Nothing here knows what is being committed.
"""

from __future__ import annotations

from collections.abc import Callable

FailPoint = Callable[[str], None]

FAIL_POINTS: tuple[str, ...] = (
    "open.directory",  # the run's directory exists, nothing is in it
    "open.locked",  # the lock is held, the log may not exist yet
    "migrate.backed_up",  # an older log was copied aside, its schema is still the old one
    "migrate.applied",  # the schema's statements ran, their transaction is still open
    "migrate.committed",  # the schema is durable
    "blob.started",  # the blob's temporary file exists and is empty
    "blob.written",  # every byte was written, but may not be on the disk yet
    "blob.synced",  # the bytes are on the disk under the temporary name
    "blob.replaced",  # the blob has its name, the directory entry may not be on the disk
    "blob.durable",  # the blob is durable, no event names it yet
    "event.started",  # the transaction is open, nothing was inserted
    "event.inserted",  # the rows are inserted, the transaction is still open
    "event.committed",  # the event is durable, the caller does not know yet
)


def no_fail_point(name: str) -> None:
    """The ordinary fail point: does nothing."""
