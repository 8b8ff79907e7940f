# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults under traffic: whatever happens to uplink, resolvers, ruleset or connection table, no client's frame gets out.

Two clients send all the while, each datagram a connection of its own beside one that is always the same.
"""

from __future__ import annotations

import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuzz import checksum, octets
from init.kernel import conntrack
from init.net.firewall import UPLINK_GROUP
from netvm_build.model import Router as Spec
from scenarios import SCENARIOS
from shows import of, opened, syn
from wires import GATEWAY, IP, LAPTOP, OTHER_RESOLVER, RESOLVER, SERVER, TCP, UDP, UPLINK, Wire, inside, leaked, odd
from workbench import PAIRED, Bench, limited, standing

pytestmark = pytest.mark.integration

OTHER_UPLINK = "10.0.2.77"
STEP_S = 0.1


@pytest.fixture
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


def datagram(wire: Wire, sport: int, target: str = SERVER, dport: int = 9) -> bytes:
    """A frame, quickly made: a datagram of 4 bytes."""
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 69, 0, 32, sport, 0, 64, 17, 0, octets(wire.address), octets(target)))
    head[10:12] = struct.pack("!H", checksum(bytes(head)))
    link = bytes.fromhex((wire.router_mac + wire.mac).replace(":", "")) + b"\x08\x00"
    return link + bytes(head) + struct.pack("!HHHH4s", sport, dport, 12, 0, b"data")


class Traffic:
    """What laptop and printer send, from a thread, until told to stop; and what upstream got, with the time."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.got: list[tuple[float, bytes]] = []
        self.going = True
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._listen)]
        for thread in self.threads:
            thread.start()

    def _send(self) -> None:
        port = 20000
        while self.going:
            port = 20000 + (port - 19999) % 40000
            for wire in (self.bench.laptop, self.bench.printer):
                wire.send(datagram(wire, port), datagram(wire, 19000))
            time.sleep(0.0005)

    def _listen(self) -> None:
        while self.going:
            wire = self.bench.upstream
            seen, wire.seen = wire.collect(), []
            self.got += [(time.monotonic(), data) for data in seen]
            time.sleep(0.001)

    def stop(self) -> None:
        self.going = False
        for thread in self.threads:
            thread.join()

    def senders(self, since: float = 0.0) -> set[str]:
        """Who upstream saw send datagrams."""
        return {
            ".".join(map(str, data[26:30]))
            for when, data in self.got
            if when >= since and data[12:14] == b"\x08\x00" and data[23] == 17
        }


@contextmanager
def traffic(bench: Bench) -> Iterator[Traffic]:
    """Traffic while something happens; in the end no frame of a client has got out, and clients reach the outside."""
    bench.clear()
    going = Traffic(bench)
    try:
        time.sleep(STEP_S)
        yield going
        time.sleep(STEP_S)
    finally:
        going.stop()
    assert len(going.got) > 50
    leaks = [problem for _, data in going.got if (problem := leaked(data))]
    assert leaks == []
    bench.forget_all()
    SCENARIOS["clients_reach_the_outside"].run(bench)


def down_and_up(bench: Bench, going: Traffic) -> None:
    for _ in range(3):
        bench.ip("link set up0 down")
        time.sleep(STEP_S)
        bench.ip("link set up0 up")
        bench.ip(f"route replace default via {GATEWAY} dev up0")
        time.sleep(STEP_S)


def another_lease(bench: Bench, going: Traffic) -> None:
    """What is sent after the change has the new address, known connections included."""
    bench.lease(OTHER_UPLINK)
    time.sleep(0.02)
    changed = time.monotonic()
    time.sleep(3 * STEP_S)
    assert going.senders(changed) == {OTHER_UPLINK}
    assert going.senders() == {UPLINK, OTHER_UPLINK}
    bench.lease(UPLINK)


