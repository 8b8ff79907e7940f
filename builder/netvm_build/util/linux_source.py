# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An archive of Linux's source: which version it has, and its SHA-256.

Release tarballs, `git archive` and Debian's linux-source-6.12.tar.xz have the source in a folder, or at the top.  Only
the headers of tar(5) are followed, as far as the top-level Makefile: 150 MB take a second or two, most of it for the
hash.  What was found is remembered for as long as the file's inode, size and times stay the same.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shlex
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from netvm_build.util.cache import cache_dir
from netvm_build.util.decode import DecodeError, decode_version, matching
from netvm_build.util.files import open_plain, read_plain, replace_file
from netvm_build.util.owners import Untrusted
from netvm_build.util.trust import private_folder, require

MOST_BYTES = 4 << 30
"""Of an archive, and of what is in it: Linux 6.12 has 1.5 GB."""

_BLOCK = 512
_MOST_MAKEFILE = 1 << 20
_MOST_KEPT = 4096
_KEPT = 32  # files whose version is remembered
_FORM = 1  # of what is remembered

_MAGIC = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))
_NO_TAR = (
    (b"!<arch>\n", "a Debian package", "unpack it: dpkg-deb -x {name} . && ls usr/src; then name the tarball there"),
    (b"PK\x03\x04", "a zip archive", "take the .tar.gz from the same place"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "compress it by another program: zstd -dc {name} | xz > linux.tar.xz"),
)
_TAR = "a tar archive (plain, or compressed by gzip, bzip2 or xz)"
_VERSION = r"[0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?[A-Za-z0-9.+_-]{0,64}"


class NotLinux(ValueError):
    """A file that has no source of Linux: what it has instead, and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or "name an archive of a whole source tree, such as linux-6.12.58.tar.xz of kernel.org"


@dataclass(frozen=True)
class Found:
    """What an archive has: `linux` is the version that its Makefile says, such as ``6.12.58`` or ``6.13.0-rc2``."""

    sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in lower case")]
    size: int
    linux: Annotated[str, matching(_VERSION, "a version of Linux")]


def look_into(path: Path) -> Found:
    """What an archive has.  Raises NotLinux, and OSError for what is no plain file or can't be read."""
    with open(open_plain(path), "rb") as stream:
        before = _identity(path, stream)
        kept = cache_dir() / "sources" / f"{before}.json"
        remembered = _remembered(kept)
        if remembered is not None:
            return remembered
        size = os.fstat(stream.fileno()).st_size
        if size > MOST_BYTES:
            raise NotLinux(f"is larger than {MOST_BYTES >> 30} GiB")
        linux = version_in(stream, path.name)
        stream.seek(0)
        found = Found(hashlib.file_digest(stream, "sha256").hexdigest(), size, linux)
        if _identity(path, stream) == before:
            _remember(kept, found)
    return found


