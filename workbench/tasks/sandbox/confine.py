"""Confinement of a process on Linux, which it applies to itself before it runs a program; source, as `program.py`.

Where a task allows threads, the kernel asks the harness about each: system calls are the only thing that counts them
for every user, and a limit on their number that a program cannot get round needs an asker that runs nothing of it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STACK = 120 * 2**20  # bytes; the kernel keeps 128 MiB free below a stack, whatever its limit was at the start
_ASK, _ANSWER = 0xC0502100, 0xC0182101  # ioctl: SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_CONTINUE, _EAGAIN = 1, 11


def restrict_files(libc: Any, readable: list[str]) -> None:
    """Apply Landlock: from here on this process reads below these folders and writes nowhere. Raises OSError.

    Needs no_new_privs. The three system calls have the same numbers on every architecture (444 to 446).
    """
    call, ulong = libc.syscall, ctypes.c_ulong
    version = call(444, None, ulong(0), ctypes.c_uint(1))  # landlock_create_ruleset(LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        raise OSError(ctypes.get_errno(), "this kernel has no Landlock")
    everything = {1: 0x1FFF, 2: 0x3FFF}.get(version, 0x7FFF)  # every right over files that the version knows
    reading = 0x1 | 0x4 | 0x8  # execute, read file, list folder
    ruleset = call(444, ctypes.create_string_buffer(struct.pack("Q", everything), 8), ulong(8), ctypes.c_uint(0))
    failed = ruleset < 0
    for path in readable:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("<Qi", reading, folder), 12)
        failed |= call(445, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)) != 0
        os.close(folder)
    if failed or call(446, ctypes.c_int(ruleset), ctypes.c_uint(0)):
        raise OSError(ctypes.get_errno(), "Landlock refused the rules")
    os.close(ruleset)


def lock_down(job: dict[str, Any], guard: Any = None) -> None:
    """Set limits, drop capabilities and privileges, install the filter. Raises OSError: then nothing may run.

    `guard`: a socket to the harness, which is handed the descriptor over which it is asked about each thread; None
    where no thread may be started.
    """
    _set_limits(job["limits"], threads=guard is not None)
    libc = ctypes.CDLL(None, use_errno=True)
    program = bytes.fromhex(job["filter" if guard is None else "thread_filter"])
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))  # capabilities, version 3, this process
    ulong = ctypes.c_ulong
    no_capabilities = libc.capset(header, bytes(24))  # empty sets
    no_new_privileges = libc.prctl(38, ulong(1), ulong(0), ulong(0), ulong(0))  # PR_SET_NO_NEW_PRIVS
    if no_capabilities or no_new_privileges:
        raise OSError(ctypes.get_errno(), "this system cannot drop privileges")
    if job["readable"] is not None:
        restrict_files(libc, job["readable"])
    if guard is None:
        failed = libc.prctl(22, ulong(2), filter_program, ulong(0), ulong(0))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    else:
        libc.mallopt(-8, 1)  # M_ARENA_MAX: every further arena would reserve a good part of the memory
        # seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER)
        listener = libc.syscall(ctypes.c_long(job["seccomp"]), ulong(1), ulong(8), filter_program)
        failed = listener < 0
        if not failed:
            guard.sendmsg([b"."], [(1, 1, struct.pack("i", listener))])  # SOL_SOCKET, SCM_RIGHTS
            os.close(listener)
        guard.close()
    if failed:
        raise OSError(ctypes.get_errno(), "this system cannot filter system calls")


def _set_limits(limits: dict[str, int], *, threads: bool) -> None:
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    amounts = {
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_STACK: _STACK if hard == resource.RLIM_INFINITY else min(hard, _STACK),
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
    }
    if not threads:
        amounts[resource.RLIMIT_NPROC] = 0  # with threads it would count all else that this user runs
    for name, amount in amounts.items():
        resource.setrlimit(name, (amount, amount))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))  # SIGXCPU, then SIGKILL


class Guard:
    """The harness's side: it lets a process start a number of threads, and no more."""

    def __init__(self, threads: int) -> None:
        import _socket  # only where it is needed

        self._left, self._listener = threads, -1
        self._ours, self.theirs = _socket.socketpair()

    def enter(self, *, asks: bool) -> None:
        """In a forked process: close the harness's end, and where it may start no threads, its own as well."""
        self._ours.close()
        if not asks:
            self.theirs.close()

    def take(self) -> None:
        """Take the descriptor that the process sent, once it has been forked; none comes if it ended before."""
        self.theirs.close()
        received = self._ours.recvmsg(1, 64)[1]
        if received:
            (self._listener,) = struct.unpack("i", received[0][2][:4])
        self._ours.close()

    def wait(self, descriptor: int) -> None:
        """Answer the kernel's questions until there is something to read on a descriptor."""
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if self._listener >= 0:
            poll.register(self._listener, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._listener in ready:
                if ready[self._listener] & select.POLLIN:
                    self._answer()
                else:  # the process has ended
                    poll.unregister(self._listener)
            if descriptor in ready:
                return

    def _answer(self) -> None:
        import fcntl

        question = bytearray(80)  # struct seccomp_notif
        try:
            fcntl.ioctl(self._listener, _ASK, question)
            (number,) = struct.unpack_from("Q", question)
            error, flags = (0, _CONTINUE) if self._left > 0 else (-_EAGAIN, 0)
            self._left -= 1
            fcntl.ioctl(self._listener, _ANSWER, struct.pack("QqiI", number, 0, error, flags))
        except OSError:  # whoever asked is gone
            return

    def close(self) -> None:
        """Close the descriptor; whoever still asks is refused."""
        if self._listener >= 0:
            os.close(self._listener)
