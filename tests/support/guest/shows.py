# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What scenarios are made of: their table, and the packets that most of them send.

A scenario is a function of a bench that sends real frames and looks at every wire; `SCENARIOS` maps its name to it and
to the spec it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netvm_build.model import Clients, Dns
from netvm_build.model import Router as Spec
from wires import IP, SERVER, TCP, UDP, UPLINK, Packet
from workbench import Bench

QUIET = 0.05
NOBODY = "0.0.0.0"  # noqa: S104  (a sender without an address)
DEFAULT = Spec()
DEAF = Spec(clients=Clients(dns=Dns.NONE))


@dataclass(frozen=True)
class Scenario:
    """One thing that is shown on the wire, and the spec whose ruleset it is shown with."""

    run: Callable[[Bench], None]
    spec: Spec


SCENARIOS: dict[str, Scenario] = {}


def shown(spec: Spec = DEFAULT) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    def add(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        SCENARIOS[run.__name__] = Scenario(run, spec)
        return run

    return add


def out(bench: Bench, sport: int, dport: int = 443) -> Packet:
    """A datagram of the laptop to the outside."""
    return IP(src=bench.laptop.address, dst=SERVER) / UDP(sport=sport, dport=dport) / b"hello"


def syn(source: str, target: str, sport: int, dport: int, flags: str = "S", **fields: Any) -> IP:
    return IP(src=source, dst=target) / TCP(sport=sport, dport=dport, flags=flags, seq=100, **fields)


def of(layer: type[Packet], **fields: object) -> Callable[[Packet], bool]:
    """Whether a packet has a layer with these fields."""

    def what(packet: Packet) -> bool:
        found = packet.getlayer(layer)
        return found is not None and all(getattr(found, name) == value for name, value in fields.items())

    return what


def opened(bench: Bench, sport: int, dport: int = 443) -> int:
    """The laptop talks to the server; returns the port that upstream sees."""
    came = bench.passes(bench.laptop, out(bench, sport, dport), bench.upstream, of(UDP, dport=dport))
    assert came[IP].src == UPLINK
    return int(came[UDP].sport)
