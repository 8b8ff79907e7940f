# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Fragments: what one sender may make the router keep, and that what arrives whole is not counted."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from itertools import count, islice

from fuzz import checksum, octets
from netvm_build.spec.rules.fragments import FEW, LARGE, MANY, REMEMBERED_MS, WAITING
from shows import DEFAULT, QUIET, opened, shown
from wires import GATEWAY, IP, SERVER, UDP, UPLINK, Wire
from workbench import Bench

MORE, WHOLE = 300, 2000
ICMP = 1
NUMBERS = count(1)


def fresh(many: int) -> list[int]:
    """Identifications of datagrams that nothing of an earlier scenario has."""
    return [number & 0xFFFF for number in islice(NUMBERS, many)]


def piece(
    wire: Wire,
    target: str,
    number: int,
    data: bytes,
    *,
    at: int = 0,
    more: bool = True,
    source: str = "",
    proto: int = 17,
) -> bytes:
    """A frame with one fragment of datagram `number`: `data` from byte `at` on."""
    size, place = 20 + len(data), at // 8 | (0x2000 if more else 0)
    ends = octets(source or wire.address), octets(target)
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 69, 0, size, number, place, 64, proto, 0, *ends))
    head[10:12] = struct.pack("!H", checksum(bytes(head)))
    link = bytes.fromhex((wire.router_mac + wire.mac).replace(":", "")) + b"\x08\x00"
    return link + bytes(head) + data


def pieces(
    wire: Wire, target: str, number: int, payload: bytes, *, size: int = 1480, source: str = "", proto: int = 17
) -> list[bytes]:
    """The frames of one datagram in fragments of so many bytes."""
    cut = [(at, payload[at : at + size]) for at in range(0, len(payload), size)]
    return [
        piece(wire, target, number, data, at=at, more=at + size < len(payload), source=source, proto=proto)
        for at, data in cut
    ]


def udp(sport: int, dport: int, size: int) -> bytes:
    """A datagram of UDP without a checksum."""
    return struct.pack("!HHHH", sport, dport, 8 + size, 0) + bytes(size)


def lone(wire: Wire, target: str, many: int, source: str = "") -> list[bytes]:
    """Last fragments without a first, about which no router tells the sender anything."""
    return [piece(wire, target, number, bytes(600), at=1480, more=False, source=source) for number in fresh(many)]


def accepted(bench: Bench, wire: Wire, frames: list[bytes]) -> int:
    """How many of these frames are not refused as too many fragments; no other counter moves."""
    bench.clear()
    before = bench.counters()
    wire.send(*frames)
    time.sleep(QUIET)
    moved = bench.moved(before)
    assert set(moved) <= {"too_many_fragments"}
    return len(frames) - moved.get("too_many_fragments", 0)


AHEAD = 40
"""So many datagrams may be under way."""


def arrive(bench: Bench, wire: Wire, out: Wire, frames: list[bytes], many: int) -> None:
    """So many datagrams come out whole, and nothing is refused."""
    bench.clear()
    before = bench.counters()
    for start in range(0, len(frames), 20):
        wire.send(*frames[start : start + 20])
        time.sleep(0.001)
        # A busy machine's queues lose what is far ahead of the router.
        due, patience = (start + 20) * many // len(frames) - AHEAD, time.monotonic() + 0.5
        while firsts(out) < due and time.monotonic() < patience:
            time.sleep(0.002)
    end = time.monotonic() + 5
    while (came := firsts(out)) < many and time.monotonic() < end:
        time.sleep(0.01)
    moved = bench.moved(before)
    assert (came, moved) == (many, {}), f"{came} of {many}, {moved}"


def firsts(wire: Wire) -> int:
    """First fragments that came out of a wire, one for each datagram."""
    return sum(1 for data in wire.collect() if data[12:14] == b"\x08\x00" and data[20:22] == b"\x20\x00")


