# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How long connections are remembered, as the kernel itself says."""

from __future__ import annotations

import subprocess
from dataclasses import replace

from shows import DEFAULT, of, opened, out, shown, syn
from wires import IP, SERVER, TCP, UDP, UPLINK, inside
from workbench import PAIRED, Bench


def remembered(bench: Bench, protocol: str, dport: int) -> int:
    """Seconds until the kernel forgets a connection of the laptop, or to it, by the port that was asked."""
    with inside(bench.router):
        table = subprocess.run(["cat", "/proc/net/nf_conntrack"], check=True, capture_output=True, text=True).stdout
    (line,) = [
        one for one in table.splitlines() if f" {protocol} " in one and f" dport={dport} " in one.partition("src=")[2]
    ]
    return int(line.split()[4])


@shown()
def dns_questions_are_soon_forgotten(bench: Bench) -> None:
    """Those to the router's resolvers, and those to a client's own; whether they are answered or not."""
    laptop, upstream = bench.laptop, bench.upstream
    for number, target in enumerate((laptop.router, SERVER)):
        bench.forget_all()
        asked = IP(src=laptop.address, dst=target) / UDP(sport=1500 + number, dport=53) / b"question"
        came = bench.passes(laptop, asked, upstream, of(UDP, dport=53))
        assert remembered(bench, "udp", 53) <= 3
        answer = IP(src=came[IP].dst, dst=UPLINK) / UDP(sport=53, dport=came[UDP].sport) / b"answer"
        bench.passes(upstream, answer, laptop)
        assert remembered(bench, "udp", 53) <= 5
    bench.forget_all()


@shown()
def udp_is_remembered_for_two_minutes(bench: Bench) -> None:
    """RFC 4787, REQ-5; a server may answer after that time as well."""
    bench.forget_all()
    opened(bench, 1600, 4433)
    assert 118 <= remembered(bench, "udp", 4433) <= 120
    bench.forget_all()


@shown(replace(DEFAULT, clients=replace(DEFAULT.clients, udp_timeout_s=60)))
def udp_is_remembered_as_the_spec_says(bench: Bench) -> None:
    bench.forget_all()
    opened(bench, 1601, 4434)
    assert 58 <= remembered(bench, "udp", 4434) <= 60
    bench.forget_all()


@shown(PAIRED)
def half_open_connections_to_a_forwarded_port_are_soon_forgotten(bench: Bench) -> None:
    """By TCP after three seconds, until the handshake is done; by UDP after half a minute without an answer."""
    laptop, upstream = bench.laptop, bench.upstream
    bench.forget_all()
    bench.passes(upstream, syn(SERVER, UPLINK, 7600, 8080), laptop, of(TCP))
    assert remembered(bench, "tcp", 8080) <= 3
    back = bench.passes(laptop, syn(laptop.address, SERVER, 80, 7600, "SA", ack=101), upstream, of(TCP))
    assert remembered(bench, "tcp", 8080) <= 3
    done = IP(src=SERVER, dst=UPLINK) / TCP(sport=7600, dport=8080, flags="A", seq=101, ack=back[TCP].seq + 1)
    bench.passes(upstream, done, laptop, of(TCP, flags="A"))
    assert 7430 <= remembered(bench, "tcp", 8080) <= 7440
    bench.passes(upstream, IP(src=SERVER, dst=UPLINK) / UDP(sport=7601, dport=5000) / b"x", laptop, of(UDP))
    assert 28 <= remembered(bench, "udp", 5000) <= 30
    bench.passes(laptop, out(bench, 7602, 4435), upstream)
    assert remembered(bench, "udp", 4435) > 100
    bench.forget_all()
