# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where a locked file may come from: mirrors, and archives of what mirrors no longer have.  Hashes protect each file.

A place is a mapping of a mirror's name in the lock to the URL of a tree, without a slash at its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from netvm_build.build.debian.lock import DATE, Lock
from netvm_build.build.debian.mirrors import MAIN, SECURITY, USABLE, choose_mirrors, machine_targets
from netvm_build.model import Router
from netvm_build.util import process
from netvm_build.util.errors import CommandError, LockError, ToolMissing
from netvm_build.util.files import read_plain

MOST_BYTES = 1 << 20  # of a file of sources

# An archive takes its state of a mirror some hours after the mirror's index is made.
_LATER = timedelta(days=1)


@dataclass(frozen=True)
class Where:
    """What the spec says of where files come from; see model.Platform."""

    mirrors: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    snapshot: str | None = None

    def pairs(self) -> tuple[tuple[str | None, str | None], ...]:
        """Each mirror to try with that of its security updates; None: the machine's own, or the one beside.

        Further mirrors of security updates are tried with the last mirror.
        """
        if not self.mirrors:
            return tuple((None, security) for security in self.security) or ((None, None),)
        further = (self.mirrors[-1],) * (len(self.security) - len(self.mirrors))
        return tuple(zip_longest((*self.mirrors, *further), self.security))


ANYWHERE = Where()


def where_of(router: Router) -> Where:
    platform = router.platform
    return Where(platform.mirror, platform.security_mirror, platform.snapshot)


def places_of(lock: Lock, where: Where) -> Iterator[Mapping[str, str]]:
    """Where to look for a lock's files: the spec's mirrors, the lock's, this machine's, then archives of old versions.

    The machine's apt is asked only when the first ones are used up.
    """
    given: list[Mapping[str, str]] = []
    for place in _all_places(lock, where):
        whole = {**lock.mirrors, **place}
        if whole not in given:
            given.append(whole)
            yield whole


def _all_places(lock: Lock, where: Where) -> Iterator[Mapping[str, str]]:
    for main, security in where.pairs():
        if main is not None or security is not None:
            beside = {} if main is None else {MAIN: main, SECURITY: f"{main}-security"}
            yield beside if security is None else {**beside, SECURITY: security}
    yield lock.mirrors
    with suppress(LockError, ToolMissing, CommandError):
        yield choose_mirrors(lock.request, machine_targets())
    snapshot = where.snapshot or machine_snapshot()
    if snapshot is not None:
        for stamp in stamps(lock):
            yield at_snapshot(snapshot, stamp)


def at_snapshot(base: str, stamp: str) -> dict[str, str]:
    """The trees of an archive at a time, which is 20260131T103000Z for instance."""
    return {MAIN: f"{base}/debian/{stamp}", SECURITY: f"{base}/debian-security/{stamp}"}


def is_snapshot(place: Mapping[str, str]) -> bool:
    """Whether a place is of a time in the past, so that its indexes have expired."""
    return re.search(r"/debian/[0-9]{8}T[0-9]{6}Z$", place[MAIN]) is not None


def stamps(lock: Lock) -> tuple[str, ...]:
    """The times at which an archive has a lock's files, those that are more likely first.

    An archive serves the last state that it took before the time asked for.
    """
    made = [datetime.strptime(index.date, DATE) for index in lock.indexes]
    times = [*(one + _LATER for one in made), *made]
    return tuple(dict.fromkeys(time.strftime("%Y%m%dT%H%M%SZ") for time in times))


_TREE = r"(https?://[^\s\"@]+?)/debian(?:-security)?/"
_SET_UP = re.compile(rf'Acquire::Snapshots::URI::.*"{_TREE}@SNAPSHOTID@/?";')
_NAMED = re.compile(rf"#.*?{_TREE}[0-9]{{8}}T[0-9]{{6}}Z")


def machine_snapshot() -> str | None:
    """The archive of old versions that this machine's apt is set up with, or that its sources name in a comment."""
    try:
        config = process.find_tool("apt-config", "apt")
        dumped = process.run([config, "dump"]).stdout
        asked = ["List", "Dir::Etc::sourcelist/f", "Parts", "Dir::Etc::sourceparts/d"]
        paths = [Path(path) for path in re.findall(r"='(.*)'", process.run([config, "shell", *asked]).stdout)]
    except (ToolMissing, CommandError):
        return None
    texts = [dumped]
    for path in paths:
        with suppress(OSError):
            texts += [_text(file) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    found = (match for form in (_SET_UP, _NAMED) for text in texts for match in form.findall(text))
    return next((base for base in found if USABLE.match(f"{base}/")), None)


def _text(path: Path) -> str:
    with suppress(OSError):
        return read_plain(path, MOST_BYTES).decode(errors="replace")
    return ""
