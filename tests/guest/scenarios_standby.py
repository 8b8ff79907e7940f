# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A second uplink beside the one in use, whatever its network says: clients' packets do not leave by it.

The tables and rules are the init's own (rootfs/init/net/routing.py), kept up as the init does.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from init.core.config import WantedUplink
from init.core.loop import Loop
from init.core.protocol import EventWriter
from init.kernel import sysctl
from init.net import firewall
from init.net.active import Active
from init.net.resolver_health import Question
from init.net.routing import FROM_CLIENT, Routing
from init.net.uplink import Lease, Uplink
from netvm_build.model import DEFAULT_POOL
from shows import QUIET, of, opened, out, shown, syn
from wires import ARP, GATEWAY, ICMP, IP, RESOLVER, SERVER, TCP, UDP, UPLINK, Ether, Wire, inside
from workbench import PAIRED, Bench

STANDBY, NEIGHBOUR = "10.0.3.15", "10.0.3.2"
STANDBY_MAC, NEIGHBOUR_MAC = "52:54:00:12:34:57", "52:54:00:00:00:03"

INTO_THE_POOL = ("100.115.92.0/28", "100.115.0.0/16")
LIES: dict[str, tuple[str, Sequence[str]]] = {
    "it leases a network that covers the server": ("64.0.0.9/2", ()),
    "it leases the server's own address": (f"{SERVER}/32", ()),
    "the server is its network's broadcast address": (f"93.184.215.9/28 brd {SERVER}", ()),
    "it leases the resolver's own address": (f"{RESOLVER}/32", ()),
    "it names the first one's resolver": (f"{STANDBY}/24", (f"{RESOLVER} via {NEIGHBOUR}",)),
    "it names a server as its resolver": (f"{STANDBY}/24", (f"{SERVER} via {NEIGHBOUR}",)),
    "it has routes to all there is": (f"{STANDBY}/24", (f"0.0.0.0/1 via {NEIGHBOUR}", f"128.0.0.0/1 via {NEIGHBOUR}")),
    "it has a default route too": (f"{STANDBY}/24", (f"default via {NEIGHBOUR} metric 5",)),
    "it is the first one's network": ("10.0.2.16/24", ()),
    "its gateway is the first one's": ("10.0.2.16/32", (f"{GATEWAY} scope link", f"default via {GATEWAY} metric 5")),
    "it leases the first one's gateway's address": (f"{GATEWAY}/24", ()),
    "it leases only that address": (f"{GATEWAY}/32", ()),
    "the first one's gateway is its network's broadcast address": (f"10.0.2.9/27 brd {GATEWAY}", ()),
    "it leases the first one's address": (f"{UPLINK}/24", ()),
    "it has routes into the pool": (f"{STANDBY}/24", [f"{one} via {NEIGHBOUR}" for one in INTO_THE_POOL]),
}  # fmt: skip


