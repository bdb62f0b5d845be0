"""A program: `python tests/without_namespaces.py COMMAND...` runs a command as in a strict container.

For the command and all that it starts, the kernel has no user namespaces, no other new namespaces and no Landlock. It
is a system-call filter as container engines set one; it needs no rights and cannot be taken off again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# Kernel name of the machine -> (its audit number, unshare, setns, clone).
MACHINES = {"x86_64": (0xC000003E, 272, 308, 56), "aarch64": (0xC00000B7, 97, 268, 220)}
CLONE3, LANDLOCK = 435, (444, 445, 446)  # the same numbers on every machine
NEW_NAMESPACES = 0x7E020000  # flags CLONE_NEW*: namespaces of files, groups, names, messages, users, processes, network
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def refusing(machine: str) -> bytes:
    """The filter's program for a machine."""
    audit, unshare, setns, clone = MACHINES[machine]
    # The C library falls back from clone3, whose flags a filter cannot see, to clone where the kernel has none.
    absent, refused = ERROR | errno.ENOSYS, ERROR | errno.EPERM
    steps = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, audit),
        (0x06, 0, 0, KILL),
        (0x20, 0, 0, 0),  # load the call's number
    ]
    for number, answer in [(unshare, refused), (setns, refused), (CLONE3, absent), *((n, absent) for n in LANDLOCK)]:
        steps += [(0x15, 0, 1, number), (0x06, 0, 0, answer)]
    steps += [
        (0x15, 0, 3, clone),
        (0x20, 0, 0, 16),  # load the lower half of its flags
        (0x45, 0, 1, NEW_NAMESPACES),  # any of them
        (0x06, 0, 0, refused),
        (0x06, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def confine() -> None:
    """Put this process, and all that it starts, under the filter. Raises OSError."""
    program = refusing(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    pointed = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(buffer))
    for arguments in [(38, 1, 0, 0, 0), (22, 2, ctypes.create_string_buffer(pointed, len(pointed)), 0, 0)]:
        if libc.prctl(*arguments):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
            raise OSError(ctypes.get_errno(), "the system-call filter cannot be set")


if __name__ == "__main__":
    confine()
    os.execvp(sys.argv[1], sys.argv[1:])
