# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The system calls that each service may make; any other ends it.  iwd's are in allowed_iwd.py.

docs/reference/security.md says how the tables came about and how to extend them.  tests/vectors/calls.json holds, for
each row, the runs in which it was seen, or the reason to allow it anyway; a test compares.
Numbers are those of <asm/unistd_64.h>.
"""

from __future__ import annotations

from init.core.seccomp import ALL_BITS, ALLOW, ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.seccomp import Calls, Test

EAGAIN, EAFNOSUPPORT = 11, 97
# <sys/mman.h>
PROT_WRITE, PROT_EXEC, MAP_SHARED, MAP_ANONYMOUS = 2, 4, 1, 0x20
# <sys/socket.h>; SOCK_CLOEXEC and SOCK_NONBLOCK are above the type's four bits
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17
SOCK_STREAM, SOCK_DGRAM, TYPE_BITS = 1, 2, 0xF
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
SOL_SOCKET = 1
FORK = 0x01200011
"""Flags of fork(3) in the C library: CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID, SIGCHLD.  No thread, no namespace."""


def argument(index: int, *values: int, mask: int = ALL_BITS) -> Test:
    """A test: the argument, masked, is one of the values."""
    return (index, mask, values)


NOT_EXECUTABLE = argument(2, 0, mask=PROT_EXEC)
FILE_TO_EXECUTE = (
    argument(2, PROT_EXEC, mask=PROT_EXEC | PROT_WRITE),
    argument(3, 0, mask=MAP_ANONYMOUS | MAP_SHARED),
)
"""How the loader maps a program or library.  What a service writes is on tmpfs mounted noexec, so the kernel refuses
to map that.  To /proc/self/mem nobody can write what isn't writable (PROC_MEM_NO_FORCE of the fragment hardening)."""

LIBRARY: Calls = {
    # Memory, never writable and executable at once.
    "mmap": (9, (((NOT_EXECUTABLE,), ALLOW), (FILE_TO_EXECUTE, ALLOW))),
    "mprotect": (10, (((NOT_EXECUTABLE,), ALLOW),)),
    "munmap": 11, "brk": 12, "mremap": 25, "madvise": 28,
    # Locks, without those that inherit priority: FUTEX_WAIT, _WAKE, _WAIT_BITSET, _WAKE_BITSET.
    "futex": (202, (((argument(1, 0, 1, 9, 10, mask=0x7F),), ALLOW),)),
    # The process's own limits, not another's.
    "prlimit64": (302, (((argument(0, 0),), ALLOW),)),
    # The C library's start.
    "access": 21, "arch_prctl": 158, "set_tid_address": 218, "set_robust_list": 273, "rseq": 334, "getrandom": 318,
    # Files.
    "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "pread64": 17, "writev": 20, "fcntl": 72, "openat": 257,
    "newfstatat": 262,
    # By this a child of PID 1 hands over its listener, before it executes the program: violations.send().
    "sendmsg": 46,
    # Signals, and how abort(3) ends a process, so that a crash looks like one.
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "restart_syscall": 219, "getpid": 39, "gettid": 186,
    "tgkill": 234, "exit_group": 231,
    # The clock, where the vDSO can't read it.
    "clock_gettime": 228, "gettimeofday": 96, "time": 201, "clock_getres": 229, "clock_nanosleep": 230,
}  # fmt: skip
"""What the C library and its loader need in each program."""

