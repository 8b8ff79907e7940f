# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The seccomp filter that `jailer` installs: it refuses the calls by which QEMU could do what Landlock has no rule for.

A user's QEMU is that user: with these calls it could connect to the user's sockets, change the mode of files, and set
the limits of other processes or stop them.  QEMU's own filter (-sandbox) forbids other things, and both hold.
Refused calls fail with EPERM; calls newer than this table with ENOSYS, which libraries take for an older kernel.

Classic BPF: Linux, Documentation/userspace-api/seccomp_filter.rst; <linux/seccomp.h>, <linux/bpf_common.h>.  Numbers
are those of <asm/unistd_64.h>.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from netvm_build.model.architecture import X86_64

Instruction = tuple[int, int, int, int | None]
"""struct sock_filter: code, jt, jf, k.  None stands for the process's own id, which its installer fills in."""

# BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGE|BPF_K, BPF_RET|BPF_K, BPF_ALU|BPF_AND|BPF_K
LOAD, EQUAL, AT_LEAST, RETURN, MASK = 0x20, 0x15, 0x35, 0x06, 0x54
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16  # offsets in struct seccomp_data
X32_BIT = 0x40000000
ALL_BITS = 0xFFFFFFFF
REFUSE, NOT_THERE = ERROR | errno.EPERM, ERROR | errno.ENOSYS
FIRST_UNKNOWN = 463
"""The call after the newest that this table was written for: mseal, of Linux 6.10."""

OWN_PID = None
NEW_NAMESPACES = 0x7E020000  # all CLONE_NEW… flags that clone(2) takes
PR_SCHED_CORE = 62
F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY = 8, 10, 15, 1026  # signals to other processes; fcntl(2)
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902  # the same
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # input for the reader of a terminal
FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820  # attributes of files


@dataclass(frozen=True)
class Judged:
    """A call that one argument decides: `number`'s low 32 bits, masked, are one of `values`, or aren't."""

    number: int
    argument: int
    values: tuple[int | None, ...]
    listed: int
    other: int
    mask: int = ALL_BITS


REFUSED = {
    # The mode, owner, times and attributes of files.
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93, "lchown": 94,
    "fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
    # Sockets with no name can still send to one that has.
    "socketpair": 53,
    # What other processes may use, and how they are scheduled.
    "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203,
    "sched_setattr": 314, "ioprio_set": 251, "migrate_pages": 256, "move_pages": 279,
    # Signals to others, and their memory and files.
    "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440, "process_mrelease": 448,
    "kcmp": 312, "get_robust_list": 274,
    # Memory, semaphores and queues that are shared by a number or name.
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220, "msgget": 68,
    "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
    # Files by other means than opening them by their path, and who is told of a change of one.
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "statmount": 457, "listmount": 458,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "inotify_init": 253, "inotify_init1": 294,
    "fanotify_init": 300, "fanotify_mark": 301,
    # Namespaces, and parts of the kernel that QEMU doesn't need and that have had many flaws.
    "unshare": 272, "setns": 308, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "modify_ldt": 154, "personality": 135, "syslog": 103, "lookup_dcookie": 212,
}  # fmt: skip
TKILL, CONNECT = 200, 42


def judged(*, network: bool) -> dict[str, Judged]:
    """Calls that are refused with some arguments.  See `program`."""
    families = (socket.AF_INET, socket.AF_INET6) if network else ()
    return {
        "ioctl": Judged(
            16, 1, (FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR), REFUSE, ALLOW
        ),
        "fcntl": Judged(72, 1, (F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY), REFUSE, ALLOW),
        "prctl": Judged(157, 0, (PR_SCHED_CORE,), REFUSE, ALLOW),
        "clone": Judged(56, 0, (0,), ALLOW, REFUSE, mask=NEW_NAMESPACES),
        "socket": Judged(41, 0, tuple(map(int, families)), ALLOW, REFUSE),
        "kill": Judged(62, 0, (OWN_PID,), ALLOW, REFUSE),
        "tgkill": Judged(234, 0, (OWN_PID,), ALLOW, REFUSE),
        "prlimit64": Judged(302, 0, (0, OWN_PID), ALLOW, REFUSE),
    }


def program(*, network: bool = False, scoped: bool = False) -> tuple[Instruction, ...]:
    """The filter; empty on another machine than x86-64.

    `network`: it makes sockets of the Internet.  `scoped`: Landlock keeps its signals to itself, so that tkill(2), by
    which some C libraries wake a thread, can be allowed.  Without `network` it connects no socket that it was handed
    over, either.
    A call by the i386 or x32 interface, which have numbers of their own, kills the process.
    """
    if os.uname().machine != X86_64.name:
        return ()
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, X86_64.audit_arch),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, 0, 1, X32_BIT),
        (RETURN, 0, 0, KILL),
        (AT_LEAST, 0, 1, FIRST_UNKNOWN),
        (RETURN, 0, 0, NOT_THERE),
        # clone3(2) has its flags in memory; the C library then uses clone(2).
        (EQUAL, 0, 1, 435),
        (RETURN, 0, 0, NOT_THERE),
    ]
    for call in judged(network=network).values():
        code += _block(call)
    more = (*(() if scoped else (TKILL,)), *(() if network else (CONNECT,)))
    for number in (*REFUSED.values(), *more):
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    return (*code, (RETURN, 0, 0, ALLOW))


def _block(call: Judged) -> Iterator[Instruction]:
    """The instructions that judge a call, passed over by any other."""
    tests: list[Instruction] = [(LOAD, 0, 0, ARGUMENTS_AT + 8 * call.argument)]
    if call.mask != ALL_BITS:
        tests.append((MASK, 0, 0, call.mask))
    tests += [(EQUAL, len(call.values) - place, 0, value) for place, value in enumerate(call.values)]
    yield (EQUAL, 0, len(tests) + 2, call.number)
    yield from tests
    yield (RETURN, 0, 0, call.other)
    yield (RETURN, 0, 0, call.listed)
