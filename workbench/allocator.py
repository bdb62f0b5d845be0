"""The C library's allocator: memory that it keeps for later although nothing uses it. Knows nothing of what used it."""

from __future__ import annotations

import ctypes


def trim() -> bool:
    """Give the system back what the allocator keeps unused; False where there was nothing, or no way to ask.

    Each thread that allocates has an arena of its own in glibc, and tensors of ever other sizes leave holes in all of
    them, so that a process that serves many threads for days holds more and more that nothing uses.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):  # another C library; a system without one to ask
        return False
