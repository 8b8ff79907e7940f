"""What must and must not pass, each as a function of a bench: docs/security.md names them, test_wire.py runs them.

A scenario sends real frames and looks at every wire; `SCENARIOS` maps its name to it and to the spec it is for.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from init import sysctl
from scapy.layers.inet import IPOption_LSRR, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6
from wires import (
    ARP,
    GATEWAY,
    ICMP,
    IP,
    OTHER_RESOLVER,
    PAIRED,
    RESOLVER,
    SERVER,
    TCP,
    UDP,
    UPLINK,
    Bench,
    Ether,
    Packet,
    Wire,
    inside,
    limited,
)

from builder.model import Clients, Dns
from builder.model import Router as Spec
from builder.traffic import ARP_PER_SECOND, FRAGMENTS_PER_SECOND, QUESTIONS_PER_SECOND

QUIET = 0.05
NOBODY = "0.0.0.0"  # noqa: S104  (a sender without an address)
DEFAULT = Spec()
DEAF = Spec(clients=Clients(dns=Dns.NONE))


@dataclass(frozen=True)
class Scenario:
    """One thing that is shown on the wire, and the spec whose ruleset it is shown with."""

    run: Callable[[Bench], None]
    spec: Spec


SCENARIOS: dict[str, Scenario] = {}


def shown(spec: Spec = DEFAULT) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    def add(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        SCENARIOS[run.__name__] = Scenario(run, spec)
        return run

    return add


def out(bench: Bench, sport: int, dport: int = 443) -> Packet:
    """A datagram of the laptop to the outside."""
    return IP(src=bench.laptop.address, dst=SERVER) / UDP(sport=sport, dport=dport) / b"hello"


def syn(source: str, target: str, sport: int, dport: int, flags: str = "S", **fields: object) -> Packet:
    return IP(src=source, dst=target) / TCP(sport=sport, dport=dport, flags=flags, seq=100, **fields)


def of(layer: type[Packet], **fields: object) -> Callable[[Packet], bool]:
    """Whether a packet has a layer with these fields."""

    def what(packet: Packet) -> bool:
        found = packet.getlayer(layer)
        return found is not None and all(getattr(found, name) == value for name, value in fields.items())

    return what


def opened(bench: Bench, sport: int, dport: int = 443) -> int:
    """The laptop talks to the server; returns the port that upstream sees."""
    came = bench.passes(bench.laptop, out(bench, sport, dport), bench.upstream, of(UDP, dport=dport))
    assert came[IP].src == UPLINK
    return int(came[UDP].sport)


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
        bench.passes(laptop, IP(src=laptop.address, dst=laptop.router) / ICMP(), laptop, reply)[IP].src == "100.64.0.0"
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
def fragments_are_paced(bench: Bench) -> None:
    bench.clear()
    before = bench.counters()
    laptop = bench.laptop
    lone = IP(src=laptop.address, dst=SERVER, flags="MF", proto=17) / bytes(16)
    laptop.send(*[laptop.frame(lone)] * (FRAGMENTS_PER_SECOND * 2 + 300))
    time.sleep(QUIET)
    moved = bench.moved(before)
    assert set(moved) == {"too_many_fragments"}
    assert moved["too_many_fragments"] >= 200
    assert not bench.upstream.packets()
    whole = IP(src=bench.printer.address, dst=SERVER, id=5) / UDP(sport=7, dport=9) / bytes(2000)
    *others, last = fragment(whole, 1000)
    bench.printer.send(*others)
    bench.passes(bench.printer, last, bench.upstream)


@shown()
def clients_are_kept_apart(bench: Bench) -> None:
    """Whatever is asked, and also where an error or an answer is made up."""
    laptop, printer = bench.laptop, bench.printer
    for layer in (UDP(sport=1, dport=2), TCP(sport=1, dport=22, flags="S"), ICMP()):
        bench.refused(laptop, IP(src=laptop.address, dst=printer.address) / layer, by="isolated")
        bench.refused(laptop, IP(src=laptop.address, dst=bench.outsider.address) / layer, by="isolated")
    bench.refused(laptop, IP(src=laptop.address, dst="100.64.0.200") / UDP(sport=1, dport=2), by="isolated")


@shown()
def a_client_cannot_meddle_in_another_s_connections(bench: Bench) -> None:
    """Its ICMP errors count for its own connections alone, towards the outside and towards the other client."""
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
    opened(bench, 3999)
    bench.passes(bench.upstream, IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=3999), laptop)
    bench.clear()
    before = bench.counters()
    for port in range(4000, 4030):
        laptop.send(out(bench, port))
    bench.upstream.wait(of(UDP, sport=4018))
    time.sleep(QUIET)
    assert bench.moved(before) == {"too_many_connections": 11}
    assert sorted(packet[UDP].sport for packet in bench.upstream.packets()) == list(range(4000, 4019))
    bench.refused(laptop, IP(src=laptop.address, dst=laptop.router) / ICMP(id=77), by="too_many_connections")
    bench.passes(laptop, out(bench, 3999), bench.upstream)  # those it has go on
    bench.passes(printer, IP(src=printer.address, dst=SERVER) / UDP(sport=4000, dport=1), bench.upstream)


# ---- what an uplink may not


@shown()
def an_uplink_reaches_no_client_unasked(bench: Bench) -> None:
    upstream, laptop = bench.upstream, bench.laptop
    for layer in (UDP(sport=1, dport=2), TCP(sport=1, dport=22, flags="S"), ICMP()):
        bench.refused(upstream, IP(src=GATEWAY, dst=laptop.address) / layer, by="from_uplink")
        bench.refused(upstream, IP(src=GATEWAY, dst=bench.outsider.address) / layer, by="from_uplink")
    bench.refused(upstream, IP(src=GATEWAY, dst=SERVER) / UDP(sport=1, dport=2), by="from_uplink")  # nor its own side
    bench.refused(upstream, IP(src=GATEWAY, dst=laptop.address, ttl=1) / ICMP(), by="from_uplink")  # and no error tells
    bench.refused(upstream, syn(SERVER, UPLINK, 443, 8080), by="to_router")
    bench.refused(upstream, IP(src=GATEWAY, dst="255.255.255.255") / UDP(sport=1, dport=2), by="to_router")


@shown()
def other_interfaces_lead_nowhere(bench: Bench) -> None:
    """One that is neither an uplink nor a client's is never forwarded to, wherever the routes say it goes."""
    bench.ip("link add odd0 type veth peer name odd1")
    bench.ip("link set odd1 up")
    bench.ip("link set odd0 up")
    bench.ip("route add 198.51.100.0/24 dev odd0")
    try:
        laptop = bench.laptop
        bench.refused(laptop, IP(src=laptop.address, dst="198.51.100.7") / UDP(sport=1, dport=2), by="elsewhere")
    finally:
        bench.ip("link del odd0")


