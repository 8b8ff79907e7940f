"""The smoke boot as a table: a row says what is checked, by which function, after which rows, and for how long.

To add a check, write a function that takes the `Lab` and returns a line of detail, and add its row to `CHECKS`.
It raises `CheckFailed` with what went wrong, or `NotApplicable` with why there is nothing to judge.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError

from builder import console
from builder.accelerator import Accelerator
from builder.manifest import Image
from builder.qemu import ClientNic, nic_properties
from builder.report import Memory
from builder.smoke import hardening, several, upstream
from builder.smoke.clients import Client
from builder.smoke.evidence import leaked, mismatches
from builder.smoke.guest import Guest, Unanswered
from builder.smoke.vm import Vm

ECHO_PORT = 7
UPSTREAM_RESOLVER = "10.0.2.3"
OUTSIDE = upstream.HOST
FOUND_S = 3.0
"""From the firewall, after which the router looks at its interfaces, to an uplink being found."""

MAX_CONFIG_BYTES = 4 << 20


class CheckFailed(Exception):
    """The router did not do what the check asks."""


class NotApplicable(Exception):
    """There is nothing to judge here; the text says why."""


@dataclass
class Lab:
    """All that a check may use.  `outside` is an address beyond the uplink that answers pings."""

    image: Image
    accelerator: Accelerator
    router: Vm
    guest: Guest
    clients: tuple[Client, ...]
    nics: tuple[ClientNic, ...]
    upstream: upstream.Upstream
    capture: Path
    outside: str = OUTSIDE
    memory: Memory | None = None

    async def ask(self, request: str, **fields: Any) -> Mapping[str, Any]:
        """One request to the router.  Raises Unanswered."""
        return await self.guest.ask(self.router.send, request, 5.0 * self.accelerator.patience, **fields)


@dataclass(frozen=True)
class Check:
    """A row.  `needs` names rows that must not have failed; `deadline_s` is for KVM, and longer under TCG.

    With `each_client` the function takes a client too, and ``{}`` in the name becomes its address.  A check that is not
    `live` can be made after the router is gone.  Rows for `several_uplinks` are made where the spec has several.
    """

    name: str
    run: Callable[..., Awaitable[str]]
    deadline_s: float
    needs: tuple[str, ...] = ()
    each_client: bool = False
    live: bool = True
    several_uplinks: bool = False


async def lease(lab: Lab) -> str:
    """ConnMan's lease on the uplink, and `ready`."""
    await lab.guest.wait(console.Firewall)
    try:
        async with asyncio.timeout(FOUND_S * lab.accelerator.patience):
            found = await lab.guest.wait(console.Uplink, lambda uplink: uplink.state == "found")
    except TimeoutError:
        raise CheckFailed("the router found no uplink") from None
    got = await lab.guest.wait(console.Uplink, lambda uplink: uplink.state == "lease" and uplink.address is not None)
    await lab.guest.wait(console.Ready)
    how = "by ConnMan" if lab.image.manifest.uses_dhcp else "as the spec sets it, by ConnMan"
    return f"{got.address} {how} on {found.driver or found.interface}"


async def boot_clients(lab: Lab) -> str:
    """Client VMs come up, and the router has an interface for each."""
    await asyncio.gather(*(client.up() for client in lab.clients))
    for client in lab.clients:
        await lab.guest.wait(console.Client, _interface_of(client))
    slowest = max(client.up_after_s or 0.0 for client in lab.clients)
    return f"{len(lab.clients)} client VMs, up in {slowest:.1f} s"


def _interface_of(client: Client) -> Callable[[console.Client], bool]:
    return lambda event: event.client == client.address


