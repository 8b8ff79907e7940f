# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The firewall: a ruleset that never changes, and the sets in which clients and resolvers are elements.

nft compiled the ruleset when the image was built, so no parser runs here and no program is started.  A client that
comes or goes is one transaction, however many clients there are.
"""

from __future__ import annotations

from init.core.native import os
from init.kernel.netlink import PLACEHOLDERS, U32, Template, dotted, packed
from init.kernel.nftables import ARP, IP, Tables, add, batch, flush, remove
from init.net.address import Pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.loop import Loop
    from init.kernel.nftables import Element, Message

    OnFailure = Callable[[str], None]

RULESET = "/etc/netvm/ruleset.nlb"
"""A netlink batch: etc/netvm/ruleset.nft, compiled."""

CLIENT_GROUP, UPLINK_GROUP, STANDBY_GROUP = 1, 2, 3
"""Groups of interfaces: clients, the uplink in use, all other uplinks.  No rule accepts an interface in no group."""

FORWARD = "/proc/sys/net/ipv4/ip_forward"
SLOTS = 6
"""Slots of the map of resolvers: one, two or three resolvers share them evenly."""
RETRY_S = (1.0, 5.0, 30.0)


def memberships(index: int, pair: Pair) -> tuple[tuple[int, str, list[Element]], ...]:
    """The elements of a client's interface, by its index: (family, set, elements) of ruleset.nft."""
    interface = U32.pack(index)
    client: Element = (interface + packed(pair.client), b"")
    router: Element = (interface + packed(pair.router), b"")
    return (
        (IP, "clients", [client]),
        (IP, "routers", [router]),
        (IP, "inside", [(packed(pair.client), b""), (packed(pair.router), b"")]),
        (ARP, "clients", [client]),
        (ARP, "ends", [client, router]),
    )


def add_client(index: int, pair: Pair) -> list[Message]:
    """Messages that let a client's interface send from its address."""
    return [add(*where) for where in memberships(index, pair)]


def remove_client(index: int, pair: Pair) -> list[Message]:
    """Messages that remove a client's interface."""
    return [remove(*where) for where in memberships(index, pair)]


def template(change: Callable[[int, Pair], list[Message]]) -> Template:
    """Template of an nftables transaction, `add_client` or `remove_client`; `fields` fills in one client."""
    index, router, client = placeholders = PLACEHOLDERS[:3]
    return Template(batch(change(U32.unpack(index)[0], Pair(dotted(router), dotted(client)))), placeholders)


def fields(index: int, pair: Pair) -> tuple[bytes, bytes, bytes]:
    """One client's values for the placeholders of a template."""
    return U32.pack(index), packed(pair.router), packed(pair.client)


ADD_CLIENT, REMOVE_CLIENT = template(add_client), template(remove_client)


def set_resolvers(resolvers: Sequence[str]) -> list[Message]:
    """Messages that send clients' DNS to these addresses, in place of the former ones.

    The map's slots take turns; `nameservers` has the same addresses, for the check that no question goes to any other.
    """
    parts = [flush(IP, "resolvers"), flush(IP, "nameservers")]
    if resolvers:
        in_turn = [packed(resolvers[slot % len(resolvers)]) for slot in range(SLOTS)]
        parts.append(add(IP, "resolvers", [(U32.pack(slot), address) for slot, address in enumerate(in_turn)]))
        parts.append(add(IP, "nameservers", [(address, b"") for address in sorted(set(in_turn))]))
    return parts


def set_forward_addresses(addresses: Sequence[str]) -> list[Message]:
    """Messages that make these the addresses by which clients reach forwarded ports, in place of the former ones."""
    parts = [flush(IP, "uplink_addresses")]
    if addresses:
        parts.append(add(IP, "uplink_addresses", [(packed(address), b"") for address in addresses]))
    return parts