@shown()
def an_uplink_s_sender_is_held_to_the_way_back(bench: Bench) -> None:
    upstream = bench.upstream
    for target in (UPLINK, bench.laptop.address, SERVER):
        for source in (bench.laptop.address, "100.64.0.200"):
            bench.refused(upstream, IP(src=source, dst=target) / UDP(sport=1, dport=2), by="pool_from_uplink")
    for source in (bench.outsider.address, bench.outsider.router, UPLINK):
        bench.refused(upstream, IP(src=source, dst=UPLINK) / UDP(sport=1, dport=2), by="reverse_path")


@shown()
def dhcp_answers_reach_the_uplink(bench: Bench) -> None:
    """A few a second; and one that comes before there is any way back counts as no refusal, whoever listens to it."""
    upstream = bench.upstream
    offer = IP(src="172.31.0.1", dst=UPLINK) / UDP(sport=67, dport=68) / bytes(240)
    bench.clear()
    before = bench.counters()
    with inside(bench.router):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("", 68))
    client.settimeout(2)
    upstream.send(offer)
    assert len(client.recv(2000)) == 240
    client.close()
    bench.ip("route del default")
    try:
        upstream.send(offer)
        time.sleep(QUIET)
    finally:
        bench.lease(UPLINK)
    assert bench.moved(before) == {}
    upstream.send(*[upstream.frame(offer)] * 100)
    time.sleep(QUIET)
    assert bench.moved(before).get("to_router", 0) >= 60


