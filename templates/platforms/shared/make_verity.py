# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Append dm-verity's hash tree to a root image, and write the table by which the kernel makes one device of both.

usage: make_verity.py IMAGE TABLE

The format is that of the kernel's Documentation/admin-guide/device-mapper/verity.rst: version 1, blocks of 4096 bytes,
SHA-256 without a salt (which must be known when the image is built, and so would hide nothing), no superblock.  A block
of hashes holds 128; the top level comes first, and the hash of its one block stands for the whole image.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = 4096
SECTOR = 512
DEVICE = "/dev/vda"
"""Where the router has its root: QEMU's first virtio disk."""


def blocks(data: bytes) -> Iterator[bytes]:
    """Data in whole blocks, the last one filled up with zeros."""
    for at in range(0, len(data), BLOCK):
        yield data[at : at + BLOCK].ljust(BLOCK, b"\0")


def tree(data: bytes) -> tuple[bytes, str]:
    """The hash tree of some whole blocks, as it follows them, and the hash of its top in hex."""
    levels = [data]
    while len(levels[-1]) > BLOCK:
        hashes = b"".join(hashlib.sha256(block).digest() for block in blocks(levels[-1]))
        levels.append(b"".join(blocks(hashes)))
    return b"".join(reversed(levels[1:])), hashlib.sha256(levels[-1]).hexdigest()


def table(count: int, root: str) -> str:
    """What dm-mod.create= wants (dm-init.rst): the first read of a block that is not as hashed is a panic."""
    sectors = count * BLOCK // SECTOR
    verity = f"verity 1 {DEVICE} {DEVICE} {BLOCK} {BLOCK} {count} {count} sha256 {root} - 1 panic_on_corruption"
    return f"root,,,ro,0 {sectors} {verity}"


def main(image: Path, written: Path) -> None:
    data = b"".join(blocks(image.read_bytes()))
    hashes, root = tree(data)
    image.write_bytes(data + hashes)
    written.write_text(table(len(data) // BLOCK, root))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
