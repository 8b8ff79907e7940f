# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The uplinks' leases: which has one, which has lost it or may not have it, and by which clients go out."""

from __future__ import annotations

from init.net.claims import conflict
from init.net.uplink import NO_ROUTE, Lease, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from init.core.loop import Loop
    from init.core.protocol import EventWriter
    from init.kernel.interfaces import LinkRequests
    from init.kernel.network import NetworkState
    from init.net.active import Active
    from init.net.cards import Cards
    from init.net.uplink import Uplink

    Forget = Callable[[str], str]
    Problem = Callable[[str, str | None, Iterable[tuple[str, int]]], str]

GRACE_S = 0.2
"""ConnMan takes its routes away and sets them anew when the order of uplinks changes: that is no loss."""

LINK_LOCAL = "169.254."
"""What ConnMan gives an uplink where no DHCP server answers (RFC 3927), with a route to everywhere: no lease."""
REFUSED_S = 10.0
"""So long an uplink that was refused stays down."""


class Leases:
    """Follows the kernel's addresses and routes of the uplinks, which are given by the index of their interface.

    `problem` says why an uplink may not have an address, and `forget` ends an address's connections; both return an
    empty text where all is well.
    """

    def __init__(
        self,
        loop: Loop,
        requests: LinkRequests,
        events: EventWriter,
        cards: Cards,
        active: Active,
        uplinks: Mapping[int, Uplink],
        problem: Problem,
        several: Callable[[], bool],
        forget: Forget | None,
    ) -> None:
        self._loop = loop
        self._requests = requests
        self._events = events
        self._cards = cards
        self._active = active
        self._uplinks = uplinks
        self._problem = problem
        self._several = several
        self._forget = forget

    @property
    def leased(self) -> list[Uplink]:
        """Those by which clients could go out at this moment: with an address and a default route."""
        return [one for one in self._uplinks.values() if one.lease is not None and one.lease.metric < NO_ROUTE]

    def compare(
        self,
        network: NetworkState,
        nameservers: Callable[[str], tuple[str, ...]],
        now: float,
        connected: Callable[[str], bool] = lambda _: False,
    ) -> bool:
        """Tell which uplink has come by a lease (address and default route), by another one, or has lost it; and by
        which clients go out now.  True where one has just lost only its route: to be called again after GRACE_S.

        `connected` is whether ConnMan calls an uplink so: then it needs no route of its own.
        """
        wavering = False
        for uplink in sorted(self._uplinks.values(), key=lambda one: number_of(one.name)):
            route = network.default_route_of(uplink.index)
            address = self._usable_address(uplink, network, route[1] if route is not None else None)
            if route is not None:
                uplink.no_route_since = None
            elif address is not None and self._wavers(uplink, now):
                wavering = True
                continue
            elif connected(uplink.name):
                route = NO_ROUTE, uplink.lease.gateway if uplink.lease is not None else None
            self._cards.keep_routes(uplink, address, network.targets_of(uplink.index))
            if route is not None and route[1] is None:  # ConnMan's, where the network names no gateway: nobody's way
                route = NO_ROUTE, None
            if address is None or route is None:
                self._take(uplink, None)
            else:
                self._take(uplink, Lease(f"{address[0]}/{address[1]}", route[1], nameservers(uplink.name), route[0]))
        self._choose()
        return wavering

    def _usable_address(self, uplink: Uplink, network: NetworkState, gateway: str | None) -> tuple[str, int] | None:
        """(address, prefix length), unless it is one that an uplink may not have, which takes the uplink down."""
        address = network.address_of(uplink.index)
        if address is None or uplink.refused:
            return None
        problem = self._problem(address[0], gateway, network.targets_of(uplink.index))
        # A less preferred uplink never throws out another: whatever it leases, it is the one to go.
        others = [one for one in self._uplinks.values() if number_of(one.name) < number_of(uplink.name)]
        if problem := problem or conflict(*address, gateway, others):
            self._refuse(uplink, f"{address[0]}/{address[1]}", gateway, problem)
            return None
        last_resort = address[0].startswith(LINK_LOCAL) and gateway is None
        return None if last_resort else address

    def _wavers(self, uplink: Uplink, now: float) -> bool:
        """Whether an uplink has been without its route for so short a time that it is no loss yet."""
        if uplink.lease is None or uplink.lease.metric == NO_ROUTE:
            return False
        if uplink.no_route_since is None:
            uplink.no_route_since = now
        return now - uplink.no_route_since < GRACE_S

    def _take(self, uplink: Uplink, lease: Lease | None) -> None:
        before, uplink.lease = uplink.lease, lease
        if lease is None:
            if before is not None:
                self._events.emit("uplink", state="lost", **uplink.fields)
        elif before is None or before.fields != lease.fields:
            self._events.emit("uplink", state="lease", **(uplink.fields | lease.fields))
        if before is not None and (lease is None or before.address != lease.address):
            self.forget(before)

    def _choose(self) -> None:
        """Clients go out by the uplink with the best route."""
        before = self._active.choose(list(self._uplinks.values()), self.leased)
        used = self._active.uplink
        if used is before or not self._several():
            return
        if before is not None and before.lease is not None:
            self.forget(before.lease, shared=True)  # their packets would leave by the other, as nobody's
        self._events.emit("route", **({"interface": None} if used is None else used.fields))

    def forget(self, lease: Lease | None, *, shared: bool = False) -> None:
        """Forget what goes by an address; one that the uplink in use has too only if it is `shared` by intent."""
        if lease is None or self._forget is None:
            return
        used = self._active.uplink
        active = used.lease if used is not None else None
        if active is not None and active is not lease and active.ip == lease.ip and not shared:
            return
        problem = self._forget(lease.ip)
        if problem:
            self._events.emit("log", source="init", text=problem)

    def _refuse(self, uplink: Uplink, address: str, gateway: str | None, reason: str) -> None:
        """Take an uplink down whose lease cannot be used; ConnMan asks for another when it is up again."""
        uplink.refused = True
        self._events.emit("uplink", state="refused", **uplink.fields, address=address, gateway=gateway, reason=reason)
        self._set_up(uplink, False)

        def again() -> None:
            if self._uplinks.get(uplink.index) is uplink:
                uplink.refused = False
                self._set_up(uplink, True)

        self._loop.later(REFUSED_S, again)

    def _set_up(self, uplink: Uplink, up: bool) -> None:
        try:
            self._requests.set_up(uplink.index, up)
        except OSError as error:
            text = f"{uplink.name} could not be taken {'up' if up else 'down'}: {error.strerror}"
            self._events.emit("log", source="init", text=text)
