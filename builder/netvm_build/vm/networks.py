# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What `run` boots: the router, a network for each client, and free ports for those that come later.

Every client has a socket in the VM's folder, which another QEMU can join.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from netvm_build.image.manifest import Image
from netvm_build.model.address import AddressError, Pair, allocate
from netvm_build.util.errors import LaunchError
from netvm_build.vm.clients.plan import named
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.pcie import FEW

SPARE = 4


@dataclass(frozen=True)
class OfferedNetwork:
    """A client's network as `run` offers it: its name in the spec, its /31, and the socket its frames go through."""

    name: str
    pair: Pair
    socket: Path


def networks(image: Image, folder: Path, more: int | None = None) -> tuple[OfferedNetwork, ...]:
    """The clients the spec names, and `more` from the pool (by default one, if the spec names none).

    Raises LaunchError for a pool that is too small.
    """
    found = list(named(image))
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
    return tuple(OfferedNetwork(name, pair, folder / f"c{number}") for number, (name, pair) in enumerate(found))


def spare_ports(offered: int, asked: int | None) -> int:
    """How many ports stay free for clients to come: as asked, or some, as far as each can be a root port of its own."""
    return min(SPARE, max(0, FEW - offered)) if asked is None else asked


def machine(
    image: Image,
    kind: str,
    nic: str | None,
    offered: tuple[OfferedNetwork, ...],
    spare: int = 0,
    cards: tuple[str, ...] = (),
) -> qemu.VirtualMachine:
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
                backends.listening(network.socket),
                network.socket,
            )
            for number, network in enumerate(offered)
        ),
        spare_ports=spare,
    )
