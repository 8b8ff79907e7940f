# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The table of checks for a card of this machine: there is a real network beyond it, without our servers.

So what a client reaches is the gateway of the router's lease, or a resolver, and what the uplink carries is not seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from netvm_build import guest
from netvm_build.smoke import checks, through, upstream
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.clients import ClientVm
from netvm_build.smoke.ids import CheckId
from netvm_build.smoke.lab import Check, CheckFailed, Lab, NotApplicable
from netvm_build.smoke.through import ping


@dataclass(frozen=True)
class Card:
    """A card that is bound to vfio-pci: its PCI address, and its vendor and device as ``8086:10d3``.

    `files` are VFIO's, and `memlock` the bytes that a VM with it locks.
    """

    address: str
    pci_id: str
    files: tuple[str, ...] = ()
    memlock: int = 0

    @property
    def label(self) -> str:
        """What the report calls it."""
        return f"vfio-{self.address}"


def _lease(lab: Lab) -> guest.UplinkEvent | None:
    return next(
        (
            heard.event
            for heard in reversed(lab.guest.heard)
            if isinstance(heard.event, guest.UplinkEvent) and heard.event.state == "lease"
        ),
        None,
    )


async def lease(lab: Lab) -> str:
    """As with an emulated NIC; then what lies beyond is the lease's gateway."""
    said = await checks.lease(lab)
    got = _lease(lab)
    if got is None or got.gateway is None:
        raise CheckFailed(f"{said}, and no gateway")
    lab.outside = got.gateway
    return f"{said}, MAC {got.mac}, gateway {got.gateway}"


async def reach(lab: Lab, client: ClientVm) -> str:
    """A client to its router, then through NAT and the card to the gateway; a DNS query where that answers no ping."""
    wait_s = 1.0 * lab.accelerator.patience
    lost = await ping(client, str(client.pair.router), "its router", wait_s)
    try:
        return f"icmp to the gateway {lab.outside} and back{await ping(client, lab.outside, 'gateway', wait_s)}{lost}"
    except CheckFailed as silent:
        got = _lease(lab)
        for resolver in got.nameservers if got is not None else ():
            if await _answers(client, resolver, wait_s):
                return f"dns to {resolver} and back; the gateway {lab.outside} answers no ping{lost}"
        raise CheckFailed(f"{silent}; nor does a resolver of the lease") from None


async def dns_forward(lab: Lab) -> str:
    """DNS asked of the router's own address is answered from beyond, if a resolver there answers clients."""
    client, wait_s = lab.clients[0], 1.0 * lab.accelerator.patience
    got = _lease(lab)
    if not lab.image.manifest.forwards_dns:
        return await through.dns_forward(lab)
    for resolver in got.nameservers if got is not None else ():
        if not await _answers(client, resolver, wait_s):
            raise NotApplicable(f"the lease's resolver {resolver} does not answer")
        if not await _answers(client, str(client.pair.router), wait_s):
            raise CheckFailed(f"{client.pair.router} does not forward DNS, and {resolver} answers")
        return f"{client.pair.router} → {resolver}"
    raise NotApplicable("the lease names no resolver")


async def _answers(client: ClientVm, resolver: str, wait_s: float) -> bool:
    number = secrets.randbits(16)
    question = upstream.query(number, "", upstream.DNS_NS).hex()
    said = await client.ask("udp", to=resolver, port=53, data=question, timeout_s=wait_s)
    data = said.get("data")
    try:
        return upstream.answers(bytes.fromhex(data), number) if isinstance(data, str) else False
    except ValueError:
        return False


_OTHERWISE: Mapping[str, Callable[..., Awaitable[str]]] = {
    CheckId.LEASE: lease,
    CheckId.CLIENT: reach,
    CheckId.DNS_FORWARD: dns_forward,
}

CARD_CHECKS: tuple[Check, ...] = tuple(
    replace(check, run=_OTHERWISE.get(check.id, check.run)) for check in CHECKS if check.id != CheckId.UPLINK_TRAFFIC
)
