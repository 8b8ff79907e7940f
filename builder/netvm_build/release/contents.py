# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""contents.json: where each file of a finished root is from.  templates/platforms/debian/list_contents.py writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from netvm_build.image.manifest import Image
from netvm_build.util.decode import DecodeError, decode_version, matching
from netvm_build.util.errors import ManifestError
from netvm_build.util.files import read_plain

VERSION = 1
FILE = "contents.json"
MAX_BYTES = 16 << 20

_Sha256 = Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in lower case")]
_Sha512 = Annotated[str, matching("[0-9a-f]{128}", "a SHA-512 in lower case")]


@dataclass(frozen=True)
class Package:
    """A binary package: `role` is `files`, `linked` or `kernel`; `depends` has the alternatives of each dependency.

    `id` is what the lock calls it.  `licences` are the names in its copyright file, if a program can read that.
    """

    id: str
    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    role: str
    maintainer: str
    homepage: str
    depends: tuple[tuple[str, ...], ...]
    licences: tuple[str, ...]
    copyright_sha256: str
    sha256: _Sha256
    sha512: _Sha512
    size: int


@dataclass(frozen=True)
class SourceFile:
    """A file of a source package."""

    name: str
    role: str
    sha256: _Sha256
    sha512: _Sha512
    size: int


@dataclass(frozen=True)
class Source:
    """A source package that a part of the image is compiled from."""

    id: str
    name: str
    version: str
    licences: tuple[str, ...]
    copyright_sha256: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class File:
    """A file or link of the root: `origin` is the id of a package or source, `netvm-build`, or empty if unknown.

    `file` is what it is called there.
    """

    path: str
    sha256: str = ""
    link: str = ""
    origin: str = ""
    file: str = ""


@dataclass(frozen=True)
class Contents:
    """The whole list."""

    packages: tuple[Package, ...]
    sources: tuple[Source, ...]
    files: tuple[File, ...]

    @property
    def by_path(self) -> Mapping[str, File]:
        return {file.path: file for file in self.files}


def load(image: Image) -> Contents:
    """An image's list.  Raises ManifestError if it has none, or if that isn't in order; OSError."""
    part = image.manifest.contents
    if part is None:
        hint = "only images of Debian's packages have one; build the image again with this netvm-build"
        raise ManifestError(f"{image.folder} has no {FILE}, which says what is in it", hint=hint)
    return read(image.folder / part.path)


def read(file: Path) -> Contents:
    """The list in a file.  Raises ManifestError; OSError."""
    raw = read_plain(file, MAX_BYTES)
    if len(raw) > MAX_BYTES:
        raise ManifestError(f"{file} is larger than such a file can be ({MAX_BYTES} bytes)")
    try:
        return decode_version(Contents, raw, VERSION)
    except DecodeError as error:
        raise ManifestError(error.in_file(file)) from error
