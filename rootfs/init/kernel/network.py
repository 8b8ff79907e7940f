# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the kernel's network looks like now: links, IPv4 addresses and default routes, kept up by rtnetlink."""

from __future__ import annotations

from init.kernel import rtnetlink as rt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop

    OnLink = Callable[[rt.Link], None]
    OnChange = Callable[[], None]


class NetworkState:
    """The state, and what to call: a link seen for the first time, a link gone, anything else changed.

    A link's name is always its latest.  Losing messages to an overflow costs a new dump, never a wrong picture.
    """

    def __init__(self, on_link: OnLink, on_gone: OnLink, on_change: OnChange) -> None:
        self.links: dict[int, rt.Link] = {}
        self.addresses: dict[int, dict[str, int]] = {}
        self.routes: dict[int, dict[int, str | None]] = {}
        self.targets: dict[int, dict[tuple[str, int, int], str | None]] = {}
        """By interface: (destination, prefix length, metric) of each other route, and its gateway."""
        self.emptied: dict[int, int] = {}
        """How often an interface has lost all its routes at once, those of other tables included."""
        self._on_link = on_link
        self._on_gone = on_gone
        self._on_change = on_change

    def follow(self, loop: Loop) -> None:
        """Take in all there is, and from then on every change."""
        self._changes = rt.Changes()
        loop.watch(self._changes.fileno(), self._receive)
        self.replace(self._changes.dump())

    def address_of(self, index: int) -> tuple[str, int] | None:
        """An interface's first address and its prefix length, if it has one."""
        return next(iter(self.addresses.get(index, {}).items()), None)

    def default_route_of(self, index: int) -> tuple[int, str | None] | None:
        """(metric, gateway or None) of an interface's best default route; None if it has no route."""
        routes = self.routes.get(index)
        return (min(routes), routes[min(routes)]) if routes else None

    def targets_of(self, index: int) -> set[tuple[str, int]]:
        """(destination, prefix length) of an interface's other routes."""
        return {(destination, length) for destination, length, _ in self.targets.get(index, ())}

    def paths_of(self, index: int) -> dict[tuple[str, int], str | None]:
        """The gateways of these routes; of those to one destination, that of the best metric."""
        found = self.targets.get(index, {})
        return {key[:2]: found[key] for key in sorted(found, key=_metric, reverse=True)}

    def replace(self, dump: list[tuple[int, bytes]]) -> None:
        """Make the state what a dump says."""
        self.addresses.clear()
        for index in self.routes.keys() | self.targets.keys():  # what was missed may have been such a loss
            self.emptied[index] = self.emptied.get(index, 0) + 1
        self.routes.clear()
        self.targets.clear()
        present = {rt.index_of(payload) for kind, payload in dump if kind == rt.RTM_NEWLINK}
        for index in [index for index in self.links if index not in present]:
            self._forget(index)
        self.apply(dump)

    def apply(self, messages: list[tuple[int, bytes]]) -> None:
        """Take in messages, in their order, and then say that something changed."""
        for kind, payload in messages:
            if kind in (rt.RTM_NEWLINK, rt.RTM_DELLINK):
                self._apply_link(kind, payload)
            elif kind in (rt.RTM_NEWADDR, rt.RTM_DELADDR):
                self._apply_address(kind, payload)
            elif kind in (rt.RTM_NEWROUTE, rt.RTM_DELROUTE):
                self._apply_route(kind, payload)
        if messages:
            self._on_change()

    def _receive(self) -> None:
        try:
            self.apply(self._changes.receive())
        except OSError:  # ENOBUFS: some messages were lost
            self.replace(self._changes.dump())

    def _apply_link(self, kind: int, payload: bytes) -> None:
        link = rt.parse_link(payload, self.links)
        if link is None:
            return
        if kind == rt.RTM_DELLINK:
            self._forget(link.index)
            return
        known = link.index in self.links
        self.links[link.index] = link
        if not link.flags & rt.IFF_UP:
            self._forget_routes(link.index)
        if not known:
            self._on_link(link)

    def _forget(self, index: int) -> None:
        self.addresses.pop(index, None)
        self._forget_routes(index)
        link = self.links.pop(index, None)
        if link is not None:
            self._on_gone(link)

    def _apply_address(self, kind: int, payload: bytes) -> None:
        address = rt.parse_address(payload)
        if address is None:
            return
        if kind == rt.RTM_NEWADDR:
            self.addresses.setdefault(address.index, {})[address.address] = address.prefix
            return
        left = self.addresses.get(address.index, {})
        left.pop(address.address, None)
        if not left:
            self._forget_routes(address.index)

    def _forget_routes(self, index: int) -> None:
        """With its last address, or as it is taken down, an interface loses all its routes; the kernel tells none."""
        self.routes.pop(index, None)
        self.targets.pop(index, None)
        self.emptied[index] = self.emptied.get(index, 0) + 1

    def _apply_route(self, kind: int, payload: bytes) -> None:
        route = rt.parse_default_route(payload)
        if route is None:
            self._apply_target(kind, payload)
            return
        if kind == rt.RTM_NEWROUTE:
            self.routes.setdefault(route.index, {})[route.metric] = route.gateway
        else:
            self.routes.get(route.index, {}).pop(route.metric, None)

    def _apply_target(self, kind: int, payload: bytes) -> None:
        route = rt.parse_route(payload)
        if route is None:
            return
        if kind == rt.RTM_NEWROUTE:
            key = route.destination, route.length, route.metric
            self.targets.setdefault(route.index, {})[key] = route.gateway
        else:
            self.targets.get(route.index, {}).pop((route.destination, route.length, route.metric), None)


def _metric(key: tuple[str, int, int]) -> int:
    return key[2]
