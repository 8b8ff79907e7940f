# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What clients reach in a network that leads to the host's loopback, where the host has told it at boot."""

from __future__ import annotations

from init.net import host_networks
from shows import of, opened, shown, syn
from wires import GATEWAY, ICMP, IP, OTHER_RESOLVER, RESOLVER, SERVER, TCP, UDP, UPLINK
from workbench import PAIRED, Bench

TOLD = f"quiet {host_networks.WORD}10.0.2.0/24,{RESOLVER} {host_networks.WORD}10.0.3.0/24,10.0.3.3 -- -ISB"


def told(bench: Bench) -> None:
    bench.apply(host_networks.close(host_networks.parse(TOLD)))


@shown(PAIRED)
def the_host_s_loopback_is_closed(bench: Bench) -> None:
    """By every address of its network, and by the resolver's too, but for DNS; the outside is as it was."""
    laptop = bench.laptop
    opened(bench, 4100)  # as long as nothing is told
    told(bench)
    for target in (GATEWAY, "10.0.2.0", OTHER_RESOLVER, "10.0.2.255", "10.0.3.2"):
        bench.refused(laptop, syn(laptop.address, target, 4101, 22), by="to_host")
        bench.refused(laptop, IP(src=laptop.address, dst=target) / UDP(sport=4101, dport=5353), by="to_host")
        bench.refused(laptop, IP(src=laptop.address, dst=target) / UDP(sport=4102, dport=53), by="to_host")
    bench.refused(laptop, syn(laptop.address, RESOLVER, 4103, 631), by="to_host")
    bench.refused(laptop, IP(src=laptop.address, dst=RESOLVER) / UDP(sport=4103, dport=5353), by="to_host")
    opened(bench, 4104)
    for target in ("10.0.1.255", "10.0.4.0"):
        bench.passes(laptop, syn(laptop.address, target, 4105, 443), bench.upstream, of(TCP, dport=443))


@shown(PAIRED)
def names_pings_and_forwards_are_as_before_where_it_is_closed(bench: Bench) -> None:
    """The resolver is reached by the router and by its own address, the gateway is pinged, the host reaches a port."""
    laptop, upstream = bench.laptop, bench.upstream
    told(bench)
    for target in (laptop.router, RESOLVER):
        question = IP(src=laptop.address, dst=target) / UDP(sport=4200, dport=53)
        assert bench.passes(laptop, question, upstream, of(UDP, dport=53))[IP].dst == RESOLVER
        bench.forget_all()
    bench.passes(laptop, syn(laptop.address, RESOLVER, 4201, 53), upstream, of(TCP, dport=53))
    bench.passes(laptop, IP(src=laptop.address, dst=GATEWAY) / ICMP(type=8, id=7), upstream, of(ICMP, type=8))
    for sender in (GATEWAY, SERVER):
        came = bench.passes(upstream, syn(sender, UPLINK, 4202, 8080), laptop, of(TCP, dport=80))
        answer = syn(laptop.address, came[IP].src, 80, came[TCP].sport, "SA", ack=101)
        assert bench.passes(laptop, answer, upstream, of(TCP, sport=8080))[IP].dst == sender
