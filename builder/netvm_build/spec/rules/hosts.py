# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Addresses in the spec that name other hosts: none may be the router's own, a client's, or no host's.

Addresses that come by DHCP are not known here; the guest checks those for the same owners.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from netvm_build.model import Router, Uplink, Violation
from netvm_build.model.address import SHARED

OTHER_POOLS = tuple(IPv4Network(one) for one in ("100.96.0.0/23", "100.80.0.0/23", "100.127.0.0/23"))
"""What `clients.pool` may be where the network before the router takes the default."""

POOL = ("clients.pool",)


@dataclass(frozen=True)
class Mention:
    """The address of another host, or a network of them: the key that has it, and what to do if there is none."""

    path: str
    network: IPv4Network
    instead: str

    def __str__(self) -> str:
        """A host's address, or the network."""
        return str(self.network.network_address if self.network.prefixlen == 32 else self.network)


@dataclass(frozen=True)
class Taken:
    """A network whose addresses are no other host's: why, and the keys that make it so."""

    network: IPv4Network
    why: str
    involves: tuple[str, ...]


def rules(router: Router) -> Iterator[Violation]:
    """Every address of another host that cannot be one."""
    taken = (*_of_uplinks(router), *_of_clients(router))
    clashes = [one.address.network for one in router.all_uplinks if one.address is not None]
    for mention in _hosts(router):
        found = next((one for one in taken if mention.network.subnet_of(one.network)), None)
        if found is not None and not any(_same_clash(mention, found, network) for network in clashes):
            yield _violation(router, mention, found)
    dead = {one.network: one for one in _of_uplinks(router)}
    for mention in (*_senders(router), *_destinations(router)):
        inside = [one for network, one in dead.items() if network.subnet_of(mention.network)]
        if len(inside) == mention.network.num_addresses:
            yield _violation(router, mention, inside[0])
    yield from _no_routers_end_sends(router)


def _same_clash(mention: Mention, taken: Taken, network: IPv4Network) -> bool:
    """Whether an uplink's network lies among clients' addresses, which `uplinks` reports, and the host is in both."""
    return taken.network.prefixlen < 32 and taken.network.overlaps(network) and mention.network.subnet_of(network)


def _violation(router: Router, mention: Mention, taken: Taken) -> Violation:
    hint = mention.instead
    if taken.involves == POOL and (pool := free_pool(router)) is not None:
        hint += f", or choose a pool of {SHARED} without it: `pool: {pool}` in clients"
    return Violation(mention.path, f"{mention} {taken.why}", hint, taken.involves)


def free_pool(router: Router) -> IPv4Network | None:
    """A pool with no address that the spec gives to a host before the router, nor of an uplink's network."""
    others = [one.address.network for one in router.all_uplinks if one.address is not None]
    others += [mention.network for mention in _hosts(router)]
    return next((pool for pool in OTHER_POOLS if not any(pool.overlaps(other) for other in others)), None)


def of_uplinks(router: Router) -> Iterator[tuple[str, Uplink]]:
    """Each uplink with the path of its keys."""
    for number, uplink in enumerate(router.all_uplinks):
        yield (f"uplinks[{number}]" if router.uplinks else "uplink"), uplink


def _hosts(router: Router) -> Iterator[Mention]:
    """What names one host before the router."""
    for path, uplink in of_uplinks(router):
        if uplink.gateway is not None:
            yield Mention(f"{path}.gateway", IPv4Network(uplink.gateway), "give the next router's address")
        for number, address in enumerate(uplink.nameservers):
            yield Mention(f"{path}.nameservers[{number}]", IPv4Network(address), "give a resolver's address")
        for number, server in enumerate(uplink.timeservers):
            if (known := _address(server)) is not None:
                yield Mention(f"{path}.timeservers[{number}]", known, "give a time server's address, or its name")
        for number, route in enumerate(uplink.routes):
            if route.via is not None:
                hint = "give the next router's address, or remove `via` if the destinations are on the link"
                yield Mention(f"{path}.routes[{number}].via", IPv4Network(route.via), hint)


def _address(server: str) -> IPv4Network | None:
    try:
        return IPv4Network(server)
    except ValueError:
        return None  # a name


def _senders(router: Router) -> Iterator[Mention]:
    """Who may use a forwarded port: clients may be among them."""
    for number, forward in enumerate(router.clients.forwards):
        for item, source in enumerate(forward.sources):
            hint = "give a sender's address or network, or remove `from` to let everybody use the port"
            yield Mention(f"clients.forwards[{number}].from[{item}]", source, hint)


def _destinations(router: Router) -> Iterator[Mention]:
    for path, uplink in of_uplinks(router):
        for number, route in enumerate(uplink.routes):
            yield Mention(f"{path}.routes[{number}].to", route.to, "give the network beyond, or remove the route")


def _no_routers_end_sends(router: Router) -> Iterator[Violation]:
    """A client's own address is the odd one of its /31; from the other, the router's, nothing is sent."""
    clients = tuple(_of_clients(router))
    for mention in _senders(router):
        address = mention.network.network_address
        taken = next((one for one in clients if address in one.network), None)
        if mention.network.prefixlen == 32 and taken is not None and int(address) % 2 == 0:
            message = f"{address} is the router's address on a client's link"
            yield Violation(mention.path, message, f"did you mean {address + 1}?", taken.involves)


def _of_uplinks(router: Router) -> Iterator[Taken]:
    for path, uplink in of_uplinks(router):
        if uplink.address is None:
            continue
        network, involves = uplink.address.network, (f"{path}.address",)
        whose = f"the address of the uplink {uplink.name!r}" if uplink.name else "the uplink's own address"
        yield Taken(IPv4Network(uplink.address.ip), f"is {whose}", involves)
        if network.prefixlen < 31:
            for end in (network.network_address, network.broadcast_address):
                yield Taken(IPv4Network(end), f"is not a host's address in {network}", involves)


def _of_clients(router: Router) -> Iterator[Taken]:
    for number, client in enumerate(router.clients.named):
        why = f"is a client's address: clients.named has {client.name!r} there"
        yield Taken(client.pair.network, why, (f"clients.named[{number}].router",))
    yield Taken(router.clients.pool, f"is a client's address: clients.pool is {router.clients.pool}", POOL)
