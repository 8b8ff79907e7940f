# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Forwarded ports: ranges, who may use them, and clients that reach them by the uplink's address."""

from __future__ import annotations

import time

from shows import QUIET, of, shown, syn
from wires import GATEWAY, ICMP, IP, RESOLVER, SERVER, TCP, UDP, UPLINK, Packet, Wire
from workbench import PAIRED, Bench


@shown(PAIRED)
def a_range_of_ports_reaches_its_client(bench: Bench) -> None:
    """Every port of it, as it is or moved, and none beside it; answers leave by the port that was asked."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    for port, wire, target in (
        (6000, laptop, 6000),
        (6050, laptop, 6050),
        (6100, laptop, 6100),
        (7000, printer, 7100),
        (7002, printer, 7102),
    ):
        came = bench.passes(upstream, syn(SERVER, UPLINK, 7200, port), wire, of(TCP))
        assert (came[IP].src, came[IP].dst, came[TCP].dport) == (SERVER, wire.address, target)
        back = bench.passes(wire, syn(wire.address, SERVER, target, 7200, "SA", ack=101), upstream, of(TCP))
        assert (back[IP].src, back[TCP].sport) == (UPLINK, port)
    for port in (5999, 6101, 6999, 7003, 7100):
        bench.refused(upstream, syn(SERVER, UPLINK, 7201, port), by="to_router")
    bench.refused(upstream, IP(src=SERVER, dst=UPLINK) / UDP(sport=1, dport=6000), by="to_router")


@shown(PAIRED)
def a_forwarded_port_is_for_its_senders(bench: Bench) -> None:
    """One port leads two senders to two clients; anybody else is refused by a name of its own, a client too."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    came = bench.passes(upstream, syn(SERVER, UPLINK, 7300, 7500), laptop, of(TCP))
    assert (came[IP].src, came[TCP].dport) == (SERVER, 7500)
    came = bench.passes(laptop, syn(laptop.address, UPLINK, 7301, 7500), printer, of(TCP))
    assert (came[IP].src, came[TCP].dport) == (printer.router, 7501)
    bench.refused(upstream, syn(GATEWAY, UPLINK, 7302, 7500), by="forward_source")
    bench.refused(printer, syn(printer.address, UPLINK, 7303, 7500), by="forward_source")
    bench.refused(printer, syn(printer.address, laptop.router, 7304, 7500), by="to_router")


def answer(came: Packet, wire: Wire) -> Packet:
    """The answer to a SYN of the client that got it."""
    return syn(wire.address, came[IP].src, came[TCP].dport, came[TCP].sport, "SA", ack=101)


@shown(PAIRED)
def clients_reach_a_forwarded_port_by_the_uplink_s_address(bench: Bench) -> None:
    """Another client, and the very one that it leads to; each sees the router, by which all answers come back."""
    laptop = bench.laptop
    for number, wire in enumerate((bench.printer, bench.outsider, laptop)):
        sport = 7400 + number
        came = bench.passes(wire, syn(wire.address, UPLINK, sport, 8080), laptop, of(TCP, dport=80))
        assert (came[IP].src, came[IP].dst) == (laptop.router, laptop.address)
        assert came[TCP].sport >= 1024
        back = bench.passes(laptop, answer(came, laptop), wire, of(TCP, sport=8080))
        assert (back[IP].src, back[IP].dst, back[TCP].dport) == (UPLINK, wire.address, sport)
        bench.passes(wire, syn(wire.address, UPLINK, sport, 8080, "A", ack=101), laptop, of(TCP, flags="A"))
        too_big = IP(src=laptop.address, dst=laptop.router) / ICMP(type=3, code=4, nexthopmtu=1300) / came[IP]
        told = bench.passes(laptop, too_big, wire, of(ICMP, type=3))
        assert (told[IP].src, bytes(told[ICMP].payload)[16:20]) == (UPLINK, bytes([10, 0, 2, 15]))
    asked = IP(src=bench.printer.address, dst=UPLINK) / UDP(sport=53, dport=5000) / b"x"
    came = bench.passes(bench.printer, asked, laptop, of(UDP, dport=5001))
    assert came[UDP].sport >= 1024  # from port 53 it would be taken for the resolver's
    assert not bench.upstream.packets()


@shown(PAIRED)
def a_forwarded_port_opens_nothing_else_between_clients(bench: Bench) -> None:
    """Neither another port, nor another address, nor an error or a packet by a third."""
    laptop, printer, outsider = bench.laptop, bench.printer, bench.outsider
    bench.refused(printer, syn(printer.address, UPLINK, 7600, 80), by="to_router")
    bench.refused(printer, syn(printer.address, printer.router, 7600, 8080), by="to_router")
    bench.refused(printer, syn(printer.address, laptop.address, 7600, 80), by="isolated")
    came = bench.passes(printer, syn(printer.address, UPLINK, 7601, 8080), laptop, of(TCP, dport=80))
    error = IP(src=outsider.address, dst=laptop.router) / ICMP(type=3, code=1) / came[IP]
    bench.refused(outsider, error, by="isolated")
    bench.refused(laptop, syn(laptop.address, printer.address, 80, 7601, "SA", ack=101), by="invalid")
    bench.resolve_by(bench.laptop.address)
    try:  # a question has another target too, and leads to no client for that
        question = IP(src=printer.address, dst=printer.router) / UDP(sport=7602, dport=53) / b"?"
        bench.refused(printer, question, by="isolated")
    finally:
        bench.resolve_by(RESOLVER)


@shown(PAIRED)
def a_forwarded_port_leads_no_client_to_one_that_is_not_there(bench: Bench) -> None:
    laptop, printer, name = bench.laptop, bench.printer, "c735c00"
    pair = bench.pairs.pop(name)
    bench.tell_elements()
    try:
        bench.refused(printer, syn(printer.address, UPLINK, 7700, 8080), by="isolated")
    finally:
        bench.pairs[name] = pair
        bench.tell_elements()
    address, bench.uplink_address = bench.uplink_address, ""
    bench.tell_elements()
    try:
        bench.refused(printer, syn(printer.address, UPLINK, 7701, 8080), by="to_router")
    finally:
        bench.uplink_address = address
        bench.tell_elements()
    bench.passes(printer, syn(printer.address, UPLINK, 7702, 8080), laptop, of(TCP))


@shown(PAIRED)
def what_clients_open_by_a_forwarded_port_counts(bench: Bench) -> None:
    """As the one's own connections, and among those that come to the other."""
    laptop, printer = bench.laptop, bench.printer
    bench.clear()
    before = bench.counters()
    for port in range(9200, 9250):
        printer.send(syn(printer.address, UPLINK, port, 8080))
    time.sleep(QUIET)
    assert bench.moved(before) == {"too_many_connections": 10}
    assert len(laptop.packets()) == 40
    bench.refused(printer, IP(src=printer.address, dst=SERVER) / UDP(sport=1, dport=2), by="too_many_connections")
    for port in range(9260, 9300):  # the laptop's ports have room for twice as many
        bench.upstream.send(syn(SERVER, UPLINK, port, 8080))
    bench.refused(bench.upstream, syn(SERVER, UPLINK, 9300, 8080), by="too_many_connections")
    other = bench.outsider
    bench.passes(other, IP(src=other.address, dst=SERVER) / UDP(sport=9301, dport=7), bench.upstream)
