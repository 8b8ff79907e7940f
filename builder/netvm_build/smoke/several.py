# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Checks of a router with several uplinks: each works, and clients go out by the next while the first is unplugged."""

from __future__ import annotations

import time
from collections.abc import Callable

from netvm_build import guest
from netvm_build.smoke.clients import ClientVm
from netvm_build.smoke.lab import CheckFailed, Lab, NotApplicable
from netvm_build.smoke.through import ping


async def uplinks(lab: Lab) -> str:
    """Every uplink of the spec has a lease."""
    leased = []
    for wanted in lab.image.manifest.uplinks:
        got = await lab.guest.wait(guest.UplinkEvent, _leased(wanted.name))
        leased.append(f"{wanted.name} {got.address}")
    return ", ".join(leased)


def _leased(name: str) -> Callable[[guest.UplinkEvent], bool]:
    return lambda event: (event.name, event.state) == (name, "lease")


async def failover(lab: Lab) -> str:
    """The cable of the most preferred uplink is pulled and put back: clients go out by the next one meanwhile."""
    first = lab.image.manifest.uplinks[0].name
    if len(lab.image.manifest.uplink_macs) < 2:
        raise NotApplicable("all uplinks share one cable")
    client, wait_s, card = lab.clients[0], 1.0 * lab.accelerator.patience, 0
    await lab.guest.wait(guest.RouteEvent, lambda event: event.name == first)
    since, started = len(lab.guest.heard), time.monotonic()
    await lab.router.set_cable(card, plugged=False)
    taken = await lab.guest.wait(guest.RouteEvent, lambda event: event.name not in (None, first), since)
    away_s = time.monotonic() - started
    place = [one.name for one in lab.image.manifest.uplinks].index(taken.name or "")
    await _reach(lab, client, str(lab.networks[place].host), wait_s)
    since, started = len(lab.guest.heard), time.monotonic()
    await lab.router.set_cable(card, plugged=True)
    await lab.guest.wait(guest.RouteEvent, lambda event: event.name == first, since)
    back_s = time.monotonic() - started
    await ping(client, lab.outside, "upstream by the uplink that is back", wait_s)
    return f"away from {first} in {away_s:.1f} s, back in {back_s:.1f} s"


async def _reach(lab: Lab, client: ClientVm, host: str, wait_s: float) -> None:
    """A datagram to this host and back, by the network behind the next uplink.  Raises CheckFailed."""
    data = f"{lab.upstream.token} {client.address}".encode().hex()
    said = await client.ask("udp", to=host, port=lab.upstream.udp_port, data=data, timeout_s=wait_s)
    if said.get("data") != data:
        raise CheckFailed(f"no UDP datagram came back from {host} by the next uplink")