def set_own_addresses(addresses: Sequence[tuple[int, str]]) -> list[Message]:
    """Messages that set the uplinks' own addresses, each with its interface's index, in place of the former ones."""
    elements: list[Element] = [(U32.pack(index) + packed(address), b"") for index, address in addresses]
    parts = [flush(family, "own") for family in (IP, ARP)]
    return parts + [add(family, "own", elements) for family in (IP, ARP) if elements]


class Firewall:
    """The ruleset in the kernel.  Nothing is forwarded before `load` has succeeded."""

    def __init__(self, loop: Loop, on_failure: OnFailure) -> None:
        self._loop = loop
        self._on_failure = on_failure
        self._tables = Tables()
        self._resolvers: tuple[str, ...] = ()
        self._addresses: tuple[str, ...] = ()
        self._failures = 0
        self._own: list[tuple[int, str]] = []
        self.loaded = False

    def load(self, ruleset: str = RULESET) -> None:
        """Put the ruleset into the kernel.  Raises OSError; nothing of it is in force then."""
        with open(ruleset, "rb") as file:
            self._tables.commit(file.read())
        self.loaded = True

    def close(self, messages: Sequence[Message]) -> None:
        """Put what closes the host's networks to clients into the kernel (init.net.host_networks).  Raises OSError."""
        self._tables.apply(messages)

    def allow(self, index: int, pair: Pair) -> None:
        """Let a client's interface send from its address.  Raises OSError."""
        self._tables.commit(ADD_CLIENT.fill(*fields(index, pair)))

    def remove(self, index: int, pair: Pair) -> None:
        """Remove a client's interface."""
        try:
            self._tables.commit(REMOVE_CLIENT.fill(*fields(index, pair)))
        except OSError as error:
            self._on_failure(f"{pair.client} could not be taken out of it: {error.strerror}")

    def own(self, addresses: list[tuple[int, str]]) -> None:
        """Tell which addresses are the uplinks' own, each with its interface's index."""
        if addresses == self._own:
            return
        try:
            self._tables.apply(set_own_addresses(addresses))
        except OSError as error:
            self._on_failure(f"it could not be told the uplinks' addresses: {error.strerror}")
            return
        self._own = addresses

    def resolve_by(self, resolvers: Sequence[str]) -> None:
        """Send the clients' DNS to these addresses; to none of them when the list is empty: it is refused then.

        Questions under way to a former resolver are refused from the same moment, and forgotten right after it.
        """
        wanted = tuple(resolvers)
        if wanted == self._resolvers:
            return
        gone = [address for address in self._resolvers[:SLOTS] if address not in wanted[:SLOTS]]
        self._resolvers = wanted
        self._tell_resolvers(gone)

    def reach_by(self, addresses: Sequence[str]) -> None:
        """Let clients reach forwarded ports by these addresses of uplinks, and by no other."""
        wanted = tuple(addresses)
        if wanted != self._addresses:
            self._addresses = wanted
            self._tell_addresses()

    def _tell_addresses(self) -> None:
        self._apply(set_forward_addresses(self._addresses), self._tell_addresses, "the uplink's address")

    def _tell_resolvers(self, gone: Sequence[str]) -> None:
        if self._apply(set_resolvers(self._resolvers), lambda: self._tell_resolvers(gone), "the resolvers"):
            for address in gone:
                self._forget(address)

    def _apply(self, parts: Sequence[Message], again: Callable[[], None], what: str) -> bool:
        """Commit a transaction, or report that it failed and call `again` after a while."""
        try:
            self._tables.apply(parts)
        except OSError as error:
            self._on_failure(f"it could not be told {what}, and is told again: {error.strerror}")
            delay = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
            self._failures += 1
            self._loop.later(delay, again)
            return False
        self._failures = 0
        return True

    def _forget(self, resolver: str) -> None:
        from init.kernel.conntrack import forget_resolver

        problem = forget_resolver(resolver)
        if problem:
            self._on_failure(problem)


def forward_packets(path: str = FORWARD) -> None:
    """Let the kernel forward.  Only to be called once the ruleset is in.  Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"1")
    finally:
        os.close(descriptor)