def in_another_group(bench: Bench, going: Traffic) -> None:
    """Whatever its name, it is no uplink then: nothing is forwarded to it."""
    bench.ip("link set up0 group default")
    time.sleep(0.02)
    before, since = bench.counters(), time.monotonic()
    time.sleep(3 * STEP_S)
    assert going.senders(since) == set()
    assert bench.moved(before)["elsewhere"] > 50
    bench.ip(f"link set up0 group {UPLINK_GROUP}")


def no_address(bench: Bench, going: Traffic) -> None:
    """With a route and no address there is nothing to hide clients behind."""
    bench.ip("addr flush dev up0")
    bench.ip("route replace default dev up0")
    time.sleep(3 * STEP_S)
    bench.lease(UPLINK)


def reloaded(bench: Bench, going: Traffic) -> None:
    """The whole ruleset anew, as one transaction, ten times."""
    for _ in range(10):
        script = "flush ruleset\n" + bench.rules
        with inside(bench.router):
            bench.nft(script)
        time.sleep(0.01)
        bench.tell_elements()
        time.sleep(0.02)


def elements_gone(bench: Bench, going: Traffic) -> None:
    """Without its elements the firewall knows no client, and nothing of theirs passes."""
    pairs, bench.pairs = bench.pairs, {}
    bench.tell_elements()
    time.sleep(0.02)
    since = time.monotonic()
    time.sleep(2 * STEP_S)
    assert going.senders(since) == set()
    bench.pairs = pairs
    bench.tell_elements()


def routes_to_a_second_uplink(bench: Bench, going: Traffic) -> None:
    """Known connections do not go on by another uplink with the first one's address."""
    second = Wire("second", "52:54:00:00:00:03", "52:54:00:12:34:57", "10.0.3.2", "10.0.3.15", 24)
    try:
        index = bench.veth(second, "eth0")
        with inside(bench.router):
            bench.requests.rename(index, "up1", UPLINK_GROUP)
            bench.requests.set_up(index)
        second.open()
        bench.ip("addr add 10.0.3.15/24 dev up1")
        bench.ip("route replace default via 10.0.3.2 dev up1")
        time.sleep(3 * STEP_S)
        frames = [data for data in second.collect() if data[12:14] == b"\x08\x00"]
        assert len(frames) > 50
        assert {data[26:30] for data in frames} == {bytes([10, 0, 3, 15])}
        bench.ip(f"route replace default via {GATEWAY} dev up0")
    finally:
        second.close()


FAULTS: tuple[Callable[[Bench, Traffic], None], ...] = (
    down_and_up,
    another_lease,
    in_another_group,
    no_address,
    reloaded,
    elements_gone,
    routes_to_a_second_uplink,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_no_client_s_frame_gets_out(bench: Bench, fault: Callable[[Bench, Traffic], None]) -> None:
    bench.load(limited(Spec(), 1 << 20))  # no limit in the way of the traffic
    with traffic(bench) as going:
        fault(bench, going)


def test_questions_go_to_the_resolver_of_the_moment(bench: Bench) -> None:
    """One socket that asks all the while: after each change no question goes to the former resolver."""
    bench.load(limited(Spec(), 1 << 20))
    laptop, upstream = bench.laptop, bench.upstream
    frame = datagram(laptop, 1234, laptop.router, 53)
    for former, current in ((RESOLVER, OTHER_RESOLVER), (OTHER_RESOLVER, RESOLVER)) * 3:
        laptop.send(frame, frame)
        bench.resolve_by(current)
        time.sleep(0.005)
        bench.clear()
        for _ in range(50):
            laptop.send(frame)
            time.sleep(0.0005)
        upstream.wait(of(UDP, dport=53))
        assert {packet[IP].dst for packet in upstream.packets()} == {current}, f"{former} was asked"
    bench.resolve_by()
    bench.clear()
    laptop.send(*[frame] * 20)
    time.sleep(0.05)
    assert not upstream.packets()


@pytest.mark.parametrize("way", ["opened", "forwarded", "allowed"])
def test_who_gets_an_address_next_inherits_nothing(bench: Bench, way: str) -> None:
    """Laptop goes, another machine gets its address, and what was under way to laptop does not reach it."""
    bench.load(PAIRED)
    laptop, upstream, printer = bench.laptop, bench.upstream, bench.printer
    if way == "opened":
        late = IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=opened(bench, 6000)) / b"for laptop"
        sender, by = upstream, "to_router"
        bench.passes(upstream, late, laptop)
    elif way == "forwarded":
        bench.passes(upstream, syn(SERVER, UPLINK, 6001, 8080), laptop, of(TCP))
        bench.passes(laptop, syn(laptop.address, SERVER, 80, 6001, "SA", ack=101), upstream, of(TCP))
        late = syn(SERVER, UPLINK, 6001, 8080, "RA", ack=101)  # of a connection that nobody knows any more
        sender, by = upstream, "invalid"
    else:
        bench.passes(laptop, IP(src=laptop.address, dst=printer.address) / UDP(sport=1, dport=631), printer)
        late = IP(src=printer.address, dst=laptop.address) / UDP(sport=631, dport=1) / b"for laptop"
        sender, by = printer, "isolated"
        bench.passes(printer, late, laptop)
    bench.unplug_client(laptop)
    laptop.close()
    bench.laptop = Wire("another", odd(LAPTOP), LAPTOP, laptop.address, laptop.router, 31)
    bench.plug_client(bench.laptop)
    bench.refused(sender, late, by=by)
    SCENARIOS["clients_reach_the_outside"].run(bench)


