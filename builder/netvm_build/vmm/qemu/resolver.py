# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The host's resolver, to which user networks pass questions on."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

RESOLVER = Path("/etc/resolv.conf")
LARGEST = 64 << 10
"""Bytes of it that are read."""


def host_resolver(file: Path = RESOLVER) -> IPv4Address | None:
    """The host's first resolver with an IPv4 address; None without.  resolv.conf(5)."""
    with suppress(OSError), file.open("rb") as text:
        for line in text.read(LARGEST).decode(errors="replace").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                with suppress(ValueError):
                    found = IPv4Address(words[1])
                    return found if int(found) else IPv4Address("127.0.0.1")
    return None
