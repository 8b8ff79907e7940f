# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The program that gives up what QEMU doesn't need, and then becomes QEMU.  Standard library only: it starts quickly.

    python -ISB jailer.py JAIL PROGRAM ARGUMENT…

JAIL is the JSON of `confinement.Jail`.  What was done, or why it failed, is written to the descriptor `report`, which
ends when PROGRAM begins.  A step that isn't possible here is reported; without no_new_privs, the core limit, the filter
of system calls that was asked for or, as root, another user, PROGRAM isn't started.

Sources: prctl(2), keyctl(2), capabilities(7), landlock(7), <linux/landlock.h>, user_namespaces(7), getrlimit(2),
seccomp(2), <linux/filter.h>.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import stat
import struct
import sys
from contextlib import suppress

MYPY = False  # `typing` takes as long to import as all else
if MYPY:
    from typing import Any

OWN_IDS, FEW_IDS = 0x7F000000, 65533
"""The first plus QEMU's process id, which has 22 bits: a user that no other process on the machine is.  The second is
for a container with 65536 ids.  Nobody allocates these numbers (systemd's UIDS-GIDS.md)."""

NO_FILTER = "the filter of system calls can't be installed"
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 1, 24, 38, 47, 4
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x04000000, 0x08000000, 0x10000000, 0x40000000
CAPABILITY_VERSION_3 = 0x20080522
SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING = 250, 1  # of x86-64; <linux/keyctl.h>
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
FS_ACCESSES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All accesses to files that Landlock knows, from that version of its ABI on."""

OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The accesses that a rule for a file, not a folder, may have."""

libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *arguments: int) -> None:
    values = [ctypes.c_ulong(value) for value in (*arguments, *[0] * (4 - len(arguments)))]
    checked("prctl", libc.prctl(ctypes.c_int(option), *values))


def checked(what: str, result: int) -> int:
    """The result of a system call.  Raises OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def limit(jail: dict[str, Any]) -> None:
    """No core dumps, which would hold the guest's memory; no file beyond a size; memory that may be locked, for cards.

    A guest can make QEMU print without end.  Python ignores SIGXFSZ, and so does what it executes: writing just fails.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    largest = jail["largest_file"] if most == resource.RLIM_INFINITY else min(most, jail["largest_file"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    if jail["memlock"]:
        hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        enough = hard == resource.RLIM_INFINITY or hard >= jail["memlock"]
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (jail["memlock"], hard if enough else jail["memlock"]))


def target(jail: dict[str, Any]) -> tuple[int, int] | None:
    """(uid, gid) to become: the one asked for, or as root one of QEMU's own; None to stay who we are."""
    if os.geteuid() != 0:
        return None
    if jail["user"] is not None:
        return jail["user"][0], jail["user"][1]
    for number in (OWN_IDS + os.getpid(), FEW_IDS):
        if mapped(number, "uid_map") and mapped(number, "gid_map"):
            return number, number
    raise OSError(0, "this user namespace has no user for QEMU: it maps neither 65533 nor 2130706432 and above")


def mapped(number: int, name: str) -> bool:
    """Whether our user namespace has a user, or a group, of this number."""
    try:
        with open(f"/proc/self/{name}") as file:
            rows = [[int(word) for word in line.split()] for line in file]
    except FileNotFoundError:  # a kernel without user namespaces
        return True
    return any(first <= number < first + count for first, _, count in rows)


def separate(jail: dict[str, Any]) -> None:
    """Namespaces of its own, if we may: network, unless it needs the host's; System V IPC; host name."""
    flags = CLONE_NEWIPC | CLONE_NEWUTS | (0 if jail["network"] else CLONE_NEWNET)
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        if jail["network"]:
            return
        flags |= CLONE_NEWUSER
    if libc.unshare(ctypes.c_int(flags)) == 0 and uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def drop(jail: dict[str, Any], who: tuple[int, int] | None) -> None:
    """Give away files that only QEMU's user may open, become that user, and give up every capability."""
    if who is not None:
        for path in jail["own"]:
            os.chown(path, *who)
        for descriptor in jail["writes"]:
            os.fchown(descriptor, *who)
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    with suppress(OSError):  # not ours to drop: no_new_privs keeps them out of reach
        for number in range(last + 1):
            prctl(PR_CAPBSET_DROP, number)
    with suppress(OSError):  # a kernel without ambient capabilities has none to clear
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if who is not None:
        os.setgroups(jail["groups"])
        os.setresgid(who[1], who[1], who[1])
        os.setresuid(who[0], who[0], who[0])
    checked("capset", libc.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()))


