# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Request → lock: ask apt what each set is made of today, and pin it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from netvm_build.build.debian.apt import SOURCE_PACKAGE, Apt, private_apt
from netvm_build.build.debian.bootstrap import busybox_of, nar_sha256
from netvm_build.build.debian.indexes import expired
from netvm_build.build.debian.lock import DATE, Archive, Bootstrap, Lock, Package, SourcePackage
from netvm_build.build.debian.mirrors import MAIN, choose_mirrors, machine_targets
from netvm_build.build.debian.packages import (
    EXTRA,
    FIRMWARE,
    FIRMWARE_COMPONENT,
    LINUX,
    ONLY,
    VERSIONS,
    WIFI_VERSIONS,
    WITHOUT,
    WITHOUT_DEPENDENCIES,
    Request,
    refuse_vulnerable,
    upstream,
)
from netvm_build.build.debian.places import ANYWHERE, Where, is_snapshot
from netvm_build.util.errors import LockError
from netvm_build.util.events import Note, Progress, Sink, StageEnded, StageStarted

STAGE = "lock packages"


def resolve(request: Request, sink: Sink, where: Where = ANYWHERE, archive: Archive | None = None) -> Lock:
    """Resolve a request against the first mirror that answers.  Takes seconds, and the network.

    `archive` is the kernel's source that the request has the hash of.
    Raises LockError and ToolMissing.
    """
    started = time.monotonic()
    sink(StageStarted(STAGE))
    try:
        lock = with_archive(_first_that_answers(request, where, sink), archive)
    except BaseException:
        sink(StageEnded(STAGE, ok=False, seconds=time.monotonic() - started))
        raise
    note = f"{len(lock.packages)} packages, {lock.download_bytes / 1e6:.0f} MB"
    sink(StageEnded(STAGE, ok=True, seconds=time.monotonic() - started, note=note))
    return lock


def with_archive(lock: Lock, archive: Archive | None) -> Lock:
    """A lock with the kernel's source that its request asks for."""
    if archive is None:
        return lock
    return replace(lock, kernel_source=archive, versions={**lock.versions, LINUX: archive.version})


def _first_that_answers(request: Request, where: Where, sink: Sink) -> Lock:
    *others, last = where.pairs()
    targets = machine_targets() if any(None in pair for pair in where.pairs()) else ()
    for main, security in others:
        try:
            return _from_mirror(request, choose_mirrors(request, targets, main, security), sink)
        except LockError as error:
            sink(Note(f"{error.message}: trying the next mirror"))
    return _from_mirror(request, choose_mirrors(request, targets, *last), sink)


def _from_mirror(request: Request, mirrors: Mapping[str, str], sink: Sink) -> Lock:
    sink(Note(f"packages from {mirrors[MAIN]} ({request.suite})"))
    with apt_for(request, mirrors) as apt:
        return _lock(request, mirrors, apt, sink)


@contextmanager
def apt_for(request: Request, mirrors: Mapping[str, str]) -> Iterator[Apt]:
    """A private apt with the indexes that a request is about."""
    source_suites = tuple(sorted(set(request.sources.values())))
    components = ("main", FIRMWARE_COMPONENT) if FIRMWARE in request.sets else ("main",)
    dated = is_snapshot(mirrors)
    with private_apt(
        request.suite, source_suites, mirrors, components, backports=request.backports, dated=dated
    ) as apt:
        yield apt


def _lock(request: Request, mirrors: Mapping[str, str], apt: Apt, sink: Sink) -> Lock:
    now = datetime.now(UTC)
    indexes = apt.indexes()
    for sentence in expired(indexes, mirrors, now):
        sink(Note(sentence))
    packages: dict[str, Package] = {}
    sets: dict[str, tuple[str, ...]] = {}
    for done, (name, asked) in enumerate(request.sets.items()):
        sink(Progress(STAGE, done, len(request.sets), name))
        try:
            found = apt.closure(asked, dependencies=name not in WITHOUT_DEPENDENCIES)
        except LockError as error:
            if f"locate package {SOURCE_PACKAGE}" in error.message:
                error.hint = _another_series(request, apt)
            elif name == EXTRA:
                error.hint = f"look at image.packages: packages.debian.org shows what {request.suite} has in main"
            raise
        if name in ONLY:
            found = {package: file for package, file in found.items() if re.fullmatch(ONLY[name], package)}
        if name in WITHOUT:
            found = {package: file for package, file in found.items() if not re.fullmatch(WITHOUT[name], package)}
        packages |= found
        sets[name] = tuple(sorted(found))
    sources: dict[str, SourcePackage] = {}
    for part in request.sources:
        version, files = apt.source(part)
        refuse_vulnerable(part, version)
        sources[part] = SourcePackage(version, files)
    busybox = busybox_of(apt.download("busybox-static"))
    versions = {
        part: version_of(packages, prefix)
        for part, prefix in VERSIONS.items()
        if part != LINUX or not request.kernel_source
    }
    present = {part: prefix for part, prefix in WIFI_VERSIONS.items() if any(n.startswith(prefix) for n in packages)}
    versions |= {part: version_of(packages, prefix) for part, prefix in present.items()}
    versions |= {part: upstream(source.version) for part, source in sources.items()}
    # Those of the spec are named in the manifest too, each by its own name.
    versions = {name: version_of(packages, f"{re.escape(name)}_") for name in request.sets.get(EXTRA, ())} | versions
    return Lock(
        request,
        mirrors,
        sets,
        dict(sorted(packages.items())),
        sources,
        versions,
        Bootstrap(nar_sha256(busybox)),
        made=now.strftime(DATE),
        indexes=indexes,
    )


def _another_series(request: Request, apt: Apt) -> str:
    """What to do where a suite hasn't the series of Linux that is asked for."""
    there = ", ".join(f"'{series}'" for series in apt.kernel_series()) or "none"
    more = "" if request.backports else "; kernel.backports may bring another"
    more += "; kernel.source takes any"
    return f"set kernel.version to a series that {request.suite} has: {there}{more}"


def version_of(packages: Mapping[str, Package], prefix: str) -> str:
    """The upstream version of the first package whose name starts so.  Raises LockError where there is none."""
    for name in packages:
        if re.match(prefix, name) and "_" in name:
            return upstream(name.split("_")[1])
    raise LockError(f"no package of the mirror is named like {prefix}", hint=f"is {MAIN} of the right suite?")
