# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a kernel would drop without a trace, and is refused by a name instead; and errors from a carrier's routers."""

from __future__ import annotations

from collections.abc import Iterator

from scapy.layers.inet import IPOption
from scapy.packet import Raw
from scenarios_fragments import fresh
from scenarios_standby import NEIGHBOUR, STANDBY, second
from shows import NOBODY, of, opened, shown
from wires import GATEWAY, ICMP, IP, SERVER, TCP, UDP, UPLINK, Ether, Packet, Wire
from workbench import PAIRED, Bench

OTHER_PEER = "198.51.100.20"
ESP, AH, GRE, IGMP = 50, 51, 47, 2
ROUTER_ALERT = bytes([0x94, 4, 0, 0])


def multicast(source: str) -> list[bytes]:
    """mDNS, SSDP and an IGMP report, in frames to their groups."""
    packets: list[tuple[str, Packet]] = [
        ("01:00:5e:00:00:fb", IP(src=source, dst="224.0.0.251", flags="DF") / UDP(sport=5353, dport=5353) / b"mdns"),
        ("01:00:5e:7f:ff:fa", IP(src=source, dst="239.255.255.250") / UDP(sport=40000, dport=1900) / b"ssdp"),
        ("01:00:5e:00:00:16", IP(src=source, dst="224.0.0.22", proto=IGMP, options=IPOption(ROUTER_ALERT)) / bytes(16)),
        ("01:00:5e:00:00:01", IP(src=source, dst="224.0.0.1", proto=IGMP) / bytes(8)),
    ]
    return [bytes(Ether(src="02:00:00:00:00:01", dst=mac) / packet) for mac, packet in packets]


@shown()
def multicast_is_refused_by_name(bench: Bench) -> None:
    """From clients and from the uplink's network."""
    bench.refused(bench.laptop, *multicast(bench.laptop.address), by="multicast")
    bench.refused(bench.upstream, *multicast(GATEWAY), by="multicast")


OPTIONS = {
    "record route": bytes([7, 15, 4]) + bytes(12),
    "timestamp, with addresses": bytes([68, 36, 5, 1]) + bytes(32),
    "loose source route": bytes([131, 7, 4, 198, 51, 100, 1]),
    "strict source route": bytes([137, 7, 4, 198, 51, 100, 1]),
    "router alert": ROUTER_ALERT,
    "stream identifier": bytes([136, 4, 0, 1]),
    "none but padding": bytes([1, 1, 1, 0]),
    "cut off": bytes([7, 200, 4, 0]),
    "of no known kind": bytes([0xDE, 8]) + bytes(6),
}
"""IP options (RFC 791, 2113, 7126) as they are in a header."""


def with_options(source: str, target: str, layer: Packet) -> Iterator[Packet]:
    """A packet with each of the options, the first fragment of one, and one that must not be cut."""
    for option in OPTIONS.values():
        yield IP(src=source, dst=target, options=[Raw(option)]) / layer
    (number,) = fresh(1)
    for flags in ("DF", "MF"):
        yield IP(src=source, dst=target, flags=flags, id=number, options=IPOption(ROUTER_ALERT)) / layer / bytes(64)


@shown()
def ip_options_are_refused(bench: Bench) -> None:
    """The kernel would write its addresses into them: those of new connections and of known ones, both ways."""
    laptop, upstream = bench.laptop, bench.upstream
    port = opened(bench, 3700)
    answer = IP(src=SERVER, dst=UPLINK) / UDP(sport=443, dport=port) / b"hello"
    bench.passes(upstream, answer, laptop, of(UDP))
    asked: list[tuple[Wire, str, str, Packet]] = [
        (laptop, laptop.address, SERVER, UDP(sport=3700, dport=443)),
        (laptop, laptop.address, SERVER, TCP(sport=3701, dport=443, flags="S")),
        (laptop, laptop.address, SERVER, ICMP(id=1)),
        (laptop, laptop.address, bench.printer.address, UDP(sport=1, dport=2)),
        (laptop, laptop.address, laptop.router, ICMP(id=2)),
        (upstream, SERVER, UPLINK, UDP(sport=443, dport=port)),
        (upstream, GATEWAY, UPLINK, ICMP(id=3)),
        (upstream, GATEWAY, UPLINK, UDP(sport=67, dport=68)),
    ]
    for wire, source, target, layer in asked:
        bench.refused(wire, *with_options(source, target, layer), by="ip_options")
    bench.refused(laptop, *with_options(bench.printer.address, SERVER, UDP()), by="spoofed")


@shown(PAIRED)
def no_ip_option_comes_by_a_forwarded_port(bench: Bench) -> None:
    """Nor goes to another client, where the spec allows it, nor to a standby's address."""
    bench.refused(bench.upstream, *with_options(SERVER, UPLINK, TCP(sport=3800, dport=8080)), by="ip_options")
    laptop, printer = bench.laptop, bench.printer
    bench.refused(laptop, *with_options(laptop.address, printer.address, UDP(sport=1, dport=2)), by="ip_options")
    with second(bench) as pair:
        pair.lease(f"{STANDBY}/24")
        bench.refused(pair.wire, *with_options(NEIGHBOUR, STANDBY, ICMP(id=4)), by="ip_options")
        assert not pair.wire.packets()


