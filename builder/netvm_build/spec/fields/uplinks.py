# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of one of several uplinks, and of what an uplink has."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from netvm_build.model import Route, Uplink
from netvm_build.spec.absent import why_not
from netvm_build.spec.fields import names, network
from netvm_build.spec.fields.readers import Json, Reader, list_of, whole_number
from netvm_build.spec.fields.records import EntryReader

VLAN_ID = whole_number(1, 4094)

LEAST_MTU, LARGEST_MTU = 576, 65535
"""What every host accepts (RFC 791; also LEAST_MTU of connman-dhcp.patch), and the largest packet."""

MTU = whole_number(LEAST_MTU, LARGEST_MTU, "bytes")

_ROUTE_READERS: Mapping[str, Reader[Json]] = {"to": network.DESTINATION, "via": network.HOST_ADDRESS}
_ALSO_CALLED: Mapping[str, str] = {
    **dict.fromkeys(("gateway", "gw", "next_hop", "nexthop", "next-hop", "router"), "via"),
    **dict.fromkeys(("dest", "destination", "dst", "network", "net", "target", "prefix"), "to"),
}

_ROUTE = EntryReader(
    "a route",
    _ROUTE_READERS,
    {"to": IPv4Network("0.0.0.0/32")},
    "write {to: 10.0.0.0/8, via: 192.168.1.1}",
    _ALSO_CALLED,
)

ROUTE: Reader[Route] = Reader(
    "{to: a network, via: the next router}",
    _ROUTE.schema,
    lambda node, at: Route(**_ROUTE.read(node, at)),
    lambda route: {"to": str(route.to), **({"via": str(route.via)} if route.via else {})},
)

_READERS: Mapping[str, Reader[Json]] = {
    "name": names.NAME,
    "mac": network.MAC,
    "vlan": VLAN_ID,
    "dhcp": names.BOOLEAN,
    "address": network.INTERFACE,
    "gateway": network.HOST_ADDRESS,
    "nameservers": list_of(network.HOST_ADDRESS, unique=True),
    "hostname": names.TOLD_NAME,
    "timeservers": list_of(names.TIME_SERVER, unique=True),
    "send_mac": network.SENT_MAC,
    "mtu": MTU,
    "routes": list_of(ROUTE, unique=True),
}
_UPLINK = EntryReader(
    "an uplink",
    _READERS,
    {"name": "", "mac": None},
    "write {name: cable, mac: '52:54:00:12:34:56'}",
    instead=why_not,
    examples={
        "nameservers": "[192.168.1.1]",
        "timeservers": "[ntp.example]",
        "routes": "[{to: 10.0.0.0/8, via: 192.168.1.1}]",
    },
)


def _dump_uplink(uplink: Uplink) -> Json:
    values = {key: getattr(uplink, key) for key in _READERS}
    return {key: _READERS[key].dump(value) for key, value in values.items() if value not in (None, ())}


UPLINK: Reader[Uplink] = Reader(
    "{name: a name, mac: a MAC, and what `uplink` has}",
    _UPLINK.schema,
    lambda node, at: Uplink(**_UPLINK.read(node, at)),
    _dump_uplink,
)
