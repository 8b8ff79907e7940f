# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router's clients: their names and addresses, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network

from netvm_build.model.address import Pair


@dataclass(frozen=True)
class NamedClient:
    """A client with an address of its own, which `run` attaches under this name."""

    name: str
    pair: Pair


class Dns(Enum):
    """FORWARD: DNS to the router's address goes to the uplink's resolvers; NONE: it is refused."""

    FORWARD = "forward"
    NONE = "none"


DEFAULT_POOL = IPv4Network("100.115.92.0/23")
"""Of the carriers' shared address space, the part that Chrome OS uses for its own VMs; carriers' routers are elsewhere.

Tailscale's clients drop all of 100.64.0.0/10 but this.
"""


@dataclass(frozen=True)
class AllowedPair:
    """Named client `opener` may open connections to named client `other`; answers come back by themselves."""

    opener: str
    other: str

    @property
    def names(self) -> tuple[str, str]:
        return self.opener, self.other


@dataclass(frozen=True)
class Forward:
    """`count` ports of an uplink's address, from `port` on, lead to as many of a named client, from `to` on.

    `protocol` is tcp or udp.  `sources` are the networks that may use it; empty: any.
    """

    port: int
    client: str
    to: int
    protocol: str = "tcp"
    count: int = 1
    sources: tuple[IPv4Network, ...] = ()

    @property
    def ports(self) -> range:
        """The ports of the uplink's address."""
        return range(self.port, self.port + self.count)

    @property
    def targets(self) -> range:
        """The ports of the client, in the same order."""
        return range(self.to, self.to + self.count)


HELPERS: Mapping[str, tuple[str, int]] = {"ftp": ("tcp", 21), "pptp": ("tcp", 1723), "tftp": ("udp", 69)}
"""Connection tracking's helpers that clients can have, each with the protocol and port of its control connection."""


@dataclass(frozen=True)
class Clients:
    """`pool` is where clients without a name of their own get their /31 from.

    `connections` is how many each may have at once, None what the memory affords; `fragments` how many datagrams of
    each may be incomplete at once, None for 256.  `udp_timeout_s` is how long UDP without an answer is remembered,
    `udp_stream_timeout_s` with answers.  `helpers` are keys of HELPERS.
    """

    pool: IPv4Network = DEFAULT_POOL
    dns: Dns = Dns.FORWARD
    named: tuple[NamedClient, ...] = ()
    allow: tuple[AllowedPair, ...] = ()
    forwards: tuple[Forward, ...] = ()
    helpers: tuple[str, ...] = ()
    connections: int | None = None
    fragments: int | None = None
    udp_timeout_s: int = 120
    udp_stream_timeout_s: int = 300
