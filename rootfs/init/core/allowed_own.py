# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The system calls of services that the spec adds: one table for all of them; see allowed.py.

What a daemon in C commonly needs, with threads, and without: other processes and their memory, executing programs,
mounts, namespaces, modules, keys, BPF, io_uring, performance counters, changes of user, and devices.
"""

from __future__ import annotations

from init.core.allowed import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    EAFNOSUPPORT,
    FORK,
    LIBRARY,
    NETLINK_ROUTE,
    SOCK_DGRAM,
    SOCK_STREAM,
    TYPE_BITS,
    argument,
)
from init.core.seccomp import ALLOW, ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.config import WantedService
    from init.core.seccomp import Calls, Rule

EPERM, ENOSYS = 1, 38
SOCK_RAW = 3
THREAD = 0x003D0F00
"""Flags of pthread_create(3) in the C library: CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD, _SYSVSEM, _SETTLS,
_PARENT_SETTID, _CHILD_CLEARTID."""

SERVICE: Calls = {
    **LIBRARY,
    # The kernel can't judge clone3(2), whose flags are in memory: the C library then takes clone(2).
    "clone3": (435, (((), ERROR | ENOSYS),)),
    "sched_yield": 24, "sched_getaffinity": 204, "getcpu": 309, "membarrier": (324, (((argument(0, 0),), ALLOW),)),
    "nanosleep": 35, "exit": 60, "set_robust_list": 273, "sigaltstack": 131, "rt_sigtimedwait": 128,
    "rt_sigsuspend": 130, "pause": 34, "alarm": 37, "setitimer": 38, "getitimer": 36,
    # Waiting.
    "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270, "epoll_create": 213, "epoll_create1": 291,
    "epoll_ctl": 233, "epoll_wait": 232, "epoll_pwait": 281, "eventfd2": 290, "signalfd4": 289,
    "timerfd_create": 283, "timerfd_settime": 286, "timerfd_gettime": 287,
    "inotify_init1": 294, "inotify_add_watch": 254, "inotify_rm_watch": 255,
    # Files, in its own folder; the root is read-only.
    "readv": 19, "pwrite64": 18, "preadv": 295, "pwritev": 296, "stat": 4, "lstat": 6, "open": 2, "creat": 85,
    "statx": 332, "faccessat": 269, "faccessat2": 439, "readlink": 89, "readlinkat": 267, "getcwd": 79, "chdir": 80,
    "getdents64": 217, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "unlink": 87, "unlinkat": 263, "rename": 82,
    "renameat": 264, "renameat2": 316, "link": 86, "symlink": 88, "chmod": 90, "fchmod": 91, "fchmodat": 268,
    "umask": 95, "truncate": 76, "ftruncate": 77, "fallocate": 285, "fsync": 74, "fdatasync": 75, "utimensat": 280,
    "statfs": 137, "fstatfs": 138, "fadvise64": 221, "sendfile": 40, "copy_file_range": 326,
    "pipe": 22, "pipe2": 293, "dup": 32, "dup2": 33, "dup3": 292, "close_range": 436, "msync": 26, "mincore": 27,
    # Who and where it is; how much it has used.
    "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108, "getresuid": 118, "getresgid": 120,
    "getgroups": 115, "getppid": 110, "getpgrp": 111, "getpgid": 121, "getsid": 124, "uname": 63, "sysinfo": 99,
    "getrusage": 98, "times": 100, "getpriority": 140, "capget": 125, "getrlimit": 97,
    # PR_SET_NAME, PR_GET_NAME, PR_SET_DUMPABLE, PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_SET_NO_NEW_PRIVS, _GET_; also
    # PR_SET_VMA, which names memory and fails here.
    "prctl": (157, (((argument(0, 15, 16, 3, 4, 23, 38, 39),), ALLOW), ((argument(0, 0x53564D41),), ERROR | EPERM))),
    # FIONREAD, FIONBIO; TCGETS, TIOCGWINSZ: whether it writes to a terminal.
    "ioctl": (16, (((argument(1, 0x541B, 0x5421, 0x5401, 0x5413),), ALLOW),)),
    # Sockets of this machine: between its own parts.
    "socketpair": (53, (((argument(0, AF_UNIX),), ALLOW),)),
    "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288, "sendto": 44, "recvfrom": 45, "recvmsg": 47,
    "recvmmsg": 299, "sendmmsg": 307, "getsockname": 51, "getpeername": 52, "getsockopt": 55, "setsockopt": 54,
    "shutdown": 48,
}  # fmt: skip

NO_NETWORK: tuple[Rule, ...] = (
    ((argument(0, AF_UNIX),), ALLOW),
    ((argument(0, AF_INET, AF_INET6),), ERROR | EAFNOSUPPORT),
)
"""What `socket` may be without ports and `outgoing`."""

NETWORK: tuple[Rule, ...] = (
    ((argument(0, AF_INET), argument(1, SOCK_STREAM, SOCK_DGRAM, mask=TYPE_BITS)), ALLOW),
    ((argument(0, AF_UNIX),), ALLOW),
    # The interfaces and their addresses, which it may read; to change them takes CAP_NET_ADMIN.
    ((argument(0, AF_NETLINK), argument(2, NETLINK_ROUTE)), ALLOW),
    ((argument(0, AF_INET6),), ERROR | EAFNOSUPPORT),
)
# <linux/sockios.h>: SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFMTU, SIOCGIFHWADDR,
# SIOCGIFINDEX, SIOCGSTAMP.
INTERFACES = (0x8910, 0x8912, 0x8913, 0x8915, 0x891B, 0x8921, 0x8927, 0x8933, 0x8906)

MORE: Calls = {
    "clone": (56, (((argument(0, THREAD, FORK),), ALLOW),)),
    "fchown": 93, "flock": 73, "kill": 62, "memfd_create": 319, "setpriority": 141, "wait4": 61, "waitid": 247,
}  # fmt: skip
"""Calls that a spec may give a service; `clone` there starts processes too."""


def table(wanted: WantedService) -> Calls:
    """The table of one service."""
    socket = list(NETWORK if wanted.network else NO_NETWORK)
    if wanted.network and "NET_RAW" in wanted.capabilities:
        socket.append(((argument(0, AF_INET), argument(1, SOCK_RAW, mask=TYPE_BITS)), ALLOW))
    calls = {**SERVICE, "clone": (56, (((argument(0, THREAD),), ALLOW),)), "socket": (41, tuple(socket))}
    if wanted.network:
        number, rules = SERVICE["ioctl"]  # type: ignore[misc]  # it is judged
        calls["ioctl"] = (number, (*rules, ((argument(1, *INTERFACES),), ALLOW)))
    if "SYS_TIME" in wanted.capabilities:
        calls |= {"clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159, "settimeofday": 164}
    return calls | {name: MORE[name] for name in wanted.calls}
