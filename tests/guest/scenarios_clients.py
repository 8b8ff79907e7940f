# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What clients may and may not, on the wire."""

from __future__ import annotations

import subprocess
import time

from netvm_build.spec.rules.traffic import NEIGHBOURS_AT_ONCE, NEIGHBOURS_PER_SECOND, QUESTIONS_PER_SECOND
from shows import DEFAULT, NOBODY, QUIET, of, opened, out, shown, syn
from wires import ARP, GATEWAY, ICMP, IP, SERVER, TCP, UDP, UPLINK, Ether, inside
from workbench import Bench, limited

# ---- what passes


@shown()
def clients_reach_the_outside(bench: Bench) -> None:
    """UDP, TCP and ping, masqueraded, and their answers."""
    for wire in bench.clients:
        for layer, reply in (
            (UDP(sport=1000, dport=7), lambda came: UDP(sport=7, dport=came[UDP].sport)),
            (
                TCP(sport=1001, dport=80, flags="S", seq=7),
                lambda came: TCP(sport=80, dport=came[TCP].sport, flags="SA", seq=1, ack=8),
            ),
            (ICMP(type=8, id=9), lambda came: ICMP(type=0, id=came[ICMP].id)),
        ):
            came = bench.passes(wire, IP(src=wire.address, dst=SERVER) / layer / b"x", bench.upstream)
            assert (came[IP].src, came[IP].dst, came[IP].ttl) == (UPLINK, SERVER, 63)
            answer = IP(src=SERVER, dst=UPLINK) / reply(came) / b"y"
            back = bench.passes(bench.upstream, answer, wire)
            assert (back[IP].src, back[IP].dst) == (SERVER, wire.address)
    bench.no_client_left()


@shown()
def the_router_answers_pings(bench: Bench) -> None:
    """From a client at its own router address, from upstream at the uplink's; from nobody at another."""
    laptop, upstream = bench.laptop, bench.upstream
    reply = of(ICMP, type=0)
    assert (
        bench.passes(laptop, IP(src=laptop.address, dst=laptop.router) / ICMP(), laptop, reply)[IP].src
        == "100.115.92.0"
    )
    assert bench.passes(upstream, IP(src=GATEWAY, dst=UPLINK) / ICMP(), upstream, reply)[IP].src == UPLINK
    bench.refused(laptop, IP(src=laptop.address, dst=UPLINK) / ICMP(), by="to_router")
    bench.refused(laptop, IP(src=laptop.address, dst=bench.printer.router) / ICMP(), by="to_router")
    bench.refused(upstream, IP(src=GATEWAY, dst=laptop.router) / ICMP(), by="from_uplink")


# ---- what a client may not


@shown()
def a_client_has_one_address(bench: Bench) -> None:
    """Another client's, the router's, the uplink's, anybody's: all refused, before they leave a trace."""
    for source in (bench.printer.address, bench.laptop.router, UPLINK, GATEWAY, "8.8.8.8", "127.0.0.1", NOBODY):
        bench.refused(bench.laptop, IP(src=source, dst=SERVER) / UDP(sport=1, dport=2), by="spoofed")
    bench.refused(bench.laptop, IP(src=bench.printer.address, dst=bench.laptop.router) / ICMP(), by="spoofed")
    fragment = IP(src=bench.printer.address, dst=SERVER, flags="MF", id=7) / UDP(sport=1, dport=2) / bytes(64)
    bench.refused(bench.laptop, fragment, by="spoofed")


@shown()
def a_client_s_dhcp_is_refused_by_name(bench: Bench) -> None:
    discover = IP(src=NOBODY, dst="255.255.255.255") / UDP(sport=68, dport=67) / bytes(240)
    frame = bytes(Ether(src=bench.laptop.mac, dst="ff:ff:ff:ff:ff:ff") / discover)
    bench.refused(bench.laptop, frame, by="client_dhcp")