def test_a_forgotten_uplink_s_connections_end_both_ways(bench: Bench) -> None:
    """What was opened by its address, and what came in to it by a forwarded port."""
    bench.load(PAIRED)
    laptop, upstream = bench.laptop, bench.upstream
    answer = IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=opened(bench, 6100)) / b"for laptop"
    bench.passes(upstream, answer, laptop)
    bench.passes(upstream, syn(SERVER, UPLINK, 6101, 8080), laptop, of(TCP))
    bench.passes(laptop, syn(laptop.address, SERVER, 80, 6101, "SA", ack=101), upstream, of(TCP))
    with inside(bench.router):
        assert conntrack.forget_uplink(OTHER_UPLINK) == ""  # another's are none of these
    bench.passes(upstream, answer, laptop)
    with inside(bench.router):
        assert conntrack.forget_uplink(UPLINK) == ""
    bench.refused(upstream, answer, by="to_router")
    bench.refused(upstream, syn(SERVER, UPLINK, 6101, 8080, "RA", ack=101), by="invalid")
    SCENARIOS["clients_reach_the_outside"].run(bench)


@pytest.mark.long
def test_a_full_connection_table_lets_nothing_out(bench: Bench) -> None:
    """Filled by one client without a limit: what finds no room is dropped, and never sent as it is."""
    most = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    if most > 1 << 20:
        pytest.skip(f"this machine tracks {most} connections, too many to fill")
    bench.load(Spec(), lambda text: "".join(line for line in text.splitlines(True) if "ct count" not in line))
    bench.clear()
    laptop, upstream, sent = bench.laptop, bench.upstream, 0

    def tracked() -> int:
        with inside(bench.router):
            said = subprocess.run(["cat", "/proc/sys/net/netfilter/nf_conntrack_count"], capture_output=True, text=True)
        return int(said.stdout)

    begun = time.monotonic()
    while tracked() < most and time.monotonic() - begun < 60:
        for _ in range(20_000):
            target = f"93.184.{sent >> 14 & 255}.{sent >> 22 & 255}"
            laptop.send(datagram(laptop, 1024 + (sent & 16383), target))
            sent += 1
        leaks = [problem for data in upstream.collect() if (problem := leaked(data))]
        assert leaks == []
        upstream.seen.clear()
    full = tracked()
    print(f"{sent} connections sent, {full} of {most} tracked, in {time.monotonic() - begun:.1f} s")
    assert full >= most * 0.98
    printer = bench.printer
    for port in range(500):
        printer.send(datagram(printer, 30_000 + port))
    time.sleep(0.1)
    assert not any(leaked(data) for data in upstream.collect())
    bench.forget_all()
    bench.load(Spec())
    SCENARIOS["clients_reach_the_outside"].run(bench)
