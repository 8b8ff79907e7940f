# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which interfaces the host's own traffic leaves by: those of its default routes, and what lies beneath them.

A default route may go by a bridge, a bond or a VLAN; the card beneath it is what the host would miss.  Only the main
table is read, which is where network managers put a default route.  Source: proc_pid_net(5), sysfs-class-net.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_UP, _REJECT = 0x0001, 0x0200  # <linux/route.h>


def default_interfaces(root: Path = Path("/")) -> frozenset[str]:
    """The interfaces of all default routes of IPv4 and IPv6, with every interface below them."""
    found: set[str] = set()
    pending = [*_ipv4(root), *_ipv6(root)]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _below(root, name)
    return frozenset(found)


def _ipv4(root: Path) -> Iterator[str]:
    for line in _lines(root / "proc/net/route")[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        interface, destination, _, flags, _, _, _, mask, *_ = words
        if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & (_UP | _REJECT) == _UP:
            yield interface


def _ipv6(root: Path) -> Iterator[str]:
    for line in _lines(root / "proc/net/ipv6_route"):
        words = line.split()
        if len(words) < 10:
            continue
        destination, prefix, *_, flags, interface = words
        wanted = int(destination, 16) == int(prefix, 16) == 0
        if wanted and interface != "lo" and int(flags, 16) & (_UP | _REJECT) == _UP:
            yield interface


def _below(root: Path, interface: str) -> Iterator[str]:
    folder = root / "sys/class/net" / interface
    if folder.is_dir():
        yield from (path.name.removeprefix("lower_") for path in folder.iterdir() if path.name.startswith("lower_"))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
