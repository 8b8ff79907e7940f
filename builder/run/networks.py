"""What `run` boots: the router, a network for each client, and free ports for those that come later.

The uplink is on QEMU's user network.  Every client has a socket in the VM's folder, which another QEMU can join.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from builder import qemu
from builder.address import AddressError, Pair, allocate, pair_of_address
from builder.errors import LaunchError, ManifestError
from builder.manifest import Image


@dataclass(frozen=True)
class Network:
    """A client's network as `run` offers it: its name in the spec, its /31, and the socket its frames go through."""

    name: str
    pair: Pair
    socket: Path


def networks(image: Image, folder: Path, more: int | None = None) -> tuple[Network, ...]:
    """The clients the spec names, and `more` from the pool (by default one, if the spec names none).

    Raises ManifestError for a spec that cannot be read, LaunchError for a pool that is too small.
    """
    clients = image.manifest.spec.get("clients")
    named = clients.get("named") if isinstance(clients, Mapping) else ()
    found: list[tuple[str, Pair]] = []
    try:
        for entry in named or ():
            found.append((str(entry["name"]), pair_of_address(IPv4Address(str(entry["router"])))))
    except (AddressError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{image.folder}: spec.clients cannot be read: {error}") from error
    count = (0 if found else 1) if more is None else more
    try:
        pool = allocate(image.manifest.pool, tuple(pair for _, pair in found), count)
    except AddressError as error:
        hint = "make clients.pool in netvm.yaml larger and build again, or ask for fewer with --clients"
        raise LaunchError(f"{count} clients do not fit: {error}", hint=hint) from error
    if more is None and not found:
        found = [("client", pool[0])]
    else:
        taken = {name for name, _ in found}
        names = (name for number in range(1, 2 * count + len(taken) + 1) if (name := f"client{number}") not in taken)
        found += zip(names, pool, strict=False)
    return tuple(Network(name, pair, folder / f"c{number}") for number, (name, pair) in enumerate(found))


def machine(
    image: Image,
    kind: str,
    nic: str | None,
    offered: tuple[Network, ...],
    spare: int = 0,
    cards: tuple[str, ...] = (),
) -> qemu.Machine:
    """The router with a socket for each network; its keeper adds the console and the rest.

    Its uplinks are `cards` of this machine, by their PCI addresses, or else a `nic` on the user network.
    """
    router = qemu.router(image, kind, nic=nic)
    return replace(
        router,
        uplink=None if cards else router.uplink,
        cards=cards,
        nics=tuple(
            qemu.ClientNic(
                f"c{number}",
                network.pair.router_mac,
                f"stream,server=on,addr.type=unix,addr.path={qemu.quote(str(network.socket))}",
            )
            for number, network in enumerate(offered)
        ),
        spare_ports=spare,
    )


def joining(name: str, client_mac: str, socket: str) -> str:
    """The options by which another QEMU joins a client's network."""
    netdev = f"-netdev stream,id={name},server=off,addr.type=unix,addr.path={qemu.quote(socket)}"
    return f"{netdev} -device virtio-net-pci,netdev={name},mac={client_mac}"
