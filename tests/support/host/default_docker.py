# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Runs a command as root of a container that docker starts without options: ``default_docker.py COMMAND…``.

The seccomp filter is what Docker's default profile comes to on x86-64 for the capabilities that Docker leaves by
default (github.com/moby/profiles, seccomp/default.json, June 2026), the paths of /proc are those that it masks.  What
is missing is AppArmor's profile, which forbids mount(2) once more, and a root of its own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CAPABILITIES = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service", "net_raw",
    "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip

# Everything that the profile doesn't list, with the numbers of <asm/unistd_64.h>.
REFUSED = {
    "_sysctl": 156, "acct": 163, "add_key": 248, "afs_syscall": 183, "bpf": 321, "clock_settime": 227,
    "create_module": 174, "delete_module": 176, "fanotify_init": 300, "finit_module": 313, "fsconfig": 431,
    "fsmount": 432, "fsopen": 430, "fspick": 433, "get_kernel_syms": 177, "get_mempolicy": 239, "getpmsg": 181,
    "init_module": 175, "io_uring_enter": 426, "io_uring_register": 427, "io_uring_setup": 425, "ioperm": 173,
    "iopl": 172, "kcmp": 312, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212,
    "mbind": 237, "migrate_pages": 256, "mount": 165, "mount_setattr": 442, "move_mount": 429, "move_pages": 279,
    "nfsservctl": 180, "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298, "pidfd_getfd": 438,
    "pivot_root": 155, "process_madvise": 440, "putpmsg": 182, "query_module": 178, "quotactl": 179,
    "quotactl_fd": 443, "reboot": 169, "request_key": 249, "security": 185, "set_mempolicy": 238,
    "set_mempolicy_home_node": 450, "setdomainname": 171, "sethostname": 170, "setns": 308, "settimeofday": 164,
    "swapoff": 168, "swapon": 167, "sysfs": 139, "syslog": 103, "tuxcall": 184, "umount2": 166, "unshare": 272,
    "uselib": 134, "userfaultfd": 323, "ustat": 136, "vhangup": 153, "vserver": 236,
}  # fmt: skip
CLONE, CLONE3, SOCKET, PERSONALITY = 56, 435, 41, 135
NEW_NAMESPACES = 0x7E020000
FAMILIES = (38, 40)  # AF_ALG, AF_VSOCK
PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)

MASKED = (
    "asound",
    "acpi",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
)
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")

# <linux/bpf_common.h>, <linux/seccomp.h>
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
FIRST_ARGUMENT = 16  # offset in struct seccomp_data


def instructions() -> Iterator[tuple[int, int, int, int]]:
    """struct sock_filter: code, jt, jf, k."""
    refuse = (RETURN, 0, 0, ERROR | errno.EPERM)
    yield LOAD, 0, 0, 0
    for number in REFUSED.values():
        yield EQUAL, 0, 1, number
        yield refuse
    yield EQUAL, 0, 1, CLONE3
    yield RETURN, 0, 0, ERROR | errno.ENOSYS
    yield EQUAL, 0, 3, CLONE
    yield LOAD, 0, 0, FIRST_ARGUMENT
    yield ANY_BIT, 0, 1, NEW_NAMESPACES
    yield refuse
    yield LOAD, 0, 0, 0
    yield EQUAL, 0, 4, SOCKET
    yield LOAD, 0, 0, FIRST_ARGUMENT
    yield EQUAL, 1, 0, FAMILIES[0]
    yield EQUAL, 0, 1, FAMILIES[1]
    yield refuse
    yield LOAD, 0, 0, 0
    yield EQUAL, 0, len(PERSONALITIES) + 2, PERSONALITY
    yield LOAD, 0, 0, FIRST_ARGUMENT
    for left, value in zip(range(len(PERSONALITIES), 0, -1), PERSONALITIES, strict=True):
        yield EQUAL, left, 0, value
    yield refuse
    yield RETURN, 0, 0, ALLOW


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]


def hide_paths() -> None:
    """Mask paths of /proc, in a mount namespace of our own."""
    for path in filter(Path.exists, (Path("/proc", name) for name in MASKED)):
        what = ("-t", "tmpfs", "-o", "ro", "tmpfs") if path.is_dir() else ("--bind", "/dev/null")
        subprocess.run(["mount", *what, str(path)], check=True)
    for path in filter(Path.exists, (Path("/proc", name) for name in READ_ONLY)):
        subprocess.run(["mount", "--bind", str(path), str(path)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)


def install_filter() -> None:
    rules = list(instructions())
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = Program(len(rules), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "the filter can't be installed")


def main(arguments: list[str]) -> None:
    """`--security-opt` takes what docker takes, seccomp=unconfined and systempaths=unconfined, each as one word."""
    options = [word for word in arguments if word.startswith("--security-opt=")]
    command = arguments[len(options) :]
    if os.environ.pop("DEFAULT_DOCKER", None) is None:
        os.environ["DEFAULT_DOCKER"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])  # noqa: S606
    if "--security-opt=systempaths=unconfined" not in options:
        hide_paths()
    if "--security-opt=seccomp=unconfined" not in options:
        install_filter()
    left = ",".join(("-all", *(f"+{name}" for name in CAPABILITIES)))
    os.execvp("setpriv", ["setpriv", "--bounding-set", left, "--inh-caps=-all", "--ambient-caps=-all", *command])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