@shown()
def the_router_s_own_questions_are_answered(bench: Bench) -> None:
    """ConnMan's, for the time of day: answers and errors about them come in, and nothing else from the same server."""
    upstream = bench.upstream
    with inside(bench.router):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.connect((SERVER, 123))
    own.settimeout(2)
    bench.clear()
    own.send(b"time?")
    came = upstream.wait(of(UDP, dport=123))
    port = came[UDP].sport
    upstream.send(IP(src=SERVER, dst=UPLINK) / UDP(sport=123, dport=port) / b"now")
    assert own.recv(100) == b"now"
    bench.refused(upstream, IP(src=SERVER, dst=UPLINK) / UDP(sport=124, dport=port) / b"never", by="to_router")
    laptop = bench.laptop
    forged = IP(src=laptop.address, dst=UPLINK) / ICMP(type=3, code=3) / came[IP]
    bench.refused(laptop, forged, by="to_router")
    upstream.send(IP(src=SERVER, dst=UPLINK) / ICMP(type=3, code=3) / came[IP])
    try:
        own.recv(100)
        raise AssertionError("the error was not heard")
    except ConnectionRefusedError:
        own.close()


@shown()
def nobody_tells_the_router_its_routes(bench: Bench) -> None:
    """Neither a redirect about a connection of its own, nor one that a client would get, nor a route in the packet."""
    upstream, laptop = bench.upstream, bench.laptop
    with inside(bench.router):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.connect((SERVER, 123))
    bench.clear()
    own.send(b"time?")
    sent = upstream.wait(of(UDP, dport=123))[IP]
    sport = opened(bench, 1300)
    theirs = IP(src=UPLINK, dst=SERVER) / UDP(sport=sport, dport=443) / b"hello"
    bench.clear()
    for _ in range(2):  # a kernel that believes it first asks who that is
        for quoted in (sent, theirs):
            upstream.send(IP(src=GATEWAY, dst=UPLINK) / ICMP(type=5, code=1, gw=OTHER_RESOLVER) / quoted)
        time.sleep(QUIET)
    own.close()
    assert f"via {GATEWAY} " in bench.ip(f"route get {SERVER}")
    assert not laptop.packets()
    before = bench.counters()
    for wire, target in ((laptop, laptop.router), (upstream, UPLINK)):
        routed = IP(src=wire.address, dst=target, options=IPOption_LSRR(routers=[bench.printer.address]))
        wire.send(routed / UDP(sport=1, dport=2))
    time.sleep(QUIET)
    assert not any(wire.packets() for wire in bench.wires)
    assert bench.moved(before) == {}  # the kernel drops it before any rule is asked


# ---- nothing leaves with a client's address


@shown()
def nothing_leaves_without_its_masquerade(bench: Bench) -> None:
    """Also what the router itself would send from an address of the clients' space."""
    for source in (bench.laptop.router, bench.outsider.router):
        bench.clear()
        before = bench.counters()
        with inside(bench.router):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.bind((source, 0))
            with suppress(PermissionError):  # the firewall's no, told to whoever sends
                sender.sendto(b"x", (SERVER, 9))
            sender.close()
        time.sleep(QUIET)
        assert bench.moved(before) == {"unmasqueraded": 1}
        assert not bench.upstream.packets()


