# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the spec allows beside the default, and what it cannot: IPv6."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from init.kernel import sysctl
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLQuery,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptPrefixInfo,
    IPv6,
)
from shows import QUIET, of, out, shown, syn
from wires import ICMP, IP, SERVER, TCP, UDP, UPLINK, Ether, Packet, Wire, inside
from workbench import PAIRED, Bench

# ---- what the spec allows


def asks(source: Wire, target: Wire, sport: int) -> Packet:
    return IP(src=source.address, dst=target.address) / UDP(sport=sport, dport=631) / b"print"


def error_about(packet: Packet, source: Wire) -> Packet:
    """What one client tells the sender of a packet of it: that it was in vain."""
    return IP(src=source.address, dst=packet[IP].src) / ICMP(type=3, code=3) / packet


@shown(PAIRED)
def an_allowed_pair_goes_one_way(bench: Bench) -> None:
    """Laptop may ask printer, and hears it answer or refuse; printer may not ask laptop, nor anyone a third."""
    laptop, printer, outsider = bench.laptop, bench.printer, bench.outsider
    ask = asks(laptop, printer, 5100)
    came = bench.passes(laptop, ask, printer)
    assert (came[IP].src, came[UDP].dport) == (laptop.address, 631)
    answer = IP(src=printer.address, dst=laptop.address) / UDP(sport=631, dport=5100) / b"done"
    assert bench.passes(printer, answer, laptop)[IP].src == printer.address
    assert bench.passes(printer, error_about(ask, printer), laptop, of(ICMP, type=3))
    for one, other in ((printer, laptop), (outsider, laptop), (outsider, printer)):
        bench.refused(one, IP(src=one.address, dst=other.address) / UDP(sport=1, dport=2), by="isolated")


@shown(PAIRED)
def an_allowed_pair_speaks_for_itself_alone(bench: Bench) -> None:
    """Neither end's ICMP errors touch what the other has with anyone else; a third's touch nothing."""
    laptop, printer, outsider = bench.laptop, bench.printer, bench.outsider
    ask = asks(laptop, printer, 5200)
    bench.passes(laptop, ask, printer)
    bench.refused(outsider, error_about(ask, outsider), by="isolated")
    other = asks(laptop, outsider, 5201)
    bench.passes(laptop, other, outsider)
    bench.refused(printer, error_about(other, printer), by="isolated")
    others = asks(printer, outsider, 5202)
    bench.passes(printer, others, outsider)
    bench.refused(laptop, error_about(others, laptop), by="isolated")


@shown(PAIRED)
def segments_between_a_pair_fit_too(bench: Bench) -> None:
    laptop, printer = bench.laptop, bench.printer
    bench.ip("link set c735c02 mtu 1300")
    try:
        asked = syn(laptop.address, printer.address, 5300, 631, options=[("MSS", 1460)])
        assert dict(bench.passes(laptop, asked, printer)[TCP].options)["MSS"] == 1260
    finally:
        bench.ip("link set c735c02 mtu 1500")


@shown(PAIRED)
def a_forwarded_port_reaches_its_client(bench: Bench) -> None:
    """And only that port; the client sees who asked, upstream sees the uplink answer."""
    laptop, upstream = bench.laptop, bench.upstream
    came = bench.passes(upstream, syn(SERVER, UPLINK, 7000, 8080), laptop, of(TCP))
    assert (came[IP].src, came[IP].dst, came[TCP].dport) == (SERVER, laptop.address, 80)
    answer = syn(laptop.address, SERVER, 80, 7000, "SA", ack=101)
    back = bench.passes(laptop, answer, upstream, of(TCP))
    assert (back[IP].src, back[TCP].sport) == (UPLINK, 8080)
    error = IP(src=laptop.address, dst=SERVER) / ICMP(type=3, code=4, nexthopmtu=1300)
    error /= IP(src=SERVER, dst=laptop.address) / TCP(sport=7000, dport=80, flags="A", seq=101)
    assert bench.passes(laptop, error, upstream, of(ICMP, type=3))[IP].src == UPLINK
    datagram = IP(src=SERVER, dst=UPLINK) / UDP(sport=7000, dport=5000) / b"x"
    assert bench.passes(upstream, datagram, laptop)[UDP].dport == 5001
    for layer in (TCP(sport=7001, dport=80, flags="S"), TCP(sport=7001, dport=5000, flags="S"), UDP(dport=8080)):
        bench.refused(upstream, IP(src=SERVER, dst=UPLINK) / layer, by="to_router")
    bench.refused(upstream, syn(SERVER, laptop.address, 7002, 80), by="from_uplink")
    bench.no_client_left()


@shown(PAIRED)
def a_forwarded_port_of_a_client_that_is_not_there(bench: Bench) -> None:
    """Leads nowhere: neither back out of the uplink nor to an interface that is not allowed yet."""
    laptop, name = bench.laptop, "c735c00"
    pair = bench.pairs.pop(name)
    bench.tell_elements()
    try:
        bench.refused(bench.upstream, syn(SERVER, UPLINK, 7100, 8080), by="from_uplink")
        bench.ip(f"link set {name} down")
        bench.refused(bench.upstream, syn(SERVER, UPLINK, 7101, 8080), by="from_uplink")
    finally:
        bench.ip(f"link set {name} up")
        bench.pairs[name] = pair
        bench.tell_elements()
    bench.passes(bench.upstream, syn(SERVER, UPLINK, 7102, 8080), laptop, of(TCP))


