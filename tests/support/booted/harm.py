# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What rows of the table of faults are made of.

A row is a function of a scene that does the harm, holds what the router says against a bound, and takes the harm back.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from fuzz import checksum, octets
from wires import IP, TCP, Ether

from tests.support.booted.on_wires import Tap
from tests.support.booted.outside import Dhcp, Host, Lease, equals, eventually
from tests.support.booted.scene import Scene

OTHER = "10.0.2.77"
SOON, WHILE, LONG = 30.0, 60.0, 120.0
"""Bounds in seconds, for what takes a tenth, a second or ten; the machine may be busy with other things."""


@dataclass(frozen=True)
class Fault:
    """A row: its name, what it does, and whether it is one of the few that every run of the tests has time for."""

    run: Callable[[Scene], None]
    quick: bool

    @property
    def name(self) -> str:
        return self.run.__name__


FAULTS: list[Fault] = []


def row(quick: bool = False) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    def add(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS.append(Fault(run, quick))
        return run

    return add


def refused_page(client: Host) -> str:
    """What comes of asking for a page.

    After no answer, wait: a kernel that is asked each second, once its burst of errors is sent, sends no more.  Each
    costs two seconds' worth of what one host may get (Linux: ip_error and icmp_send).
    """
    found = client.fetches(1.0)
    if found == "TimeoutError":
        time.sleep(5)
    return found


def cut_off(scene: Scene) -> None:
    """Without a lease nobody waits in vain: errors come at once, and the resolver of before is not asked."""
    eventually(lambda: refused_page(scene.laptop), equals("OSError"), SOON)
    eventually(lambda: scene.laptop.resolves(1.0), equals("ConnectionRefusedError"), SOON)


def leased(scene: Scene, lease: Lease | None) -> Dhcp:
    """From now on the test's DHCP server gives leases, and the router has asked it."""
    if lease is not None:
        scene.leases.add(lease.address)
    server = scene.upstream.answers(lease)
    asks_anew(scene)
    return server


def asks_anew(scene: Scene) -> int:
    """The router has lost its lease and asks for another; a mark from before it did."""
    mark = scene.router.said
    scene.router.link(scene.upstream, False)
    eventually(lambda: scene.uplink()["address"], equals(None), SOON)
    mark = scene.router.said
    scene.router.link(scene.upstream, True)
    return mark


def as_usual(scene: Scene) -> None:
    """The usual DHCP server is back, and the router has its usual lease."""
    scene.upstream.dnsmasq()
    asks_anew(scene)
    eventually(lambda: scene.uplink()["address"], equals(f"{scene.upstream.router}/24"), LONG)


def flood(scene: Scene, wire: Tap, frames: list[bytes]) -> None:
    """Send frames as quickly as the wire takes them; meanwhile PID 1 answers, and the printer gets its page."""
    slowest = 0.0
    for at in range(0, len(frames), 500):
        wire.send(*frames[at : at + 500])
        begun = time.monotonic()
        scene.router.ask("ping", SOON)
        slowest = max(slowest, time.monotonic() - begun)
    scene.notes.append(f"{len(frames)} frames, answers within {slowest:.2f} s")


def syns(wire: Host, count: int) -> list[bytes]:
    """The beginnings of so many connections to a host that answers none."""
    first = Ether(src=wire.mac, dst=wire.router_mac) / IP(src=wire.address, dst="203.0.113.9") / TCP(dport=9, flags="S")
    frame, made = bytearray(bytes(first)), []
    pseudo = octets(wire.address) + octets("203.0.113.9") + struct.pack("!BBH", 0, 6, 20)
    for number in range(count):
        frame[34:36] = struct.pack("!H", 1024 + number)
        frame[50:52] = b"\0\0"
        frame[50:52] = struct.pack("!H", checksum(pseudo + bytes(frame[34:54])))
        made.append(bytes(frame))
    return made
