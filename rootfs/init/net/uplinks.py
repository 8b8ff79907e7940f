# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Uplinks: the physical interfaces, which ConnMan configures, and VLANs on them.

We name them, take them up, and tell of their leases, of what ConnMan says is wrong, and by which clients go out.
"""

from __future__ import annotations

from init.core.config import WantedUplink
from init.kernel import sysctl
from init.net import cards
from init.net.active import Active
from init.net.claims import conflict
from init.net.firewall import STANDBY_GROUP
from init.net.uplink import NO_ROUTE, PREFIX, Lease, Uplink, driver_of, is_radio, number_of, take_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from init.core.loop import Loop
    from init.core.protocol import Voice
    from init.kernel.interfaces import LinkRequests
    from init.kernel.network import NetworkState
    from init.kernel.rtnetlink import Link
    from init.net.routing import Routing

    Forget = Callable[[str], str]
    Problem = Callable[[str, str | None, Iterable[tuple[str, int]]], str]

TRUNK = "trunk"
"""A card that only carries VLANs is named so: what comes untagged meets neither ConnMan nor a rule of the firewall."""

GRACE_S = 0.2
"""ConnMan takes its routes away and sets them anew when the order of uplinks changes: that is no loss."""

LINK_LOCAL = "169.254."
"""What ConnMan gives an uplink where no DHCP server answers (RFC 3927), with a route to everywhere: no lease."""
REFUSED_S = 10.0
"""So long an uplink that was refused stays down."""


RADIO = WantedUplink()
"""Any interface of Wi-Fi: the networks are the spec's, the cards are not."""


