# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What an uplink's network may not claim: the clients' addresses, and addresses that no host has.

A lease is not to be trusted.  One with a client's address, or with a gateway or a resolver among the clients (to
each of which ConnMan makes a route), would lead a client's packets outside, or to nobody.  The firewall lets none of
them out, but the client would be cut off; so such an uplink is taken down, and up again after a while.
"""

from __future__ import annotations

from init.kernel.netlink import dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from init.net.clients import Clients
    from init.net.uplink import Uplink

LOOPBACK, MULTICAST = 127, 224
CLIENT_S_LENGTH = 31  # a route that is shorter than a client's own does not beat it


def number(address: str) -> int:
    """A dotted address as a number."""
    value = 0
    for octet in address.split("."):
        value = value << 8 | int(octet)
    return value


def broadcast(address: str, length: int) -> str:
    """The last address of a network."""
    return dotted((number(address) | (1 << 32 - length) - 1).to_bytes(4, "big"))


class Claims:
    """Tells what is the clients'.  `pool` is such as ``100.115.92.0/23``; a client's pair may also lie outside it."""

    def __init__(self, pool: str, clients: Clients) -> None:
        first, _, length = pool.partition("/")
        self._pool = pool
        self._length = int(length)
        self._shift = 32 - self._length
        self._first = number(first) >> self._shift
        self._clients = clients

    def is_clients(self, address: str) -> bool:
        """Whether an address is one of the pool, or either end of a client's wire."""
        return number(address) >> self._shift == self._first or address in self._clients.addresses

    def takes(self, destination: str, length: int) -> bool:
        """Whether a route takes packets to clients, or to addresses that a client may come to have."""
        if length >= self._length and number(destination) >> self._shift == self._first:
            return True
        return length >= CLIENT_S_LENGTH and destination in self._clients.addresses

    def problem(self, address: str, gateway: str | None, routes: Iterable[tuple[str, int]]) -> str:
        """Why a lease cannot be used, or nothing.  `routes` are (destination, length) of those by the uplink."""
        first = int(address.partition(".")[0])
        if first in (0, LOOPBACK) or first >= MULTICAST:
            return f"{address} is no host's address"
        claimed = [(what, one) for what, one in (("address", address), ("gateway", gateway)) if one is not None]
        found = [(what, one) for what, one in claimed if self.is_clients(one)]
        found += [("route to", destination) for destination, length in routes if self.takes(destination, length)]
        if not found:
            return ""
        return f"its {found[0][0]} {found[0][1]} is the clients' own: choose another clients.pool than {self._pool}"


def conflict(address: str, length: int, gateway: str | None, others: Iterable[Uplink]) -> str:
    """Why the kernel could not keep the routes of this uplink and of one of the `others` beside each other, or nothing.

    It takes no gateway that is an address or a broadcast address of its own, and no source address that is some
    network's broadcast address.
    """
    last = broadcast(address, length) if length < 31 else ""
    for other in others:
        if other.lease is None:
            continue
        theirs = broadcast(other.lease.ip, other.lease.length) if other.lease.length < 31 else ""
        if address == other.lease.gateway:
            return f"its address {address} is the gateway of {other.name}"
        if last in (other.lease.ip, other.lease.gateway):
            return f"its broadcast address {last} is a host's at {other.name}"
        if theirs in (address, gateway):
            return (
                f"its {'address' if theirs == address else 'gateway'} {theirs} is the broadcast address of {other.name}"
            )
        if gateway == other.lease.ip:
            return f"its gateway {gateway} is the address of {other.name}"
    return ""
