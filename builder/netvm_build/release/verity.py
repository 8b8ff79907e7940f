# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""dm-verity: what the kernel's command line says of the root's hash tree, and whether the root is like that.

The format is that of the kernel's Documentation/admin-guide/device-mapper/verity.rst, version 1 without salt and
superblock.  The tree is checked as the kernel does it: from the root hash down, each block before it is used.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from netvm_build.util.files import open_plain

BLOCK = 4096
_DIGEST = 32
_TABLE = re.compile(
    r'dm-mod\.create="[^"]*? verity 1 \S+ \S+ 4096 4096 ([0-9]{1,9}) ([0-9]{1,9}) sha256 ([0-9a-f]{64}) - [^"]*"'
)


@dataclass(frozen=True)
class Verity:
    """`blocks` of data, after them the tree from block `start` on, and the hash of its top in hex."""

    blocks: int
    start: int
    root_hash: str


def of_cmdline(cmdline: str) -> Verity | None:
    """What a command line says; None where it names no hash tree."""
    match = _TABLE.search(cmdline)
    return Verity(int(match[1]), int(match[2]), match[3]) if match else None


def first_wrong(rootfs: Path, verity: Verity) -> str | None:
    """The first part of a root image that its hash tree doesn't prove; None if all are proven.  Raises OSError."""
    levels = [verity.blocks]
    while levels[-1] > 1:
        levels.append(-(-levels[-1] // (BLOCK // _DIGEST)))
    wanted = [bytes.fromhex(verity.root_hash)]
    at = verity.start
    with open(open_plain(rootfs), "rb") as stream:
        for size in reversed(levels[1:]):
            wanted = _level(stream, at, size, wanted)
            if not wanted:
                return f"its hash tree, in the blocks from {at} on"
            at += size
        stream.seek(0)
        for number in range(verity.blocks):
            if hashlib.sha256(stream.read(BLOCK)).digest() != wanted[number]:
                return f"block {number}, at byte {number * BLOCK}"
    return None


def _level(stream: BinaryIO, at: int, size: int, wanted: list[bytes]) -> list[bytes]:
    """The hashes that a level of the tree holds; none if a block of it isn't as `wanted`."""
    stream.seek(at * BLOCK)
    found: list[bytes] = []
    for number in range(size):
        block = stream.read(BLOCK)
        if len(block) != BLOCK or number >= len(wanted) or hashlib.sha256(block).digest() != wanted[number]:
            return []
        found += [block[place : place + _DIGEST] for place in range(0, BLOCK, _DIGEST)]
    return found
