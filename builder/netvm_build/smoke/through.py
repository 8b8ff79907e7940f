# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Checks that clients make: what they reach through the router, what they do not, and how they come and go."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from netvm_build import guest
from netvm_build.smoke import upstream
from netvm_build.smoke.clients import ClientVm
from netvm_build.smoke.lab import CheckFailed, Lab, NotApplicable
from netvm_build.vmm.interface import Release
from netvm_build.vmm.qemu.resolver import host_resolver

ECHO_PORT = 7


async def boot_clients(lab: Lab) -> str:
    """Client VMs come up, and the router has an interface for each."""
    await asyncio.gather(*(client.up() for client in lab.clients))
    for client in lab.clients:
        await lab.guest.wait(guest.ClientEvent, _interface_of(client))
    return f"{len(lab.clients)} client VMs"


def _interface_of(client: ClientVm) -> Callable[[guest.ClientEvent], bool]:
    return lambda event: event.client == client.address


async def reach(lab: Lab, client: ClientVm) -> str:
    """A client to its router, then through NAT to the servers upstream by ICMP, UDP, DNS and TCP."""
    router, host = str(client.pair.router), lab.outside
    wait_s = 1.0 * lab.accelerator.patience
    lost = await ping(client, router, "its router", wait_s) + await ping(client, host, "upstream", wait_s)
    data = f"{lab.upstream.token} {client.address}".encode().hex()
    said = await client.ask("udp", to=host, port=lab.upstream.udp_port, data=data, timeout_s=wait_s)
    if said.get("data") != data:
        raise CheckFailed("no UDP datagram came back from upstream")
    await _resolve(lab, client, wait_s)
    token, transfer = lab.upstream.expect(client.address)
    told = await client.ask("tcp", to=host, port=lab.upstream.tcp_port, token=token, timeout_s=10 * wait_s)
    result = await transfer
    if not result.intact:
        raise CheckFailed(f"TCP returned {result.returned_bytes} bytes whose SHA-256 differs from what was sent")
    seconds = told.get("seconds")
    rate = f", {2 * lab.upstream.size_bytes / (1 << 20) / seconds:.0f} MiB/s" if isinstance(seconds, float) else ""
    return f"icmp udp dns tcp ({lab.upstream.size_bytes >> 20} MiB each way{rate}){lost}"


async def ping(client: ClientVm, to: str, who: str, wait_s: float) -> str:
    """Three pings.  If one is lost, as on a busy host, five more must all be answered; the detail then says so."""
    said = await client.ask("ping", to=to, count=3, interval_s=0.05, timeout_s=wait_s)
    if said.get("received") == 3:
        return ""
    first = f"{said.get('received')} of 3 pings of {who} ({to}) were answered, not number {said.get('lost')}"
    again = await client.ask("ping", to=to, count=5, interval_s=0.05, timeout_s=wait_s)
    if again.get("received") != 5:
        trouble = f": {again['trouble']}" if "trouble" in again else ""
        counts = [one.get("received") for one in (said, again)]
        answered = sum(count for count in counts if isinstance(count, int))
        raise CheckFailed(f"{answered} of 8 pings of {who} ({to}) were answered{trouble}")
    return f"; at first {first}"


async def _resolve(lab: Lab, client: ClientVm, wait_s: float) -> None:
    number = secrets.randbits(16)
    question = upstream.query(number, lab.upstream.name).hex()
    said = await client.ask("udp", to=lab.outside, port=lab.upstream.dns_port, data=question, timeout_s=wait_s)
    if upstream.address_in(_bytes(said.get("data")), number, lab.upstream.name) != upstream.ANSWER:
        raise CheckFailed("a DNS query upstream had no answer, or a wrong one")


def _bytes(text: object) -> bytes:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""


async def dns_forward(lab: Lab) -> str:
    """DNS asked of the router's own address reaches the uplink's resolver, if the spec says so and there is one.

    A service of the spec's may answer it instead.
    """
    client = lab.clients[0]
    router, wait_s = str(client.pair.router), 1.0 * lab.accelerator.patience
    number = secrets.randbits(16)
    question = upstream.query(number, "", upstream.DNS_NS).hex()
    services = lab.image.manifest.router.image.services
    serving = next((f"the service {one.name}" for one in services if ("udp", 53) in one.ports), None)
    if not lab.image.manifest.forwards_dns and serving is None:
        said = await client.ask("udp", to=router, port=53, data=question, timeout_s=0.5 * wait_s, tries=1)
        if said.get("data") is not None:
            raise CheckFailed(f"clients.dns is none, yet {router} answers DNS")
        return f"{router} answers no DNS, as clients.dns: none asks"
    theirs = await _resolver_behind(lab)
    said = await client.ask("udp", to=router, port=53, data=question, timeout_s=wait_s)
    if not upstream.answers(_bytes(said.get("data")), number):
        raise CheckFailed(
            f"{router} does not forward DNS to {theirs}" if serving is None else f"{serving} answers no DNS"
        )
    return f"{router} → {theirs if serving is None else serving}"