def _identity(path: Path, stream: BinaryIO) -> str:
    """What changes when somebody writes to a file, replaces it, or sets its times back."""
    state = os.fstat(stream.fileno())
    file = (str(path.absolute()), state.st_dev, state.st_ino)
    parts = (_FORM, *file, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()


def _remembered(kept: Path) -> Found | None:
    """What was found before; None for what others could have written."""
    try:
        require(kept)
        return decode_version(Found, read_plain(kept, _MOST_KEPT), _FORM)
    except (OSError, Untrusted, DecodeError):
        return None


def _remember(kept: Path, found: Found) -> None:
    """Best effort: without it, the next look takes as long."""
    with suppress(OSError, Untrusted):
        private_folder(kept.parent)
        replace_file(kept, json.dumps({"version": _FORM, **asdict(found)}).encode())
        files = sorted(kept.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in files[:-_KEPT]:
            old.unlink()


def version_in(stream: BinaryIO, name: str) -> str:
    """The version of the Linux whose source is in an archive; `name` is that of its file.  Raises NotLinux."""
    start = stream.read(8)
    stream.seek(0)
    for magic, what, hint in _NO_TAR:
        if start.startswith(magic):
            raise NotLinux(f"is {what}, not {_TAR}", hint.format(name=shlex.quote(name)))
    opened = next((opener for magic, opener in _MAGIC if start.startswith(magic)), None)
    try:
        return _version(stream if opened is None else opened(stream))  # type: ignore[arg-type]
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise NotLinux(f"is cut off or damaged: {error}", "download it again, and compare its SHA-256") from None


def _version(stream: BinaryIO) -> str:
    makefiles: dict[str, str] = {}
    kconfigs: set[str] = set()
    for path, content in _members(stream):
        *folders, last = [part for part in path.split("/") if part not in ("", ".")] or [""]
        if len(folders) > 1:
            continue
        top = "".join(folders)
        if last == "Kconfig":
            kconfigs.add(top)
        elif last == "Makefile" and (version := version_of(content().decode(errors="replace"))):
            makefiles[top] = version
        if top in kconfigs and top in makefiles:
            return makefiles[top]
    raise NotLinux("is no kernel's source: it has no Makefile with a version of Linux beside a Kconfig")


def version_of(makefile: str) -> str | None:
    """The version that Linux's Makefile sets, as `make kernelversion` prints it; None if it isn't Linux's."""
    lines = re.findall(r"(?m)^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", makefile)
    set_to = dict(reversed(lines))
    if "KERNELVERSION" not in makefile or not {"VERSION", "PATCHLEVEL"} <= set_to.keys():
        return None
    sublevel = f".{set_to['SUBLEVEL']}" if set_to.get("SUBLEVEL") else ""
    version = f"{set_to['VERSION']}.{set_to['PATCHLEVEL']}{sublevel}{set_to.get('EXTRAVERSION', '')}"
    return version if re.fullmatch(_VERSION, version) else None


class _Content:
    """The bytes of a member, which are read only if somebody asks."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self.size, self.left = stream, size, -size % _BLOCK + size

    def __call__(self) -> bytes:
        text = _exactly(self._stream, min(self.size, _MOST_MAKEFILE))
        self.left -= len(text)
        return text

    def skip(self) -> None:
        while self.left:
            self.left -= len(_exactly(self._stream, min(self.left, 1 << 20)))


def _members(stream: BinaryIO) -> Iterator[tuple[str, _Content]]:
    """The plain files of a tar archive.  Raises NotLinux, and EOFError for one that is cut off."""
    done = 0
    while (header := stream.read(_BLOCK)) and header.count(0) != _BLOCK:
        if len(header) < _BLOCK or not _is_header(header):
            damaged = "is damaged: it has bytes that are no header of a tar archive"
            what = damaged if done else f"is not {_TAR}"
            raise NotLinux(what, "download it again, and compare its SHA-256" if done else "")
        content = _Content(stream, _number(header[124:136]))
        done += _BLOCK + content.left
        if done > MOST_BYTES:
            raise NotLinux(f"holds more than {MOST_BYTES >> 30} GiB")
        if header[156:157] in (b"0", b"\0"):
            yield _name(header), content
        content.skip()


def _is_header(header: bytes) -> bool:
    written = header[148:156].strip(b" \0")
    return re.fullmatch(rb"[0-7]{1,7}", written) is not None and int(written, 8) == (
        sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    )


def _number(text: bytes) -> int:
    """A size: octal digits, or binary if the first bit is set, as GNU tar writes large ones.  Raises NotLinux."""
    if text[0] & 0x80:
        return min(int.from_bytes(text[1:], "big"), 2 * MOST_BYTES)
    digits = text.strip(b" \0") or b"0"
    if not re.fullmatch(rb"[0-7]+", digits):
        raise NotLinux("is damaged: a file in it has no size", "download it again, and compare its SHA-256")
    return int(digits, 8)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode(errors="replace")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes; EOFError if there are less."""
    parts = io.BytesIO()
    while (left := size - parts.tell()) > 0:
        if not (part := stream.read(left)):
            raise EOFError("the end is missing")
        parts.write(part)
    return parts.getvalue()
