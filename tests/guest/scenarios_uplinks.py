# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What uplinks may and may not, and what leaves by them."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from init.kernel import sysctl
from scapy.layers.inet import IPOption_LSRR
from shows import QUIET, of, opened, shown, syn
from wires import GATEWAY, GATEWAY_MAC, ICMP, IP, OTHER_RESOLVER, SERVER, TCP, UDP, UPLINK, inside, leaked
from workbench import Bench

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
        for source in (bench.laptop.address, "100.115.92.200"):
            bench.refused(upstream, IP(src=source, dst=target) / UDP(sport=1, dport=2), by="pool_from_uplink")
    for source in (bench.outsider.address, bench.outsider.router, UPLINK):
        bench.refused(upstream, IP(src=source, dst=UPLINK) / UDP(sport=1, dport=2), by="reverse_path")


@shown()
def errors_come_by_the_way_back_too(bench: Bench) -> None:
    """Also where the kernel is not strict itself, as with two uplinks: nobody there speaks as a client does."""
    upstream = bench.upstream
    port = opened(bench, 1200)
    with inside(bench.router):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.connect((SERVER, 123))
        own.send(b"time?")
        sysctl.apply([("ipv4/conf/all/rp_filter", "2")])
    try:
        quoted = IP(src=UPLINK, dst=SERVER) / UDP(sport=port, dport=443) / b"hello"
        asked = IP(src=UPLINK, dst=SERVER) / UDP(sport=own.getsockname()[1], dport=123) / b"time?"
        for about in (quoted, asked):
            error = IP(src=bench.outsider.address, dst=UPLINK) / ICMP(type=3, code=1) / about
            bench.refused(upstream, error, by="reverse_path")
    finally:
        own.close()
        with inside(bench.router):
            sysctl.apply([("ipv4/conf/all/rp_filter", "1")])


@shown()
def dhcp_answers_reach_the_uplink(bench: Bench) -> None:
    """A few a second are accepted.  One that comes before there is a route or an address isn't counted as refused."""
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
    for none_yet in ("route del default", "addr flush dev up0"):  # no way to the server; and no address
        bench.ip(none_yet)
        bench.tell_addresses()
        bench.forget_all()  # so that each is a connection's first packet
        before = bench.counters()
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
    for wire, target in ((laptop, laptop.router), (upstream, UPLINK)):
        routed = IP(src=wire.address, dst=target, options=IPOption_LSRR(routers=[bench.printer.address]))
        bench.refused(wire, routed / UDP(sport=1, dport=2), by="ip_options")


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
            with suppress(PermissionError):  # the firewall refused it, and the sender is told
                sender.sendto(b"x", (SERVER, 9))
            sender.close()
        time.sleep(QUIET)
        assert bench.moved(before) == {"unmasqueraded": 1}
        assert not bench.upstream.packets()


@shown()
def no_arp_on_an_uplink_shows_a_client_s_side(bench: Bench) -> None:
    """An uplink without an address doesn't ask with another interface's; one in the shared space asks as itself."""
    ask = f"neigh replace {GATEWAY} lladdr {GATEWAY_MAC} dev up0 nud probe"
    try:
        bench.ip("addr flush dev up0")
        bench.clear()
        before = bench.counters()
        bench.ip(ask)
        time.sleep(QUIET)
        assert set(bench.moved(before)) == {"arp_leak"}
        assert not [one for one in bench.upstream.arp() if leaked(bytes(one))]
        bench.ip("addr add 100.127.0.9/24 dev up0")
        bench.tell_addresses()
        bench.clear()
        bench.ip(ask)
        assert bench.upstream.wait_arp(lambda one: one.op == 1 and one.pdst == GATEWAY).psrc == "100.127.0.9"
    finally:
        bench.lease(UPLINK)


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
    assert bytes(came[ICMP].payload)[12:16] == bytes([100, 115, 92, 1])
    answer = IP(src=SERVER, dst=laptop.address) / UDP(sport=443, dport=3200) / bytes(64)
    told = IP(src=laptop.address, dst=SERVER) / ICMP(type=3, code=4, nexthopmtu=1300) / answer
    came = bench.passes(laptop, told, upstream, of(ICMP, type=3, code=4))
    assert (came[IP].src, came[ICMP].nexthopmtu) == (UPLINK, 1300)
    bench.no_client_left()


@shown()
def the_router_says_what_does_not_fit(bench: Bench) -> None:
    """To the sender, with the narrower link's size; it hides the client from upstream."""
    port = opened(bench, 3300)
    upstream, laptop = bench.upstream, bench.laptop
    bench.ip("link set c735c00 mtu 1300")
    try:
        bench.clear()
        upstream.send(IP(src=SERVER, dst=UPLINK, flags="DF") / UDP(sport=443, dport=port) / bytes(1372))
        came = upstream.wait(of(ICMP, type=3, code=4))
        assert (came[IP].src, came[ICMP].nexthopmtu) == (UPLINK, 1300)
        bench.no_client_left()
    finally:
        bench.ip("link set c735c00 mtu 1500")
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
    for narrow in ("c735c00", "up0"):
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