class RulesetAttr(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def landlock(jail: dict[str, Any], opened: list[tuple[int, int]]) -> int:
    """Restrict ourselves to `opened`: (descriptor, accesses).  The version of Landlock's ABI; 0 where there is none."""
    abi: int = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return 0
    handled = FS_ACCESSES[max(version for version in FS_ACCESSES if version <= abi)]
    net = 0b11 if abi >= 4 and not jail["network"] else 0  # TCP: bind, connect
    scoped = 0b11 if abi >= 6 else 0  # abstract sockets, signals
    attr = RulesetAttr(handled, net, scoped)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = checked("landlock", libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), 0))
    for descriptor, access in opened:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= OF_FILES
        rule = PathBeneath(access & handled, descriptor)
        failed = libc.syscall(LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        if failed and ctypes.get_errno() != errno.EBADFD:  # that is a file without a name, which needs no rule
            checked("landlock", failed)
    checked("landlock", libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    return abi


def opened_for(jail: dict[str, Any]) -> list[tuple[int, int]]:
    """What QEMU may use, as Landlock takes it.  A path that isn't there is left out."""
    found = []
    for kind, access in (
        ("programs", EXECUTE | READ_FILE | READ_DIR),
        ("reads", READ_FILE | READ_DIR),
        ("devices", READ_FILE | WRITE_FILE | READ_DIR | IOCTL_DEV),
    ):
        for path in jail[kind]:
            with suppress(OSError):
                found.append((os.open(path, os.O_PATH | os.O_CLOEXEC), access))
    found += [(number, READ_FILE) for number in jail["read_only"]]
    return found + [(number, WRITE_FILE | TRUNCATE) for number in jail["writes"]]


class SockFprog(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuse_calls(instructions: list[tuple[int, int, int, int | None]], *, needed: bool) -> None:
    """Install a seccomp filter; see `syscalls`.  Raises OSError if it is `needed` and the kernel doesn't take it."""
    if not instructions:
        return
    code = b"".join(
        struct.pack("=HBBI", operation, jt, jf, os.getpid() if k is None else k)
        for operation, jt, jf, k in instructions
    )
    try:
        filters = SockFprog(len(instructions), code)
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filters))
    except OSError as error:
        if needed:
            raise OSError(error.errno, f"{NO_FILTER}: {os.strerror(error.errno or 0)}") from None


def confine(jail: dict[str, Any]) -> dict[str, int]:
    """Do it all; what was done, for the report."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    with suppress(OSError):  # a kernel without keys, or a container that forbids them, has none to give away
        checked("keyctl", libc.syscall(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None))
    limit(jail)
    who = target(jail)
    opened = opened_for(jail)
    separate(jail)
    drop(jail, who)
    abi = 0 if jail["sandboxes_itself"] else landlock(jail, opened)
    # A change of credentials forgets it; see process.spawn.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != jail["parent"]:
        os.kill(os.getpid(), signal.SIGKILL)
    os.chdir("/")
    refuse_calls(jail["filter"], needed=jail["needs_filter"])
    return {"landlock": abi}


def main(arguments: list[str]) -> int:
    """Confine ourselves and become the program; 126 where that failed, as a shell says it."""
    jail, line = json.loads(arguments[0]), arguments[1:]
    report = jail["report"]
    os.set_inheritable(report, False)
    try:
        done = confine(jail)
        os.write(report, json.dumps(done).encode())
        os.execve(line[0], line, jail["environment"])  # noqa: S606
    except (OSError, ValueError) as error:  # ValueError: setrlimit's, beyond the hard limit
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        why = error.strerror or error if isinstance(error, OSError) else error
        failed = {"error": f"{where}{why}", "uid": os.geteuid()}
        os.write(report, b"\n" + json.dumps(failed).encode())
    return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
