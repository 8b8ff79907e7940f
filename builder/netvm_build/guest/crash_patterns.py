# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The last words of a kernel, or of an init, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """A line of the console that tells a cause.  `fatal`: nothing good can follow; `match` groups fill the texts."""

    match: re.Pattern[str]
    cause: str
    hint: str
    fatal: bool = True


def _pattern(match: str, cause: str, hint: str, *, fatal: bool = True) -> Pattern:
    return Pattern(re.compile(match), cause, hint, fatal)


# The first that matches anywhere wins: causes come before their consequences.
PATTERNS: tuple[Pattern, ...] = (
    _pattern(
        r"(?:verity: \S+: (?P<kind>data|metadata) block (?P<block>\d+) is corrupted|dm-verity device corrupted)",
        "The root file system is not the one that was built: a block of rootfs.img differs from the hash on the"
        " kernel's command line.",
        "build the image again: netvm-build build; if it happens again, look at the disk, and at who writes to it",
    ),
    _pattern(
        r"VFS: (?:Unable to mount root|Cannot open root device)",
        "The kernel found no root file system on the first virtio disk.",
        "kernel.config in netvm.yaml must leave VIRTIO_PCI, VIRTIO_BLK and the root's file system (EROFS_FS or"
        " SQUASHFS) at y: see `netvm-build kernel explain VIRTIO_BLK`",
    ),
    _pattern(
        r"(?:Requested init (?P<init>\S+) failed|No working init found|Failed to execute /\S* ?.*\(error -2\))",
        "The root file system has no init that runs.",
        "build the image again: netvm-build build; an init=… among kernel.parameters in netvm.yaml does this too",
    ),
    _pattern(
        r"python3: can't open file '/*(?P<word>[^']*)'",
        "PID 1 was handed {word}, which is no parameter that the kernel knows.",
        "take it out of kernel.parameters in netvm.yaml",
    ),
    _pattern(
        r"(?:Out of memory|Kernel panic - not syncing: (?:System is deadlocked on memory|Out of memory)"
        r"|invoked oom-killer|page allocation failure)",
        "The guest ran out of memory.",
        "raise machine.memory_mib in netvm.yaml",
    ),
    _pattern(
        r"(?:unsupported (?:relocation|CPU)|This kernel requires an? )",
        "The kernel does not run on this CPU.",
        "look at kernel.config in netvm.yaml for CPU options",
    ),
    _pattern(
        r"(?P<error>(?:\w+\.)*(?:\w*Error|\w*Exception)): ?(?P<what>.*)",
        "PID 1 failed with {error}: {what}",
        "the traceback on the console names the line; `netvm-build run` shows it live",
        fatal=False,
    ),
    _pattern(
        r"Kernel panic - not syncing: (?P<what>.*)",
        "The kernel panicked: {what}",
        "the lines before the panic say why; `netvm-build run` shows the console live",
    ),
)

TROUBLE = re.compile(r"(?:\bOops\b|\bBUG:|\bWARNING: |\bCall Trace:|general protection fault|Kernel panic)")
"""What a healthy router's console never shows."""

PANIC = re.compile(r"Kernel panic - not syncing")
TRACEBACK = "Traceback (most recent call last):"
