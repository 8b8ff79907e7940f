# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Lock → proof: every file of it must be in an index that Debian signed, with the same name, hash and size.

apt checks the signatures, the dates and the hashes of the indexes (apt-secure(8)); what they list is compared here.  A
file of Debian's pool never changes, so any signed index that lists it proves it, be it older or newer than the lock's.
"""

from __future__ import annotations

import mmap
import re
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from netvm_build.build.debian.indexes import expired
from netvm_build.build.debian.lock import Index, Lock, Package
from netvm_build.build.debian.packages import refuse_vulnerable
from netvm_build.build.debian.places import Where, places_of
from netvm_build.build.debian.resolve import apt_for
from netvm_build.util.errors import LockError
from netvm_build.util.events import Note, Sink, StageEnded, StageStarted

STAGE = "verify lock"
SHOWN = 5  # names in a message

_REVIEW = "don't use this lock; make another: netvm-build lock"


@dataclass(frozen=True)
class Claim:
    """A file: `name` is name_version_architecture of a package, or part_version of a source; `size` in bytes."""

    name: str
    path: str
    sha256: str
    size: int


def prove(lock: Lock, where: Where, sink: Sink) -> None:
    """Have every file of a lock proven by Debian's signatures.  Takes seconds, and the network.

    Raises LockError for what isn't as signed or is in no signed index that can be read; ToolMissing without apt.
    """
    started = time.monotonic()
    sink(StageStarted(STAGE))
    ok = False
    try:
        _prove(lock, where, sink)
        ok = True
    finally:
        note = f"{len(lock.files())} files as signed" if ok else ""
        sink(StageEnded(STAGE, ok=ok, seconds=time.monotonic() - started, note=note))


def _prove(lock: Lock, where: Where, sink: Sink) -> None:
    for part, source in lock.sources.items():
        refuse_vulnerable(part, source.version)
    left = set(claims(lock))
    failed: LockError | None = None
    for place in places_of(lock, where):
        try:
            with apt_for(lock.request, place) as apt:
                indexes = apt.indexes()
                signed = set(read_lists([file for _, _, _, file in apt.targets()], {claim.path for claim in left}))
        except LockError as error:
            failed = failed or error
            sink(Note(f"{error.message}: trying other places"))
            continue
        for sentence in expired(indexes, place, datetime.now(UTC)):
            sink(Note(sentence))
        _refuse_other_dates(lock.indexes, indexes)
        _refuse_altered(left, signed)
        left -= signed
        if not left:
            return
    _refuse_unproven(left, lock, failed)


def claims(lock: Lock) -> Iterator[Claim]:
    """What a lock says of each of its files."""

    def claim(name: str, file: Package) -> Claim:
        return Claim(name, urllib.parse.unquote(file.path), file.sha256, file.size)

    for name, file in lock.packages.items():
        yield claim(name, file)
    for part, source in lock.sources.items():
        for file in source.files.values():
            yield claim(f"{part}_{source.version}", file)


_FILE = re.compile(rb"^(?:Filename|Directory): (\S+)$", re.MULTILINE)
_FIELD = re.compile(rb"^([A-Za-z0-9-]+): *(\S*)", re.MULTILINE)
_CHECKSUMS = re.compile(rb"^Checksums-Sha256:[^\n]*\n((?: [^\n]*\n?)+)", re.MULTILINE)


def read_lists(lists: Iterable[Path], paths: set[str]) -> Iterator[Claim]:
    """What signed lists (deb822(5): Packages and Sources) say of some paths."""
    folders = {path.rpartition("/")[0] for path in paths}
    for file in lists:
        if not file.stat().st_size:
            continue
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for match in _FILE.finditer(text):
                where = match[1].decode(errors="replace")
                if where in paths or where in folders:
                    start, end = text.rfind(b"\n\n", 0, match.start()) + 1, text.find(b"\n\n", match.end())
                    stanza = text[start : end + 1 if end != -1 else len(text)]
                    yield from _package(stanza, where) if where in paths else _source(stanza, where)


def _package(stanza: bytes, path: str) -> Iterator[Claim]:
    fields = {name.decode(): value.decode(errors="replace") for name, value in _FIELD.findall(stanza)}
    try:
        name = f"{fields['Package']}_{fields['Version']}_{fields['Architecture']}"
        yield Claim(name, path, fields["SHA256"], int(fields["Size"]))
    except (KeyError, ValueError):
        return


def _source(stanza: bytes, folder: str) -> Iterator[Claim]:
    fields = {name.decode(): value.decode(errors="replace") for name, value in _FIELD.findall(stanza)}
    checksums = _CHECKSUMS.search(stanza)
    for line in checksums[1].decode(errors="replace").splitlines() if checksums else ():
        digest, size, name = line.split()
        yield Claim(f"{fields.get('Package')}_{fields.get('Version')}", f"{folder}/{name}", digest, int(size))


def _refuse_altered(left: set[Claim], signed: set[Claim]) -> None:
    """Raises LockError for files that are listed, and otherwise than the lock says.

    Several versions of a source share a file, so its name may be that of a version that is no longer listed.
    """
    known = {claim.path for claim in signed}
    bytes_of = {(claim.path, claim.sha256, claim.size) for claim in signed}
    altered = sorted(
        claim.name
        for claim in left - signed
        if claim.path in known
        and (claim.path.endswith(".deb") or (claim.path, claim.sha256, claim.size) not in bytes_of)
    )
    if altered:
        raise LockError(f"the lock isn't what Debian signed: {_some(altered)}", hint=_REVIEW)


def _refuse_other_dates(claimed: Iterable[Index], found: Iterable[Index]) -> None:
    """Raises LockError where an index that is the lock's has another date than the lock says."""
    signed = {index.sha256: index for index in found}
    for index in claimed:
        real = signed.get(index.sha256, index)
        if (real.suite, real.date, real.valid_until) != (index.suite, index.date, index.valid_until):
            raise LockError(
                f"the lock isn't what Debian signed: the index of {index.suite} is of {real.date}", hint=_REVIEW
            )


def _refuse_unproven(left: set[Claim], lock: Lock, failed: LockError | None) -> None:
    """Raises LockError for files that no signed index lists, or for indexes that can't be read."""
    if failed is not None and len(left) == len(set(claims(lock))):
        hint = f"{failed.hint or 'check the network'}; or, if you trust its author: netvm-build lock --trust"
        raise LockError(f"the lock can't be verified: {failed.message}", tail=failed.tail, hint=hint)
    some = _some(sorted({claim.name for claim in left}))
    raise LockError(
        f"{len(left)} of the lock's {len(lock.files())} files are in no index of Debian's that could be read: {some}",
        hint="they are forged, or no longer current: set platform.snapshot to an archive of old versions; make another"
        " lock: netvm-build lock; or, if you trust its author: netvm-build lock --trust",
    )


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