@shown()
def a_client_has_so_many_incomplete_datagrams(bench: Bench) -> None:
    """Another client's still arrive, whatever comes from outside."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    numbers = fresh(8 * WAITING)
    pairs = [piece(laptop, SERVER, number, bytes(64), at=at) for number in numbers for at in (64, 128)]
    assert WAITING * 1.95 < accepted(bench, laptop, pairs) <= WAITING * 2
    everywhere = [f"198.51.100.{1 + number % 200}" for number in range(8 * WAITING)]
    pairs = [
        piece(upstream, UPLINK, number, bytes(64), at=at, source=source)
        for number, source in zip(numbers, everywhere, strict=True)
        for at in (64, 128)
    ]
    assert WAITING * 3.9 < accepted(bench, upstream, pairs) <= WAITING * 4
    bench.refused(upstream, *lone(upstream, laptop.address, 3), by="from_uplink")
    frames = [frame for number in fresh(10) for frame in pieces(printer, SERVER, number, udp(7, 9, WHOLE))]
    arrive(bench, printer, upstream, frames, 10)


ASKED, PLACES = 50, 64
"""What a spec asks for, and the power of two that it fits in."""


@shown(replace(DEFAULT, clients=replace(DEFAULT.clients, fragments=ASKED)))
def a_client_has_as_many_incomplete_datagrams_as_the_spec_says(bench: Bench) -> None:
    """And each part of the outside half as many; what arrives whole is not counted."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    assert PLACES * 0.98 < accepted(bench, laptop, lone(laptop, SERVER, 16 * PLACES)) <= PLACES
    assert PLACES * 0.47 < accepted(bench, upstream, lone(upstream, UPLINK, 16 * PLACES, SERVER)) <= PLACES / 2
    for wire in (printer, laptop):  # of the other client, and of this one once the kernel has given its own up
        frames = [frame for number in fresh(MORE) for frame in pieces(wire, SERVER, number, udp(7, 9, WHOLE))]
        arrive(bench, wire, upstream, frames, MORE)
        time.sleep(REMEMBERED_MS / 1000)


@shown()
def what_arrives_whole_is_not_counted(bench: Bench) -> None:
    """However much it is, both ways, in few fragments or many, and for the router itself; from cards that deliver in
    batches, in which fragments of one datagram come before another is forwarded.
    """
    with bench.in_batches():
        laptop, upstream = bench.laptop, bench.upstream
        frames = [frame for number in fresh(MORE) for frame in pieces(laptop, SERVER, number, udp(4000, 443, WHOLE))]
        arrive(bench, laptop, upstream, frames, MORE)
        frames = [f for number in fresh(4 * LARGE) for f in pieces(laptop, SERVER, number, udp(4001, 443, 30_000))]
        arrive(bench, laptop, upstream, frames, 4 * LARGE)
        port = opened(bench, 4000)
        for size, many in ((WHOLE, MORE), (30_000, 4 * LARGE)):
            frames = [
                frame
                for number in fresh(many)
                for frame in pieces(upstream, UPLINK, number, udp(443, port, size), source=SERVER)
            ]
            arrive(bench, upstream, laptop, frames, many)
        echo = bytearray(struct.pack("!BBHHH", 8, 0, 0, 7, 1) + bytes(WHOLE))
        echo[2:4] = struct.pack("!H", checksum(bytes(echo)))
        for pings in (fresh(1), fresh(150)):  # all of the first batch would each begin the same connection
            frames = [f for number in pings for f in pieces(laptop, laptop.router, number, bytes(echo), proto=ICMP)]
            arrive(bench, laptop, laptop, frames, len(pings))


@shown()
def lost_fragments_cost_little_more(bench: Bench) -> None:
    """A datagram has a choice of two places: with a quarter of all taken for good about one of 20 finds none."""
    for wire, target, source in ((bench.laptop, SERVER, ""), (bench.upstream, UPLINK, SERVER)):
        taken = WAITING // 4 if wire is bench.laptop else WAITING // 8  # SERVER's part of the outside has half
        assert accepted(bench, wire, lone(wire, target, taken, source)) >= taken * 0.85
        port = opened(bench, 4200)
        data = udp(4200, 443, WHOLE) if wire is bench.laptop else udp(443, port, WHOLE)
        frames = [frame for number in fresh(MORE) for frame in pieces(wire, target, number, data, source=source)]
        assert accepted(bench, wire, frames) >= 2 * MORE * 0.88


