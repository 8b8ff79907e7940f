# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The networks behind an emulated uplink: a user network of QEMU's for each, and a trunk that has several.

A user network has this host at one address and, at another, a resolver that passes DNS on to this host's own.  Uplinks
with DHCP get 10.0.2.0/24, 10.0.3.0/24 and so on.  A static uplink gets the network of its spec, with its gateway and
its first resolver there, so that the same image works here and where it is meant to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from netvm_build.image.document import CMDLINE_CHARACTERS
from netvm_build.image.manifest import Manifest
from netvm_build.model import Uplink
from netvm_build.util.errors import LaunchError
from netvm_build.vmm.qemu.options import with_id

USER_NETWORK = "user,ipv6=off"
SHORTEST, LONGEST = 8, 28
"""Prefixes that a user network is given as they are.  With fewer addresses it has no room for this host and a resolver
beside the router and its gateway; QEMU itself refuses less than /4 (libslirp, slirp_init of net/slirp.c)."""

AROUND_GATEWAY = 24

HOST_NETWORK = "netvm.host_network"
"""The parameter that tells the router's init of a network (rootfs/init/net/host_networks.py)."""


@dataclass(frozen=True)
class UserNetwork:
    """One user network: `host` is this host there, `resolver` passes DNS on to this host's own resolver."""

    network: IPv4Network
    host: IPv4Address
    resolver: IPv4Address

    @property
    def closed(self) -> str:
        """As the router is told of it, so that clients reach only the resolver there, and as it says that it is so."""
        return f"{self.network},{self.resolver}"

    @property
    def options(self) -> str:
        """Behind ``user``: nothing for QEMU's own default."""
        if self == DEFAULT:
            return ""
        if self == dhcp_network(self.network):
            return f",net={self.network}"
        return f",net={self.network},host={self.host},dns={self.resolver}"


def dhcp_network(network: IPv4Network) -> UserNetwork:
    """A network with this host and the resolver where QEMU puts them itself."""
    return UserNetwork(network, network[2], network[3])


DEFAULT = dhcp_network(IPv4Network("10.0.2.0/24"))


def uplink_id(number: int) -> str:
    """QEMU's name of an uplink's network: ``uplink``, ``uplink1`` …."""
    return f"uplink{number or ''}"


def uplink_nic_id(number: int) -> str:
    """QEMU's name of an uplink's emulated card."""
    return f"{uplink_id(number)}-nic"


def user_networks(manifest: Manifest) -> tuple[UserNetwork, ...]:
    """The network behind each uplink of the spec, in its order."""
    static = {place: found for place, one in enumerate(manifest.uplinks) if (found := _static(one)) is not None}
    elsewhere = [address.network for address, _, _ in static.values()]
    clients = list(_clients(manifest))
    free = _free_networks(elsewhere, len(manifest.uplinks))
    return tuple(
        imitate(*static[place], clients) if place in static else dhcp_network(free[place])
        for place in range(len(manifest.uplinks))
    )


def imitate(
    address: IPv4Interface,
    gateway: IPv4Address,
    resolvers: Sequence[IPv4Address],
    clients: Sequence[IPv4Network] = (),
) -> UserNetwork:
    """A static uplink's network.  This host is the gateway there, or a free address where the resolver is that.

    QEMU answers ARP for this host and the resolver, whatever the prefix of the router's own address is.  So a gateway
    outside the uplink's network, or in one too small for us, has 256 addresses around it.  `clients` aren't changed.
    """
    network = address.network
    if gateway not in network or not SHORTEST <= network.prefixlen <= LONGEST:
        network = IPv4Network((gateway, AROUND_GATEWAY), strict=False)
    taken = {address.ip, gateway, *resolvers}
    free = (one for one in network.hosts() if one not in taken and not any(one in client for client in clients))
    resolver = next((one for one in resolvers if one in network and one != address.ip), None)
    host = next(free) if resolver == gateway else gateway
    return UserNetwork(network, host, resolver or next(free))


def _static(uplink: Uplink) -> tuple[IPv4Interface, IPv4Address, tuple[IPv4Address, ...]] | None:
    """(address, gateway, resolvers) of an uplink that the spec configures."""
    if uplink.dhcp or uplink.address is None or uplink.gateway is None:
        return None
    return uplink.address, uplink.gateway, uplink.nameservers


def _clients(manifest: Manifest) -> Iterable[IPv4Network]:
    """Where clients' addresses are."""
    yield manifest.pool
    yield from (IPv4Network((one.pair.router, 31)) for one in manifest.router.clients.named)


def _free_networks(elsewhere: Sequence[IPv4Network], uplinks: int) -> list[IPv4Network]:
    """10.0.2.0/24 for the first uplink, 10.0.3.0/24 for the second …; others where a static uplink has one of these."""
    candidates = [IPv4Network((int(IPv4Address("10.0.2.0")) + number * 256, 24)) for number in range(256)]
    candidates += [IPv4Network((int(IPv4Address("172.31.0.0")) + number * 256, 24)) for number in range(uplinks)]
    able = [one for one in candidates if not any(one.overlaps(other) for other in elsewhere)]
    wanted = [one if one in able else None for one in candidates[:uplinks]]
    spare = (one for one in able if one not in wanted)
    return [one or next(spare) for one in wanted]


def close(cmdline: str, networks: Sequence[UserNetwork]) -> str:
    """A kernel's command line that has the router close these networks to its clients, but for the resolver's DNS.

    Raises LaunchError where it gets too long for the kernel.
    """
    if not networks:
        return cmdline
    kernel, dashes, init = cmdline.partition(" -- ")
    line = " ".join((kernel, *(f"{HOST_NETWORK}={one.closed}" for one in networks))) + dashes + init
    if len(line) > CMDLINE_CHARACTERS:
        hint = "make kernel.parameters shorter in the spec, or use passt or a bridge for the uplinks (--uplink)"
        raise LaunchError(f"the kernel's command line would have {len(line)} characters", hint=hint)
    return line


def user_netdev(network: UserNetwork) -> str:
    """A user network of QEMU's own, as -netdev takes it without an id."""
    return f"{USER_NETWORK}{network.options}"


def trunk_netdevs(name: str, card: str, networks: Mapping[int, tuple[str, str]]) -> list[str]:
    """A card's own netdev, and a QEMU hub (hubport) for each user network behind it, shared with our socket.

    All netdevs are without an id.
    """
    line = ["-netdev", with_id(name, card)]
    for number, (network, netdev) in networks.items():
        user, ours = f"{name}-user{number}", f"{name}-ours{number}"
        line += ["-netdev", with_id(user, network), "-netdev", with_id(ours, netdev)]
        for end in (user, ours):
            line += ["-netdev", f"hubport,id={end}-port,hubid={number + 1},netdev={end}"]
    return line
