# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A guest's answers to `status` and `counters` as values; docs/reference/boot-protocol.md defines them.

All is a guest's and bounded: texts and lists are cut, and a number that is negative or too large is as if it weren't
there.  Each member that isn't of its type has its default, since a status that is partly wrong still tells something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netvm_build.util.decode import decode_fitting

MAX_ENTRIES = 4096
MAX_TEXT = 200
MAX_COUNT = 1 << 63


@dataclass(frozen=True)
class UplinkAnswer:
    """An uplink; what is empty, None or 0 isn't there."""

    interface: str = ""
    driver: str = ""
    mac: str = ""
    address: str = ""
    gateway: str = ""
    nameservers: tuple[str, ...] = ()
    name: str = ""
    active: bool | None = None
    error: str = ""
    mtu: int = 0
    send_mac: str = ""


@dataclass(frozen=True)
class ClientAnswer:
    """A client's interface."""

    interface: str = ""
    mac: str = ""
    router: str = ""
    client: str = ""


@dataclass(frozen=True)
class ServiceAnswer:
    """A service; `privileges.parse` reads its `privilege`."""

    name: str = ""
    running: bool = False
    pid: int = 0
    restarts: int = 0
    privilege: Any = None
    violation: str = ""


@dataclass(frozen=True)
class MemoryAnswer:
    """As /proc/meminfo has it."""

    total_kib: int = 0
    available_kib: int = 0


@dataclass(frozen=True)
class StatusAnswer:
    """The answer to `status`."""

    state: str = ""
    missing: tuple[str, ...] = ()
    uptime_s: float = 0.0
    firewall: bool | None = None
    uplinks: tuple[UplinkAnswer, ...] = ()
    clients: tuple[ClientAnswer, ...] = ()
    services: tuple[ServiceAnswer, ...] = ()
    watchdog_s: int = 0
    meminfo: MemoryAnswer = MemoryAnswer()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class InterfaceCounters:
    """An interface's counters, as the router sees them."""

    interface: str = ""
    rx_bytes: int = 0
    rx_packets: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0


@dataclass(frozen=True)
class DropCounter:
    """Packets that were refused, by the name of the reason."""

    name: str = ""
    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class CountersAnswer:
    """The answer to `counters`; `kernel` counts no bytes."""

    interfaces: tuple[InterfaceCounters, ...] = ()
    drops: tuple[DropCounter, ...] = ()
    kernel: tuple[DropCounter, ...] = ()


def read_status(body: Mapping[str, Any]) -> StatusAnswer:
    """The answer to `status` from its body."""
    return decode_fitting(StatusAnswer, _cut(body))


def read_counters(body: Mapping[str, Any]) -> CountersAnswer:
    """The answer to `counters` from its body."""
    return decode_fitting(CountersAnswer, _cut(body))


def _cut(value: Any) -> Any:
    """A JSON value with its texts and lists cut, and null for a number out of bounds."""
    if isinstance(value, dict):
        return {name: _cut(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_cut(one) for one in value[:MAX_ENTRIES]]
    if isinstance(value, str):
        return value[:MAX_TEXT]
    return value if not isinstance(value, int | float) or 0 <= value < MAX_COUNT else None
