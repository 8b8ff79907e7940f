# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which source ports clients' connections get on an uplink, and which the router's own sockets use.

Neither may be a port that the router listens on or forwards: a client that sends first from such a port would
receive what is meant for its owner (CVE-2021-3773).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netvm_build.model import Forward, Router, Violation

FIRST, LAST = 1024, 65535
"""Ports that may be given out: those below are services', DHCP's 68 among them."""
OWN = 1024
"""The router's own sockets have so many: ConnMan asks for names and the time, PID 1 asks resolvers."""
LEAST = 8192
"""Clients' connections to any one server's port need as many at least."""
DHCP_PORTS = (67, 68)


@dataclass(frozen=True)
class Ports:
    """Both ends of each range are part of it.

    `first` and `second` are the halves of `masquerade`: UDP from a port in `first` gets one in `second`, any other UDP
    one in `first`.  docs/adr/0011-source-ports.md says why.
    """

    masquerade: tuple[int, int]
    own: tuple[int, int]

    @property
    def first(self) -> tuple[int, int]:
        return self.masquerade[0], sum(self.masquerade) // 2

    @property
    def second(self) -> tuple[int, int]:
        return sum(self.masquerade) // 2 + 1, self.masquerade[1]


def split(router: Router) -> Ports:
    """The ports of a router: the largest run without a forwarded one, its end for the router itself."""
    low, high = largest_gap(router.clients.forwards)
    return Ports((low, high - OWN), (high - OWN + 1, high))


def largest_gap(forwards: Sequence[Forward]) -> tuple[int, int]:
    """The longest run of ports of which none is forwarded, whatever the protocol: nft masquerades into one range."""
    found, start = (FIRST, FIRST - 1), FIRST
    for first, last in (*sorted((one.ports[0], one.ports[-1]) for one in forwards), (LAST + 1, LAST + 1)):
        if first - start > found[1] - found[0] + 1:
            found = start, first - 1
        start = max(start, last + 1)
    return found


def rules(router: Router) -> Iterator[Violation]:
    """What the spec's forwarded ports break: DHCP's are the router's, and clients' connections need ports, too."""
    for number, one in enumerate(router.clients.forwards):
        taken = [port for port in DHCP_PORTS if port in one.ports and one.protocol == "udp"]
        if taken:
            message = f"UDP port {taken[0]} is DHCP's, and no client may speak DHCP on an uplink's network"
            hint = "choose another port"
            if one.count > 1:
                hint = f"leave {' and '.join(map(str, taken))} out of the range"
            protocol = f"clients.forwards[{number}].protocol"
            yield Violation(f"clients.forwards[{number}].port", message, hint, (protocol,))
    low, high = largest_gap(router.clients.forwards)
    if high - low + 1 < LEAST + OWN:
        left = f"only {high - low + 1} ports in a row, from {low} to {high}" if low <= high else "no port"
        message = f"the forwarded ports leave {left}"
        hint = (
            f"leave {LEAST + OWN} ports in a row free between {FIRST} and {LAST}, such as 32768-65535: clients' own"
            " connections get their ports from there"
        )
        yield Violation("clients.forwards", message, hint)
