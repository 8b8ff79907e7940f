# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How much each sender may make the router keep of datagrams that have not arrived whole.

The kernel joins fragments before it tracks connections, in memory that all senders share.  docs/adr/0014-fragments.md
says why the limit is on what is kept and not on what passes.
"""

from __future__ import annotations

from collections.abc import Iterator

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
