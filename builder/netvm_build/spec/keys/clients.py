# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The machines that the router serves."""

from __future__ import annotations

from typing import Any

from netvm_build.model import Dns
from netvm_build.model.address import OUI
from netvm_build.spec.fields import clients, forwards, network, traffic
from netvm_build.spec.fields.readers import list_of, optional, whole_number, word
from netvm_build.spec.keys.key import Key

CLIENTS_OUI = Key(
    "clients.oui",
    network.OUI_READER,
    lambda _: OUI,
    "The first three octets of every client's MAC. There is one value: the other three octets are those of the client's"
    " address, and host and router both compute one from the other.",
    f"'{OUI}'",
)

POOL = Key(
    "clients.pool",
    network.POOL,
    lambda r: r.clients.pool,
    "Where clients get their addresses from, within 100.64.0.0/10 (RFC 6598): each takes a /31, so a /23 has room for"
    " 256. Choose another if the uplink's network uses the same addresses: see [ConnMan](connman.md#the-pool).",
    "100.115.92.0/23",
)

DNS = Key(
    "clients.dns",
    word(Dns, "a way to answer DNS"),
    lambda r: r.clients.dns,
    "`forward`: DNS that a client sends to its router address goes to the uplink's resolvers. `none`: it is refused.",
    "forward",
)

NAMED = Key(
    "clients.named",
    list_of(clients.NAMED_CLIENT),
    lambda r: r.clients.named,
    "Clients with a name and an address of their own, in the pool or outside it. `router` is the router's address, the"
    " even one of the /31, or its MAC.",
    "[{name: laptop, router: 100.115.93.0}]",
)

ALLOW = Key(
    "clients.allow",
    list_of(clients.ALLOWED_PAIR, unique=True),
    lambda r: r.clients.allow,
    "Pairs of named clients: the first may open connections to the second, and gets its answers. Any other two clients"
    " are kept apart.",
    "[[laptop, printer]]",
)

FORWARDS = Key(
    "clients.forwards",
    list_of(forwards.FORWARD),
    lambda r: r.clients.forwards,
    "Ports of the uplink's address that lead to a named client: `port`, one or a range such as `6000-6100`; `client`;"
    " `to`, the client's port or range where it is another; `protocol` where it is not tcp; `from`, the networks that"
    " may use it, where not all may. Other clients, and the client itself, reach the port by the uplink's address too."
    " Nothing else from an uplink reaches a client unasked.",
    "[{port: 8080, client: laptop, to: 80, protocol: tcp, from: [192.168.1.0/24]}]",
)

HELPERS = Key(
    "clients.helpers",
    list_of(traffic.HELPER, unique=True),
    lambda r: r.clients.helpers,
    "Protocols whose second connection is let in: `ftp` (active), `pptp`, `tftp`."
    " They serve clients' connections to the outside, and to the usual port only. The kernel then has the fragment"
    " `nat-helpers`. Without a helper such a connection is refused: see"
    " [security](../explanation/security.md#decisions).",
    "[ftp, pptp]",
)

CONNECTIONS = Key(
    "clients.connections",
    optional(whole_number(16, 1 << 20)),
    lambda r: r.clients.connections,
    "How many connections each client may open at once; empty: a sixteenth of what the router can track, and 1024 at"
    " most. Twice as many may come to its forwarded ports. The router can track 16384 with 96 MiB of memory.",
    "1000",
)

FRAGMENTS = Key(
    "clients.fragments",
    optional(whole_number(16, 1 << 16)),
    lambda r: r.clients.fragments,
    "How many datagrams of each client may wait for missing fragments at once, rounded up to a power of two; empty:"
    " 256."
    " Datagrams that arrive whole are not counted, however many there are.",
    "500",
)

UDP_TIMEOUT = Key(
    "clients.udp_timeout_s",
    whole_number(30, 86400, "s"),
    lambda r: r.clients.udp_timeout_s,
    "How long a client's UDP port stays open while no server has answered, or only one packet has come back; DNS takes"
    " 3 seconds.",
    "120",
)

UDP_STREAM_TIMEOUT = Key(
    "clients.udp_stream_timeout_s",
    whole_number(30, 86400, "s"),
    lambda r: r.clients.udp_stream_timeout_s,
    "How long it stays open after the last packet to or from a server that answers; DNS takes 5 seconds.",
    "300",
)

IPV6 = Key(
    "clients.ipv6",
    traffic.IPV6,
    lambda _: traffic.IPV6_OFF,
    "There is one value, `off`: no packet of IPv6 is forwarded, answered or heard. Translating it, or delegating"
    " prefixes, is not done.",
    "off",
)

KEYS: tuple[Key[Any], ...] = (
    CLIENTS_OUI,
    POOL,
    DNS,
    NAMED,
    ALLOW,
    FORWARDS,
    HELPERS,
    CONNECTIONS,
    FRAGMENTS,
    UDP_TIMEOUT,
    UDP_STREAM_TIMEOUT,
    IPV6,
)
