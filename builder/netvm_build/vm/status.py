# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a running VM is at this moment, read out of a guest's answers: typed, bounded, and without what makes no sense.

Byte counts are the client's own view: `in_bytes` is what it received.  An uplink's `in_bytes` came in from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netvm_build.guest.answers import (
    ClientAnswer,
    InterfaceCounters,
    ServiceAnswer,
    UplinkAnswer,
    read_counters,
    read_status,
)
from netvm_build.guest.privileges import Privilege, parse
from netvm_build.image import manifest
from netvm_build.model.refusals import brief, brief_of_kernel
from netvm_build.vm.registry import VmState
from netvm_build.vmm.qemu.in_force import InForce

VERSION = 1
MAX_NAMESERVERS = 16
STATES = ("booting", "ready", "degraded")


@dataclass(frozen=True)
class Traffic:
    in_bytes: int = 0
    in_packets: int = 0
    out_bytes: int = 0
    out_packets: int = 0


@dataclass(frozen=True)
class UplinkStatus:
    """An uplink; `address` is None without a lease, `interface` empty where its card is not there.

    `name` is the spec's, where it names several; `active` says that clients go out by it; `error` is ConnMan's;
    `mtu` is None for a guest that doesn't say; `send_mac` is what the network sees, empty where it is `mac`.
    """

    interface: str
    driver: str
    mac: str
    address: str | None
    gateway: str | None
    nameservers: tuple[str, ...]
    traffic: Traffic | None
    name: str = ""
    active: bool | None = None
    error: str = ""
    mtu: int | None = None
    send_mac: str = ""


@dataclass(frozen=True)
class ClientStatus:
    """A client's interface; `name` is the network's as `run` offers it, or empty."""

    name: str
    client: str
    router: str
    interface: str
    mac: str
    traffic: Traffic | None


@dataclass(frozen=True)
class ServiceStatus:
    """`privilege` is None where it doesn't run; `violation` is the last call for which it was killed, or empty."""

    name: str
    running: bool
    pid: int
    restarts: int
    privilege: Privilege | None = None
    violation: str = ""


@dataclass(frozen=True)
class Drop:
    """Packets refused for one reason; `text` says the reason in words."""

    reason: str
    text: str
    packets: int
    bytes: int


@dataclass(frozen=True)
class KernelDrop:
    """Packets that the kernel dropped by itself, of which it counts no bytes."""

    reason: str
    text: str
    packets: int


@dataclass(frozen=True)
class Snapshot:
    """A VM as it is now.  `state`: booting, ready (clients can go out), or degraded; `missing` says why not.

    `qemu` is how its QEMU is confined, None where that isn't known.  `backend` serves its user networks, with so many
    `helpers` as processes of their own, and is empty without such a network.
    `floods`: it says so much that the keeper reads it more slowly; `age_s`: it was asked so many seconds ago.
    """

    name: str
    state: str
    uptime_s: float
    total_kib: int
    available_kib: int
    firewall: bool | None
    uplinks: tuple[UplinkStatus, ...]
    clients: tuple[ClientStatus, ...]
    services: tuple[ServiceStatus, ...]
    drops: tuple[Drop, ...]
    watchdog_s: int | None = None
    modules: tuple[str, ...] = ()
    kernel_drops: tuple[KernelDrop, ...] = ()
    floods: bool = False
    age_s: float = 0.0
    missing: tuple[str, ...] = ()
    qemu: InForce | None = None
    backend: str = ""
    backend_reason: str = ""
    helpers: int = 0
    loopback: str = ""

    @property
    def used_kib(self) -> int:
        return max(0, self.total_kib - self.available_kib)


