# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which traffic the router lets through: the limits, and the rules about them.

The ruleset is templates/rootfs/etc/netvm/ruleset.nft.j2; build/traffic_data.py gives it these numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import Clients, Router, Violation
from netvm_build.spec.rules import forwards, fragments, ports

CLIENT_GROUP, UPLINK_GROUP, STANDBY_GROUP = 1, 2, 3
"""Groups of interfaces, as rootfs/init/net/firewall.py gives them: clients, the uplink in use, all other uplinks."""
MOST_CLIENTS = 2048
"""That have a measure at the same time.  The kernel allots each set's table at once: 32 KiB; 1 MiB for 65535."""
QUESTIONS_PER_SECOND = 200
"""To the router itself, by each client."""
NEIGHBOURS_PER_SECOND, NEIGHBOURS_AT_ONCE = 20, 100
"""Hosts of the uplink's network that a client may try: each that is not there holds an entry for three seconds."""
NEXT_HOPS, NEXT_HOP_S = 8192, 20
"""Pairs of a client and a next hop that were tried, and for how long they need no new leave: room for 16 that scan."""
RESOLVER_SLOTS = 6
"""As rootfs/init/net/firewall.py fills them: one, two or three resolvers have as many each."""
PINGS_PER_SECOND = 50
"""From all uplinks together: each may be a connection of half a minute, and they have no limit of their own."""
ARP_PER_SECOND = 50

# A tracked connection takes 0.4 KiB with its extensions for NAT (slab nf_conntrack, and its ends in the hash table).
CONNECTION_BYTES = 400
MEMORY_SHARE = 16
"""The connection table takes this part of the memory at most."""
CLIENT_SHARE, CLIENT_MOST = 16, 1024
"""A client takes this part of the connection table, and this many of it at most, unless the spec says otherwise.

The kernel walks a client's whole list (nf_conncount.c) with the first new connection of every tick: 0.6 µs for each.
"""
INWARD_TIMES = 2
"""So many times as many may come to a client's forwarded ports: half-open ones are forgotten after 3 seconds."""
CHAIN_LENGTH = 8
"""nf_conntrack_max is 8 times nf_conntrack.hashsize when that is given on the command line (nf_conntrack_core.c)."""
BUCKETS_A_PAGE = 512


def hash_size(router: Router) -> int:
    """The buckets of the connection table: whole pages, as the kernel takes them."""
    connections = (router.machine.memory_mib << 20) // MEMORY_SHARE // CONNECTION_BYTES
    pages = max(1, round(connections / CHAIN_LENGTH / BUCKETS_A_PAGE))
    return min(pages * BUCKETS_A_PAGE, 1 << 20)


def connections_in_all(router: Router) -> int:
    """How many connections the router tracks at once."""
    return hash_size(router) * CHAIN_LENGTH


def connections_a_client(router: Router) -> int:
    """How many connections one client may have at once."""
    return router.clients.connections or min(connections_in_all(router) // CLIENT_SHARE, CLIENT_MOST)


def kernel_parameters(router: Router) -> tuple[str, ...]:
    """Words for the kernel's command line."""
    return (f"nf_conntrack.hashsize={hash_size(router)}",)


def neighbours_in_all(router: Router) -> int:
    """How many neighbours the kernel knows at once, clients among them: half a KiB each."""
    return min(max(1, router.machine.memory_mib // 24), 8) * 1024


def settings(router: Router) -> dict[str, str]:
    """Kernel settings that follow from the spec, below /proc/sys/net: PID 1 writes them with its own tables."""
    low, high = ports.split(router).own
    clients, neighbours = router.clients, neighbours_in_all(router)
    return {
        "ipv4/neigh/default/gc_thresh1": str(neighbours // 4),
        "ipv4/neigh/default/gc_thresh2": str(neighbours // 2),
        "ipv4/neigh/default/gc_thresh3": str(neighbours),
        "ipv4/ip_local_port_range": f"{low} {high}",
        **fragments.settings(router),
        "netfilter/nf_conntrack_udp_timeout": str(clients.udp_timeout_s),
        "netfilter/nf_conntrack_udp_timeout_stream": str(clients.udp_stream_timeout_s),
    }


def rules(router: Router) -> tuple[Violation, ...]:
    """Every rule about the traffic of named clients that the router breaks."""
    return (
        *_names_are_known(router.clients),
        *forwards.rules(router),
        *ports.rules(router),
        *fragments.rules(router),
        *_limit_fits(router),
    )


def _names_are_known(clients: Clients) -> Iterator[Violation]:
    names = {client.name for client in clients.named}
    all_names = ("clients.named", "clients.named[]", *(f"clients.named[{n}].name" for n in range(len(clients.named))))
    uses = [
        (f"clients.allow[{number}][{side}]", name)
        for number, one in enumerate(clients.allow)
        for side, name in enumerate(one.names)
    ]
    uses += [(f"clients.forwards[{number}].client", one.client) for number, one in enumerate(clients.forwards)]
    for path, name in uses:
        if name not in names:
            known = f"the named clients are {', '.join(sorted(names))}" if names else "clients.named is empty"
            hint = f"{known}: add `- {{name: {name}, router: 100.115.92.0}}` to clients.named, or correct the name"
            yield Violation(path, f"no client is named {name!r}", hint, all_names)
    for number, one in enumerate(clients.allow):
        if one.opener == one.other:
            involves = (f"clients.allow[{number}][0]", f"clients.allow[{number}][1]")
            message = "a client needs no leave to reach itself"
            yield Violation(f"clients.allow[{number}]", message, "name two clients", involves)


def _limit_fits(router: Router) -> Iterator[Violation]:
    limit, half = router.clients.connections, connections_in_all(router) // 2
    most = half // (1 + INWARD_TIMES if router.clients.forwards else 1)
    if limit is not None and limit > most:
        memory = router.machine.memory_mib
        inward = f" and {INWARD_TIMES * limit} to its forwarded ports" if router.clients.forwards else ""
        hint = f"write at most {most}, or raise machine.memory_mib: the table takes a sixteenth of the memory"
        message = (
            f"with {limit} connections{inward} one client could fill more than half of the {2 * half} of {memory} MiB"
        )
        yield Violation("clients.connections", message, hint, ("machine.memory_mib", "clients.forwards"))
    if router.clients.udp_stream_timeout_s < router.clients.udp_timeout_s:
        stream = router.clients.udp_stream_timeout_s
        default = " (the default)" if stream == Clients().udp_stream_timeout_s else ""
        message = f"{stream}{default} is less than clients.udp_timeout_s, {router.clients.udp_timeout_s}"
        hint = (
            f"write `udp_stream_timeout_s: {router.clients.udp_timeout_s}` or more: UDP with answers is not forgotten"
            " before UDP without"
        )
        yield Violation("clients.udp_stream_timeout_s", message, hint, ("clients.udp_timeout_s",))
