# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How much each sender may make the router keep of datagrams that have not arrived whole.

The kernel joins fragments before it tracks connections, in memory that all senders share.  docs/adr/0014-fragments.md
says why the limit is on what is kept and not on what passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netvm_build.model import Router, Violation

WAITING = 256
"""Incomplete datagrams of a client, unless the spec says otherwise: a power of two, so that a hash's last bits do."""
LARGE = 8
"""Of these, so many may have more than FEW fragments; a power of two.  Half of them are for each choice of a place."""
FEW, MANY = 2, 62
"""A datagram has FEW and MANY fragments at most: 64 KiB at an MTU of 1048."""
OUTSIDE_PARTS = 4
"""Senders outside are told by the last bits of their address.  All of them together have twice a client's share."""
SECONDS = 1
"""After so long the kernel gives a datagram up (`ipfrag_time`)."""
REMEMBERED_MS = 1500
"""So long a datagram counts after its last fragment: never less than the kernel keeps it."""
PER_SECOND = 8192
"""Fragments of each sender: what has arrived whole takes its place in the sets for a quarter of a second."""
IN_ALL, LARGE_IN_ALL = 8192, 1024
FRAGMENT_BYTES = 2816
"""What a fragment of 1500 bytes takes where a driver receives into 2 KiB (skb->truesize)."""
LEAST_MEMORY = 4 << 20
"""Linux's own `ipfrag_high_thresh`; it takes none below `ipfrag_low_thresh`, 3 MiB."""
MEMORY_SHARE = 8


@dataclass(frozen=True)
class Share:
    """The senders of one side: `name` begins the names of their chains, `source` tells them apart at one interface.

    `places` are the elements that a datagram may take: one of the first two, and one of the others if it is large.
    """

    name: str
    source: str
    places: tuple[str, str, str, str]


def _share(name: str, source: str, datagrams: int, large: int) -> Share:
    half, few = datagrams // 2 - 1, large // 2 - 1
    who = f"iif . {source} ."
    first, second = (f"{who} meta mark & {mask:#x}" for mask in (half, half << 16))  # bits of their own for each choice
    return Share(name, source, (first, second, f"{who} ip id & {few:#x}", f"{who} meta mark & {few:#x}"))


def memory(router: Router) -> int:
    """Bytes for all fragments that wait."""
    return max(LEAST_MEMORY, (router.machine.memory_mib << 20) // MEMORY_SHARE)


def waiting(router: Router) -> int:
    """How many datagrams of each client may be incomplete at once: the power of two that the spec's number fits in."""
    asked = router.clients.fragments or WAITING
    return 1 << (asked - 1).bit_length()


def share_bytes(datagrams: int) -> int:
    """What one client may take at most."""
    return (datagrams * FEW + LARGE * MANY) * FRAGMENT_BYTES


def settings(router: Router) -> dict[str, str]:
    """Kernel settings below /proc/sys/net."""
    return {"ipv4/ipfrag_time": str(SECONDS), "ipv4/ipfrag_high_thresh": str(memory(router))}


def for_templates(router: Router) -> dict[str, object]:
    """What the ruleset names as `traffic.fragments`; a set is its name, key, unused element and size."""
    datagrams = waiting(router)
    key = "iif . meta mark", "lo . 0"
    place = "iif . ip saddr . meta mark", "lo . 0.0.0.0 . 0"
    numbered = "iif . ip saddr . ip id", "lo . 0.0.0.0 . 0"
    part = f"ip saddr & 0.0.0.{OUTSIDE_PARTS - 1}"
    in_all = max(IN_ALL, 16 * datagrams)
    return {
        "sets": (
            ("incomplete", *key, in_all),
            ("incomplete_other", *key, in_all),
            ("incomplete_fragments", *key, in_all),
            ("places", *place, in_all),
            ("large", *key, LARGE_IN_ALL),
            ("large_other", *key, LARGE_IN_ALL),
            ("large_fragments", *key, LARGE_IN_ALL),
            ("large_places", *numbered, LARGE_IN_ALL),
            ("large_other_places", *place, LARGE_IN_ALL),
        ),
        "shares": (
            _share("client", "ip saddr", datagrams, LARGE),
            _share("uplink", part, 2 * datagrams // OUTSIDE_PARTS, 2 * LARGE // OUTSIDE_PARTS),
        ),
        "few": FEW,
        "many": MANY,
        "per_second": PER_SECOND,
        "remembered_ms": REMEMBERED_MS,
    }


def rules(router: Router) -> Iterator[Violation]:
    """One client may not take more than half of the memory for fragments."""
    asked, half = router.clients.fragments, memory(router) // 2
    if asked is not None and (taken := share_bytes(waiting(router))) > half:
        most = 1 << ((half // FRAGMENT_BYTES - LARGE * MANY) // FEW).bit_length() - 1
        message = (
            f"{waiting(router)} incomplete datagrams of one client could take {taken / (1 << 20):.1f} MiB, more than"
            f" half of the {memory(router) >> 20} MiB for fragments"
        )
        hint = f"write at most {most}, or raise machine.memory_mib: fragments get an eighth of the memory"
        yield Violation("clients.fragments", message, hint, ("machine.memory_mib",))
