# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Source ports: which port of the uplink a client's connection leaves by."""

from __future__ import annotations

import socket
from typing import Any

from netvm_build.spec.rules import ports
from shows import DEFAULT, of, out, shown, syn
from wires import GATEWAY, ICMP, IP, OTHER_RESOLVER, RESOLVER, SERVER, TCP, UDP, UPLINK, Packet, Wire, inside
from workbench import PAIRED, Bench

OTHER_SERVER = "198.51.100.9"
RANDOM = 6
"""Numbers drawn from 4096 or more: that each keeps its own by chance has less than one part in 10^21."""


def port_on_the_uplink(bench: Bench, wire: Wire, packet: Packet, layer: type[Packet] = UDP) -> int:
    """The source port that upstream sees."""
    came = bench.passes(wire, packet, bench.upstream, of(layer, dport=packet[layer].dport))
    assert came[IP].src == UPLINK
    return int(came[layer].sport)


@shown()
def no_client_speaks_dhcp_on_an_uplink(bench: Bench) -> None:
    """Neither as the uplink's own client, which could release its lease, nor as a server, nor as a relay."""
    laptop = bench.laptop
    for sport, dport in ((68, 67), (67, 67), (1067, 67), (67, 68), (1067, 68), (67, 1067), (68, 1067)):
        for target in (GATEWAY, SERVER):
            datagram = IP(src=laptop.address, dst=target) / UDP(sport=sport, dport=dport) / bytes(240)
            bench.refused(laptop, datagram, by="client_dhcp")
    bench.passes(laptop, syn(laptop.address, SERVER, 68, 67), bench.upstream, of(TCP))  # TCP is no DHCP


@shown(PAIRED)
def a_forwarded_port_is_not_for_dhcp(bench: Bench) -> None:
    """What a DHCP server's port sends to it reaches no client, whose answer would be DHCP from the uplink's address."""
    for sport in ports.DHCP_PORTS:
        asked = IP(src=SERVER, dst=UPLINK) / UDP(sport=sport, dport=5000) / bytes(240)
        bench.refused(bench.upstream, asked, by="forward_source")


@shown(PAIRED)
def a_forwarded_port_cannot_be_taken(bench: Bench) -> None:
    """Another client that sends from the forwarded port to a server first does not get what that server sends to it."""
    printer, upstream, laptop = bench.printer, bench.upstream, bench.laptop
    low, high = ports.split(PAIRED).masquerade
    for layer, port, to in ((UDP, 5000, 5001), (TCP, 8080, 80)):
        flags: dict[str, Any] = {"flags": "S"} if layer is TCP else {}
        first = IP(src=printer.address, dst=SERVER) / layer(sport=port, dport=5000, **flags)
        assert low <= port_on_the_uplink(bench, printer, first, layer) <= high
        question = IP(src=SERVER, dst=UPLINK) / layer(sport=5000, dport=port, **flags)
        came = bench.passes(upstream, question, laptop, of(layer))
        assert (came[IP].dst, came[layer].dport) == (laptop.address, to)
        assert not printer.packets()


@shown()
def source_ports_are_drawn_at_random(bench: Bench) -> None:
    """Whatever port a client sends from: of TCP and DNS for each connection, and an ICMP identifier too."""
    laptop = bench.laptop
    found = ports.split(DEFAULT)
    for sport in (1, 1024, 20000, 40000, 60000, 65535):
        for layer, dport, least in ((TCP, 443, 2), (UDP, 53, 2), (UDP, 443, 1)):
            packets = [
                IP(src=laptop.address, dst=f"198.51.100.{number}") / layer(sport=sport, dport=dport)
                for number in range(RANDOM)
            ]
            seen = {port_on_the_uplink(bench, laptop, packet, layer) for packet in packets}
            assert all(found.masquerade[0] <= port <= found.masquerade[1] for port in seen), seen
            assert seen != {sport}
            assert len(seen) >= least
    seen = set()
    for number in range(RANDOM):
        echo = IP(src=laptop.address, dst=f"198.51.100.{number}") / ICMP(type=8, id=7)
        seen.add(int(bench.passes(laptop, echo, bench.upstream, of(ICMP, type=8))[ICMP].id))
    assert len(seen) >= 2


@shown()
def one_udp_port_is_one_port_for_all_servers(bench: Bench) -> None:
    """As STUN needs it (RFC 4787, REQ-1): the port that one server sees is the one that a peer can send to."""
    laptop, printer = bench.laptop, bench.printer
    servers = (SERVER, OTHER_SERVER, "198.51.100.10")
    for sport in (500, 4500, 30000, 40000, 64000):
        seen: list[int] = []
        for wire in (laptop, printer):
            asked = [IP(src=wire.address, dst=server) / UDP(sport=sport, dport=3478) for server in servers]
            mapped = {port_on_the_uplink(bench, wire, one) for one in asked}
            assert len(mapped) == 1, f"{sport}: {mapped}"
            seen += mapped
        assert len(set(seen)) == 2, f"{sport}: both clients have {seen}"
        assert sport not in seen
    again = {port_on_the_uplink(bench, laptop, out(bench, 4500)) for _ in range(2)}
    assert len(again) == 1
    asked = [IP(src=laptop.address, dst=one) / UDP(sport=4500, dport=53) for one in (SERVER, OTHER_SERVER, GATEWAY)]
    assert len({port_on_the_uplink(bench, laptop, one) for one in asked}) > 1  # but each question its own


@shown()
def the_router_s_sockets_have_ports_of_their_own(bench: Bench) -> None:
    """ConnMan's questions leave from ports that no client's connection gets."""
    low, high = ports.split(DEFAULT).own
    with inside(bench.router):
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    try:
        for number, own in enumerate(sockets):
            own.connect(((RESOLVER, OTHER_RESOLVER)[number % 2], 53))
            assert low <= own.getsockname()[1] <= high
    finally:
        for own in sockets:
            own.close()
