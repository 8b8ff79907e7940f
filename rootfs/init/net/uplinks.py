# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Uplinks: the physical interfaces, which ConnMan configures, and VLANs on them.

We name them, take them up, and say what ConnMan says is wrong with one; leases.py follows their leases.
"""

from __future__ import annotations

from init.core.config import WantedUplink
from init.kernel import sysctl
from init.net import cards
from init.net.active import Active
from init.net.firewall import STANDBY_GROUP
from init.net.leases import Leases
from init.net.uplink import PREFIX, Uplink, driver_of, is_radio, take_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.loop import Loop
    from init.core.protocol import EventWriter
    from init.kernel.interfaces import LinkRequests
    from init.kernel.network import NetworkState
    from init.kernel.rtnetlink import Link
    from init.net.leases import Forget, Problem
    from init.net.routing import Routing

TRUNK = "trunk"
"""A card that only carries VLANs is named so: what comes untagged meets neither ConnMan nor a rule of the firewall."""

RADIO = WantedUplink()
"""Any interface of Wi-Fi: the networks are the spec's, the cards are not."""


class Uplinks:
    """The uplinks there are, by the index of their interface."""

    def __init__(
        self,
        loop: Loop,
        requests: LinkRequests,
        events: EventWriter,
        wanted: Sequence[WantedUplink],
        problem: Problem,
        routing: Routing,
        forget: Forget | None = None,
        *,
        wifi: bool = False,
    ) -> None:
        self._wifi = wifi
        self._requests = requests
        self._cards = cards.Cards(requests, events)
        self._events = events
        self._wanted = wanted
        self._uplinks: dict[int, Uplink] = {}
        self._expected: dict[str, tuple[WantedUplink, str]] = {}
        self._duplicates: dict[int, tuple[Link, str]] = {}
        self._active = Active(requests, routing, events)
        self.leases = Leases(
            loop, requests, events, self._cards, self._active, self._uplinks, problem, lambda: self.several, forget
        )

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

    def attach(self, link: Link) -> None:
        """Name a physical interface and take it up, so that it negotiates its link while ConnMan starts."""
        driver = driver_of(link.name)
        radio = self._wifi and is_radio(link.name)  # the spec's uplinks are those of Ethernet
        here = [RADIO] if radio else [wanted for wanted in self._wanted if wanted.mac in (None, link.mac)]
        if not here:
            macs = ", ".join(dict.fromkeys([str(wanted.mac) for wanted in self._wanted]))
            text = f"{link.name} ({link.mac}, {driver}) is left alone: the uplink is to be {macs}"
            self._events.emit("log", source="init", text=text)
            return
        sends = cards.sent_mac(link.mac, here)
        other = self._of_mac(sends)
        if other is not None:  # ConnMan tells them by their MAC, and would lose both with either
            self._duplicates[link.index] = link, sends
            reason = f"duplicate: {other.name} has the same MAC"
            self._events.emit(
                "uplink", state="refused", interface=link.name, mac=link.mac, driver=driver, reason=reason
            )
            return
        if (self.several or self._uplinks) and (problem := self._active.keep_apart(self.all)):
            fields = {"interface": link.name, "mac": link.mac, "driver": driver}
            self._events.emit("uplink", state="refused", **fields, reason=problem)
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
            self._events.emit("log", source="init", text=text)
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
            self._events.emit("log", source="init", text=f"{link.name} could not be set up: {error.strerror}")
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
        self._events.emit("uplink", state="found", **uplink.fields)

    def detach(self, index: int) -> None:
        """An interface was removed; a duplicate that waited takes its place."""
        self._duplicates.pop(index, None)
        uplink = self._uplinks.pop(index, None)
        if uplink is None:
            return
        self._events.emit("uplink", state="gone", **uplink.fields)
        self.leases.forget(uplink.lease)
        waiting = next((link for link, sends in self._duplicates.values() if sends == uplink.sends), None)
        if waiting is not None and self._of_mac(uplink.sends) is None:  # a card's VLANs go one by one
            del self._duplicates[waiting.index]
            self.attach(waiting)

    def complain(self, error_of: Callable[[str], str]) -> None:
        """Tell what ConnMan says is wrong with an uplink, in its own words."""
        for uplink in self._uplinks.values():
            error = error_of(uplink.name)
            if error and error != uplink.error:
                self._events.emit("uplink-error", **(uplink.fields | {"error": error}))
            uplink.error = error
