# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""netvm.lock: the packages of an image, pinned.  JSON, because Nix reads it too.

    {"version": 1, "request": {…}, "mirrors": {"debian": URL, "security": URL}, "sets": {SET: [PACKAGE, …]},
     "packages": {PACKAGE: {"mirror", "path", "sha256", "size"}}, "sources": {PART: {"version", "files": {ROLE: …}}},
     "versions": {PART: "6.12.117"}, "bootstrap": {"nar_sha256": HEX}, "made": TIME,
     "kernel_source": {"sha256", "size", "version"},
     "indexes": [{"mirror", "suite", "codename", "date", "valid_until", "sha256", "files": {PATH: HEX}, "age_days"}, …]}

PACKAGE is name_version_architecture, as the file is called.  `mirrors` is where the files were when the lock was made;
they may be taken from any other place.  Locks of before have no `made` and no `indexes`.  `kernel_source` is the
archive that a spec names in the place of Debian's source; without one it isn't there, nor in the request.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from netvm_build.build.debian.mirrors import MAIN
from netvm_build.build.debian.packages import LINUX, VERSIONS, Request, without_optional
from netvm_build.util.decode import DecodeError, at_least, decode_version, matching
from netvm_build.util.errors import LockError
from netvm_build.util.files import read_plain, replace_file

LOCK_VERSION = 1
MAX_BYTES = 16 << 20

# What a lock may hold, since all of it becomes part of URLs, file names and store paths.
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9._+~%-]+(/[A-Za-z0-9._+~%-]+)*")
_MIRROR = r"https?://[!-~]+"
_NAME = r"[a-z][a-z0-9-]*"
_PART = r"[a-z0-9][a-z0-9+.-]*"
_PACKAGE = r"[a-z0-9][a-z0-9+.-]+_[A-Za-z0-9.+~:-]+_[a-z0-9]+"
_VERSION = r"[A-Za-z0-9][A-Za-z0-9.+~:-]*"
_SUITE = r"[a-z][a-z0-9./-]*"
_DATE = r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z"
_BOOTSTRAP = "bootstrap"

DATE = "%Y-%m-%dT%H:%M:%SZ"
"""How times are written: strftime(3), in UTC."""


@dataclass(frozen=True)
class Package:
    """One file of the archive: `path` is below the mirror of that name; `size` in bytes."""

    mirror: str
    path: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        _demand(_PATH.fullmatch(self.path), f"{self.path!r} is no file of an archive")
        _demand(_SHA256.fullmatch(self.sha256), f"{self.path} has no SHA-256")
        _demand(self.size > 0, f"{self.path} has no size")


@dataclass(frozen=True)
class SourcePackage:
    """A source package: its Debian version, and its files by role (``orig``, ``debian``)."""

    version: Annotated[str, matching(_VERSION, "a version")]
    files: Mapping[str, Package]


@dataclass(frozen=True)
class Archive:
    """The kernel's source that a spec names: its bytes, and the version of Linux in it."""

    sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in lower case")]
    size: Annotated[int, at_least(1)]
    version: Annotated[str, matching(_VERSION, "a version")]


@dataclass(frozen=True)
class Bootstrap:
    """The builder of everything else, by the hash of its unpacked tree."""

    nar_sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in lower case")]


@dataclass(frozen=True)
class Index:
    """A signed index that a lock was made of: `sha256` is that of its InRelease, `files` those of what it lists.

    Times are as DATE has them; `valid_until` is empty where the index names no such time.  `age_days` is how old the
    index was when the lock was made.
    """

    mirror: Annotated[str, matching(_NAME, "the name of a mirror")]
    suite: Annotated[str, matching(_SUITE, "a suite")]
    codename: Annotated[str, matching(_SUITE, "a code name")]
    date: Annotated[str, matching(_DATE, "a time such as 2026-01-31T10:30:00Z")]
    valid_until: Annotated[str, matching(f"|{_DATE}", "a time such as 2026-01-31T10:30:00Z, or empty")]
    sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in lower case")]
    files: Mapping[
        Annotated[str, matching(r"[a-z0-9/._-]+(/[A-Za-z0-9._-]+)*", "a file of an index")],
        Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in lower case")],
    ]
    age_days: int = 0

    def __post_init__(self) -> None:
        for time in filter(None, (self.date, self.valid_until)):
            datetime.strptime(time, DATE)


