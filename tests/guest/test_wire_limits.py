# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What one sender does at a pace and for seconds, and what others notice of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from scenarios_clients import NEIGHBOUR, network
from scenarios_fragments import firsts, fresh, piece, pieces, udp
from shows import DEFAULT, of, out, syn
from wires import IP, SERVER, TCP, UDP, UPLINK, Wire
from workbench import PAIRED, Bench, limited, standing

pytestmark = pytest.mark.integration

TRICKLE_S = 1.0


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


def paced(seconds: float, per_second: int, send: Callable[[int], None], meanwhile: Callable[[], None]) -> int:
    """Call `send` so often a second, with numbers from 0, and `meanwhile` once a second; returns how often."""
    begun, sent, last = time.monotonic(), count(), 0
    number = next(sent)
    while (passed := time.monotonic() - begun) < seconds:
        while number < passed * per_second:
            send(number)
            number = next(sent)
        if int(passed / TRICKLE_S) > last:
            last = int(passed / TRICKLE_S)
            meanwhile()
        time.sleep(0.001)
    return number


def fragmented_datagrams(bench: Bench, wire: Wire, many: int = 10) -> int:
    """How many of so many datagrams in two fragments come out upstream."""
    bench.upstream.collect()
    bench.upstream.seen.clear()
    for number in fresh(many):
        wire.send(*pieces(wire, SERVER, number, udp(4300, 443, 2000)))
    end = time.monotonic() + 0.5
    while firsts(bench.upstream) < many and time.monotonic() < end:
        time.sleep(0.005)
    return firsts(bench.upstream)


@pytest.mark.parametrize(("where", "per_second", "seconds"), [("client", 400, 6), ("outside", 220, 11)])
def test_lone_fragments_of_one_sender_stop_nobody_else_s(
    bench: Bench, where: str, per_second: int, seconds: int
) -> None:
    """By the kernel's own limit all fragments were refused for half a minute after some seconds of this."""
    bench.load(bench.spec)
    wire, target, source = (bench.laptop, SERVER, "") if where == "client" else (bench.upstream, UPLINK, "198.51.100.7")
    arrived: list[int] = []

    def send(_: int) -> None:
        wire.send(piece(wire, target, fresh(1)[0], bytes(1400), source=source))

    paced(seconds, per_second, send, lambda: arrived.append(fragmented_datagrams(bench, bench.printer)))
    assert arrived == [10] * (seconds - 1)


def test_a_tunnel_in_two_fragments_has_its_rate(bench: Bench) -> None:
    """10 Mbit/s of UDP in datagrams of 1500 bytes and more: 835 a second, and four times as many."""
    bench.load(bench.spec)
    upstream, laptop = bench.upstream, bench.laptop
    for per_second in (835, 3300):
        bench.clear()
        before = bench.counters()
        came = 0

        def send(_: int) -> None:
            laptop.send(*pieces(laptop, SERVER, fresh(1)[0], udp(4400, 443, 1500)))

        def meanwhile() -> None:
            nonlocal came
            came += firsts(upstream)
            upstream.seen.clear()

        sent = paced(3, per_second, send, meanwhile)
        time.sleep(0.2)
        meanwhile()
        assert bench.moved(before) == {}
        assert sent == came
        assert sent > 2.8 * per_second


def test_many_names_are_asked_for_without_a_refusal(bench: Bench) -> None:
    """Sixty a second, all answered: with a third of the usual limit, where half a minute of them would not fit."""
    bench.load(limited(DEFAULT, 340))
    laptop, upstream = bench.laptop, bench.upstream
    bench.clear()
    before = bench.counters()
    answered: set[int] = set()

    def ask(number: int) -> None:
        laptop.send(IP(src=laptop.address, dst=laptop.router) / UDP(sport=20000 + number, dport=53) / b"question")
        for data in upstream.collect():
            if data[12:14] == b"\x08\x00" and data[36:38] == b"\0\x35":
                asked = upstream_packet(data)
                answered.add(asked[UDP].sport)
                upstream.send(IP(src=asked[IP].dst, dst=UPLINK) / UDP(sport=53, dport=asked[UDP].sport) / b"answer")
        upstream.seen.clear()

    asked = paced(9, 60, ask, lambda: None)
    assert asked > 500
    assert bench.moved(before) == {}
    assert len(answered) > 450  # numbers drawn twice count once


def upstream_packet(data: bytes) -> IP:
    return IP(data[14:])


def test_forged_syns_stop_neither_the_client_nor_its_port(bench: Bench) -> None:
    """1100 of them: the client opens connections meanwhile, and others still reach its port."""

    def forged(third: int) -> list[bytes]:
        senders = [f"198.51.{third + number // 250}.{1 + number % 250}" for number in range(1100)]
        return [upstream.frame(syn(sender, UPLINK, 1024 + number, 8080)) for number, sender in enumerate(senders)]

    spec = limited(PAIRED, 1024)
    bench.load(spec)
    laptop, upstream = bench.laptop, bench.upstream
    bench.clear()
    before = bench.counters()
    upstream.send(*forged(100))
    time.sleep(0.2)
    assert bench.moved(before) == {}
    bench.passes(laptop, out(bench, 4500), upstream, of(UDP, dport=443))
    bench.passes(upstream, syn(SERVER, UPLINK, 5100, 8080), laptop, of(TCP, sport=5100))
    upstream.send(*forged(110))
    time.sleep(4)  # there may be no more room for them at once, but soon
    assert set(bench.moved(before)) <= {"too_many_connections"}
    bench.passes(upstream, syn(SERVER, UPLINK, 5101, 8080), laptop, of(TCP, sport=5101))


def test_clients_that_scan_delay_no_other_s_neighbour(bench: Bench) -> None:
    """Two of them try 900 hosts each; a third reaches a host that nobody has asked for yet, at once."""
    bench.load(DEFAULT)
    outsider, upstream = bench.outsider, bench.upstream
    network(bench, "add")
    try:
        before = bench.counters()
        for number in range(900):
            for place, wire in enumerate((bench.laptop, bench.printer)):
                target = f"10.9.{10 + place * 10 + number // 250}.{1 + number % 250}"
                wire.send(IP(src=wire.address, dst=target) / UDP(sport=1024, dport=9))
        begun = time.monotonic()
        bench.passes(outsider, IP(src=outsider.address, dst=NEIGHBOUR) / UDP(sport=1024, dport=9), upstream)
        assert time.monotonic() - begun < 0.5
        refused = bench.moved(before)["too_many_neighbours"]
        assert refused > 1000, refused
        waiting = bench.ip("neigh show dev up0").count("INCOMPLETE")
        assert waiting <= 1800 - refused
    finally:
        network(bench, "del")
