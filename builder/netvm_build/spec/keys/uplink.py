# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How ConnMan configures uplinks, and which it prefers."""

from __future__ import annotations

from typing import Any

from netvm_build.model import TECHNOLOGIES
from netvm_build.spec.fields import names, network, uplinks
from netvm_build.spec.fields.readers import choice, list_of, optional
from netvm_build.spec.keys.key import Key

DHCP = Key("uplink.dhcp", names.BOOLEAN, lambda r: r.uplink.dhcp, "Whether the uplink's address comes by DHCP.", "true")

UPLINK_MAC = Key(
    "uplink.mac",
    optional(network.MAC),
    lambda r: r.uplink.mac,
    "The one interface these settings are for; empty: every physical one. Best in quotes: YAML reads some MACs as"
    " numbers.",
    "'52:54:00:12:34:56'",
)

VLAN = Key(
    "uplink.vlan",
    optional(uplinks.VLAN_ID),
    lambda r: r.uplink.vlan,
    "The VLAN (IEEE 802.1Q) that the uplink is: what comes untagged or otherwise tagged is refused. The kernel then has"
    " the fragment `vlan`.",
    "7",
)

UPLINK_ADDRESS = Key(
    "uplink.address",
    optional(network.INTERFACE),
    lambda r: r.uplink.address,
    "The uplink's own address and prefix length; only with `dhcp: false`. With /32 the gateway may be any address.",
    "192.168.1.2/24",
)

GATEWAY = Key(
    "uplink.gateway",
    optional(network.HOST_ADDRESS),
    lambda r: r.uplink.gateway,
    "The next router, on the uplink's link; only with `dhcp: false`.",
    "192.168.1.1",
)

NAMESERVERS = Key(
    "uplink.nameservers",
    list_of(network.HOST_ADDRESS, unique=True),
    lambda r: r.uplink.nameservers,
    "Resolvers; they come before those of DHCP.",
    "[192.168.1.1]",
)

HOSTNAME = Key(
    "uplink.hostname",
    optional(names.TOLD_NAME),
    lambda r: r.uplink.hostname,
    "The host name that DHCP servers are told; empty: the router's name; `none`: they are told no name. To be called"
    ' "none", set `name: none`.',
    "none",
)

SEND_MAC = Key(
    "uplink.send_mac",
    optional(network.SENT_MAC),
    lambda r: r.uplink.send_mac,
    "The MAC that the network sees instead of the card's own: `random` for another one at each boot, or a MAC. `mac`"
    " chooses the card. See [ConnMan](connman.md#what-the-network-learns).",
    "random",
)

MTU = Key(
    "uplink.mtu",
    optional(uplinks.MTU),
    lambda r: r.uplink.mtu,
    "The largest packet of the uplink in bytes, whatever DHCP says; empty: DHCP's (option 26), else the card's own.",
    "9000",
)

ROUTES = Key(
    "uplink.routes",
    list_of(uplinks.ROUTE, unique=True),
    lambda r: r.uplink.routes,
    "Static routes by this uplink, beside its default route and those of DHCP (option 121). Without `via` the"
    " destinations are on the uplink's link.",
    "[{to: 10.0.0.0/8, via: 192.168.1.1}]",
)

TIMESERVERS = Key(
    "uplink.timeservers",
    list_of(names.TIME_SERVER, unique=True),
    lambda r: r.uplink.timeservers,
    "NTP servers, by name or address: ConnMan sets the router's clock by them. Empty: it doesn't set the clock.",
    "[ntp.example]",
)

PREFER = Key(
    "connman.prefer",
    list_of(choice(TECHNOLOGIES, "a technology of ConnMan's"), unique=True),
    lambda r: r.connman.prefer,
    "Which technology clients go out by where several are connected, the most preferred first; among uplinks of one"
    " technology the order of `uplinks` decides.",
    "[ethernet, wifi]",
)

KEYS: tuple[Key[Any], ...] = (
    DHCP,
    UPLINK_MAC,
    VLAN,
    UPLINK_ADDRESS,
    GATEWAY,
    NAMESERVERS,
    HOSTNAME,
    TIMESERVERS,
    SEND_MAC,
    MTU,
    ROUTES,
    PREFER,
)
