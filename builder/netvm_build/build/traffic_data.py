# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the templates name as `traffic`: the spec's clients and the rules' limits in the firewall's words."""

from __future__ import annotations

from dataclasses import dataclass

from netvm_build.model import HELPERS, Router, refusals
from netvm_build.model.address import interface_name
from netvm_build.spec.rules import forwards, fragments, ports, traffic
from netvm_build.spec.rules.fragments import IN_ALL, LARGE, LARGE_IN_ALL, OUTSIDE_PARTS


def values(router: Router, ipv6: bool) -> dict[str, object]:
    """What the templates name as `traffic`."""
    interfaces = {client.name: interface_name(client.pair.router_mac) for client in router.clients.named}
    addresses = {client.name: client.pair.client for client in router.clients.named}
    return {
        "allowed": [f'"{interfaces[one.opener]}" . "{interfaces[one.other]}"' for one in router.clients.allow],
        "forwards": forwards.elements(router.clients.forwards, addresses) if router.clients.forwards else None,
        "helpers": [
            {"name": name, "protocol": HELPERS[name][0], "port": HELPERS[name][1]} for name in router.clients.helpers
        ],
        "ports": ports.split(router),
        "settings": traffic.settings(router),
        "counters": {family: _counters(router, family) for family in ("ip", "arp", "ip6")},
        "services": _services(router),
        "client_group": traffic.CLIENT_GROUP,
        "uplink_group": traffic.UPLINK_GROUP,
        "standby_group": traffic.STANDBY_GROUP,
        "neighbours_per_second": traffic.NEIGHBOURS_PER_SECOND,
        "neighbours_at_once": traffic.NEIGHBOURS_AT_ONCE,
        "next_hops": traffic.NEXT_HOPS,
        "next_hop_s": traffic.NEXT_HOP_S,
        "resolver_slots": traffic.RESOLVER_SLOTS,
        "most_clients": traffic.MOST_CLIENTS,
        "connections": traffic.connections_a_client(router),
        "connections_in": traffic.INWARD_TIMES * traffic.connections_a_client(router),
        "udp_stream_timeout_s": router.clients.udp_stream_timeout_s,
        "fragments": _fragments(router),
        "questions_per_second": traffic.QUESTIONS_PER_SECOND,
        "pings_per_second": traffic.PINGS_PER_SECOND,
        "arp_per_second": traffic.ARP_PER_SECOND,
        "ipv6": ipv6,
    }


def _services(router: Router) -> dict[str, object] | None:
    """What the ruleset names as `traffic.services`: users of services, those that may go out, ports for clients."""
    services, users = router.image.services, router.image.users
    if not services:
        return None
    return {
        "users": list(users.values()),
        "outgoing": [users[one.name] for one in services if one.outgoing],
        "ports": [f"{protocol} . {port}" for one in services for protocol, port in one.ports],
    }


def _counters(router: Router, family: str) -> list[str]:
    """The counters of a family's table; those of services only where there are any."""
    return [name for name in refusals.counters(family) if name != "by_service" or router.image.services]


@dataclass(frozen=True)
class Share:
    """The senders of one side: `name` begins the names of their chains, `source` tells them apart at one interface.

    `places` are the elements that a datagram may take: one of the first two, and one of the others if it is large.
    """

    name: str
    source: str
    places: tuple[str, str, str, str]


def _share(name: str, source: str, datagrams: int, large: int) -> Share:
    half, few = datagrams // 2 - 1, large // 2 - 1
    who = f"iif . {source} ."
    first, second = (f"{who} meta mark & {mask:#x}" for mask in (half, half << 16))  # bits of their own for each choice
    return Share(name, source, (first, second, f"{who} ip id & {few:#x}", f"{who} meta mark & {few:#x}"))


def _fragments(router: Router) -> dict[str, object]:
    """What the ruleset names as `traffic.fragments`; a set is its name, key, unused element and size."""
    datagrams = fragments.waiting(router)
    key = "iif . meta mark", "lo . 0"
    place = "iif . ip saddr . meta mark", "lo . 0.0.0.0 . 0"
    numbered = "iif . ip saddr . ip id", "lo . 0.0.0.0 . 0"
    part = f"ip saddr & 0.0.0.{OUTSIDE_PARTS - 1}"
    in_all = max(IN_ALL, 16 * datagrams)
    return {
        "sets": (
            ("incomplete", *key, in_all),
            ("incomplete_other", *key, in_all),
            ("incomplete_fragments", *key, in_all),
            ("places", *place, in_all),
            ("large", *key, LARGE_IN_ALL),
            ("large_other", *key, LARGE_IN_ALL),
            ("large_fragments", *key, LARGE_IN_ALL),
            ("large_places", *numbered, LARGE_IN_ALL),
            ("large_other_places", *place, LARGE_IN_ALL),
        ),
        "shares": (
            _share("client", "ip saddr", datagrams, LARGE),
            _share("uplink", part, 2 * datagrams // OUTSIDE_PARTS, 2 * LARGE // OUTSIDE_PARTS),
        ),
        "few": fragments.FEW,
        "many": fragments.MANY,
        "per_second": fragments.PER_SECOND,
        "remembered_ms": fragments.REMEMBERED_MS,
    }
