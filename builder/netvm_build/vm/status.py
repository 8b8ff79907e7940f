# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a running VM is at this moment, read out of a guest's answers: typed, bounded, and without what makes no sense.

Byte counts are the client's own view: `in_bytes` is what it received.  An uplink's `in_bytes` came in from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netvm_build.guest.privileges import Privilege, parse
from netvm_build.image import manifest
from netvm_build.spec.rules.refusals import brief, brief_of_kernel
from netvm_build.vm.registry import VmState

VERSION = 1
MAX_ENTRIES = 4096
STATES = ("booting", "ready", "degraded")
MAX_TEXT = 200
MAX_COUNT = 1 << 63


@dataclass(frozen=True)
class Traffic:
    in_bytes: int = 0
    in_packets: int = 0
    out_bytes: int = 0
    out_packets: int = 0


@dataclass(frozen=True)
class UplinkStatus:
    """An uplink; `address` is None without a lease, `interface` empty where its card is not there.

    `name` is the spec's, where it names several; `active` says that clients go out by it; `error` is ConnMan's word;
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
    traffic = {_text(entry, "interface"): entry for entry in _entries(counters, "interfaces")}
    called = {client.router: client.name for client in record.clients} | dict(names or {})
    meminfo = body.get("meminfo")
    memory = meminfo if isinstance(meminfo, dict) else {}
    firewall = body.get("firewall")
    uplinks = tuple(_uplink(entry, traffic) for entry in _entries(body, "uplinks"))
    services = tuple(_service(entry) for entry in _entries(body, "services"))
    state = _text(body, "state")
    if state not in STATES:  # a guest too old to say
        ways = any(one.address if one.active is None else one.active for one in uplinks)
        healthy = firewall is not False and ways and bool(services) and all(one.running for one in services)
        state = "ready" if healthy else "degraded" if was_ready else "booting"
    return Snapshot(
        name=record.name,
        state=state,
        missing=_texts(body.get("missing")),
        uptime_s=_seconds(body.get("uptime_s")),
        total_kib=_count(memory, "total_kib"),
        available_kib=_count(memory, "available_kib"),
        firewall=firewall if isinstance(firewall, bool) else None,
        uplinks=uplinks,
        clients=tuple(_client(entry, traffic, called) for entry in _entries(body, "clients")),
        services=services,
        drops=tuple(_drop(entry) for entry in _entries(counters, "drops")),
        watchdog_s=_count(body, "watchdog_s") or None,
        modules=_texts(body.get("modules")),
        kernel_drops=tuple(_kernel_drop(entry) for entry in _entries(counters, "kernel")),
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
    }


def _flat(one: UplinkStatus | ClientStatus) -> dict[str, Any]:
    """Traffic among the other members, and left out where it is not known."""
    found = asdict(one)
    return found | (found.pop("traffic") or {})


def _entries(body: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = body.get(key)
    entries = value if isinstance(value, list) else []
    return (entry for entry in entries[:MAX_ENTRIES] if isinstance(entry, dict))


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    """The texts in a list, cut to a bearable length and number."""
    entries = value[:MAX_ENTRIES] if isinstance(value, list) else ()
    return tuple(one[:MAX_TEXT] for one in entries if isinstance(one, str))


def _seconds(value: object) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return float(value) if known and isinstance(value, int | float) else 0.0


def _count(entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT else 0


def _traffic(entry: Mapping[str, Any] | None, *, turned: bool) -> Traffic | None:
    """An interface's counters; `turned` where a client is at its other end: what goes out here comes in there."""
    if entry is None:
        return None
    into, out = ("tx", "rx") if turned else ("rx", "tx")
    return Traffic(
        in_bytes=_count(entry, f"{into}_bytes"),
        in_packets=_count(entry, f"{into}_packets"),
        out_bytes=_count(entry, f"{out}_bytes"),
        out_packets=_count(entry, f"{out}_packets"),
    )


def _uplink(entry: Mapping[str, Any], traffic: Mapping[str, Mapping[str, Any]]) -> UplinkStatus:
    interface = _text(entry, "interface")
    return UplinkStatus(
        interface=interface,
        driver=_text(entry, "driver"),
        mac=_text(entry, "mac"),
        address=_text(entry, "address") or None,
        gateway=_text(entry, "gateway") or None,
        nameservers=_texts(entry.get("nameservers"))[:16],
        traffic=_traffic(traffic.get(interface), turned=False),
        name=_text(entry, "name"),
        active=entry["active"] if isinstance(entry.get("active"), bool) else None,
        error=_text(entry, "error"),
        mtu=_count(entry, "mtu") or None,
        send_mac=_text(entry, "send_mac"),
    )


def _client(
    entry: Mapping[str, Any], traffic: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]
) -> ClientStatus:
    interface, router = _text(entry, "interface"), _text(entry, "router")
    return ClientStatus(
        name=names.get(router, ""),
        client=_text(entry, "client"),
        router=router,
        interface=interface,
        mac=_text(entry, "mac"),
        traffic=_traffic(traffic.get(interface), turned=True),
    )


def _service(entry: Mapping[str, Any]) -> ServiceStatus:
    return ServiceStatus(
        name=_text(entry, "name"),
        running=entry.get("running") is True,
        pid=_count(entry, "pid"),
        restarts=_count(entry, "restarts"),
        privilege=parse(entry.get("privilege")),
        violation=_text(entry, "violation"),
    )


def _drop(entry: Mapping[str, Any]) -> Drop:
    name = _text(entry, "name")
    return Drop(name, brief(name), _count(entry, "packets"), _count(entry, "bytes"))


def _kernel_drop(entry: Mapping[str, Any]) -> KernelDrop:
    name = _text(entry, "name")
    return KernelDrop(name, brief_of_kernel(name), _count(entry, "packets"))
