"""netvm.lock: the packages of an image, pinned.  JSON, because Nix reads it too.

    {"version": 1, "request": {…}, "mirrors": {"debian": URL, "security": URL}, "sets": {SET: [PACKAGE, …]},
     "packages": {PACKAGE: {"mirror", "path", "sha256", "size"}}, "sources": {PART: {"version", "files": {ROLE: …}}},
     "versions": {PART: "6.12.117"}, "bootstrap": {"nar_sha256": HEX}}

PACKAGE is name_version_architecture, as the file is called.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.debian.packages import Request
from builder.errors import LockError
from builder.workspace import replace_file

LOCK_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Package:
    """One file of the archive: `path` is below the mirror of that name; `size` in bytes."""

    mirror: str
    path: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256) or self.path.startswith("/") or ".." in self.path.split("/"):
            raise ValueError(f"{self.path!r} is not a pinned file of the archive")


@dataclass(frozen=True)
class SourcePackage:
    """A source package: its Debian version, and its files by role (``orig``, ``debian``)."""

    version: str
    files: Mapping[str, Package]


@dataclass(frozen=True)
class Lock:
    """Everything an image is built from; see the module's text for the shape on disk."""

    request: Request
    mirrors: Mapping[str, str]
    sets: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, Package]
    sources: Mapping[str, SourcePackage]
    versions: Mapping[str, str]
    bootstrap_sha256: str

    def url(self, package: Package) -> str:
        return f"{self.mirrors[package.mirror]}/{package.path}"

    @property
    def download_bytes(self) -> int:
        """What a build from nothing downloads."""
        files = [*self.packages.values(), *(f for source in self.sources.values() for f in source.files.values())]
        return sum(file.size for file in files)


def to_json(lock: Lock) -> str:
    """The lock as its file's text; the same lock always gives the same text."""
    fields = dataclasses.asdict(lock)
    fields["bootstrap"] = {"nar_sha256": fields.pop("bootstrap_sha256")}
    return json.dumps({"version": LOCK_VERSION, **fields}, indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> Lock:
    """Raises ValueError, KeyError or TypeError for anything but a lock of our version."""
    fields: dict[str, Any] = json.loads(text)
    if fields["version"] != LOCK_VERSION:
        raise ValueError(f"version {fields['version']!r} is not {LOCK_VERSION}")
    request = fields["request"]
    lock = Lock(
        request=Request(**{**request, "sets": {name: tuple(asked) for name, asked in request["sets"].items()}}),
        mirrors=fields["mirrors"],
        sets={name: tuple(members) for name, members in fields["sets"].items()},
        packages={name: Package(**package) for name, package in fields["packages"].items()},
        sources={
            part: SourcePackage(source["version"], {role: Package(**file) for role, file in source["files"].items()})
            for part, source in fields["sources"].items()
        },
        versions=fields["versions"],
        bootstrap_sha256=fields["bootstrap"]["nar_sha256"],
    )
    for name in (member for members in lock.sets.values() for member in members):
        if lock.packages[name].mirror not in lock.mirrors:
            raise ValueError(f"{name} is on no mirror of the lock")
    return lock


def load_lock(path: Path, request: Request) -> Lock | None:
    """The lock of a file, or None where there is none.  Raises LockError if corrupt, or made for something else."""
    try:
        lock = from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise LockError(f"{path} is corrupt: {reason}", hint="make it anew: netvm-build lock") from error
    changed = [
        field.name
        for field in dataclasses.fields(Request)
        if getattr(lock.request, field.name) != getattr(request, field.name)
    ]
    if changed:
        what = " and ".join(changed).replace("_", " ")
        raise LockError(
            f"{path} is stale: it was made for another {what} than the spec asks for",
            hint="make it anew: netvm-build lock",
        )
    return lock


def save_lock(lock: Lock, path: Path) -> None:
    """Write the lock in one step, so that what was there before survives a crash."""
    replace_file(path, to_json(lock).encode())
