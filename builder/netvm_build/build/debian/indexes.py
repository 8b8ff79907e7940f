# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a signed index says of itself: which suite it is, when it was made, and how long it is valid.

Source of the fields: Debian's RepositoryFormat, "Release" files; apt-secure(8) on dates.  apt has checked the
signature.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from netvm_build.build.debian.lock import DATE, Index
from netvm_build.util.errors import LockError


def read_index(mirror: str, suite: str, url: str, inrelease: bytes, listed: Iterable[str]) -> Index:
    """The index of a suite from its InRelease; `listed` are the files of it that were read, as main/source/Sources.

    Raises LockError for the index of another suite: a mirror that gives the main suite's as that of its security
    updates withholds them, and apt only warns (`Conflicting distribution`).
    """
    text = _signed_text(inrelease.decode(errors="replace"))
    found = re.findall(r"^([A-Z][A-Za-z0-9-]*):[ \t]*(.*)$", text, re.MULTILINE)
    fields = {name: value.strip() for name, value in found}
    names = (fields.get("Suite", ""), fields.get("Codename", ""))
    if suite not in names:
        said = " or ".join(dict.fromkeys(name for name in names if name)) or "no suite at all"
        raise LockError(
            f"conflicting distribution: {url} has the index of {said} in the place of {suite}",
            hint="this mirror withholds updates, by mistake or on purpose: set platform.mirror to another",
        )
    digests = dict(_digests(text))
    try:
        return Index(
            mirror,
            suite,
            fields.get("Codename", suite),
            _time(fields["Date"]),
            _time(fields["Valid-Until"]) if "Valid-Until" in fields else "",
            hashlib.sha256(inrelease).hexdigest(),
            {file: digests[file] for file in listed},
            age_days(_time(fields["Date"]), datetime.now(UTC)),
        )
    except (KeyError, ValueError) as error:
        raise LockError(f"the index of {suite} at {url} is incomplete: {error}", hint="set platform.mirror") from error


def _signed_text(text: str) -> str:
    """The part of an InRelease that its signature covers, or a whole Release, which has its signature beside it.

    Both armours take lines that look like fields, and anybody can add one to that of the signature: gpgv(1) ignores
    what it doesn't know there (RFC 9580, 6.2.2 and 7).
    """
    signed, _, _ = text.partition("\n-----BEGIN PGP SIGNATURE")
    if signed.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        signed = re.split(r"\n[ \t\r]*\n", signed, maxsplit=1)[-1]
    return f"{signed}\n"


def _digests(text: str) -> Iterator[tuple[str, str]]:
    """File → SHA-256 of the section of that name."""
    _, _, section = text.partition("\nSHA256:")
    for line in section.lstrip(" \n").splitlines():
        match = re.fullmatch(r" ([0-9a-f]{64}) +[0-9]+ (\S+)", line if line.startswith(" ") else f" {line}")
        if match is None:
            return
        yield match[2], match[1]


def _time(text: str) -> str:
    """A time of RFC 5322, as such files have it, as DATE.  Raises ValueError."""
    return parsedate_to_datetime(text).astimezone(UTC).strftime(DATE)


def age_days(since: str, now: datetime) -> int:
    """Whole days from a time (as DATE has it) until now."""
    return (now - datetime.strptime(since, DATE).replace(tzinfo=UTC)).days


def expired(indexes: Iterable[Index], mirrors: Mapping[str, str], now: datetime) -> Iterator[str]:
    """A sentence for each index that is past its date.  apt refuses those unless its check of dates is off."""
    for index in indexes:
        if index.valid_until and datetime.strptime(index.valid_until, DATE).replace(tzinfo=UTC) < now:
            days = age_days(index.valid_until, now)
            yield (
                f"the index of {index.suite} at {mirrors[index.mirror]} expired {days} days ago: updates since"
                f" {index.date[:10]} are missing (this machine's apt has Acquire::Check-Valid-Until off)"
            )
