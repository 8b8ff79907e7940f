# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Why packets are refused: the ruleset's named counters, and what the kernel itself drops and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A named counter of the ruleset: the nf_tables family of its table, and why a packet counts there."""

    family: str
    brief: str
    reason: str


# The one table of reasons: the ruleset's counters, what `status` says of them and docs/reference/security.md follow it.
REFUSALS: Mapping[str, Refusal] = {
    "spoofed": Refusal("ip", "spoofed source", "a client sent it from an address that is not its own"),
    "client_dhcp": Refusal(
        "ip",
        "DHCP by a client",
        "a client sent DHCP, to the router or to an uplink's network",
    ),
    "ip_options": Refusal(
        "ip",
        "IP options",
        "it has IP options, which can make the router write its addresses into the packet or follow a route in it",
    ),
    "too_many_fragments": Refusal(
        "ip",
        "too many fragments",
        "its sender has too many incomplete datagrams, or its datagram has more than 64 fragments",
    ),
    "pool_from_uplink": Refusal(
        "ip", "client address from an uplink", "it came from an uplink with an address of the clients' pool"
    ),
    "reverse_path": Refusal(
        "ip",
        "not the way back to its sender",
        "it came from an uplink with a client's address, the router's own, or one that no host has",
    ),
    "multicast": Refusal(
        "ip",
        "multicast",
        "it was for a multicast group (mDNS, SSDP, IGMP), which the router neither joins nor forwards",
    ),
    "no_host": Refusal(
        "ip", "to an invalid address", "a client sent it to an address that no host can have (0.0.0.0/8, 127.0.0.0/8)"
    ),
    "to_host": Refusal(
        "ip",
        "to the host's loopback",
        "it was for the user network that QEMU itself serves, which leads to the host's loopback, and no DNS or ping",
    ),
    "needs_helper": Refusal(
        "ip",
        "no helper expected it",
        "it was GRE, or FTP data from port 20, and belongs to no known connection: see `clients.helpers`",
    ),
    "forward_expected": Refusal(
        "ip",
        "expected on a forwarded port",
        "a client told its FTP server to connect to a port of the uplink that is forwarded",
    ),
    "one_per_peer": Refusal(
        "ip",
        "second client to one peer, without ports",
        "another client has a connection of the same protocol without ports (ESP, AH, GRE) to the same peer: for IPsec"
        " use NAT-T, which is UDP port 4500",
    ),
    "odd_flags": Refusal("ip", "odd TCP flags", "TCP flags that no connection has, such as none, all, or SYN with FIN"),
    "invalid": Refusal("ip", "no valid connection", "connection tracking finds it invalid: it fits no connection"),
    "isolated": Refusal("ip", "client to client", "it was for another client, and the spec allows no such pair"),
    "from_uplink": Refusal(
        "ip", "uplink to client", "it came from an uplink, is no answer to a client, and the port is not forwarded"
    ),
    "forward_source": Refusal(
        "ip",
        "forwarded port, not for its sender",
        "it was for a forwarded port, and its sender is not in that port's `from`",
    ),
    "elsewhere": Refusal(
        "ip",
        "to another interface",
        "it would have left by an interface that is neither a client's nor the uplink in use",
    ),
    "foreign_error": Refusal(
        "ip", "error about another's connection", "a client sent an ICMP error about a connection of another one"
    ),
    "dns_stale": Refusal("ip", "former resolver", "it was for a resolver that is no longer the uplink's"),
    "dns_refused": Refusal("ip", "no resolver", "there is no resolver, or the spec forwards no DNS"),
    "too_many_connections": Refusal("ip", "too many connections", "the client has as many connections as it may"),
    "too_many_neighbours": Refusal(
        "ip", "too many neighbours", "the client tried more hosts of the uplink's own network than it may"
    ),
    "too_fast": Refusal("ip", "too fast", "it asked the router itself more often than it may"),
    "to_router": Refusal("ip", "to the router itself", "it was for the router itself, which serves nothing"),
    "by_service": Refusal(
        "ip",
        "sent by a service",
        "a service of `image.services` sent it, and it is no answer to a client, nor `outgoing`",
    ),
    "unmasqueraded": Refusal(
        "ip", "client address on an uplink", "it would have left an uplink with an address that is not the uplink's"
    ),
    "arp_spoofed": Refusal("arp", "spoofed ARP", "a client sent ARP as if it had another address"),
    "arp_foreign": Refusal(
        "arp", "ARP for another's address", "a client asked by ARP for an address that is not at its interface"
    ),
    "arp_too_fast": Refusal("arp", "ARP too fast", "a client sent more ARP a second than it may"),
    "arp_leak": Refusal(
        "arp",
        "client-side address in ARP",
        "the router's own ARP would have shown an uplink's network an address of the clients' space",
    ),
    "ipv6": Refusal("ip6", "IPv6", "IPv6 is off"),
}


KERNEL_DROPS: Mapping[str, tuple[str, str]] = {
    "header": ("header or TTL", "its header is wrong, or its TTL ended at the router, which its sender is told"),
    "no_route": ("no route", "there is no route to its target, which its sender is told"),
    "address": ("invalid address", "its target is an address that cannot be one"),
    "rp_filter": (
        "not the way back (kernel)",
        "its sender is not where the routes say, though its connection is known",
    ),
    "martian": (
        "impossible address",
        "its sender or target is an address that no host has, and it belongs to no connection",
    ),
    "reassembly": ("fragments without the rest", "the rest of its datagram did not come in time, or does not fit"),
    "too_big": (
        "too big for the link",
        "it is larger than the link takes and may not be cut, which its sender is told",
    ),
    "no_memory": ("no memory", "the kernel had no memory or no room in a queue for it"),
    "no_free_port": (
        "clash of connections",
        "no port was free for its connection, or another connection is just like it",
    ),
    "no_room": ("connection table full", "there was no room for its connection, or it clashed with another"),
}
"""What the kernel itself drops and counts, as rootfs/init/kernel/kernel_drops.py names it: brief, reason."""


def brief(name: str) -> str:
    """A counter's reason in few words; one that is not ours goes by its own name."""
    return REFUSALS[name].brief if name in REFUSALS else name


def brief_of_kernel(name: str) -> str:
    """The same for what the kernel drops by itself."""
    return KERNEL_DROPS[name][0] if name in KERNEL_DROPS else name


def counters(family: str) -> tuple[str, ...]:
    """The named counters of a family's table."""
    return tuple(name for name, refusal in REFUSALS.items() if refusal.family == family)