class Pair:
    """The bench's uplink, a second one, and which of them is in use."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.wire = Wire("standby", NEIGHBOUR_MAC, STANDBY_MAC, NEIGHBOUR, STANDBY, 24)
        index = bench.veth(self.wire, "eth0")
        with inside(bench.router):
            bench.requests.rename(index, "up1", firewall.STANDBY_GROUP)
            sysctl.apply(sysctl.UPLINK, "up1")
            bench.requests.set_up(index)
            first = socket.if_nametoindex("up0")
        self.wire.open()
        self.wire.socket.settimeout(0)
        self.first, self.second = (
            Uplink(one, name, "", "", WantedUplink()) for one, name in ((first, "up0"), (index, "up1"))
        )
        self.network = bench.network()
        ends = {end for pair in bench.pairs.values() for end in (pair.router, pair.client)}
        self.routing = Routing(bench.requests, self.network, str(DEFAULT_POOL), ends)
        self.active = Active(bench.requests, self.routing, EventWriter(None))
        with inside(bench.router):
            self.routing.begin()
        self.use(self.first)

    def use(self, *uplinks: Uplink) -> None:
        """What the init does when the kernel reports a change, and the best way out is the first of these."""
        fresh = self.bench.network()
        for name in ("links", "addresses", "routes", "targets"):
            getattr(self.network, name).clear()
            getattr(self.network, name).update(getattr(fresh, name))
        for one in (self.first, self.second):  # a bench does not hear of what it missed
            self.network.emptied[one.index] = self.network.emptied.get(one.index, 0) + 1
            one.lease = Lease("", None, (), metric=uplinks.index(one)) if one in uplinks else None
        self.bench.tell_addresses()
        with inside(self.bench.router):
            self.active.choose([self.first, self.second], uplinks)

    def lease(self, address: str, routes: Sequence[str] = ()) -> None:
        """What ConnMan does with the second one's lease."""
        self.bench.ip("addr flush dev up1")
        self.bench.ip(f"addr add {address} dev up1")
        for one in routes:
            self.bench.ip(f"route add {one} dev up1 onlink" if "via" in one else f"route add {one} dev up1")
        with inside(self.bench.router):  # as ConnMan has it while two are connected
            sysctl.apply([("ipv4/conf/all/rp_filter", "2"), ("ipv4/icmp_ratelimit", "0")])
        self.use(self.first)

    def close(self) -> None:
        """One uplink again, and the kernel's own rules."""
        self.bench.ip("rule add pref 0 lookup local")
        with inside(self.bench.router):
            self.routing._choose(())
            for table in list(self.routing._tables):
                self.routing._fill(table, {})
            sysctl.apply([("ipv4/conf/all/rp_filter", "1"), ("ipv4/icmp_ratelimit", "1000")])
            self.bench.requests.regroup(self.first.index, firewall.UPLINK_GROUP)
        self.bench.ip("link del up1")
        self.wire.close()
        self.bench.lease(UPLINK)


@contextmanager
def second(bench: Bench) -> Iterator[Pair]:
    made = Pair(bench)
    try:
        yield made
    finally:
        made.close()


def knocks(upstream: Wire, sport: int) -> IP:
    """A connection from the server to the laptop's forwarded port."""
    return syn(SERVER, UPLINK, sport, 8080)


def served_by_the_first(bench: Bench, pair: Pair, sport: int) -> None:
    """All that a client can have of the uplink in use, it has, and the other one sees nothing of it."""
    upstream, laptop = bench.upstream, bench.laptop
    came = bench.passes(laptop, out(bench, sport), upstream, of(UDP, dport=443))
    assert came[IP].src == UPLINK
    port = came[UDP].sport
    answer = IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=port) / b"hello"
    bench.passes(upstream, answer, laptop, of(UDP, sport=443))
    quoted = IP(src=UPLINK, dst=SERVER) / UDP(sport=port, dport=443) / bytes(64)
    error = IP(src=SERVER, dst=UPLINK) / ICMP(type=3, code=4, nexthopmtu=1280) / quoted
    bench.passes(upstream, error, laptop, of(ICMP))
    question = IP(src=laptop.address, dst=laptop.router) / UDP(sport=sport, dport=53) / b"?"
    assert bench.passes(laptop, question, upstream, of(UDP, dport=53))[IP].dst == RESOLVER
    bench.passes(upstream, knocks(upstream, sport), laptop, of(TCP, dport=80))
    bench.passes(laptop, syn(laptop.address, SERVER, 80, sport, "SA", ack=101), upstream, of(TCP, dport=sport))
    # What the router itself says of these goes where they came from.
    bench.clear()
    upstream.send(IP(src=SERVER, dst=UPLINK, ttl=1) / UDP(sport=443, dport=port) / b"late")
    assert upstream.wait(of(ICMP, type=11))[IP].src == UPLINK
    upstream.send(IP(src=SERVER, dst=UPLINK) / ICMP() / b"ping")
    assert upstream.wait(of(ICMP, type=0))[IP].src == UPLINK
    ask = ARP(op=1, hwsrc=upstream.mac, psrc=GATEWAY, pdst=UPLINK)
    for _ in range(3):
        upstream.send(bytes(Ether(src=upstream.mac, dst="ff:ff:ff:ff:ff:ff") / ask))
        time.sleep(QUIET)
    assert [one for one in upstream.arp() if one[ARP].op == 2 and one[ARP].psrc == UPLINK], "no answer to ARP"
    bench.passes(laptop, IP(src=laptop.address, dst=laptop.router) / ICMP() / b"router", laptop, of(ICMP, type=0))
    assert not pair.wire.packets(), [one.summary() for one in pair.wire.packets()]


