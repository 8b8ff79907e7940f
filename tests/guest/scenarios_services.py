# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Services of the spec: where clients reach them, and what they send.

A service is a socket here that a process of the service's user has made: the firewall tells it by that (`meta skuid`).
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from netvm_build.model import RootImage, Service
from netvm_build.model import Router as Spec
from netvm_build.spec.rules.traffic import QUESTIONS_PER_SECOND
from shows import NOBODY, QUIET, of, shown, syn
from wires import GATEWAY, ICMP, IP, SERVER, TCP, UDP, UPLINK, Packet, Wire, inside
from workbench import Bench, limited

PORT, QUIET_PORT = 5300, 5400
SERVED = Spec(
    image=RootImage(
        services=(
            Service("asks", ("/usr/bin/asks",), ports=(("udp", PORT), ("tcp", PORT)), outgoing=True),
            Service("quiet", ("/usr/bin/quiet",), ports=(("udp", QUIET_PORT),)),
            Service("fetches", ("/usr/bin/fetches",), outgoing=True),
            Service("nothing", ("/usr/bin/nothing",)),
        )
    )
)
"""Services with and without ports, and with and without `outgoing`."""

ASKS, QUIET_ONE, FETCHES, NOTHING = SERVED.image.users.values()
SOON_S = 3.0
LINGER = struct.pack("ii", 1, 0)
"""What is closed is reset, and sends nothing later."""


