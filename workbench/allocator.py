"""The C library's allocator: returning memory that it keeps although nothing uses it. Knows nothing of what used it."""

from __future__ import annotations

import ctypes


def trim() -> bool:
    """Return the allocator's unused memory to the system; False where there was none, or it cannot be asked.

    In glibc each thread that allocates has its own arena, and tensors of ever-changing sizes leave holes in all of
    them, so that a process with many threads holds more and more unused memory as the days go by.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):  # another C library, or none that can be loaded
        return False
