# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The one binary that the sandbox starts from: busybox, taken out of its package, pinned by the lock's hash.

Nix can fetch a .deb by itself but not open it; everything after this binary is unpacked by it, inside the sandbox.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import tarfile
import zlib
from pathlib import Path

from netvm_build.util.errors import LockError

MEMBER = "./usr/bin/busybox"
MAX_BYTES = 64 << 20


def busybox_of(deb: bytes) -> bytes:
    """The busybox in the package busybox-static (deb(5): an ar archive with a data.tar).  Raises LockError."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_data_member(deb))) as archive:
            member = archive.extractfile(MEMBER)
            if member is not None:
                return member.read(MAX_BYTES)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, KeyError, ValueError, EOFError, OSError) as error:
        raise LockError(
            "the package busybox-static cannot be read", hint="make the lock anew: netvm-build lock"
        ) from error
    raise LockError("the package busybox-static holds no busybox", hint="make the lock anew: netvm-build lock")


def _data_member(deb: bytes) -> bytes:
    """data.tar of a .deb: ar(5) members have a header of 60 bytes, and an even length."""
    if not deb.startswith(b"!<arch>\n"):
        raise ValueError("not an ar archive")
    offset = 8
    while offset + 60 <= len(deb):
        header = deb[offset : offset + 60]
        size = int(header[48:58])
        if size < 0:
            raise ValueError("a member of negative length")
        if header.startswith(b"data.tar"):
            if offset + 60 + size > len(deb):
                break
            return deb[offset + 60 : offset + 60 + size]
        offset += 60 + size + size % 2
    raise ValueError("no whole data.tar")


def nar_sha256(busybox: bytes) -> str:
    """The hash by which Nix knows a folder that holds just an executable `busybox` (Nix's archive format, NAR)."""

    def framed(part: bytes) -> bytes:
        return struct.pack("<Q", len(part)) + part + b"\0" * (-len(part) % 8)

    node = (b"(", b"type", b"regular", b"executable", b"", b"contents", busybox, b")")
    entry = (b"entry", b"(", b"name", b"busybox", b"node", *node, b")")
    archive = (b"nix-archive-1", b"(", b"type", b"directory", *entry, b")")
    return hashlib.sha256(b"".join(framed(part) for part in archive)).hexdigest()


def write_bootstrap(folder: Path, deb: bytes, expected_sha256: str) -> None:
    """Put busybox into the tree's bootstrap/ folder.  Raises LockError if it is not the one the lock pins."""
    busybox = busybox_of(deb)
    if nar_sha256(busybox) != expected_sha256:
        raise LockError("busybox is not the one that the lock pins", hint="make the lock anew: netvm-build lock")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "busybox"
    path.unlink(missing_ok=True)
    path.write_bytes(busybox)
    path.chmod(0o755)


def has_bootstrap(folder: Path, expected_sha256: str) -> bool:
    """Whether the tree's bootstrap/ folder holds the binary that the lock pins, and nothing else."""
    if not folder.is_dir() or [path.name for path in folder.iterdir()] != ["busybox"]:
        return False
    path = folder / "busybox"
    return bool(path.stat().st_mode & 0o100) and nar_sha256(path.read_bytes()) == expected_sha256
