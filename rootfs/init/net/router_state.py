# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whether clients can go out, in one place: `ready` and `degraded` are said by it, and `status` repeats it."""

from __future__ import annotations

from init.net.uplink import NO_ROUTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop
    from init.core.protocol import EventWriter
    from init.core.supervisor import Supervisor
    from init.net.clients import Clients
    from init.net.firewall import Firewall
    from init.net.uplink import Uplink
    from init.net.uplinks import Uplinks

NO_WAY_OUT_S = 2.0
"""ConnMan may call an uplink connected a moment before it sets its default route."""


class RouterState:
    """What clients need to go out, and what is missing of it."""

    def __init__(
        self,
        loop: Loop,
        events: EventWriter,
        firewall: Firewall,
        supervisor: Supervisor,
        uplinks: Uplinks,
        clients: Clients,
        on_ready: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._events = events
        self._firewall = firewall
        self._supervisor = supervisor
        self._uplinks = uplinks
        self._clients = clients
        self._on_ready = on_ready
        self._was_ready = False
        self._is_due = False
        self._waits = False
        self._told = ""

    @property
    def state(self) -> str:
        """``ready``, ``booting`` before it has been, or ``degraded``."""
        return "ready" if not self.missing else "degraded" if self._was_ready or self._is_due else "booting"

    @property
    def missing(self) -> list[str]:
        """Why clients cannot go out; empty if they can."""
        found = [] if self._firewall.loaded else ["the firewall is not loaded"]
        services = [one for one in self._supervisor.states if one.lacking]
        found += [f"{one.service.name} is not running" for one in services]
        if self._uplinks.active is None:
            found += [_lack(one) for one in self._uplinks.all] or ["there is no uplink"]
        return found

    def check(self) -> None:
        """Something has changed: say `ready`, once; and what an uplink lacks that has an address but no way out."""
        if not self._was_ready and not self.missing:
            self._was_ready = True
            self._on_ready()
            self._events.emit("ready", uplinks=len(self._uplinks.all), clients=len(self._clients.all))
        if self._told and self._uplinks.active is not None:
            self._told = ""
            self._events.emit("recovered", reason=f"clients can go out by {self._uplinks.active.name}")
        elif self._pathless and not self._waits:
            self._waits = True
            self._loop.later(NO_WAY_OUT_S, self._tell)

    def lease_is_due(self, seconds: float) -> None:
        """So long after the boot there should be a way out."""
        self._is_due = True
        if self._uplinks.active is not None or self._told:
            return
        names = ", ".join([f"{uplink.name} ({uplink.driver})" for uplink in self._uplinks.all])
        where = f"on {names}" if names else "and no uplink: no physical interface has a driver in this kernel"
        self._events.emit("degraded", reason=f"no lease in {seconds:g} s {where}")

    @property
    def _pathless(self) -> str:
        """What the uplinks lack that have an address, where none has a default route."""
        if self._uplinks.active is not None:
            return ""
        return "; ".join([_lack(one) for one in self._uplinks.all if one.lease is not None])

    def _tell(self) -> None:
        self._waits = False
        reason = self._pathless
        if reason and reason != self._told:
            self._told = reason
            self._is_due = True
            self._events.emit("degraded", reason=reason)


def _lack(uplink: Uplink) -> str:
    """Why clients cannot go out by an uplink."""
    if uplink.lease is None:
        return f"{uplink.name} has no lease"
    if uplink.lease.metric < NO_ROUTE:
        return f"{uplink.name} is not in use"
    return f"{uplink.name} has {uplink.lease.address}, but no default route: the network names no usable gateway"
