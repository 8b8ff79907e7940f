# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Clients: every interface with the OUI, at boot and hot-plugged.  Its MAC says which address the router has there."""

from __future__ import annotations

from init.kernel.interfaces import configuring
from init.net.address import PREFIX_LENGTH, Refused, interface_name, pair_of_router_mac
from init.net.firewall import CLIENT_GROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.protocol import EventWriter
    from init.kernel.interfaces import LinkRequests
    from init.kernel.rtnetlink import Link
    from init.net.address import Pair
    from init.net.firewall import Firewall


CONFIGURING = configuring(CLIENT_GROUP, PREFIX_LENGTH, interface_name("0A:B3:EC:FF:FF:FF"))
"""What makes a new interface a client's: its name, group and address, and up."""


class Client:
    """A client's interface in the router."""

    __slots__ = ("index", "mac", "name", "pair")

    def __init__(self, index: int, name: str, mac: str, pair: Pair) -> None:
        self.index = index
        self.name = name
        self.mac = mac
        self.pair = pair

    @property
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        return {"interface": self.name, "mac": self.mac, "router": self.pair.router, "client": self.pair.client}


class Clients:
    """The clients there are, by the index of their interface."""

    def __init__(self, requests: LinkRequests, firewall: Firewall, events: EventWriter) -> None:
        self._requests = requests
        self._firewall = firewall
        self._events = events
        self._clients: dict[int, Client] = {}
        self._by_mac: dict[str, Client] = {}
        self._duplicates: dict[int, Link] = {}
        self.addresses: set[str] = set()
        """Both ends of each client's wire."""

    @property
    def all(self) -> list[Client]:
        """The clients, in the order they came."""
        return list(self._clients.values())

    def attach(self, link: Link) -> None:
        """Set up a client's new interface, or refuse it: it then stays down, and the firewall matches it nowhere."""
        try:
            pair = pair_of_router_mac(link.mac)
        except Refused as refusal:
            self._refuse(link, str(refusal))
            return
        other = self._by_mac.get(link.mac)
        if other is not None:
            self._duplicates[link.index] = link
            self._refuse(link, f"duplicate: {other.name} has the same MAC")
            return
        from init.kernel.rings import shorten

        client = Client(link.index, interface_name(link.mac), link.mac, pair)
        shorten(self._requests.fileno(), link.name)
        try:
            # First of all: what the client sends before its interface is up waits in its queue, and is not refused.
            self._firewall.allow(link.index, pair)
        except OSError as error:
            self._refuse(link, f"could not be set up: {error.strerror}")
            return
        try:
            self._requests.configure(CONFIGURING, link.index, client.name, pair.router)
        except OSError as error:
            self._withdraw(link, pair)
            self._refuse(link, f"could not be set up: {error.strerror}")
            return
        self._clients[link.index] = self._by_mac[link.mac] = client
        self.addresses.update((pair.router, pair.client))
        self._events.emit("client", **client.fields)

    def detach(self, index: int) -> None:
        """An interface was removed; if it was a client's, a duplicate that waited takes its place."""
        self._duplicates.pop(index, None)
        client = self._clients.pop(index, None)
        if client is None:
            return
        del self._by_mac[client.mac]
        self.addresses.difference_update((client.pair.router, client.pair.client))
        self._firewall.remove(client.index, client.pair)
        self._forget_connections(client)
        self._events.emit("client-gone", **client.fields)
        for link in list(self._duplicates.values()):
            if link.mac == client.mac:
                del self._duplicates[link.index]
                self.attach(link)
                break

    def _withdraw(self, link: Link, pair: Pair) -> None:
        """Take back what may have been done for an interface that could not be set up whole."""
        self._firewall.remove(link.index, pair)
        try:
            self._requests.set_up(link.index, False)
        except OSError:  # it was removed
            return

    def _forget_connections(self, client: Client) -> None:
        from init.kernel.conntrack import forget_client

        problem = forget_client(client.pair.client)
        if problem:
            self._events.emit("log", source="init", text=problem)

    def _refuse(self, link: Link, reason: str) -> None:
        self._events.emit("client-refused", interface=link.name, mac=link.mac, reason=reason)