@shown(PAIRED)
def a_standby_sees_no_client(bench: Bench) -> None:
    """Whatever its lease is, and in whichever order the two have come by their addresses."""
    with second(bench) as pair:
        for number, (lie, said) in enumerate(LIES.items()):
            for late in (False, True):
                if late:
                    bench.lease(UPLINK)
                    pair.use(pair.first)
                else:
                    pair.lease(*said)
                bench.forget_all()
                try:
                    served_by_the_first(bench, pair, 4000 + 2 * number + late)
                except AssertionError as error:
                    raise AssertionError(f"{lie}{', and had it first' if late else ''}: {error}") from error


@shown()
def resolvers_are_asked_by_the_uplink_in_use(bench: Bench) -> None:
    """By PID 1, whatever a standby's lease is; and no packet of the standby's network is an answer."""
    with second(bench) as pair:
        for lie, said in LIES.items():
            for late in (False, True):
                if late:
                    bench.lease(UPLINK)
                    pair.use(pair.first)
                else:
                    pair.lease(*said)
                try:
                    asked_by_the_first(bench, pair)
                except AssertionError as error:
                    raise AssertionError(f"{lie}{', and had it first' if late else ''}: {error}") from error


def asked_by_the_first(bench: Bench, pair: Pair) -> None:
    """A question of PID 1's leaves by the uplink in use, and only an answer by that one counts."""
    answers: list[bool] = []
    loop = Loop()
    bench.clear()
    pair.wire.collect()
    pair.wire.seen.clear()
    with inside(bench.router):
        question = Question(loop, RESOLVER, "up0", answers.append)
    try:
        came = bench.upstream.wait(of(UDP, dport=53))
        assert (came[IP].src, came[IP].dst) == (UPLINK, RESOLVER)
        answer = bytes(came[UDP].payload)[:2] + bytes([0x81, 0x80]) + bytes(8)
        packet = IP(src=RESOLVER, dst=UPLINK) / UDP(sport=53, dport=came[UDP].sport) / answer
        for wire, so_far in ((pair.wire, []), (bench.upstream, [True])):
            wire.send(packet)
            end = time.monotonic() + QUIET
            while time.monotonic() < end:
                loop.step(0.01)
            assert answers == so_far, f"after {wire.name}'s answer: {answers}"
    finally:
        question.cancel()
    assert not pair.wire.packets(), [one.summary() for one in pair.wire.packets()]


@shown(PAIRED)
def a_standby_reaches_no_client(bench: Bench) -> None:
    """Neither by a forwarded port nor as if it belonged to a connection of the uplink in use."""
    with second(bench) as pair:
        pair.lease(f"{STANDBY}/24")
        standby, laptop = pair.wire, bench.laptop
        port = opened(bench, 4100)
        everywhere = partial(refused, bench, standby)
        everywhere(syn(NEIGHBOUR, STANDBY, 1, 8080), by="to_router")
        everywhere(IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=port), by="from_uplink")
        everywhere(IP(src=NEIGHBOUR, dst=laptop.address) / UDP(sport=1, dport=2), by="from_uplink")
        everywhere(IP(src=laptop.address, dst=STANDBY) / UDP(sport=1, dport=2), by="pool_from_uplink")
        everywhere(IP(src=bench.outsider.address, dst=STANDBY) / ICMP(), by="reverse_path")
        everywhere(IP(src=STANDBY, dst=STANDBY) / ICMP(), by="reverse_path")
        pair.lease(f"{UPLINK}/24")
        everywhere(IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=port), by="from_uplink")