class Uplinks:
    """The uplinks there are, by the index of their interface."""

    def __init__(
        self,
        loop: Loop,
        requests: LinkRequests,
        voice: Voice,
        wanted: Sequence[WantedUplink],
        problem: Problem,
        routing: Routing,
        forget: Forget | None = None,
        *,
        wifi: bool = False,
    ) -> None:
        self._loop = loop
        self._problem = problem
        self._wifi = wifi
        self._requests = requests
        self._cards = cards.Cards(requests, voice)
        self._voice = voice
        self._wanted = wanted
        self._forget = forget
        self._uplinks: dict[int, Uplink] = {}
        self._expected: dict[str, tuple[WantedUplink, str]] = {}
        self._duplicates: dict[int, tuple[Link, str]] = {}
        self._active = Active(requests, routing, voice)

    @property
    def active(self) -> Uplink | None:
        """The one that clients go out by."""
        return self._active.uplink

    @property
    def all(self) -> list[Uplink]:
        """The uplinks, in the order they came."""
        return list(self._uplinks.values())

    @property
    def missing(self) -> list[WantedUplink]:
        """The uplinks of the spec whose card is not there."""
        there = [uplink.wanted for uplink in self._uplinks.values()]
        return [wanted for wanted in self._wanted if wanted.mac is not None and wanted not in there]

    @property
    def several(self) -> bool:
        """Whether clients could go out by more than one."""
        return len(self._wanted) > 1 or len(self._uplinks) > 1

    @property
    def leased(self) -> list[Uplink]:
        """Those by which clients could go out at this moment: with an address and a default route."""
        return [one for one in self._uplinks.values() if one.lease is not None and one.lease.metric < NO_ROUTE]

    def attach(self, link: Link) -> None:
        """Name a physical interface and take it up, so that it negotiates its link while ConnMan starts."""
        driver = driver_of(link.name)
        radio = self._wifi and is_radio(link.name)  # the spec's uplinks are those of Ethernet
        here = [RADIO] if radio else [wanted for wanted in self._wanted if wanted.mac in (None, link.mac)]
        if not here:
            macs = ", ".join(dict.fromkeys([str(wanted.mac) for wanted in self._wanted]))
            text = f"{link.name} ({link.mac}, {driver}) is left alone: the uplink is to be {macs}"
            self._voice.emit("log", source="init", text=text)
            return
        sends = cards.sent_mac(link.mac, here)
        other = self._of_mac(sends)
        if other is not None:  # ConnMan tells them by their MAC, and would lose both with either
            self._duplicates[link.index] = link, sends
            reason = f"duplicate: {other.name} has the same MAC"
            self._voice.emit("uplink", state="refused", interface=link.name, mac=link.mac, driver=driver, reason=reason)
            return
        if (self.several or self._uplinks) and (problem := self._active.keep_apart(self.all)):
            fields = {"interface": link.name, "mac": link.mac, "driver": driver}
            self._voice.emit("uplink", state="refused", **fields, reason=problem)
            return
        plain = next((wanted for wanted in here if wanted.vlan is None), None)
        names = [self._free(wanted) for wanted in here]
        try:
            name = names[here.index(plain)] if plain is not None else f"{TRUNK}{link.index}"
            self._cards.set_up(link, sends, cards.card_mtu(here))
            self._requests.rename(link.index, name, STANDBY_GROUP if plain is not None else 0)
            sysctl.apply(sysctl.UPLINK, name)
            take_up(self._requests, link.index)
            for wanted, vlan_name in zip(here, names):  # noqa: B905  (made of it)
                if wanted.vlan is not None:
                    self._expected[vlan_name] = (wanted, driver)
                    self._requests.add_vlan(link.index, vlan_name, wanted.vlan)
        except OSError as error:
            text = f"{link.name} ({link.mac}, {driver}) could not be set up: {error.strerror}"
            self._voice.emit("log", source="init", text=text)
            return
        if plain is not None:
            self._found(Uplink(link.index, name, link.mac, driver, plain, sends))

    def addresses(self, network: NetworkState) -> list[tuple[int, str]]:
        """Every address of an uplink, with its interface's index."""
        return [(index, address) for index in self._uplinks for address in network.addresses.get(index, ())]

    def expects(self, name: str) -> bool:
        """Whether an interface is a VLAN that we have just made."""
        return name in self._expected

    def adopt(self, link: Link) -> None:
        """Take up a VLAN that we have made."""
        wanted, driver = self._expected.pop(link.name)
        sysctl.apply(sysctl.UPLINK, link.name)
        try:
            self._cards.set_up(link, link.mac, cards.vlan_mtu(wanted, self._wanted))
            self._requests.rename(link.index, link.name, STANDBY_GROUP)
            take_up(self._requests, link.index)
        except OSError as error:
            self._voice.emit("log", source="init", text=f"{link.name} could not be set up: {error.strerror}")
            return
        self._found(Uplink(link.index, link.name, wanted.mac or link.mac, driver, wanted, link.mac))

    def _free(self, wanted: WantedUplink) -> str:
        """The name for an uplink: by its place in the spec, or the first that is free where any card will do."""
        if wanted.mac is not None:
            return f"{PREFIX}{self._wanted.index(wanted)}"
        taken = {uplink.name for uplink in self._uplinks.values()} | set(self._expected)
        taken |= {f"{PREFIX}{number}" for number, one in enumerate(self._wanted) if one.mac is not None}
        return next(name for number in range(len(taken) + 1) if (name := f"{PREFIX}{number}") not in taken)

    def _of_mac(self, mac: str) -> Uplink | None:
        return next((uplink for uplink in self._uplinks.values() if uplink.sends == mac), None)

    def _found(self, uplink: Uplink) -> None:
        self._uplinks[uplink.index] = uplink
        self._voice.emit("uplink", state="found", **uplink.fields)

    def detach(self, index: int) -> None:
        """An interface is gone; a duplicate that waited takes its place."""
        self._duplicates.pop(index, None)
        uplink = self._uplinks.pop(index, None)
        if uplink is None:
            return
        self._voice.emit("uplink", state="gone", **uplink.fields)
        self._forget_connections(uplink.lease)
        waiting = next((link for link, sends in self._duplicates.values() if sends == uplink.sends), None)
        if waiting is not None and self._of_mac(uplink.sends) is None:  # a card's VLANs go one by one
            del self._duplicates[waiting.index]
            self.attach(waiting)

    def compare(
        self,
        network: NetworkState,
        nameservers: Callable[[str], tuple[str, ...]],
        now: float,
        connected: Callable[[str], bool] = lambda _: False,
    ) -> bool:
        """Tell which uplink has come by a lease (address and default route), by another one, or has lost it; and by
        which clients go out now.  True where one has just lost its route alone: to be called again after GRACE_S.

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
                self._voice.emit("uplink", state="lost", **uplink.fields)
        elif before is None or before.fields != lease.fields:
            self._voice.emit("uplink", state="lease", **(uplink.fields | lease.fields))
        if before is not None and (lease is None or before.address != lease.address):
            self._forget_connections(before)

    def _choose(self) -> None:
        """Clients go out by the uplink with the best route."""
        before = self._active.choose(self.all, self.leased)
        if self.active is before or not self.several:
            return
        if before is not None and before.lease is not None:
            self._forget_connections(before.lease, shared=True)  # their packets would leave by the other, as nobody's
        self._voice.emit("route", **({"interface": None} if self.active is None else self.active.fields))

    def complain(self, error_of: Callable[[str], str]) -> None:
        """Tell what ConnMan says is wrong with an uplink, in its own words."""
        for uplink in self._uplinks.values():
            error = error_of(uplink.name)
            if error and error != uplink.error:
                self._voice.emit("uplink-error", **(uplink.fields | {"error": error}))
            uplink.error = error

    def _forget_connections(self, lease: Lease | None, *, shared: bool = False) -> None:
        """Forget what goes by an address; one that the uplink in use has too only if it is `shared` by intent."""
        if lease is None or self._forget is None:
            return
        active = self.active.lease if self.active is not None else None
        if active is not None and active is not lease and active.ip == lease.ip and not shared:
            return
        problem = self._forget(lease.ip)
        if problem:
            self._voice.emit("log", source="init", text=problem)

    def _refuse(self, uplink: Uplink, address: str, gateway: str | None, reason: str) -> None:
        """Take an uplink down whose lease cannot be used; ConnMan asks for another when it is up again."""
        uplink.refused = True
        self._voice.emit("uplink", state="refused", **uplink.fields, address=address, gateway=gateway, reason=reason)
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
            self._voice.emit("log", source="init", text=text)