@shown()
def a_datagram_has_so_many_fragments(bench: Bench) -> None:
    """And few have many: of a client eight, of a part of the outside four."""
    for wire, target, source, other, large in (
        (bench.laptop, SERVER, "", bench.printer, LARGE),
        (bench.upstream, UPLINK, SERVER, bench.upstream, LARGE // 2),
    ):
        (which,) = fresh(1)
        places = range(1, FEW + MANY + 11)
        small = [piece(wire, target, which, bytes(8), at=8 * place, source=source) for place in places]
        assert accepted(bench, wire, small) == FEW + MANY
        numbers, source = fresh(40), source and GATEWAY  # whose address ends with other bits
        several = [
            [piece(other, target, number, bytes(8), at=8 * place, source=source) for number in numbers]
            for place in (1, 2, 3, 4)
        ]
        for frames in several[:FEW]:
            assert accepted(bench, other, frames) > 30
        assert large - 2 <= (third := accepted(bench, other, several[FEW])) <= large
        assert accepted(bench, other, several[FEW + 1]) == third
    assert not bench.laptop.packets()
    assert not [packet for packet in bench.upstream.packets() if UDP in packet]


@shown()
def one_lost_fragment_of_a_large_datagram_costs_no_other(bench: Bench) -> None:
    """It keeps the place of its number; those with such a number go by the other one, leave it, and are held to it."""
    laptop, upstream = bench.laptop, bench.upstream
    port = opened(bench, 4300)
    for wire, target, source, out, data in (
        (laptop, SERVER, "", upstream, udp(4300, 443, 5000)),
        (upstream, UPLINK, SERVER, laptop, udp(443, port, 5000)),
    ):
        lost, many, *numbers = [number for number in fresh(4 * LARGE * 3) if number % LARGE == 0]
        waits = [piece(wire, target, lost, bytes(8), at=8 * place, source=source) for place in range(1, FEW + 2)]
        assert accepted(bench, wire, waits) == FEW + 1
        arrive(
            bench, wire, out, [f for n in numbers for f in pieces(wire, target, n, data, source=source)], len(numbers)
        )
        small = [
            piece(wire, target, many, bytes(8), at=8 * place, source=source) for place in range(1, FEW + MANY + 11)
        ]
        assert accepted(bench, wire, small) == FEW + MANY


@shown()
def large_datagrams_leave_their_places(bench: Bench) -> None:
    """As many as have a place by their number, with their fragments in turn; then as many again."""
    laptop, upstream = bench.laptop, bench.upstream
    port = opened(bench, 4400)
    for wire, target, source, out, data, many in (
        (laptop, SERVER, "", upstream, udp(4400, 443, 5000), LARGE // 2),
        (upstream, UPLINK, SERVER, laptop, udp(443, port, 5000), LARGE // 4),
    ):
        for _ in range(10):
            datagrams = [pieces(wire, target, number, data, source=source) for number in fresh(many)]
            arrive(bench, wire, out, [piece for turn in zip(*datagrams, strict=True) for piece in turn], many)


@shown()
def a_large_datagram_arrives(bench: Bench) -> None:
    """The largest that there is, in fragments of an MTU of 1280."""
    laptop = bench.laptop
    frames = pieces(laptop, SERVER, fresh(1)[0], udp(4100, 443, 65535 - 28), size=1256)
    arrive(bench, laptop, bench.upstream, frames, 1)
    seen = [packet for packet in bench.upstream.packets() if IP in packet]
    assert sum(len(packet[IP].payload) for packet in seen) == 65535 - 20