def refused(bench: Bench, wire: Wire, packet: IP, by: str) -> None:
    bench.refused(wire, packet, by=by)


@shown()
def the_router_itself_may_use_a_standby(bench: Bench) -> None:
    """What asks it there is answered there, also where it goes by the standby's gateway; with no other's address."""
    with second(bench) as pair:
        pair.lease(f"{STANDBY}/24", (f"default via {NEIGHBOUR} metric 5",))
        standby = pair.wire
        for asks in (NEIGHBOUR, SERVER):
            standby.seen.clear()
            before = bench.counters()
            standby.send(IP(src=asks, dst=STANDBY) / ICMP() / b"ping")
            assert standby.wait(of(ICMP, type=0))[IP].dst == asks
            assert bench.moved(before) == {}
        with inside(bench.router):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"up1")
        sender.bind((UPLINK, 0))
        standby.collect()
        standby.seen.clear()
        bench.clear()
        before = bench.counters()
        try:
            sender.sendto(b"x", (SERVER, 9))
        except PermissionError:  # the firewall refused it, and the sender is told
            pass
        finally:
            sender.close()
        time.sleep(QUIET)
        assert bench.moved(before) == {"unmasqueraded": 1}
        assert not bench.upstream.packets()
        assert not standby.packets()


@shown()
def a_switch_is_to_all_routes_of_the_other(bench: Bench) -> None:
    """And from all of the former one's; without any, clients are told so, and nothing leaves."""
    with second(bench) as pair:
        pair.lease(f"{STANDBY}/24", (f"default via {NEIGHBOUR} metric 5",))
        laptop, upstream, standby = bench.laptop, bench.upstream, pair.wire
        pair.use(pair.second, pair.first)
        bench.forget_all()
        for sport, target in enumerate((SERVER, GATEWAY, RESOLVER), start=4200):
            packet = IP(src=laptop.address, dst=target) / UDP(sport=sport, dport=9)
            came = bench.passes(laptop, packet, standby, of(UDP))
            assert came[IP].src == STANDBY
            assert not upstream.packets()
        pair.use()
        bench.forget_all()
        bench.clear()
        standby.collect()
        standby.seen.clear()
        laptop.send(out(bench, 4210))
        laptop.wait(of(ICMP, type=3))
        assert not upstream.packets()
        assert not standby.packets()


@shown()
def no_route_but_the_rule_leads_to_a_standby(bench: Bench) -> None:
    """A second lock: if a client's packet were routed there anyway, it would not be forwarded."""
    with second(bench) as pair:
        pair.lease("64.0.0.9/2")
        bench.ip(f"rule add pref {FROM_CLIENT - 1} lookup main")
        try:
            bench.refused(bench.laptop, out(bench, 4300), by="elsewhere")
            assert not pair.wire.packets()
        finally:
            bench.ip(f"rule del pref {FROM_CLIENT - 1}")


@shown()
def an_address_counts_before_pid_1_has_heard_of_it(bench: Bench) -> None:
    """What the kernel has just given an uplink is that uplink's, both ways."""
    fresh = "10.0.2.77"
    bench.ip(f"addr add {fresh}/24 dev up0")
    try:
        bench.refused(bench.upstream, IP(src=GATEWAY, dst=fresh) / UDP(sport=1, dport=2), by="to_router")
        bench.clear()
        before = bench.counters()
        with inside(bench.router):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind((fresh, 0))
        sender.sendto(b"x", (SERVER, 9))
        sender.close()
        assert bench.upstream.wait(of(UDP, dport=9))[IP].src == fresh
        assert bench.moved(before) == {}
    finally:
        bench.ip(f"addr del {fresh}/24 dev up0")
