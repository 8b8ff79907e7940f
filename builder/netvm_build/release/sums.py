# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""SHA256SUMS: the hash of every file in an image folder, as sha256sum(1) writes it; this is what is signed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from netvm_build.util.errors import ManifestError
from netvm_build.util.files import open_plain, read_plain

FILE = "SHA256SUMS"
ROOT_HASH = "rootfs.roothash"
"""Holds dm-verity's root hash in hex, as veritysetup(8) and systemd name such a file."""

MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=,-]*")
_LINE = re.compile(rf"([0-9a-f]{{64}}) [ *]({_NAME.pattern})")


def signed_files(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that SHA256SUMS lists: all but itself, its signatures and hidden files.

    Raises ManifestError for a name that SHA256SUMS doesn't take.
    """
    found = sorted(path for path in folder.iterdir() if not path.name.startswith((".", FILE)) and not path.is_dir())
    odd = [path.name for path in found if not _NAME.fullmatch(path.name)]
    if odd:
        names = ", ".join(map(repr, odd))
        raise ManifestError(f"{folder}: no file of an image is called {names}", hint="move it elsewhere")
    return tuple(found)


def signatures(folder: Path) -> tuple[Path, ...]:
    """The files beside SHA256SUMS that may be its signatures."""
    return tuple(sorted(path for path in folder.iterdir() if path.name.startswith(f"{FILE}.") and not path.is_dir()))


def text_of(folder: Path) -> str:
    """The text of SHA256SUMS for what a folder holds now.  Raises ManifestError; OSError."""
    return "".join(f"{sha256(path)}  {path.name}\n" for path in signed_files(folder))


def sha256(path: Path) -> str:
    """The SHA-256 of a plain file, in hex.  Raises OSError."""
    with open(open_plain(path), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(folder: Path) -> Mapping[str, str] | None:
    """Name → SHA-256 of a folder's SHA256SUMS; None if there is none.  Raises ManifestError; OSError."""
    try:
        raw = read_plain(folder / FILE, MAX_BYTES)
    except FileNotFoundError:
        return None
    if len(raw) > MAX_BYTES:
        raise ManifestError(f"{folder / FILE} is larger than such a file can be ({MAX_BYTES} bytes)")
    return parse(raw.decode("ascii", errors="replace"), folder / FILE)


def parse(text: str, where: Path) -> Mapping[str, str]:
    """Name → SHA-256.  Raises ManifestError, naming the line, for anything but what `text_of` writes."""
    found: dict[str, str] = {}
    if not text.endswith("\n"):
        raise ManifestError(f"{where} is empty or cut off")
    for number, line in enumerate(text[:-1].split("\n"), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ManifestError(f"{where}:{number}: must be a SHA-256, two spaces and the name of a file here")
        if match[2] in found:
            raise ManifestError(f"{where}:{number}: {match[2]} is listed twice")
        found[match[2]] = match[1]
    return found