@shown()
def errors_quote_no_client(bench: Bench) -> None:
    """The router's own errors, about answers that are too late or too big, show upstream what upstream knows."""
    port = opened(bench, 3100)
    bench.clear()
    answer = IP(src=SERVER, dst=UPLINK, ttl=1) / UDP(sport=443, dport=port) / b"late"
    bench.upstream.send(answer)
    came = bench.upstream.wait(of(ICMP, type=11))
    assert (came[IP].src, bytes(came[ICMP].payload)[16:20]) == (UPLINK, bytes([10, 0, 2, 15]))
    bench.no_client_left()


# ---- ARP


def who_has(sender: str, target: str, **fields: object) -> Packet:
    return Ether(dst="ff:ff:ff:ff:ff:ff", **fields) / ARP(op=1, psrc=sender, pdst=target)


@shown()
def arp_is_about_the_two_ends(bench: Bench) -> None:
    """The router answers for its own address at that interface alone, and learns from a client nothing about others."""
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
        reply = layer(sport=53, dport=came[layer].sport, **({"flags": "SA", "ack": 1} if layer is TCP else {}))
        back = bench.passes(bench.upstream, IP(src=RESOLVER, dst=UPLINK) / reply, laptop)
        assert (back[IP].src, back[IP].dst) == (laptop.router, laptop.address)


@shown()
def two_resolvers_take_turns(bench: Bench) -> None:
    bench.resolve_by(RESOLVER, OTHER_RESOLVER)
    try:
        asked = {
            bench.passes(bench.laptop, question(bench, port), bench.upstream, of(UDP, dport=53))[IP].dst
            for port in range(1600, 1606)
        }
        assert asked == {RESOLVER, OTHER_RESOLVER}
    finally:
        bench.resolve_by(RESOLVER)


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
    for liar, by in ((bench.printer.address, "isolated"), (UPLINK, "to_router"), ("100.64.0.200", "isolated")):
        bench.resolve_by(liar)
        try:
            bench.refused(bench.laptop, question(bench, 1900), by=by)
        finally:
            bench.resolve_by(RESOLVER)


# ---- path MTU


@shown()
def too_big_is_told_both_ways(bench: Bench) -> None:
    """ICMP `fragmentation needed` belongs to its connection, and quotes what its receiver sent."""
    port = opened(bench, 3200)
    upstream, laptop = bench.upstream, bench.laptop
    quoted = IP(src=UPLINK, dst=SERVER) / UDP(sport=port, dport=443) / bytes(64)
    told = IP(src="192.0.2.1", dst=UPLINK) / ICMP(type=3, code=4, nexthopmtu=1280) / quoted
    came = bench.passes(upstream, told, laptop, of(ICMP, type=3, code=4))
    assert (came[IP].dst, came[ICMP].nexthopmtu) == (laptop.address, 1280)
    assert bytes(came[ICMP].payload)[12:16] == bytes([100, 64, 0, 1])
    answer = IP(src=SERVER, dst=laptop.address) / UDP(sport=443, dport=3200) / bytes(64)
    told = IP(src=laptop.address, dst=SERVER) / ICMP(type=3, code=4, nexthopmtu=1300) / answer
    came = bench.passes(laptop, told, upstream, of(ICMP, type=3, code=4))
    assert (came[IP].src, came[ICMP].nexthopmtu) == (UPLINK, 1300)
    bench.no_client_left()


@shown()
def the_router_says_what_does_not_fit(bench: Bench) -> None:
    """To whoever sent it, with the narrower link's size, and hides the client from upstream."""
    port = opened(bench, 3300)
    upstream, laptop = bench.upstream, bench.laptop
    bench.ip("link set c400000 mtu 1300")
    try:
        bench.clear()
        upstream.send(IP(src=SERVER, dst=UPLINK, flags="DF") / UDP(sport=443, dport=port) / bytes(1372))
        came = upstream.wait(of(ICMP, type=3, code=4))
        assert (came[IP].src, came[ICMP].nexthopmtu) == (UPLINK, 1300)
        bench.no_client_left()
    finally:
        bench.ip("link set c400000 mtu 1500")
    bench.ip("link set up0 mtu 1300")
    try:
        bench.clear()
        laptop.send(IP(src=laptop.address, dst=SERVER, flags="DF") / UDP(sport=3300, dport=443) / bytes(1372))
        came = laptop.wait(of(ICMP, type=3, code=4))
        assert (came[IP].src, came[ICMP].nexthopmtu) == (laptop.router, 1300)
    finally:
        bench.ip("link set up0 mtu 1500")