def made_by(bench: Bench, user: int, kind: int) -> socket.socket:
    """A socket in the router that a user has made."""
    with inside(bench.router):
        os.seteuid(user)
        try:
            made = socket.socket(socket.AF_INET, kind)
        finally:
            os.seteuid(0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    return made


@contextmanager
def service(bench: Bench, user: int, kind: int = socket.SOCK_DGRAM, port: int = 0) -> Iterator[socket.socket]:
    """A service's socket, at a port of all addresses of the router's."""
    with closing(made_by(bench, user, kind)) as made:
        made.settimeout(SOON_S)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((NOBODY, port))
        if kind == socket.SOCK_STREAM:
            made.listen()
        yield made


@contextmanager
def connecting(bench: Bench, user: int, target: tuple[str, int]) -> Iterator[None]:
    """A service opens a connection of TCP, and does not wait for it."""
    with closing(made_by(bench, user, socket.SOCK_STREAM)) as made:
        made.setblocking(False)
        made.connect_ex(target)
        yield


def question(wire: Wire, sport: int, target: str = "", port: int = PORT) -> Packet:
    return IP(src=wire.address, dst=target or wire.router) / UDP(sport=sport, dport=port) / b"?"


def answered(bench: Bench, wire: Wire, at: socket.socket, sport: int, port: int = PORT) -> None:
    """A client's question reaches a service, and its answer the client; no refusal counts."""
    bench.clear()
    before = bench.counters()
    wire.send(question(wire, sport, port=port))
    data, peer = at.recvfrom(100)
    assert (data, peer) == (b"?", (wire.address, sport))
    at.sendto(b"!", peer)
    came = wire.wait(of(UDP, sport=port, dport=sport))
    assert (came[IP].src, bytes(came[UDP].payload)[:1]) == (wire.router, b"!")
    assert bench.moved(before) == {}


def stopped(bench: Bench, one: socket.socket, *targets: tuple[str, int]) -> None:
    """What a service sends to these counts as its own, and comes out nowhere."""
    bench.clear()
    before = bench.counters()
    for target in targets:
        with suppress(PermissionError):
            one.sendto(b"x", target)
    time.sleep(QUIET)
    assert bench.moved(before) == {"by_service": len(targets)}
    came = [f"{wire.name}: {packet.summary()}" for wire in bench.wires for packet in wire.packets()]
    assert came == [], f"it came out: {came}"


def stopped_opening(bench: Bench, user: int, target: tuple[str, int]) -> None:
    """A service opens no connection of TCP to there."""
    bench.clear()
    before = bench.counters()
    with connecting(bench, user, target):
        time.sleep(QUIET)
        assert bench.moved(before) == {"by_service": 1}
    assert not any(wire.packets() for wire in bench.wires)


# ---- who reaches a service


@shown(SERVED)
def clients_reach_a_service_at_the_router_s_address(bench: Bench) -> None:
    """Each at its own router's, at the ports that the spec names; answers come from there, and a talk goes on."""
    with service(bench, ASKS, port=PORT) as asks, service(bench, QUIET_ONE, port=QUIET_PORT) as quiet:
        for wire in bench.clients:
            for sport in (8000, 8000, 8001):
                answered(bench, wire, asks, sport)
            answered(bench, wire, quiet, 8002, QUIET_PORT)
    laptop = bench.laptop
    with service(bench, ASKS, socket.SOCK_STREAM, PORT) as asks:
        came = bench.passes(laptop, syn(laptop.address, laptop.router, 8003, PORT), laptop, of(TCP, flags="SA"))
        assert (came[IP].src, came[TCP].sport, came[TCP].ack) == (laptop.router, PORT, 101)
        ack = IP(src=laptop.address, dst=laptop.router)
        ack /= TCP(sport=8003, dport=PORT, flags="PA", seq=101, ack=came[TCP].seq + 1) / b"?"
        bench.passes(laptop, ack, laptop, of(TCP, flags="A"))
        talk, peer = asks.accept()
        with closing(talk):
            talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            assert (talk.recv(100), peer) == (b"?", (laptop.address, 8003))
    assert not bench.upstream.packets()


@shown(SERVED)
def a_service_is_reached_nowhere_else(bench: Bench) -> None:
    """Not at another client's router, nor the uplink's address, nor at a port that the spec does not name."""
    laptop, printer = bench.laptop, bench.printer
    with service(bench, ASKS, port=PORT), service(bench, ASKS, socket.SOCK_STREAM, PORT):
        for target, by in (
            (printer.router, "to_router"),
            (bench.outsider.router, "to_router"),
            (UPLINK, "to_router"),
            (printer.address, "isolated"),
        ):
            bench.refused(laptop, question(laptop, 8100, target), by=by)
            bench.refused(laptop, syn(laptop.address, target, 8100, PORT), by=by)
        bench.refused(laptop, question(laptop, 8101, port=PORT + 1), by="to_router")
        bench.refused(laptop, syn(laptop.address, laptop.router, 8101, QUIET_PORT), by="to_router")
        bench.refused(laptop, question(printer, 8102, laptop.router), by="spoofed")
        bench.refused(laptop, syn(laptop.address, laptop.router, 8103, PORT, "SA"), by="invalid")


@shown(SERVED)
def an_uplink_reaches_no_service(bench: Bench) -> None:
    """At no address of the router's, not even in a client's name."""
    upstream, laptop = bench.upstream, bench.laptop
    with (
        service(bench, ASKS, port=PORT),
        service(bench, ASKS, socket.SOCK_STREAM, PORT),
        service(bench, QUIET_ONE, port=QUIET_PORT),
    ):
        for target, by in ((UPLINK, "to_router"), (laptop.router, "from_uplink")):
            for sender in (GATEWAY, SERVER):
                for layer in (UDP(sport=1, dport=PORT), UDP(sport=1, dport=QUIET_PORT)):
                    bench.refused(upstream, IP(src=sender, dst=target) / layer / b"?", by=by)
                bench.refused(upstream, syn(sender, target, 8200, PORT), by=by)
        bench.refused(upstream, question(laptop, 8201), by="pool_from_uplink")


@shown(SERVED)
def a_service_is_asked_so_often(bench: Bench) -> None:
    """Each client has a measure of its own, which pings use up too; what has been answered goes on."""
    laptop, printer = bench.laptop, bench.printer
    with service(bench, ASKS, port=PORT), service(bench, QUIET_ONE, port=QUIET_PORT) as quiet:
        answered(bench, laptop, quiet, 8300, QUIET_PORT)
        bench.clear()
        before = bench.counters()
        ping = IP(src=laptop.address, dst=laptop.router) / ICMP(id=8)
        frames = [laptop.frame(question(laptop, 8301)), laptop.frame(ping)]
        laptop.send(*frames * (QUESTIONS_PER_SECOND + 100))
        time.sleep(QUIET)
        moved = bench.moved(before)
        assert set(moved) == {"too_fast"}, moved
        assert moved["too_fast"] >= QUESTIONS_PER_SECOND + 100  # with a measure for each there were 200
        before = bench.counters()
        laptop.send(*[laptop.frame(question(laptop, 8300, port=QUIET_PORT))] * (QUESTIONS_PER_SECOND * 2))
        time.sleep(QUIET)
        assert bench.moved(before) == {}
    with service(bench, ASKS, port=PORT) as asks:
        answered(bench, printer, asks, 8302)


@shown(limited(SERVED, 20))
def connections_to_a_service_count(bench: Bench) -> None:
    """Among all that a client has; another client notices nothing."""
    laptop, printer = bench.laptop, bench.printer
    with service(bench, ASKS, port=PORT) as asks:
        answered(bench, laptop, asks, 8400)
        before = bench.counters()
        laptop.send(*[question(laptop, port) for port in range(8401, 8430)])
        time.sleep(QUIET)
        assert bench.moved(before) == {"too_many_connections": 10}
        outside = IP(src=laptop.address, dst=SERVER) / UDP(sport=8430, dport=7)
        bench.refused(laptop, outside, by="too_many_connections")
        assert [asks.recvfrom(100)[1][1] for _ in range(19)] == list(range(8401, 8420))
        answered(bench, laptop, asks, 8400)  # those it has go on
        answered(bench, printer, asks, 8400)


# ---- what a service sends


@shown(SERVED)
def a_service_without_outgoing_reaches_no_uplink(bench: Bench) -> None:
    """Neither by a port of its own nor by any other, and nothing else of the router's either."""
    targets = ((SERVER, 123), (GATEWAY, 53), (UPLINK, 9), ("127.0.0.1", 9), ("255.255.255.255", 67))
    for user, port in ((QUIET_ONE, QUIET_PORT), (QUIET_ONE, 0), (NOTHING, 0)):
        with service(bench, user, port=port) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            stopped(bench, one, *targets)
        stopped_opening(bench, user, (SERVER, 443))


@shown(SERVED)
def a_service_with_outgoing_reaches_an_uplink(bench: Bench) -> None:
    """By UDP and TCP, from the uplink's address, and gets the answers."""
    upstream = bench.upstream
    for user in (ASKS, FETCHES):
        with service(bench, user) as one:
            bench.clear()
            before = bench.counters()
            one.sendto(b"time?", (SERVER, 123))
            came = upstream.wait(of(UDP, dport=123))
            assert (came[IP].src, came[IP].dst) == (UPLINK, SERVER)
            upstream.send(IP(src=SERVER, dst=UPLINK) / UDP(sport=123, dport=came[UDP].sport) / b"now")
            assert one.recvfrom(100) == (b"now", (SERVER, 123))
            assert bench.moved(before) == {}
        bench.clear()
        with connecting(bench, user, (SERVER, 443)):
            came = upstream.wait(of(TCP, dport=443, flags="S"))
            answer = syn(SERVER, UPLINK, 443, came[TCP].sport, "SA", ack=came[TCP].seq + 1)
            bench.passes(upstream, answer, upstream, of(TCP, dport=443, flags="A"))
    bench.no_client_left()


@shown(SERVED)
def no_service_opens_a_connection_to_a_client(bench: Bench) -> None:
    """Not even to one that it has just answered, at another port."""
    laptop = bench.laptop
    for user in (ASKS, QUIET_ONE, FETCHES, NOTHING):
        with service(bench, user) as one:
            stopped(bench, one, *((wire.address, 22) for wire in bench.clients))
        stopped_opening(bench, user, (laptop.address, 22))
    for user, port in ((ASKS, PORT), (QUIET_ONE, QUIET_PORT)):
        with service(bench, user, port=port) as one:
            stopped(bench, one, (laptop.address, 8500))
            answered(bench, laptop, one, 8501, port)
            stopped(bench, one, (laptop.address, 8502), (bench.printer.address, 8501))
