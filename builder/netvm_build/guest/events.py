# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every event of boot protocol 1 as a value; docs/reference/boot-protocol.md defines them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GuestEvent:
    """Anything the guest says; `t` is seconds since its kernel's clock started (CLOCK_BOOTTIME)."""

    t: float


@dataclass(frozen=True)
class Init(GuestEvent):
    """PID 1 runs."""

    name: str = ""
    kernel: str = ""
    python: str = ""


@dataclass(frozen=True)
class Mounts(GuestEvent):
    """Every file system is mounted."""


@dataclass(frozen=True)
class Firewall(GuestEvent):
    """The ruleset is in the kernel.  `host_networks` are those of the host's that it has closed to clients."""

    loaded: bool = False
    host_networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Modules(GuestEvent):
    """Drivers were loaded.  `failed` are ``NAME: reason``, `missing` the network cards that no module serves:
    ``DEVICE MODALIAS``.
    """

    loaded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    locked: bool = False


@dataclass(frozen=True)
class ServiceEvent(GuestEvent):
    """A supervised service changed state; `status` is its exit status, or minus the signal that ended it.

    `reason` says why the kernel ended it, where that is known; `awaits` are the paths that a waiting one needs.
    """

    name: str = ""
    state: str = ""
    pid: int | None = None
    restarts: int | None = None
    status: int | None = None
    reason: str = ""
    awaits: tuple[str, ...] = ()


@dataclass(frozen=True)
class UplinkEvent(GuestEvent):
    """An uplink's interface: found, lease, lost, refused (`reason`) or gone.  What it was given comes with a lease.

    `name` is the spec's, where it names several; `vlan` is set where the uplink is one on its card.
    """

    state: str = ""
    interface: str = ""
    mac: str = ""
    driver: str | None = None
    address: str | None = None
    gateway: str | None = None
    nameservers: tuple[str, ...] = ()
    reason: str = ""
    name: str | None = None
    vlan: int | None = None


@dataclass(frozen=True)
class UplinkError(GuestEvent):
    """ConnMan's name for what is wrong with an uplink."""

    interface: str = ""
    mac: str = ""
    driver: str | None = None
    error: str = ""
    name: str | None = None
    vlan: int | None = None


@dataclass(frozen=True)
class RouteEvent(GuestEvent):
    """Clients go out by this uplink from now on, where there are several; by none if `interface` is None."""

    interface: str | None = None
    mac: str | None = None
    driver: str | None = None
    name: str | None = None
    vlan: int | None = None


@dataclass(frozen=True)
class ClientEvent(GuestEvent):
    """A client's interface has its address."""

    interface: str = ""
    mac: str = ""
    router: str = ""
    client: str = ""


@dataclass(frozen=True)
class ClientGone(GuestEvent):
    """A client's interface went away."""

    interface: str = ""
    mac: str = ""
    router: str | None = None
    client: str | None = None


@dataclass(frozen=True)
class ClientRefused(GuestEvent):
    """An interface with the clients' OUI got no address."""

    interface: str = ""
    mac: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Ready(GuestEvent):
    """The router routes: firewall in, services up, one uplink with address and default route."""

    uplinks: int = 0
    clients: int = 0


@dataclass(frozen=True)
class Degraded(GuestEvent):
    """Something is missing; `ready` may still follow."""

    reason: str = ""


@dataclass(frozen=True)
class Recovered(GuestEvent):
    """What was degraded is well again."""

    reason: str = ""


@dataclass(frozen=True)
class Failed(GuestEvent):
    """The router gave up and powers off."""

    reason: str = ""


@dataclass(frozen=True)
class Shutdown(GuestEvent):
    """The last line before power-off."""

    reason: str = ""
    clean: bool = False


@dataclass(frozen=True)
class Log(GuestEvent):
    """A line of a service's output."""

    source: str = ""
    text: str = ""


@dataclass(frozen=True)
class Reply(GuestEvent):
    """The answer to request `id`; `body` is all the rest of the object."""

    id: int = 0
    body: Mapping[str, Any] | None = None


EVENTS: Mapping[str, type[GuestEvent]] = {
    "init": Init,
    "mounts": Mounts,
    "modules": Modules,
    "firewall": Firewall,
    "service": ServiceEvent,
    "uplink": UplinkEvent,
    "uplink-error": UplinkError,
    "route": RouteEvent,
    "client": ClientEvent,
    "client-gone": ClientGone,
    "client-refused": ClientRefused,
    "ready": Ready,
    "degraded": Degraded,
    "recovered": Recovered,
    "failed": Failed,
    "shutdown": Shutdown,
    "log": Log,
    "reply": Reply,
}
