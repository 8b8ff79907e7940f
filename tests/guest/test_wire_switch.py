# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Clients' packets while the uplink in use changes: each leaves by one of the two, as that one's address."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from fuzz import octets
from scenarios_fragments import piece, udp
from scenarios_standby import NEIGHBOUR, STANDBY, second
from shows import DEFAULT
from wires import SERVER, UPLINK
from workbench import Bench, limited, standing

pytestmark = pytest.mark.integration

SWITCHES = 20
MOST = 40_000
"""New connections that a client may have here."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


def sources(frames: list[bytes]) -> list[bytes]:
    """Senders of the packets for the server."""
    return [one[26:30] for one in frames if one[12:14] == b"\x08\x00" and one[30:34] == octets(SERVER)]


def test_a_switch_loses_no_packet_and_misleads_none(bench: Bench) -> None:
    """Each packet is a connection of its own, and they come as fast as they can be sent."""
    bench.load(limited(DEFAULT, MOST))
    frames = [piece(bench.laptop, SERVER, number, udp(1024 + number, 443, 8), more=False) for number in range(MOST)]
    ended, sent = threading.Event(), 0

    def send() -> None:
        nonlocal sent
        for frame in frames:
            if ended.is_set():
                break
            bench.laptop.send(frame)
            sent += 1

    with second(bench) as pair:
        pair.lease(f"{STANDBY}/24", (f"default via {NEIGHBOUR} metric 5",))
        bench.clear()
        before, sender = bench.counters(), threading.Thread(target=send)
        sender.start()
        for number in range(SWITCHES):
            pair.use(*((pair.first, pair.second) if number % 2 else (pair.second, pair.first)))
        ended.set()
        sender.join()
        time.sleep(0.2)
        first, other = sources(bench.upstream.collect()), sources(pair.wire.collect())
        moved = bench.moved(before)
        print(f"{sent} packets during {SWITCHES} switches: {len(first)} by the first, {len(other)} by the other")
        assert moved == {}
        assert (set(first), set(other)) == ({octets(UPLINK)}, {octets(STANDBY)})
        assert len(first) + len(other) == sent < MOST
