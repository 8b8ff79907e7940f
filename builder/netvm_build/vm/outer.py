# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Another router's client network as an uplink: a router behind a router.

Each client network that `run` offers is a Unix socket on which that router's QEMU listens; the keeper of the router
behind it connects there, for its uplink.  Clients get no DHCP, so the uplink's static address says which network is
meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from netvm_build.image.manifest import Image
from netvm_build.util.errors import LaunchError
from netvm_build.vm import registry
from netvm_build.vm.networks import networks
from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.opened import listening


@dataclass(frozen=True)
class Offered:
    """A client network of the router in front: its name, and both addresses of its /31."""

    name: str
    router: str
    client: str


def offered_by(image: Image) -> tuple[Offered, ...]:
    """The client networks that `run` will offer for an image.  Raises LaunchError."""
    return tuple(Offered(one.name, str(one.pair.router), str(one.pair.client)) for one in networks(image, Path(), None))


def choose(image: Image, outer: str, offered: Sequence[Offered]) -> Offered:
    """The client network of router `outer` whose client is `image`, by its first uplink's address.

    Raises LaunchError, with the uplink to write in the spec.
    """
    address = uplink_address(image)
    for network in offered:
        if address == IPv4Address(network.client):
            return network
    name = image.manifest.name
    if not offered:
        hint = "name one in its spec: clients.named, then build it again"
        raise LaunchError(f"{outer} offers no client network, so {name} can't be behind it", hint=hint)
    found = ", ".join(f"{network.name} {network.client}" for network in offered[:5])
    has = f"has {address}" if address is not None else "has no static address"
    first = offered[0]
    hint = (
        f"in the spec of {name}: uplink: {{dhcp: false, address: {first.client}/31, gateway: {first.router},"
        f" nameservers: [{first.router}]}}, then build it again"
    )
    raise LaunchError(f"{name} can't be behind {outer}: its uplink {has}; {outer} offers {found}", hint=hint)


def uplink_address(image: Image) -> IPv4Address | None:
    """The static address of the image's first uplink; None where DHCP gives it."""
    address = image.manifest.uplinks[0].address
    return None if address is None else address.ip


def join(outer: str, image: Image, ours: Path) -> tuple[str, int, str]:
    """(the uplink as a backend of QEMU's, the descriptor in it, the socket) of an image behind a router.

    The descriptor is a socket at the path `ours`, on which QEMU listens: the keeper joins both (`relay`).  Raises as
    `free_socket` does, and OSError.
    """
    socket = free_socket(outer, image)
    descriptor = listening(ours).detach()
    return backends.accepting(descriptor), descriptor, socket


def free_socket(outer: str, image: Image) -> str:
    """The socket of a running router's client network that is meant for an image.

    Raises NoSuchVm, or LaunchError where no client network is meant for the image or another VM is on it.
    """
    record = registry.find(outer)
    chosen = choose(image, record.name, [Offered(one.name, one.router, one.client) for one in record.clients])
    socket = next(one.socket for one in record.clients if one.client == chosen.client)
    for other in registry.running():
        if other.behind == socket:
            raise LaunchError(
                f"{other.name} is on {record.name}'s client network {chosen.name} already",
                hint=f"end it: netvm-build stop {other.name}",
            )
    return socket
