# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Clients' way out: by which uplink, with which address, and which resolvers answer their questions."""

from __future__ import annotations

from init.net import resolvers, uplink
from init.net.leases import GRACE_S
from init.net.resolvers import Resolvers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop
    from init.kernel.network import NetworkState
    from init.net.connman import ConnMan
    from init.net.firewall import Firewall
    from init.net.resolver_health import Health
    from init.net.uplinks import Uplinks

SEVERAL_S, ONE_S = 0.0, 3.0
"""When ConnMan is first spoken to: at once where it must be told an order, later where it only has errors to tell."""


class Egress:
    """Tells the firewall what the uplinks' leases and ConnMan's resolvers are now, then calls `check_ready`.

    Without `dns` clients ask no resolver of the uplinks'.
    """

    def __init__(
        self,
        loop: Loop,
        firewall: Firewall,
        network: NetworkState,
        uplinks: Uplinks,
        log: Callable[[str], None],
        check_ready: Callable[[], None],
        dns: bool,
    ) -> None:
        self._loop = loop
        self._firewall = firewall
        self._network = network
        self._uplinks = uplinks
        self._log = log
        self._check_ready = check_ready
        self._dns = dns
        self._resolvers: Resolvers | None = None
        self._connman: ConnMan | None = None
        self._health: Health | None = None

    def start(self) -> None:
        """Follow resolv.conf from now on, and ConnMan soon."""
        self._resolvers = Resolvers(self._loop, lambda _: self.follow())
        self._loop.later(SEVERAL_S if self._uplinks.several else ONE_S, self._follow_connman)

    def follow(self) -> None:
        """Bring clients' way out up to date with the kernel's network and with ConnMan."""
        if self._uplinks.several:
            self._follow_connman()
        self._firewall.own(self._uplinks.addresses(self._network))
        if self._uplinks.leases.compare(self._network, self._nameservers_of, self._loop.clock(), self._is_connected):
            self._loop.later(GRACE_S, self.follow)
        if self._dns:
            self._firewall.resolve_by(self._live_resolvers())
        self._firewall.reach_by(self._address_now())
        self._check_ready()

    def _nameservers_of(self, interface: str) -> tuple[str, ...]:
        """An uplink's resolvers: all that ConnMan writes, or, where there are several uplinks, its own of them."""
        if self._connman is None or not (self._uplinks.several and self._connman.heard):
            return self._resolvers.current if self._resolvers is not None else ()
        service = self._connman.service_of(interface)
        return resolvers.usable(service.nameservers) if service is not None and service.connected else ()

    def _is_connected(self, interface: str) -> bool:
        """Whether ConnMan says so."""
        service = self._connman.service_of(interface) if self._connman is not None else None
        return service is not None and service.connected

    def _address_now(self) -> tuple[str, ...]:
        """The address of the uplink that clients go out by, if there is one."""
        active = self._uplinks.active
        return (active.lease.ip,) if active is not None and active.lease is not None else ()

    def _live_resolvers(self) -> tuple[str, ...]:
        """Where clients' DNS goes: to resolvers of the uplink that they go out by; of several, to those that answer."""
        active = self._uplinks.active
        wanted = active.lease.nameservers if active is not None and active.lease is not None else ()
        if self._health is None:
            if len(wanted) < 2:
                return wanted
            from init.net.resolver_health import Health

            self._health = Health(self._loop, self.follow, self._log)
        return self._health.live(wanted, active.name if active is not None else "")

    def _follow_connman(self) -> None:
        """What only ConnMan itself can tell: what is wrong with an uplink, and whose resolvers are which."""
        if self._connman is None:
            from init.net.connman import ConnMan

            self._connman = ConnMan(self._loop, self._connman_changed, self._log, uplink.number_of)

    def _connman_changed(self) -> None:
        connman = self._connman
        if connman is not None:
            self._uplinks.complain(lambda name: service.error if (service := connman.service_of(name)) else "")
        self.follow()