def snapshot(
    record: VmState,
    body: Mapping[str, Any],
    counters: Mapping[str, Any],
    *,
    was_ready: bool = False,
    names: Mapping[str, str] | None = None,
) -> Snapshot:
    """From the guest's answers to `status` and `counters` (empty if it has none).

    `names` are clients' names by the router's address, beside those of the networks that `run` offers.
    """
    said, counted = read_status(body), read_counters(counters)
    traffic = {one.interface: one for one in counted.interfaces}
    called = {client.router: client.name for client in record.clients} | dict(names or {})
    uplinks = tuple(_uplink(one, traffic) for one in said.uplinks)
    services = tuple(_service(one) for one in said.services)
    state = said.state
    if state not in STATES:  # a guest too old to say
        ways = any(one.address if one.active is None else one.active for one in uplinks)
        healthy = said.firewall is not False and ways and bool(services) and all(one.running for one in services)
        state = "ready" if healthy else "degraded" if was_ready else "booting"
    return Snapshot(
        name=record.name,
        state=state,
        missing=said.missing,
        uptime_s=said.uptime_s,
        total_kib=said.meminfo.total_kib,
        available_kib=said.meminfo.available_kib,
        firewall=said.firewall,
        uplinks=uplinks,
        clients=tuple(_client(one, traffic, called) for one in said.clients),
        services=services,
        drops=tuple(Drop(one.name, brief(one.name), one.packets, one.bytes) for one in counted.drops),
        watchdog_s=said.watchdog_s or None,
        modules=said.modules,
        backend=record.backend,
        backend_reason=record.backend_reason,
        helpers=len(record.helpers),
        loopback=record.loopback,
        kernel_drops=tuple(KernelDrop(one.name, brief_of_kernel(one.name), one.packets) for one in counted.kernel),
    )


def image_changed(record: VmState) -> bool | None:
    """Whether the VM's folder holds another image by now; None where that can't be known, or it holds none."""
    there = manifest.identity(Path(record.image))
    return None if there is None or not record.image_id else there != record.image_id


def to_dict(now: Snapshot, record: VmState) -> dict[str, Any]:
    """For a program to read: docs/reference/json.md describes it."""
    return {
        "version": VERSION,
        "name": now.name,
        "state": now.state,
        "missing": list(now.missing),
        "started_at": record.started_at,
        "uptime_s": round(now.uptime_s, 3),
        "image": record.image,
        "image_changed": image_changed(record),
        "accelerator": record.accelerator,
        "memory": {"machine_mib": record.memory_mib, "total_kib": now.total_kib, "used_kib": now.used_kib},
        "firewall": {"loaded": now.firewall},
        "watchdog_s": now.watchdog_s,
        "uplinks": [_flat(uplink) for uplink in now.uplinks],
        "clients": [_flat(client) for client in now.clients],
        "drops": [asdict(drop) for drop in now.drops],
        "kernel_drops": [asdict(drop) for drop in now.kernel_drops],
        "services": [asdict(service) for service in now.services],
        "modules": list(now.modules),
        "floods": now.floods,
        "age_s": round(now.age_s),
        "path": [asdict(choice) for choice in record.path],
        "user_network": _user_network(record),
        "qemu": None if now.qemu is None else asdict(now.qemu),
    }


def _user_network(record: VmState) -> dict[str, Any] | None:
    if not record.backend:
        return None
    pids = [helper.pid for helper in record.helpers]
    return {
        "backend": record.backend,
        "reason": record.backend_reason,
        "pids": pids,
        "loopback": record.loopback or None,
    }


def _flat(one: UplinkStatus | ClientStatus) -> dict[str, Any]:
    """Traffic among the other members, and left out where it is not known."""
    found = asdict(one)
    return found | (found.pop("traffic") or {})


def _traffic(counted: InterfaceCounters | None, *, turned: bool) -> Traffic | None:
    """An interface's counters; `turned` where a client is at its other end: what goes out here comes in there."""
    if counted is None:
        return None
    rx, tx = (counted.rx_bytes, counted.rx_packets), (counted.tx_bytes, counted.tx_packets)
    return Traffic(*tx, *rx) if turned else Traffic(*rx, *tx)


def _uplink(said: UplinkAnswer, traffic: Mapping[str, InterfaceCounters]) -> UplinkStatus:
    return UplinkStatus(
        interface=said.interface,
        driver=said.driver,
        mac=said.mac,
        address=said.address or None,
        gateway=said.gateway or None,
        nameservers=said.nameservers[:MAX_NAMESERVERS],
        traffic=_traffic(traffic.get(said.interface), turned=False),
        name=said.name,
        active=said.active,
        error=said.error,
        mtu=said.mtu or None,
        send_mac=said.send_mac,
    )


def _client(said: ClientAnswer, traffic: Mapping[str, InterfaceCounters], names: Mapping[str, str]) -> ClientStatus:
    return ClientStatus(
        name=names.get(said.router, ""),
        client=said.client,
        router=said.router,
        interface=said.interface,
        mac=said.mac,
        traffic=_traffic(traffic.get(said.interface), turned=True),
    )


def _service(said: ServiceAnswer) -> ServiceStatus:
    return ServiceStatus(said.name, said.running, said.pid, said.restarts, parse(said.privilege), said.violation)