@shown()
def segments_fit_the_narrower_link(bench: Bench) -> None:
    """In the SYN of either side, whichever link is the narrow one; a small one stays as it is."""
    mss = [("MSS", 1460)]
    sport = 3400
    for narrow in ("c400000", "up0"):
        bench.ip(f"link set {narrow} mtu 1300")
        try:
            sport += 1
            came = bench.passes(bench.laptop, syn(bench.laptop.address, SERVER, sport, 80, options=mss), bench.upstream)
            assert dict(came[TCP].options)["MSS"] == 1260, narrow
            answer = syn(SERVER, UPLINK, 80, came[TCP].sport, "SA", ack=101, options=mss)
            assert dict(bench.passes(bench.upstream, answer, bench.laptop)[TCP].options)["MSS"] == 1260, narrow
        finally:
            bench.ip(f"link set {narrow} mtu 1500")
    small = syn(bench.laptop.address, SERVER, 3410, 80, options=[("MSS", 536)])
    assert dict(bench.passes(bench.laptop, small, bench.upstream)[TCP].options)["MSS"] == 536


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
def a_forwarded_port_reaches_its_client(bench: Bench) -> None:
    """And that port alone; the client sees who asked, upstream sees the uplink answer."""
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
    bench.refused(bench.printer, syn(bench.printer.address, UPLINK, 7003, 8080), by="to_router")
    bench.no_client_left()


@shown(PAIRED)
def a_forwarded_port_of_a_client_that_is_not_there(bench: Bench) -> None:
    """Leads nowhere: neither back out of the uplink nor to an interface that is not admitted yet."""
    laptop, name = bench.laptop, "c400000"
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
    """What comes to a client by a forwarded port counts among its own; what it opens to another client, too."""
    bench.clear()
    before = bench.counters()
    for port in range(9000, 9050):
        bench.upstream.send(syn(SERVER, UPLINK, port, 8080))
    time.sleep(QUIET)
    assert bench.moved(before) == {"too_many_connections": 10}
    assert len(bench.laptop.packets()) == 40
    laptop = bench.laptop
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
    """Nothing of it is forwarded, answered or believed, by the settings alone and by the table alone."""
    bench.nft("delete table ip6 netvm\n")
    assert says_nothing_in_ipv6(bench) == {}


@shown()
def ipv6_is_off_even_where_it_is_on(bench: Bench) -> None:
    """With the settings undone, the table lets nothing in, and nothing out."""
    names = ("c400000", "up0")
    with inside(bench.router):
        sysctl.apply((("ipv6/conf/all/forwarding", "1"), *((f"ipv6/conf/{name}/disable_ipv6", "0") for name in names)))
    try:
        assert set(moved := says_nothing_in_ipv6(bench)) == {"ipv6"}, moved
        assert moved["ipv6"] >= 8
        bench.ip("-6 addr add 2001:db8:2::1/64 dev up0 nodad")
        before = bench.counters()
        with inside(bench.router):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            with suppress(PermissionError):  # the firewall's no, told to whoever sends
                sender.sendto(b"x", ("2001:db8:2::2", 9))
            sender.close()
        time.sleep(0.5)  # and what a kernel says by itself when IPv6 comes up
        assert bench.moved(before).get("ipv6", 0) >= 1
        assert not any(wire.packets() for wire in bench.wires)
    finally:
        with inside(bench.router):
            sysctl.apply(tuple((f"ipv6/conf/{name}/disable_ipv6", "1") for name in names))
