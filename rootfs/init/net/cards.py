# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the spec sets on an uplink: the MAC that the network sees, the MTU, and static routes."""

from __future__ import annotations

from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from init.core.config import WantedUplink
    from init.core.protocol import EventWriter
    from init.kernel.interfaces import LinkRequests
    from init.kernel.rtnetlink import Link
    from init.net.uplink import Uplink

RANDOM = "random"
ETHERNET_MTU = 1500

ROUTE_METRIC = 512
"""Of static routes, with the interface's index: better than those of DHCP, which begin at 1024."""

_drawn: dict[str, str] = {}
"""By a card's own MAC, the random one it has until the machine ends: it is the same after it was unplugged."""


def sent_mac(mac: str, wanted: Iterable[WantedUplink]) -> str:
    """The MAC that a card with this one sends, in upper case."""
    asked = next((one.send_mac for one in wanted if one.send_mac is not None), None)
    if asked is None:
        return mac
    if asked == RANDOM:
        return _drawn.setdefault(mac, draw())
    return asked


def draw() -> str:
    """A random MAC of one interface (bit 0 of the first octet is 0), locally administered (bit 1 is 1).

    Its first octet is never that of the clients' OUI, 0A:B3:EC.
    """
    octets = bytearray(os.urandom(6))
    octets[0] = octets[0] & 0xFC | 2
    if octets[0] == 0x0A:
        octets[0] = 0x0E
    return octets.hex(":").upper()


def card_mtu(wanted: Iterable[WantedUplink]) -> int | None:
    """The MTU of a card with these uplinks, None for its own: a VLAN's packets are no larger than its card's."""
    every = [(one.vlan, one.mtu) for one in wanted]
    plain = [mtu for vlan, mtu in every if vlan is None]
    if plain:
        return plain[0]
    largest = max([mtu for _, mtu in every if mtu is not None], default=0)
    return largest if largest > ETHERNET_MTU else None


def vlan_mtu(wanted: WantedUplink, every: Iterable[WantedUplink]) -> int | None:
    """The MTU of a VLAN, None for its card's, which another VLAN may have raised."""
    if wanted.mtu is None and any(one.mtu is not None and one.mac == wanted.mac for one in every):
        return ETHERNET_MTU
    return wanted.mtu


class Cards:
    """Sets it, and says what could not be set."""

    def __init__(self, requests: LinkRequests, events: EventWriter) -> None:
        self._requests = requests
        self._events = events
        self._routed: dict[int, tuple[str, int] | None] = {}
        self._refused: dict[tuple[int, str, int], str] = {}
        """Static routes that the kernel doesn't take: (index, destination, length), and why."""

    def set_up(self, link: Link, mac: str, mtu: int | None) -> None:
        """The MAC and MTU of a link that is still down.  Raises OSError if its driver does not take the MAC."""
        if mac != link.mac:
            self._requests.set_card(link.index, mac=mac)
        if mtu is None:
            return
        try:
            self._requests.set_card(link.index, mtu=mtu)
        except OSError as error:
            self._log(f"{link.name} ({link.mac}) does not take an MTU of {mtu}: {error.strerror}")

    def keep_routes(self, uplink: Uplink, address: tuple[str, int] | None, there: set[tuple[str, int]]) -> None:
        """Add the uplink's static routes, which the kernel drops with its last address, once for each address and
        whenever one is not there.
        """
        wanted = uplink.wanted.routes
        missing = [one for one in wanted if one[:2] not in there]
        if address is not None and (missing or self._routed.get(uplink.index) != address):
            for destination, length, gateway in wanted:
                self._add_route(uplink, destination, length, gateway)
        self._routed[uplink.index] = address

    def _add_route(self, uplink: Uplink, destination: str, length: int, gateway: str | None) -> None:
        """Log a failure once, until the reason is another, and that the route is there after all."""
        try:
            self._requests.add_route(uplink.index, destination, length, gateway, ROUTE_METRIC + uplink.index)
            trouble = ""
        except OSError as error:
            trouble = error.strerror or str(error)
        key = uplink.index, destination, length
        if trouble != self._refused.get(key, ""):
            what = (
                f"no route to {destination}/{length}: {trouble}"
                if trouble
                else f"route to {destination}/{length} added"
            )
            self._log(f"{uplink.name}: {what}")
            self._refused[key] = trouble

    def _log(self, text: str) -> None:
        self._events.emit("log", source="init", text=text)
