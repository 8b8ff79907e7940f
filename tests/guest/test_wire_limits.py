"""What one sender does at a pace and for seconds, and what others notice of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from scenarios_fragments import firsts, fresh, piece, pieces, udp
from wires import SERVER, UPLINK, Wire
from workbench import Bench, standing

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
        wire.send(piece(wire, target, *fresh(1), bytes(1400), source=source))

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
            laptop.send(*pieces(laptop, SERVER, *fresh(1), udp(4400, 443, 1500)))

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