DBUS_DAEMON: Calls = {
    **LIBRARY,
    "socket": (41, (((argument(0, AF_UNIX),), ALLOW),)),
    "socketpair": (53, (((argument(0, AF_UNIX),), ALLOW),)),
    # PR_CAPBSET_READ, PR_GET_SECUREBITS, PR_GET_NO_NEW_PRIVS; PR_CAP_AMBIENT_IS_SET.  libcap-ng asks, and sets nothing.
    "prctl": (157, (((argument(0, 23, 27, 39),), ALLOW), ((argument(0, 47), argument(1, 1)), ALLOW))),
    "connect": 42, "sendto": 44, "recvmsg": 47, "bind": 49, "listen": 50, "getsockname": 51,
    "getsockopt": 55, "accept4": 288,
    "poll": 7, "epoll_wait": 232, "epoll_ctl": 233, "epoll_create1": 291,
    # Its configuration, which names no folder to watch, and its socket in /run/dbus.
    "statfs": 137, "fstatfs": 138, "readlinkat": 267, "chmod": 90, "unlink": 87, "inotify_init1": 294,
    # Who it is, and what it inherited.
    "getuid": 102, "geteuid": 107, "getresuid": 118, "getresgid": 120, "capget": 125, "dup2": 33, "close_range": 436,
    "getdents64": 217,
}  # fmt: skip

CONNMAND: Calls = {
    **LIBRARY,
    "socket": (41, (
        ((argument(0, AF_INET), argument(1, SOCK_STREAM, SOCK_DGRAM, mask=TYPE_BITS)), ALLOW),
        ((argument(0, AF_UNIX),), ALLOW),  # D-Bus, and syslog(3), which nobody serves
        ((argument(0, AF_NETLINK), argument(2, NETLINK_ROUTE, NETLINK_NETFILTER)), ALLOW),
        ((argument(0, AF_PACKET), argument(1, SOCK_DGRAM, mask=TYPE_BITS)), ALLOW),  # DHCP before there is an address
        ((argument(0, AF_INET6),), ERROR | EAFNOSUPPORT),  # IPv6 is off
    )),
    # <linux/sockios.h>.  Names, indexes, addresses and flags of interfaces (SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS,
    # SIOCSIFFLAGS, SIOCGIFADDR, SIOCSIFADDR, SIOCGIFNETMASK, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMTU,
    # SIOCSIFMTU), routes (SIOCADDRT, SIOCDELRT), what kind of card it is (SIOCETHTOOL, SIOCSIFVLAN, SIOCGIWNAME).
    # TCGETS, and getpeername below: how GLib finds out, before it writes a warning, where standard error leads.
    "ioctl": (16, (((argument(1, 0x8910, 0x8927, 0x8913, 0x8983, 0x8946, 0x8B01, 0x890B, 0x8914, 0x8912, 0x8916,
                              0x8933, 0x891B, 0x8915, 0x890C, 0x8921, 0x8922, 0x5401),), ALLOW),)),
    # SO_REUSEADDR, SO_SNDBUF, SO_RCVBUF, SO_BINDTODEVICE, SO_ATTACH_FILTER, SO_TIMESTAMP; IP_TOS.
    "setsockopt": (54, (
        ((argument(1, SOL_SOCKET), argument(2, 7, 8, 25, 26, 2, 29)), ALLOW),
        ((argument(1, 0), argument(2, 1)), ALLOW),
    )),
    # Its crash handler forks to run addr2line, which isn't there: it goes on without.
    "clone": (56, (((argument(0, FORK),), ERROR | EAGAIN),)),
    "connect": 42, "sendto": 44, "recvfrom": 45, "recvmsg": 47, "bind": 49, "getsockname": 51,
    "getpeername": 52,
    "poll": 7, "ppoll": 271, "eventfd2": 290, "signalfd4": 289, "timerfd_create": 283, "timerfd_settime": 286,
    # What it knows of each uplink, in /var/lib/connman, and resolv.conf.
    "mkdir": 83, "rename": 82, "unlink": 87, "rmdir": 84, "fsync": 74, "ftruncate": 77, "fallocate": 285, "fchmod": 91,
    "umask": 95, "getcwd": 79, "readlink": 89, "getdents64": 217,
    "inotify_init": 253, "inotify_init1": 294, "inotify_add_watch": 254, "inotify_rm_watch": 255,
    "uname": 63, "geteuid": 107, "getresuid": 118, "getresgid": 120, "pipe2": 293,
}  # fmt: skip

CONNMAND_WITH_NTP: Calls = {**CONNMAND, "clock_settime": 227, "clock_adjtime": 305}
"""Where the spec names time servers: the clock is set, or slewed."""