@dataclass(frozen=True)
class Lock:
    """Everything an image is built from; see the module's text for the shape on disk."""

    request: Request
    mirrors: Mapping[
        Annotated[str, matching(_NAME, "the name of a mirror")],
        Annotated[str, matching(_MIRROR, "the URL of a mirror")],
    ]
    sets: Mapping[Annotated[str, matching(_NAME, "the name of a set")], tuple[str, ...]]
    packages: Mapping[Annotated[str, matching(_PACKAGE, "name_version_architecture of a package")], Package]
    sources: Mapping[Annotated[str, matching(_NAME, "the name of a part")], SourcePackage]
    versions: Mapping[
        Annotated[str, matching(_PART, "the name of a part or package")],
        Annotated[str, matching(_VERSION, "a version")],
    ]
    bootstrap: Bootstrap
    made: Annotated[str, matching(f"|{_DATE}", "a time such as 2026-01-31T10:30:00Z, or empty")] = ""
    indexes: tuple[Index, ...] = ()
    kernel_source: Archive | None = None

    @property
    def download_bytes(self) -> int:
        """What a build from nothing downloads."""
        return sum(file.size for file in self.files())

    def files(self) -> tuple[Package, ...]:
        """Every file that is locked."""
        return (*self.packages.values(), *(f for source in self.sources.values() for f in source.files.values()))


def to_json(lock: Lock) -> str:
    """The lock as its file's text; the same lock always gives the same text."""
    document = {"version": LOCK_VERSION, **dataclasses.asdict(lock)}
    if lock.kernel_source is None:  # a lock without it is as it was before there was such a key
        del document["kernel_source"], document["request"]["kernel_source"]
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def from_json(text: str | bytes) -> Lock:
    """Raises DecodeError for anything but a lock of this version, ValueError for one whose parts don't fit together."""
    lock = decode_version(Lock, text, LOCK_VERSION)
    _hold_together(lock)
    return lock


def _hold_together(lock: Lock) -> None:
    """All that was asked for must be there.  Raises ValueError."""
    _demand(MAIN in lock.mirrors, f"the mirror {MAIN} is missing")
    for file in lock.files():
        _demand(file.mirror in lock.mirrors, f"{file.path} is on no mirror of the lock")
    for members in lock.sets.values():
        for name in members:
            _demand(name in lock.packages, f"{name} is in a set, and no package of the lock")
    for name in lock.request.sets:
        _demand(lock.sets.get(name), f"the set {name} is empty")
    for name in (*lock.request.sources, *VERSIONS):
        _demand(name in lock.versions, f"{name} has no version")
    archive = lock.kernel_source
    asked = lock.request.kernel_source
    _demand(asked == ("" if archive is None else archive.sha256), "the kernel's source isn't the one asked for")
    _demand(archive is None or archive.version == lock.versions[LINUX], "the kernel's source has another version")
    _demand(len(lock.sets.get(_BOOTSTRAP, ())) == 1, f"the set {_BOOTSTRAP} is not one package")


def _demand(true: object, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)


def load_lock(path: Path, request: Request) -> Lock | None:
    """The lock of a file, or None where there is none.  Raises LockError if corrupt, or made for something else."""
    again = "make it anew: netvm-build lock"
    try:
        raw = read_plain(path, MAX_BYTES)
        _demand(len(raw) <= MAX_BYTES, f"it is larger than a lock can be ({MAX_BYTES >> 20} MiB)")
        lock = from_json(raw)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}", hint=again) from error
    except (DecodeError, ValueError) as error:
        raise LockError(f"{path} is corrupt: {error}", hint=again) from error
    made_for, wanted = without_optional(lock.request), without_optional(request)
    changed = [
        field.name
        for field in dataclasses.fields(Request)
        if getattr(made_for, field.name) != getattr(wanted, field.name)
    ]
    if changed:
        what = " and ".join(changed).replace("_", " ")
        raise LockError(
            f"{path} is stale: it was made for another {what} than the spec asks for",
            hint=again,
        )
    return lock


def save_lock(lock: Lock, path: Path) -> None:
    """Write the lock in one step, so that what was there before survives a crash."""
    replace_file(path, to_json(lock).encode())