@shown()
def fragments_of_one_client_do_not_meet_another_s(bench: Bench) -> None:
    """A datagram is put together of its sender's own fragments, whatever another client sends in its name."""
    laptop, printer = bench.laptop, bench.printer
    whole = IP(src=laptop.address, dst=SERVER, id=77) / UDP(sport=2000, dport=9) / (b"L" * 40)
    data = bytes(whole[UDP])
    first = IP(src=laptop.address, dst=SERVER, id=77, flags="MF", proto=17) / data[:24]
    last = IP(src=laptop.address, dst=SERVER, id=77, frag=3, proto=17) / data[24:]
    forged = IP(src=laptop.address, dst=SERVER, id=77, frag=3, proto=17) / (b"X" * len(data[24:]))
    laptop.send(first)
    bench.refused(printer, forged, by="spoofed")
    bench.passes(laptop, last, bench.upstream, lambda packet: IP in packet and packet[IP].frag)
    came = b"".join(bytes(one[IP].payload) for one in sorted(bench.upstream.packets(), key=lambda one: one[IP].frag))
    assert came[8:] == b"L" * 40


@shown()
def clients_are_kept_apart(bench: Bench) -> None:
    """Whatever is asked, and also where an error or an answer is made up."""
    laptop, printer = bench.laptop, bench.printer
    for layer in (UDP(sport=1, dport=2), TCP(sport=1, dport=22, flags="S"), ICMP()):
        bench.refused(laptop, IP(src=laptop.address, dst=printer.address) / layer, by="isolated")
        bench.refused(laptop, IP(src=laptop.address, dst=bench.outsider.address) / layer, by="isolated")
    bench.refused(laptop, IP(src=laptop.address, dst="100.115.92.200") / UDP(sport=1, dport=2), by="isolated")


@shown()
def a_client_cannot_meddle_in_another_s_connections(bench: Bench) -> None:
    """Its ICMP errors count only for its own connections, towards the outside and towards the other client."""
    laptop, printer = bench.laptop, bench.printer
    opened(bench, 3000)
    quoted = IP(src=SERVER, dst=laptop.address) / UDP(sport=443, dport=3000) / b"answer"
    towards_server = IP(src=printer.address, dst=SERVER) / ICMP(type=3, code=3) / quoted
    bench.refused(printer, towards_server, by="foreign_error")
    sent = IP(src=laptop.address, dst=SERVER) / UDP(sport=3000, dport=443) / b"hello"
    towards_client = IP(src=printer.address, dst=laptop.address) / ICMP(type=3, code=4, nexthopmtu=576) / sent
    bench.refused(printer, towards_client, by="invalid")
    own = IP(src=laptop.address, dst=SERVER) / ICMP(type=3, code=3)
    own /= IP(src=SERVER, dst=laptop.address) / UDP(sport=443, dport=3000) / b"answer"
    came = bench.passes(laptop, own, bench.upstream, of(ICMP, type=3))
    assert came[IP].src == UPLINK
    bench.no_client_left()


@shown()
def the_router_serves_nothing(bench: Bench) -> None:
    laptop, upstream = bench.laptop, bench.upstream
    for wire, target in ((laptop, laptop.router), (laptop, UPLINK), (upstream, UPLINK)):
        for layer in (TCP(sport=1, dport=22, flags="S"), UDP(sport=1, dport=68), UDP(sport=68, dport=67)):
            bench.refused(wire, IP(src=wire.address, dst=target) / layer, by="to_router")
    bench.refused(laptop, IP(src=laptop.address, dst="255.255.255.255") / UDP(sport=5353, dport=5353), by="to_router")


@shown()
def what_asks_the_router_too_fast_is_refused(bench: Bench) -> None:
    """Each client has a measure of its own."""
    for wire, target in ((bench.laptop, bench.laptop.router), (bench.upstream, UPLINK)):
        bench.clear()
        before = bench.counters()
        frame = wire.frame(IP(src=wire.address, dst=target) / ICMP(id=1))
        wire.send(*[frame] * (QUESTIONS_PER_SECOND * 2 + 200))
        time.sleep(0.05)
        moved = bench.moved(before)
        assert set(moved) == {"too_fast"}, moved
        assert moved["too_fast"] >= 150
    printer = bench.printer
    bench.passes(printer, IP(src=printer.address, dst=printer.router) / ICMP(), printer, of(ICMP, type=0))


