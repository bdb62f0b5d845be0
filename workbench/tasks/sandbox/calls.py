"""System calls that a model-written program is refused, as a filter that the kernel applies to it.

What a program may still call reaches nothing but its own memory and the files that its tier leaves open.
"""

from __future__ import annotations

import errno
import struct
from functools import lru_cache

from workbench.errors import SandboxError

# Linux system calls that end in EPERM, by machine: (x86_64, aarch64), None where the machine has no such call.
FORBIDDEN_CALLS: dict[str, tuple[int | None, int | None]] = {
    # no processes or threads: RLIMIT_NPROC does not bind root
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    # no other process: neither its signals, memory and descriptors, nor its limits, priority and processors
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # nothing that outlives the process, or that the limits do not count
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # no network, and no calls of the kernel that only widen what can be attacked
    "socket": (41, 198),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    # no other view of the file system
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # no change to a file's owner, mode, times or attributes: Landlock leaves those open
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
# Flags with which a C library starts a thread: it shares memory, files, signals and process with the others. glibc's,
# and those of musl, which adds one that does nothing.
THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
_X32_BIT = 0x40000000  # x86_64 calls through the x32 table carry this bit; they would slip past the numbers above


@lru_cache(maxsize=2)
def system_call_filter(machine: str, *, threads: bool = False) -> bytes:
    """Build a classic BPF program (array of struct sock_filter) that refuses the calls above with EPERM.

    With `threads`, a `clone` that starts a thread and nothing else is asked about (SECCOMP_RET_USER_NOTIF), and
    `clone3`, whose flags a filter cannot see, does not exist (ENOSYS): C libraries then use `clone`. Raises
    SandboxError for a machine whose calls are not in the table.
    """
    if machine not in _AUDIT_ARCH:
        raise SandboxError(
            f"Model-written code is confined on {' and '.join(_AUDIT_ARCH)} only, and this machine is {machine}; "
            "use tasks that run no code."
        )
    column = ("x86_64", "aarch64").index(machine)
    numbers = [row[column] for row in FORBIDDEN_CALLS.values() if row[column] is not None]
    load, jump_equal, jump_at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse, ask, missing = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x7FC00000, 0x00050000 | errno.ENOSYS
    rules: list[tuple[int, int, int, int]] = []
    if threads:
        clone, clone3 = FORBIDDEN_CALLS["clone"][column], FORBIDDEN_CALLS["clone3"][column]
        assert clone is not None and clone3 is not None
        flags = [(jump_equal, len(THREAD_FLAGS) - index, 0, value) for index, value in enumerate(THREAD_FLAGS)]
        rules = [
            (jump_equal, 0, 1, clone3),
            (give, 0, 0, missing),
            (jump_equal, 0, 5 + len(flags), clone),
            (load, 0, 0, 20),  # seccomp_data.args[0], upper half
            (jump_equal, 0, 1 + len(flags), 0),
            (load, 0, 0, 16),  # seccomp_data.args[0], lower half: the flags
            *flags,
            (give, 0, 0, refuse),
            (give, 0, 0, ask),
        ]
    steps = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (jump_equal, 1, 0, _AUDIT_ARCH[machine]),  # another architecture: refuse
        (give, 0, 0, refuse),
        (load, 0, 0, 0),  # seccomp_data.nr
        *rules,
        (jump_at_least, len(numbers) + 1, 0, _X32_BIT),
        *((jump_equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