@shown()
def what_is_for_nobody_is_refused_by_name(bench: Bench) -> None:
    """Broadcasts of a link are for the router itself, and it serves nothing."""
    laptop, upstream = bench.laptop, bench.upstream
    for target in ("127.0.0.1", "127.8.8.8", "0.1.2.3"):
        bench.refused(laptop, IP(src=laptop.address, dst=target) / UDP(sport=1, dport=2), by="no_host")
        bench.refused(upstream, IP(src=GATEWAY, dst=target) / UDP(sport=1, dport=2), by="from_uplink")
    for wire, source, targets in (
        (laptop, laptop.address, ("255.255.255.255",)),
        (upstream, GATEWAY, ("255.255.255.255", "10.0.2.255")),
    ):
        for target in targets:
            datagram = IP(src=source, dst=target) / UDP(sport=137, dport=137)
            bench.refused(wire, bytes(Ether(src=wire.mac, dst="ff:ff:ff:ff:ff:ff") / datagram), by="to_router")


@shown()
def senders_that_no_host_can_be_are_refused_by_name(bench: Bench) -> None:
    for source in ("127.0.0.1", NOBODY, "224.0.0.1", "255.255.255.255"):
        datagram = IP(src=source, dst=UPLINK) / UDP(sport=1, dport=2)
        bench.refused(bench.upstream, datagram, by="reverse_path")
        bench.refused(bench.laptop, IP(src=source, dst=SERVER) / UDP(sport=1, dport=2), by="spoofed")


@shown()
def one_client_speaks_a_protocol_without_ports_to_a_peer(bench: Bench) -> None:
    """Its packets and the answers pass; a second client is refused by name, and reaches another peer."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    for protocol in (ESP, AH, GRE):
        data = bytes([0, 0, 0x08, 0, 0, 0, 0, 7]) + bytes(24)
        came = bench.passes(laptop, IP(src=laptop.address, dst=SERVER, proto=protocol) / data, upstream)
        assert (came[IP].src, came[IP].proto) == (UPLINK, protocol)
        back = bench.passes(upstream, IP(src=SERVER, dst=UPLINK, proto=protocol) / data, laptop)
        assert (back[IP].src, back[IP].dst) == (SERVER, laptop.address)
        second = IP(src=printer.address, dst=SERVER, proto=protocol) / data
        bench.refused(printer, second, second, by="one_per_peer")
        bench.passes(laptop, IP(src=laptop.address, dst=SERVER, proto=protocol) / data, upstream)
        bench.passes(printer, IP(src=printer.address, dst=OTHER_PEER, proto=protocol) / data, upstream)
    for wire in (laptop, printer):  # what to do instead
        bench.passes(wire, IP(src=wire.address, dst=SERVER) / UDP(sport=4500, dport=4500) / bytes(40), upstream)
    bench.forget_all()  # as when the first client's connection has timed out
    bench.passes(printer, IP(src=printer.address, dst=SERVER, proto=ESP) / bytes(32), upstream)
    bench.no_client_left()


@shown()
def what_only_a_helper_would_expect_is_refused_by_name(bench: Bench) -> None:
    """PPTP's data from a server to which a client has the control connection; FTP's from port 20."""
    upstream = bench.upstream
    data = bytes.fromhex("3001880b") + (4).to_bytes(2, "big") + (7).to_bytes(2, "big") + bytes(8)
    bench.refused(upstream, IP(src=SERVER, dst=UPLINK, proto=GRE) / data, by="needs_helper")
    bench.refused(upstream, IP(src=SERVER, dst=UPLINK) / TCP(sport=20, dport=40000, flags="S"), by="needs_helper")
    bench.refused(upstream, IP(src=SERVER, dst=UPLINK) / TCP(sport=21, dport=40000, flags="S"), by="to_router")


@shown()
def errors_of_a_carrier_in_the_pool_are_taken(bench: Bench) -> None:
    """From an address of the pool that no client has, about a client's own connection: nothing else from there is."""
    laptop, upstream, hop = bench.laptop, bench.upstream, "100.115.92.77"
    port = opened(bench, 3600)
    sent = IP(src=UPLINK, dst=SERVER) / UDP(sport=port, dport=443) / b"hello"
    for error in (ICMP(type=11), ICMP(type=3, code=4, nexthopmtu=1280), ICMP(type=12)):
        came = bench.passes(upstream, IP(src=hop, dst=UPLINK) / error / sent, laptop, of(ICMP))
        assert (came[IP].src, came[IP].dst) == (hop, laptop.address)
    unknown = IP(src=UPLINK, dst=SERVER) / UDP(sport=9, dport=9) / b"none"
    bench.refused(upstream, IP(src=hop, dst=UPLINK) / ICMP(type=11) / unknown, by="invalid")
    for source in (bench.printer.address, bench.printer.router, laptop.address):
        bench.refused(upstream, IP(src=source, dst=UPLINK) / ICMP(type=11) / sent, by="pool_from_uplink")
    bench.refused(upstream, IP(src=hop, dst=laptop.address) / ICMP(type=11) / sent, by="from_uplink")
    for packet in (ICMP(type=8), ICMP(type=5, gw=hop) / sent, UDP(sport=443, dport=port)):
        bench.refused(upstream, IP(src=hop, dst=UPLINK) / packet, by="pool_from_uplink")
