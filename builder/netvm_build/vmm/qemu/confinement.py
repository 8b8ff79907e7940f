# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How QEMU is started: by `jailer`, with what it needs and nothing else.

A QEMU that is debugged, or run from a build tree, can be started with all that we have: NETVM_QEMU_UNCONFINED=1.  With
NETVM_QEMU_UNFILTERED=1 it is started though the kernel doesn't take our filter of system calls.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import IO

from netvm_build.util.errors import CommandError
from netvm_build.util.process import end_group, spawn
from netvm_build.vmm.qemu import in_force, jailer, syscalls
from netvm_build.vmm.qemu.in_force import InForce
from netvm_build.vmm.qemu.resolver import RESOLVER

MAY_NOT = "QEMU isn't root: name one that every user may run, or whom it becomes with --user"
JAILER = Path(jailer.__file__)
REFUSED = 126
"""The jailer's exit status where it didn't start the program."""

UNCONFINED = "NETVM_QEMU_UNCONFINED"
UNFILTERED = "NETVM_QEMU_UNFILTERED"
STORES = (Path("/nix/store"), Path("/gnu/store"))
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives")
INSTALLED = ("lib", "lib64", "libexec", "share/qemu")
"""What a QEMU uses of the prefix that it was installed in, beside itself."""

VFIO_FILES = ("/dev/vfio",)
CARD_FACTS = ("/sys",)
LARGEST_LOG, LARGEST_CAPTURE = 4 << 20, 256 << 20


@dataclass(frozen=True)
class User:
    """Whom QEMU becomes if we are root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Access:
    """What a QEMU, or passt, needs beside the descriptors that it inherits.

    `network`: the host's network, as the user network does.  `sandboxes_itself`: namespaces and mounts of its own, by
    which it sees no file at all, and a filter of its own; Landlock and our filter would forbid them.  `cards`: the
    host's cards, now or later, and `own` the files of theirs that are given to QEMU's user.  `memlock`: bytes of memory
    that it may lock; 0 to leave that as it is.  `largest_file`: bytes that a file may have that it writes, also by
    printing.  `read_only` and `writes` are descriptors of files that it opens again by /proc/self/fd.  As root it
    becomes `user`, or one that no other process is.
    """

    network: bool = False
    sandboxes_itself: bool = False
    cards: bool = False
    own: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    memlock: int = 0
    largest_file: int = LARGEST_LOG
    read_only: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    user: User | None = None
    groups: tuple[int, ...] = ()


NOTHING_MORE = Access()


@dataclass(frozen=True)
class Jail:
    """`jailer`'s order: see there.  Paths in `programs` may be executed too; what isn't there is left out."""

    report: int
    parent: int
    network: bool
    sandboxes_itself: bool
    memlock: int
    largest_file: int
    user: tuple[int, int] | None
    groups: tuple[int, ...]
    own: tuple[str, ...]
    programs: tuple[str, ...]
    reads: tuple[str, ...]
    devices: tuple[str, ...]
    read_only: tuple[int, ...]
    writes: tuple[int, ...]
    filter: tuple[syscalls.Instruction, ...]
    needs_filter: bool
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.defpath})


@dataclass(frozen=True)
class Report:
    """What `jailer` did: `landlock` is the version of its ABI, 0 without.  `error` is why QEMU wasn't started."""

    landlock: int = 0
    error: str = ""


class Started:
    """A QEMU that was started.  `report` may be read once it has ended, or answered."""

    def __init__(self, child: Popen[bytes], report: int | None) -> None:
        self.child = child
        self._report = report

    def report(self) -> Report:
        """What was done to confine it; read once."""
        if self._report is None:
            return Report()
        descriptor, self._report = self._report, None
        with open(descriptor, "rb") as file:
            lines = file.read(4096).splitlines()
        said = json.loads(lines[-1]) if lines else {}
        if "error" not in said:
            return Report(int(said.get("landlock", 0)))
        return Report(error=f"{said['error']} (as user {said['uid']})")

    def close(self) -> None:
        """Forget the report.  May be called twice."""
        if self._report is not None:
            os.close(self._report)
            self._report = None