@shown()
def odd_flags_and_strays_are_refused(bench: Bench) -> None:
    """From both sides, for the router and through it: what is no beginning and belongs to nothing."""
    laptop, upstream = bench.laptop, bench.upstream
    ways = ((laptop, SERVER), (laptop, laptop.router), (upstream, UPLINK))
    for wire, target in ways:
        for flags in ("", "FSRPAU", "FPU", "SF", "SR", "F", "SAF", "FR", "RAF"):
            bench.refused(wire, syn(wire.address, target, 1, 80, flags), by="odd_flags")
        for flags in ("R", "RA", "SA"):
            bench.refused(wire, syn(wire.address, target, 1, 80, flags), by="invalid")
        bench.refused(wire, IP(src=wire.address, dst=target) / ICMP(type=0, id=4242), by="invalid")
        unknown = IP(src=target, dst=wire.address) / UDP(sport=9, dport=9) / b"none"
        bench.refused(wire, IP(src=wire.address, dst=target) / ICMP(type=3, code=1) / unknown, by="invalid")


@shown(limited(DEFAULT, 20))
def a_client_has_so_many_connections(bench: Bench) -> None:
    """At its limit it is refused, pings of the router count too, and another client notices nothing."""
    laptop, printer = bench.laptop, bench.printer
    bench.passes(bench.upstream, IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=opened(bench, 3999)), laptop)
    bench.clear()
    before = bench.counters()
    for port in range(4000, 4030):
        laptop.send(out(bench, 4000, port))
    bench.upstream.wait(of(UDP, dport=4018))
    time.sleep(QUIET)
    assert bench.moved(before) == {"too_many_connections": 11}
    assert sorted(packet[UDP].dport for packet in bench.upstream.packets()) == list(range(4000, 4019))
    bench.refused(laptop, IP(src=laptop.address, dst=laptop.router) / ICMP(id=77), by="too_many_connections")
    bench.passes(laptop, out(bench, 3999), bench.upstream)  # those it has go on
    bench.passes(printer, IP(src=printer.address, dst=SERVER) / UDP(sport=4000, dport=1), bench.upstream)


@shown()
def a_client_tries_so_many_neighbours(bench: Bench) -> None:
    """Hosts of the uplink's own network; one that it has tried it may try again, as often as it likes."""
    laptop, upstream = bench.laptop, bench.upstream
    several = NEIGHBOURS_AT_ONCE + 100
    # Made beforehand: while one waits for the next, the limit recovers.
    known = [
        laptop.frame(IP(src=laptop.address, dst=NEIGHBOUR) / UDP(sport=1024, dport=1000 + n)) for n in range(several)
    ]
    other = [
        laptop.frame(IP(src=laptop.address, dst=f"10.9.1.{1 + n}") / UDP(sport=1024, dport=9)) for n in range(several)
    ]
    network(bench, "add")
    try:
        begun = time.monotonic()
        before = bench.counters()
        laptop.send(*known)
        upstream.wait(of(UDP, dport=1000 + several - 1))
        assert bench.moved(before) == {}
        bench.clear()
        laptop.send(*other)
        time.sleep(QUIET)
        moved = bench.moved(before)
        assert set(moved) == {"too_many_neighbours"}
        allowed = NEIGHBOURS_AT_ONCE + NEIGHBOURS_PER_SECOND * (time.monotonic() - begun)
        assert several - allowed - 1 <= moved["too_many_neighbours"] <= several - NEIGHBOURS_AT_ONCE + 1
        asked = {frame[ARP].pdst for frame in upstream.arp() if frame[ARP].op == 1}
        assert len(asked) <= allowed + 1
        bench.passes(bench.printer, IP(src=bench.printer.address, dst=NEIGHBOUR) / UDP(sport=1, dport=9), upstream)
    finally:
        network(bench, "del")


NEIGHBOUR = "10.9.0.2"


def network(bench: Bench, what: str) -> None:
    """Add or delete a wide network of the uplink's, with one host in it."""
    bench.ip(f"addr {what} 10.9.0.1/16 dev up0")
    with inside(bench.upstream.namespace):
        subprocess.run(["ip", "addr", what, f"{NEIGHBOUR}/16", "dev", "w0"], check=True)