async def _resolver_behind(lab: Lab) -> str:
    """Where DNS goes in the end.  Raises NotApplicable where QEMU's user network leads to no resolver that answers."""
    first, network = lab.image.manifest.uplinks[0], lab.networks[0]
    beyond = [one for one in first.nameservers if one != network.resolver]
    for one in beyond:
        if one in network.network:
            raise NotApplicable(f"QEMU's user network has one resolver, and no {one} beside {network.resolver}")
        if not await upstream.resolver_answers(str(one)):
            raise NotApplicable(f"the spec's resolver {one} does not answer this host")
    if beyond and len(beyond) == len(first.nameservers):
        return ", ".join(map(str, beyond))
    resolver = host_resolver()
    if resolver is None:
        raise NotApplicable("this host names no IPv4 resolver in /etc/resolv.conf")
    if not await upstream.resolver_answers(str(resolver)):
        raise NotApplicable(f"this host's own resolver {resolver} does not answer")
    return f"{network.resolver} → this host's resolver"


async def isolation(lab: Lab) -> str:
    """Clients do not reach one another, by ICMP, UDP or TCP, though the other one listens."""
    if len(lab.clients) < 2:
        raise NotApplicable(f"clients.pool {lab.image.manifest.pool} has room for only one client")
    pairs = (lab.clients[:2], lab.clients[1::-1])
    wait_s = 0.2 * lab.accelerator.patience
    return ", ".join(await asyncio.gather(*(_apart(here, there, wait_s) for here, there in pairs)))


async def _apart(here: ClientVm, there: ClientVm, wait_s: float) -> str:
    ping = await here.ask("ping", to=there.address, count=2, interval_s=0.02, timeout_s=wait_s)
    udp = await here.ask("udp", to=there.address, port=ECHO_PORT, data="00", timeout_s=wait_s, tries=1)
    tcp = await here.ask("connect", to=there.address, port=ECHO_PORT, timeout_s=wait_s)
    tried = (("icmp", ping.get("received")), ("udp", udp.get("data")), ("tcp", tcp.get("connected")))
    crossed = [name for name, got in tried if got]
    if crossed:
        raise CheckFailed(f"{here.address} reaches {there.address} by {', '.join(crossed)}")
    return f"{here.address} ↛ {there.address}"


async def hot_plug(lab: Lab) -> str:
    """The last client's interface is unplugged and plugged in again, while the first one's traffic goes on."""
    if len(lab.clients) < 2:
        raise NotApplicable(f"clients.pool {lab.image.manifest.pool} has room for only one client")
    steady, moved = lab.clients[0], lab.clients[-1]
    nic, since = lab.nics[-1], len(lab.guest.heard)
    await steady.ask("watch", to=lab.outside, interval_s=0.05)
    started = time.monotonic()
    if await lab.router.unplug(nic.id, None) is Release.REFUSED:
        raise CheckFailed(f"the router refuses to let go of {nic.mac}")
    await lab.guest.wait(guest.ClientGone, lambda event: event.mac.upper() == nic.mac, since)
    detach_s = time.monotonic() - started
    started, since = time.monotonic(), len(lab.guest.heard)
    await lab.router.plug(nic.id)
    await lab.guest.wait(guest.ClientEvent, _interface_of(moved), since)
    attach_s = time.monotonic() - started
    await ping(moved, str(moved.pair.router), "its router after it was plugged in", 1.0 * lab.accelerator.patience)
    await ping(moved, lab.outside, "upstream after it was plugged in", 1.0 * lab.accelerator.patience)
    seen = await steady.ask("unwatch", timeout_s=1.0 * lab.accelerator.patience)
    sent, received = seen.get("sent"), seen.get("received")
    if not isinstance(sent, int) or sent < 1 or sent != received:
        raise CheckFailed(f"{steady.address} lost packets meanwhile: {received} of {sent} came back")
    return f"attach {attach_s:.2f} s, detach {detach_s:.2f} s, {sent} of {sent} packets elsewhere came back"
