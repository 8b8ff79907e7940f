# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which routes a packet follows where there are several uplinks: each has a table of its own, and rules choose one.

    the packet is from   its routes are
    a client             those of the uplink in use, and no other's, whatever other networks' leases bring
    an uplink            the main table: to the clients and to the router itself
    the router           those of the uplink whose address it sends from; the main table where it has none yet

docs/adr/0012-a-routing-table-for-each-uplink.md has the reasons.  Rules and routes are those of ip-rule(8) and
ip-route(8); the messages are in linux/fib_rules.h and linux/rtnetlink.h.
"""

from __future__ import annotations

from init.core.native import Struct
from init.kernel.netlink import NLM_F_CREATE, NLM_F_REPLACE, U32, attribute, dotted, packed
from init.kernel.rtnetlink import (
    AF_INET,
    IFF_UP,
    ROUTE,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    RTN_UNICAST,
    RTNH_F_ONLINK,
    RTPROT_STATIC,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
)
from init.net.claims import broadcast, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from init.kernel.interfaces import LinkRequests
    from init.kernel.network import NetworkState
    from init.net.uplink import Uplink

    Key = tuple[str, int, int]
    """(destination, prefix length, metric)"""
    Hop = tuple[int, int, str | None, int]
    """(RTN_UNICAST or another type, the interface's index or 0, the gateway if there is one, flags)"""

RTM_NEWRULE, RTM_DELRULE = 32, 33
RULE = Struct("=BBBBBBBBI")  # fib_rule_hdr
FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_PRIORITY, FRA_TABLE = 2, 3, 4, 6, 15
FR_ACT_TO_TBL, FR_ACT_GOTO, FR_ACT_NOP = 1, 2, 3
RTN_UNREACHABLE, RTN_THROW = 7, 9
LOCAL = 255
ANYWHERE = "0.0.0.0"
THROW = RTN_THROW, 0, None, 0

NOWHERE = 1000
"""The table without an uplink; an uplink's is this number and its interface's index."""
WORST = 0xFFFFFFFF

FROM_ROUTER, FROM_UPLINK, FROM_CLIENT, OWN, BY_ADDRESS, BY_OTHER_ADDRESS, HERE = 1, 2, 10, 100, 101, 102, 200
"""Priorities of the rules, in the order in which the kernel asks them."""

PASSING = (1, 3, 19, 100, 101)
"""EPERM, ESRCH, ENODEV, ENETDOWN, ENETUNREACH: the interface has just gone or is down, which we are about to hear."""


def rule(priority: int, *, table: int = 0, target: int = 0, source: str = "", interface: str = "") -> bytes:
    """The payload of RTM_NEWRULE or RTM_DELRULE: look a packet up in a table, go on at the rule `target`, or, with
    neither, do nothing, and be a target.
    """
    tail = attribute(FRA_PRIORITY, U32.pack(priority))
    tail += attribute(FRA_IIFNAME, interface.encode() + b"\0") if interface else b""
    tail += attribute(FRA_SRC, packed(source)) if source else b""
    tail += attribute(FRA_TABLE, U32.pack(table)) if table else b""
    tail += attribute(FRA_GOTO, U32.pack(target)) if target else b""
    action = FR_ACT_TO_TBL if table else FR_ACT_GOTO if target else FR_ACT_NOP
    return RULE.pack(AF_INET, 0, 32 if source else 0, 0, table if table < 256 else 0, 0, 0, action, 0) + tail


def route(table: int, key: Key, hop: Hop) -> bytes:
    """The payload of RTM_NEWROUTE or RTM_DELROUTE."""
    (destination, length, metric), (kind, index, gateway, flags) = key, hop
    tail = attribute(RTA_TABLE, U32.pack(table))
    tail += attribute(RTA_DST, packed(destination)) if length else b""
    tail += attribute(RTA_OIF, U32.pack(index)) if index else b""
    tail += attribute(RTA_GATEWAY, packed(gateway)) if gateway is not None else b""
    tail += attribute(RTA_PRIORITY, U32.pack(metric)) if metric else b""
    scope = SCOPE_LINK if index and gateway is None else SCOPE_UNIVERSE
    return ROUTE.pack(AF_INET, length, 0, 0, 0, RTPROT_STATIC, scope, kind, flags) + tail


def near(gateway: str, paths: Mapping[tuple[str, int], str | None]) -> bool:
    """Whether one of these routes leads to a gateway directly."""
    return any(
        via is None and number(gateway) >> 32 - length == number(destination) >> 32 - length
        for (destination, length), via in paths.items()
    )


class Routing:
    """The tables and rules in the kernel, kept in step with the uplinks' routes in the main table.

    Nothing is done until `begin`: with one uplink the kernel's own rules do, and cost less.  The clients' network is
    `pool`, such as ``100.115.92.0/23``; `others` are both ends of wires that may lie outside of it.
    """

    def __init__(self, requests: LinkRequests, network: NetworkState, pool: str, others: Iterable[str] = ()) -> None:
        self._requests = requests
        self._network = network
        self._others = others
        first, _, length = pool.partition("/")
        self._pool = first, int(length)
        self._tables: dict[int, dict[Key, Hop]] = {}
        self._emptied: dict[int, int] = {}
        self._rules: list[bytes] = []
        self._names: list[str] = []
        self.begun = False

    def begin(self) -> None:
        """From now on uplinks are kept apart.  Raises OSError where the kernel has no such rules."""
        if self.begun:
            return
        self._choose([rule(HERE, table=LOCAL), rule(OWN)])
        self._requests.change(RTM_DELRULE, 0, rule(0, table=LOCAL))
        self.begun = True

    def follow(self, uplinks: Sequence[Uplink], active: Uplink | None) -> None:
        """Make tables and rules what the uplinks' routes are now.  Raises OSError, once all that can be done is done.

        A switch to another uplink is one rule in the place of another, so that no packet follows some routes of each.
        A route that the kernel refuses, such as one by a gateway that is the uplink's own address, costs that route.
        """
        if not self.begun:
            return
        inside = self._inside()
        self._fill(NOWHERE, inside)
        refused: OSError | None = None
        for uplink in uplinks:
            try:
                self._fill(NOWHERE + uplink.index, self._outside(uplink) | inside)
            except OSError as error:
                refused = refused or error
        self._names += [uplink.name for uplink in uplinks if uplink.name not in self._names]
        addresses = [
            rule(BY_ADDRESS if one is active else BY_OTHER_ADDRESS, source=address, table=NOWHERE + one.index)
            for one in uplinks
            for address in self._network.addresses.get(one.index, ())
        ]
        self._choose(
            [
                rule(HERE, table=LOCAL),
                rule(OWN),
                *addresses,
                rule(FROM_ROUTER, target=OWN, interface="lo"),
                *[rule(FROM_UPLINK, target=HERE, interface=name) for name in self._names],
                rule(FROM_CLIENT, table=NOWHERE + (0 if active is None else active.index)),
            ]
        )
        for table in self._tables.keys() - {NOWHERE + uplink.index for uplink in uplinks} - {NOWHERE}:
            self._fill(table, {})
            del self._tables[table]
        if refused is not None:
            raise refused

    def _inside(self) -> dict[Key, Hop]:
        """What every table has: clients are looked for by other rules, and what has no route is told so."""
        pairs = {number(one) & ~1 for one in self._others if not self._in_pool(one)}
        found: dict[Key, Hop] = {(dotted(one.to_bytes(4, "big")), 31, 0): THROW for one in pairs}
        found[(*self._pool, 0)] = THROW
        found[ANYWHERE, 0, WORST] = RTN_UNREACHABLE, 0, None, 0
        return found

    def _in_pool(self, address: str) -> bool:
        shift = 32 - self._pool[1]
        return number(address) >> shift == number(self._pool[0]) >> shift

    def _outside(self, uplink: Uplink) -> dict[Key, Hop]:
        """An uplink's own routes, but for those into the clients' network; its addresses are the router's."""
        network, index = self._network, uplink.index
        link = network.links.get(index)
        if self._emptied.get(index) != network.emptied.get(index) or link is None or not link.flags & IFF_UP:
            self._emptied[index] = network.emptied.get(index, 0)
            table = self._tables.get(NOWHERE + index, {})
            for key in [key for key, hop in table.items() if hop[0] == RTN_UNICAST]:  # the kernel took them away
                del table[key]
        paths = network.paths_of(index)
        default = network.default_route_of(index)
        if default is not None:
            paths[ANYWHERE, 0] = default[1]
        elif uplink.lease is not None and uplink.lease.gateway is not None:  # ConnMan sets it anew, or waits with it
            paths[ANYWHERE, 0] = uplink.lease.gateway
        own = network.addresses.get(index, {})
        for (
            address,
            length,
        ) in own.items():
            paths.setdefault((dotted((number(address) >> 32 - length << 32 - length).to_bytes(4, "big")), length), None)
        found: dict[Key, Hop] = {}
        for (destination, length), gateway in sorted(paths.items(), key=lambda one: one[1] is not None):
            # Other uplinks' routes must not make a gateway invalid.  By a route of this table the kernel finds even one
            # that is another uplink's address, which it refuses as `onlink`.
            onlink = gateway is not None and (gateway in own or not near(gateway, paths))
            if length < self._pool[1] or not self._in_pool(destination):
                found[destination, length, 0] = RTN_UNICAST, index, gateway, RTNH_F_ONLINK if onlink else 0
        for address, length in own.items():
            for one in {address, broadcast(address, length) if length < 31 else address}:
                found[one, 32, 0] = THROW
        return found

    def _fill(self, table: int, wanted: dict[Key, Hop]) -> None:
        """Make a table's routes these."""
        known = self._tables.setdefault(table, {})
        refused: OSError | None = None
        for key, hop in wanted.items():
            try:
                if known.get(key) != hop and self._change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, table, key, hop):
                    known[key] = hop
            except OSError as error:
                refused = refused or error
        for key in known.keys() - wanted.keys():
            self._change(RTM_DELROUTE, 0, table, key, known.pop(key))
        if refused is not None:
            raise refused

    def _change(self, kind: int, flags: int, table: int, key: Key, hop: Hop) -> bool:
        """Whether a route was added or taken away.  Raises OSError for what does not pass by itself."""
        try:
            self._requests.change(kind, flags, route(table, key, hop))
        except OSError as error:
            if error.errno in PASSING:
                return False
            raise
        return True

    def _choose(self, wanted: Sequence[bytes]) -> None:
        """Make the rules these.  What is new comes first, and behind what it replaces until that is taken away."""
        for one in wanted:
            if one not in self._rules:
                self._requests.change(RTM_NEWRULE, NLM_F_CREATE, one)
                self._rules.append(one)
        for one in [one for one in self._rules if one not in wanted]:
            self._requests.change(RTM_DELRULE, 0, one)
            self._rules.remove(one)