def hint_for(failed: str) -> str:
    """What to do about the jailer's error."""
    if jailer.NO_FILTER in failed:
        return f"use a kernel with CONFIG_SECCOMP_FILTER, or run without this filter: {UNFILTERED}=1"
    return MAY_NOT


def is_confined(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether QEMUs are confined: whether the user hasn't said otherwise."""
    return not environ.get(UNCONFINED)


def start(
    line: Sequence[str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    descriptors: Sequence[int] = (),
    access: Access = NOTHING_MORE,
) -> Started:
    """Start a QEMU that inherits descriptors, and is killed when we die.  Raises CommandError if it can't be run."""
    program = Path(line[0]).absolute()
    if not is_confined():
        child = spawn(line, stdout=stdout, stderr=stderr, pass_fds=descriptors, orphaned=signal.SIGKILL)
        return Started(child, None)
    if not os.access(program, os.X_OK):
        raise CommandError(f"{program} could not be started: it is no program that we may run", argv=line)
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        jail = asdict(_jail(program, access, write))
        child = spawn(
            [sys.executable, "-ISB", str(JAILER), json.dumps(jail), str(program), *line[1:]],
            stdout=stdout,
            stderr=stderr,
            pass_fds=(*descriptors, write),
            orphaned=signal.SIGKILL,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    return Started(child, read)


def trial() -> InForce:
    """How a program that is started in QEMU's place is confined.  Raises CommandError."""
    with open(os.devnull, "wb") as null:
        started = start(["/bin/sleep", "5"], null, null)
    try:
        report = started.report()  # ends when the program begins
        found = in_force.read(started.child.pid, report.landlock)
        if report.error or found is None:
            hint = hint_for(report.error) if report.error else None
            raise CommandError(f"no program can be confined: {report.error or 'it ended at once'}", hint=hint)
        return found
    finally:
        end_group(started.child, 0.1)
        started.close()


def _jail(program: Path, access: Access, report: int) -> Jail:
    user = access.user
    return Jail(
        report=report,
        parent=os.getpid(),
        network=access.network,
        sandboxes_itself=access.sandboxes_itself,
        memlock=access.memlock,
        largest_file=access.largest_file,
        user=None if user is None else (user.uid, user.gid),
        groups=tuple(dict.fromkeys((*(user.groups if user else ()), *access.groups))),
        own=access.own,
        programs=programs(program),
        reads=(*(resolver() if access.network else ()), *(CARD_FACTS if access.cards else ())),
        devices=("/dev/null", "/dev/urandom", *access.devices, *(VFIO_FILES if access.cards else ())),
        read_only=access.read_only,
        writes=access.writes,
        filter=_filter(access),
        needs_filter=not os.environ.get(UNFILTERED),
    )


def _filter(access: Access) -> tuple[syscalls.Instruction, ...]:
    if access.sandboxes_itself:
        return ()
    scoped = in_force.kernel_landlock() >= in_force.SCOPES_SIGNALS
    return syscalls.program(network=access.network, scoped=scoped)


def programs(program: Path) -> tuple[str, ...]:
    """Where a QEMU and its libraries, firmware and modules are; a script may lead to one in a store.

    A prefix isn't opened as a whole: it may be somebody's home, with QEMU in its bin.
    """
    real = program
    with suppress(OSError):
        real = program.resolve(strict=True)
    for store in STORES:
        if real.is_relative_to(store):
            return (str(store),)
    prefix = real.parent.parent if real.parent.name == "bin" else real.parent
    return (*SYSTEM, *map(str, STORES), str(program), str(real), *(str(prefix / part) for part in INSTALLED))


def resolver(file: Path = RESOLVER) -> tuple[str, ...]:
    """Where the user network finds the host's resolver, each time that it changes.

    The folder, because a new file takes the old one's place: Landlock knows files, not names.
    """
    with suppress(OSError):
        return (str(file.resolve(strict=True).parent),)
    return (str(file.parent),)