async def kernel_options(lab: Lab) -> str:
    """Every option asked for, against the configuration of the running kernel."""
    body = await lab.ask("kernel-config")
    try:
        packed = base64.b64decode(str(body.get("config_gz", "")), validate=True)
        text = zlib.decompressobj(wbits=31).decompress(packed, MAX_CONFIG_BYTES).decode(errors="replace")
    except (binascii.Error, ValueError, zlib.error) as error:
        raise CheckFailed(f"the running kernel's configuration is unreadable: {error}") from None
    asked = lab.image.manifest.options
    wrong = mismatches(asked, text)
    if wrong:
        raise CheckFailed("; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""))
    return f"{len(asked)} of {len(asked)} as asked"


async def services(lab: Lab) -> str:
    """Each service's user, capabilities, no_new_privs and seccomp filter, as the running kernel has them."""
    return _passed(hardening.services(await lab.ask("status")))


async def settings(lab: Lab) -> str:
    """Every kernel setting that PID 1 makes, as it is now."""
    return _passed(hardening.settings(await lab.ask("settings")))


async def watchdog(lab: Lab) -> str:
    """The watchdog is armed as the image asks."""
    wanted_s = lab.image.manifest.machine.watchdog_s
    if not wanted_s:
        raise NotApplicable("machine.watchdog_s is 0")
    if lab.image.manifest.options.get("I6300ESB_WDT") == "n":
        raise NotApplicable("the kernel is asked to be without I6300ESB_WDT")
    return _passed(hardening.watchdog(await lab.ask("status"), wanted_s))


def _passed(judged: hardening.Judgement) -> str:
    if judged.wrong:
        more = f"; and {len(judged.wrong) - 8} more" if len(judged.wrong) > 8 else ""
        raise CheckFailed("; ".join(judged.wrong[:8]) + more)
    return judged.detail


async def reach(lab: Lab, client: Client) -> str:
    """A client to its router, then through NAT to the servers upstream by ICMP, UDP, DNS and TCP."""
    router, host = str(client.pair.router), upstream.HOST
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
        raise CheckFailed(f"TCP returned {result.returned_bytes} bytes with another sha256 than those sent")
    seconds = told.get("seconds")
    rate = f", {2 * lab.upstream.size_bytes / (1 << 20) / seconds:.0f} MiB/s" if isinstance(seconds, float) else ""
    return f"icmp udp dns tcp ({lab.upstream.size_bytes >> 20} MiB each way, sha256 ok{rate}){lost}"


async def ping(client: Client, to: str, who: str, wait_s: float) -> str:
    """Three pings.  If one is lost, as on a busy host, five more must all be answered; the detail then says so."""
    said = await client.ask("ping", to=to, count=3, interval_s=0.05, timeout_s=wait_s)
    if said.get("received") == 3:
        return ""
    first = f"{said.get('received')} of 3 pings of {who} ({to}) were answered, not number {said.get('lost')}"
    again = await client.ask("ping", to=to, count=5, interval_s=0.05, timeout_s=wait_s)
    if again.get("received") != 5:
        trouble = f": {again['trouble']}" if "trouble" in again else ""
        raise CheckFailed(f"{first}, and {again.get('received')} of 5 after that{trouble}")
    return f"; at first {first}"


async def _resolve(lab: Lab, client: Client, wait_s: float) -> None:
    number = secrets.randbits(16)
    question = upstream.query(number, lab.upstream.name).hex()
    said = await client.ask("udp", to=upstream.HOST, port=lab.upstream.dns_port, data=question, timeout_s=wait_s)
    if upstream.address_in(_bytes(said.get("data")), number, lab.upstream.name) != upstream.ANSWER:
        raise CheckFailed("a DNS query upstream had no answer, or a wrong one")


def _bytes(text: object) -> bytes:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""


async def dns_forward(lab: Lab) -> str:
    """DNS asked of the router's own address reaches the uplink's resolver, if the spec says so and there is one."""
    client = lab.clients[0]
    router, wait_s = str(client.pair.router), 1.0 * lab.accelerator.patience
    number = secrets.randbits(16)
    question = upstream.query(number, "", upstream.DNS_NS).hex()
    if not lab.image.manifest.forwards_dns:
        said = await client.ask("udp", to=router, port=53, data=question, timeout_s=0.5 * wait_s, tries=1)
        if said.get("data") is not None:
            raise CheckFailed(f"clients.dns is none, yet {router} answers DNS")
        return f"{router} answers no DNS, as clients.dns: none asks"
    resolver = upstream.host_resolver()
    if resolver is None:
        raise NotApplicable("this host names no IPv4 resolver in /etc/resolv.conf")
    if not await upstream.resolver_answers(resolver):
        raise NotApplicable(f"this host's own resolver {resolver} does not answer")
    said = await client.ask("udp", to=router, port=53, data=question, timeout_s=wait_s)
    if not upstream.answers(_bytes(said.get("data")), number):
        raise CheckFailed(f"{router} does not forward DNS to {UPSTREAM_RESOLVER}, which leads to {resolver}")
    return f"{router} → {UPSTREAM_RESOLVER} → this host's resolver"


async def isolation(lab: Lab) -> str:
    """Clients do not reach one another, by ICMP, UDP or TCP, though the other one listens."""
    if len(lab.clients) < 2:
        raise NotApplicable(f"clients.pool {lab.image.manifest.pool} has room for one client alone")
    pairs = (lab.clients[:2], lab.clients[1::-1])
    wait_s = 0.2 * lab.accelerator.patience
    return ", ".join(await asyncio.gather(*(_apart(here, there, wait_s) for here, there in pairs)))


async def _apart(here: Client, there: Client, wait_s: float) -> str:
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
        raise NotApplicable(f"clients.pool {lab.image.manifest.pool} has room for one client alone")
    steady, moved = lab.clients[0], lab.clients[-1]
    nic, since = lab.nics[-1], len(lab.guest.heard)
    await steady.ask("watch", to=lab.outside, interval_s=0.05)
    started = time.monotonic()
    with lab.router.listen("DEVICE_DELETED") as deleted:
        await lab.router.execute("device_del", {"id": f"nic-{nic.id}"})
        while (await deleted.get()).get("data", {}).get("device") != f"nic-{nic.id}":
            pass
    await lab.guest.wait(console.ClientGone, lambda event: event.mac.upper() == nic.mac, since)
    detach_s = time.monotonic() - started
    started, since = time.monotonic(), len(lab.guest.heard)
    await lab.router.execute("device_add", nic_properties(nic, lab.router.machine.seats.seats[-1]))
    await lab.guest.wait(console.Client, _interface_of(moved), since)
    attach_s = time.monotonic() - started
    await ping(moved, str(moved.pair.router), "its router after it was plugged in", 1.0 * lab.accelerator.patience)
    await ping(moved, lab.outside, "upstream after it was plugged in", 1.0 * lab.accelerator.patience)
    seen = await steady.ask("unwatch", timeout_s=1.0 * lab.accelerator.patience)
    sent, received = seen.get("sent"), seen.get("received")
    if not isinstance(sent, int) or sent < 1 or sent != received:
        raise CheckFailed(f"{steady.address} lost packets meanwhile: {received} of {sent} came back")
    return f"attach {attach_s:.2f} s, detach {detach_s:.2f} s, {sent} of {sent} packets elsewhere came back"


async def memory(lab: Lab) -> str:
    """What the guest has left with everything up."""
    meminfo = (await lab.ask("status")).get("meminfo")
    values = [meminfo.get(key) if isinstance(meminfo, dict) else None for key in ("total_kib", "available_kib")]
    total, available = (value if isinstance(value, int) and value > 0 else 0 for value in values)
    if not total or available > total:
        raise CheckFailed("the router does not say how much memory it has")
    lab.memory = Memory(total, available)
    return f"{(total - available) / 1024:.0f} of {total / 1024:.0f} MiB used"


async def power_down(lab: Lab) -> str:
    """The power button ends the machine, with every service stopped."""
    lab.guest.leaving = True
    started = time.monotonic()
    await lab.router.execute("system_powerdown")
    said = await lab.guest.wait(console.Shutdown)
    if not said.clean:
        raise CheckFailed("the router powered off, but not every service stopped in time")
    await lab.router.ended.wait()
    return f"{time.monotonic() - started:.1f} s, all services stopped"


async def quiet_uplink(lab: Lab) -> str:
    """Nothing with a client's own address left on the uplink, so no packet went out un-NATed; and nothing of IPv6."""
    count, leaks = leaked(lab.capture.read_bytes())
    if leaks:
        raise CheckFailed(f"{len(leaks)} packets left with a client's address or by IPv6, the first with {leaks[0]}")
    if not count:
        raise NotApplicable("no packet was seen on the uplink")
    return f"{count} packets, none with a client's address, none of IPv6"


async def console_quiet(lab: Lab) -> str:
    """No Oops, BUG, WARNING or call trace."""
    if lab.guest.trouble:
        raise CheckFailed(lab.guest.trouble[0])
    return f"{lab.guest.lines} lines, no Oops, BUG, WARNING or call trace"


CHECKS: tuple[Check, ...] = (
    Check("lease", lease, 20),
    Check("kernel options", kernel_options, 5),
    Check("services", services, 5),
    Check("settings", settings, 5),
    Check("watchdog", watchdog, 5),
    Check("clients", boot_clients, 15),
    Check("client {}", reach, 20, needs=("lease", "clients"), each_client=True),
    Check("dns forward", dns_forward, 6, needs=("lease", "clients")),
    Check("isolation", isolation, 6, needs=("lease", "clients")),
    Check("hot-plug", hot_plug, 10, needs=("lease", "clients")),
    Check("uplinks", several.uplinks, 20, needs=("lease",), several_uplinks=True),
    Check(
        "failover",
        partial(several.failover, ping=ping),
        20,
        needs=("lease", "clients", "uplinks"),
        several_uplinks=True,
    ),
    Check("memory", memory, 5),
    Check("power-down", power_down, 10),
    Check("uplink traffic", quiet_uplink, 5, needs=("lease",), live=False),
    Check("console", console_quiet, 1, live=False),
)

REFUSED = (CheckFailed, several.NotReached, Unanswered, ExecuteError)
"""What makes a check fail, beside its deadline and the router's end."""
