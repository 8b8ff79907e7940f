# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""ARP and DNS."""

from __future__ import annotations

import time
from typing import Any

from netvm_build.spec.rules.traffic import ARP_PER_SECOND
from shows import DEAF, QUIET, of, shown
from wires import ARP, GATEWAY, ICMP, IP, OTHER_RESOLVER, PATIENCE_S, RESOLVER, SERVER, TCP, UDP, UPLINK, Ether, Packet
from workbench import Bench

# ---- ARP


def who_has(sender: str, target: str, **fields: Any) -> Packet:
    return Ether(dst="ff:ff:ff:ff:ff:ff", **fields) / ARP(op=1, psrc=sender, pdst=target)


@shown()
def arp_is_about_the_two_ends(bench: Bench) -> None:
    """The router answers only for its own address at that interface, and learns from a client nothing about others."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    mac = laptop.mac

    def asked(sender: str, target: str) -> bytes:
        return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=mac, psrc=sender, pdst=target))

    bench.clear()
    laptop.send(asked(laptop.address, laptop.router))
    end = time.monotonic() + 2
    while not [one for one in laptop.arp() if one[ARP].op == 2] and time.monotonic() < end:
        time.sleep(0.005)
    answers = [one[ARP] for one in laptop.arp() if one[ARP].op == 2]
    assert [(one.psrc, one.hwsrc.upper()) for one in answers] == [(laptop.router, laptop.router_mac)]
    for target in (printer.address, printer.router, UPLINK, SERVER):
        bench.refused(laptop, asked(laptop.address, target), by="arp_foreign")
        assert not [one for one in laptop.arp() if one[ARP].op == 2]
    for sender in (printer.address, laptop.router, UPLINK, GATEWAY):
        bench.refused(laptop, asked(sender, laptop.router), by="arp_spoofed")
        claim = Ether(src=mac, dst=laptop.router_mac) / ARP(op=2, hwsrc=mac, psrc=sender, pdst=laptop.router)
        bench.refused(laptop, bytes(claim), by="arp_spoofed")
    known = bench.ip("neigh show")
    assert not [
        line for line in known.splitlines() if mac.lower() in line and not line.startswith(laptop.address + " ")
    ]
    bench.clear()
    for target in (laptop.router, laptop.address, bench.outsider.router):
        frame = Ether(src=upstream.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(
            op=1, hwsrc=upstream.mac, psrc=GATEWAY, pdst=target
        )
        upstream.send(bytes(frame))
    time.sleep(QUIET)
    assert not [one for one in upstream.arp() if one[ARP].op == 2]


@shown()
def arp_is_paced(bench: Bench) -> None:
    laptop, printer = bench.laptop, bench.printer
    bench.clear()
    before = bench.counters()
    ask = ARP(op=1, hwsrc=laptop.mac, psrc=laptop.address, pdst=laptop.router)
    laptop.send(*[bytes(Ether(src=laptop.mac, dst="ff:ff:ff:ff:ff:ff") / ask)] * (ARP_PER_SECOND * 2 + 100))
    time.sleep(QUIET)
    moved = bench.moved(before)
    assert set(moved) == {"arp_too_fast"}
    assert moved["arp_too_fast"] >= 90
    assert len([one for one in laptop.arp() if one[ARP].op == 2]) <= ARP_PER_SECOND + 10
    printer.send(
        bytes(
            Ether(src=printer.mac, dst="ff:ff:ff:ff:ff:ff")
            / ARP(op=1, hwsrc=printer.mac, psrc=printer.address, pdst=printer.router)
        )
    )
    time.sleep(QUIET)
    assert [one for one in printer.arp() if one[ARP].op == 2]


# ---- DNS


def question(bench: Bench, sport: int, layer: type[Packet] = UDP) -> Packet:
    asked = layer(sport=sport, dport=53, flags="S") if layer is TCP else layer(sport=sport, dport=53) / b"question"
    return IP(src=bench.laptop.address, dst=bench.laptop.router) / asked


@shown()
def dns_goes_to_the_uplink_s_resolver(bench: Bench) -> None:
    """By UDP and TCP, and the answer comes from whom the client asked."""
    laptop = bench.laptop
    for layer in (UDP, TCP):
        came = bench.passes(laptop, question(bench, 1500, layer), bench.upstream, of(layer, dport=53))
        assert (came[IP].src, came[IP].dst) == (UPLINK, RESOLVER)
        flags: dict[str, Any] = {"flags": "SA", "ack": 1} if layer is TCP else {}
        reply = layer(sport=53, dport=came[layer].sport, **flags)
        back = bench.passes(bench.upstream, IP(src=RESOLVER, dst=UPLINK) / reply, laptop)
        assert (back[IP].src, back[IP].dst) == (laptop.router, laptop.address)


@shown()
def several_resolvers_take_turns(bench: Bench) -> None:
    for resolvers in ((RESOLVER, OTHER_RESOLVER), (RESOLVER, OTHER_RESOLVER, GATEWAY)):
        bench.resolve_by(*resolvers)
        try:
            asked = [
                bench.passes(bench.laptop, question(bench, port), bench.upstream, of(UDP, dport=53))[IP].dst
                for port in range(1600, 1606)
            ]
            assert sorted(asked) == sorted(resolvers * (6 // len(resolvers)))
        finally:
            bench.resolve_by(RESOLVER)
            bench.forget_all()


@shown()
def two_questions_at_once_are_both_answered(bench: Bench) -> None:
    """As glibc asks, from one socket: the router tracks the second before it has decided about the first."""
    laptop, upstream = bench.laptop, bench.upstream
    ports = range(1750, 1780)
    bench.resolve_by(RESOLVER, OTHER_RESOLVER)
    try:
        with bench.in_batches():
            bench.clear()
            before = bench.counters()
            for port in ports:
                laptop.send(question(bench, port), question(bench, port))
            end = time.monotonic() + PATIENCE_S
            while len(asked := [one for one in upstream.packets() if UDP in one]) < 60 and time.monotonic() < end:
                time.sleep(0.005)
            upstream.send(
                *[IP(src=one[IP].dst, dst=UPLINK) / UDP(sport=53, dport=one[UDP].sport) / b"no" for one in asked]
            )
            while len(heard := [one for one in laptop.packets() if UDP in one]) < 60 and time.monotonic() < end:
                time.sleep(0.005)
            assert sorted(one[UDP].dport for one in heard) == sorted([*ports, *ports])
            assert bench.moved(before) == {}
    finally:
        bench.resolve_by(RESOLVER)
        bench.forget_all()


@shown()
def dns_without_a_resolver_is_refused(bench: Bench) -> None:
    """At once, so that a client does not wait; and again answered as soon as there is one."""
    bench.resolve_by()
    try:
        dns_is_refused(bench)
    finally:
        bench.resolve_by(RESOLVER)
    bench.passes(bench.laptop, question(bench, 1700), bench.upstream, of(UDP, dport=53))


@shown(DEAF)
def dns_is_refused(bench: Bench) -> None:
    laptop = bench.laptop
    bench.refused(laptop, question(bench, 1701), by="dns_refused", answered=True)
    (no,) = laptop.packets()
    assert (no[ICMP].type, no[ICMP].code, no[IP].src) == (3, 3, laptop.router)
    bench.refused(laptop, question(bench, 1701, TCP), by="dns_refused", answered=True)
    (no,) = laptop.packets()
    assert (str(no[TCP].flags), no[IP].src) == ("RA", laptop.router)


@shown()
def no_question_reaches_a_former_resolver(bench: Bench) -> None:
    """Not even one of the same port, whose connection is known: refused with the change, and then asked anew."""
    laptop, upstream = bench.laptop, bench.upstream
    came = bench.passes(laptop, question(bench, 1800), upstream, of(UDP, dport=53))
    assert came[IP].dst == RESOLVER
    bench.resolvers = (OTHER_RESOLVER,)
    try:
        bench.tell_elements()  # the moment between the firewall's change and the purge
        bench.refused(laptop, question(bench, 1800), by="dns_stale")
        bench.resolvers = (RESOLVER,)
        bench.resolve_by(OTHER_RESOLVER)
        came = bench.passes(laptop, question(bench, 1800), upstream, of(UDP, dport=53))
        assert came[IP].dst == OTHER_RESOLVER
        bench.refused(upstream, IP(src=RESOLVER, dst=UPLINK) / UDP(sport=53, dport=1800) / b"late", by="to_router")
    finally:
        bench.resolve_by(RESOLVER)


@shown()
def a_resolver_among_the_clients_gets_nothing(bench: Bench) -> None:
    """A DHCP server that lies cannot make one client the resolver of another, nor the router its own."""
    for liar, by in ((bench.printer.address, "isolated"), (UPLINK, "to_router"), ("100.115.92.200", "isolated")):
        bench.resolve_by(liar)
        try:
            bench.refused(bench.laptop, question(bench, 1900), by=by)
        finally:
            bench.resolve_by(RESOLVER)