@shown(PAIRED)
def forwarded_and_allowed_connections_count(bench: Bench) -> None:
    """What comes to a client by forwarded ports has a limit of its own; what it opens to another client is its own."""
    laptop, limit = bench.laptop, 40
    bench.clear()
    before = bench.counters()
    for port in range(9000, 9000 + 2 * limit + 10):
        bench.upstream.send(syn(SERVER, UPLINK, port, 8080))
    time.sleep(QUIET)
    assert bench.moved(before) == {"too_many_connections": 10}
    assert len(bench.laptop.packets()) == 2 * limit
    bench.clear()
    before = bench.counters()
    for port in range(limit):
        laptop.send(out(bench, 9100, 9100 + port))
    time.sleep(QUIET)
    assert bench.moved(before) == {}
    assert len(bench.upstream.packets()) == limit
    to_printer = IP(src=laptop.address, dst=bench.printer.address) / UDP(sport=1, dport=2)
    bench.refused(laptop, to_printer, by="too_many_connections")
    bench.refused(laptop, out(bench, 9100), by="too_many_connections")


# ---- IPv6


def ipv6_frames(wire: Wire) -> list[bytes]:
    advert = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64)
    return [
        bytes(Ether(src=wire.mac, dst=mac) / packet)
        for packet, mac in (
            (IPv6(src="fe80::1", dst="ff02::1") / advert, "33:33:00:00:00:01"),
            (IPv6(src="fe80::1", dst="ff02::1") / ICMPv6EchoRequest(), "33:33:00:00:00:01"),
            (IPv6(src="fe80::1", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="fe80::2"), "33:33:ff:00:00:01"),
            (IPv6(src="fe80::1", dst="ff02::1", hlim=1) / ICMPv6MLQuery(), "33:33:00:00:00:01"),
            (
                IPv6(src="fe80::1", dst="2001:db8::2") / ICMPv6ND_Redirect(tgt="fe80::1", dst="2001:db8::3"),
                wire.router_mac,
            ),
            (IPv6(src="2001:db8::1", dst="2001:db8:1::1") / UDP(sport=1, dport=2), wire.router_mac),
        )
    ]


def says_nothing_in_ipv6(bench: Bench) -> dict[str, int]:
    """Send advertisements, questions and a packet to forward; nothing may come of it.  Returns what was counted."""
    bench.clear()
    before = bench.counters()
    for wire in (bench.laptop, bench.upstream):
        wire.send(*ipv6_frames(wire))
    time.sleep(QUIET)
    came = [packet.summary() for wire in bench.wires for packet in wire.packets()]
    assert came == []
    assert "2001:db8" not in bench.ip("-6 addr") + bench.ip("-6 route show table all")
    return bench.moved(before)


@shown()
def ipv6_is_off(bench: Bench) -> None:
    """By the settings, nothing of it is forwarded, answered or believed; no interface has an address of it."""
    bench.nft("delete table ip6 netvm\n")
    assert says_nothing_in_ipv6(bench) == {}
    for name in ("up0", *bench.pairs):
        assert "inet6" not in bench.ip(f"-6 addr show dev {name}")


@shown()
def ipv6_is_off_even_where_it_is_on(bench: Bench) -> None:
    """With the settings undone, the table lets nothing in, and nothing out."""
    names = ("c735c00", "up0")
    with inside(bench.router):
        sysctl.apply((("ipv6/conf/all/forwarding", "1"), *((f"ipv6/conf/{name}/disable_ipv6", "0") for name in names)))
    try:
        assert set(moved := says_nothing_in_ipv6(bench)) == {"ipv6"}, moved
        assert moved["ipv6"] >= 12
        bench.ip("-6 addr add 2001:db8:2::1/64 dev up0 nodad")
        before = bench.counters()
        with inside(bench.router):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            with suppress(PermissionError):  # the firewall refused it, and the sender is told
                sender.sendto(b"x", ("2001:db8:2::2", 9))
            sender.close()
        time.sleep(0.5)  # and what a kernel says by itself when IPv6 comes up
        assert bench.moved(before).get("ipv6", 0) >= 1
        assert not any(wire.packets() for wire in bench.wires)
    finally:
        with inside(bench.router):
            off = tuple((f"ipv6/conf/{name}/disable_ipv6", "1") for name in names)
            sysctl.apply((*off, ("ipv6/conf/all/forwarding", "0")))
        await_last_words(bench)


def await_last_words(bench: Bench) -> None:
    """The kernel leaves its multicast groups by reports less than a second apart (RFC 3810, 9.11), and each counts."""
    end = time.monotonic() + 15
    before, moved = bench.counters(), True
    while moved and time.monotonic() < end:
        time.sleep(1.2)
        now = bench.counters()
        before, moved = now, now != before
    assert not moved
