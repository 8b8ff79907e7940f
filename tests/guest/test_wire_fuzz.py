# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Thousands of malformed frames from clients and uplink: the router lives, its rules hold, no client shows."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import Dice
from netvm_build.model import Router as Spec
from scenarios import SCENARIOS
from wires import Ether, inside, leaked
from workbench import Bench, standing

pytestmark = pytest.mark.integration

BATCH = 250
FORGOTTEN_S = 2.5
"""After so long no fragment waits for others, of which the router tells their sender: by default after 30 seconds."""
AFTERWARDS = (
    "clients_reach_the_outside",
    "a_client_has_one_address",
    "clients_are_kept_apart",
    "an_uplink_reaches_no_client_unasked",
    "arp_is_about_the_two_ends",
    "dns_goes_to_the_uplink_s_resolver",
)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


def rules_of(bench: Bench) -> str:
    with inside(bench.router):
        return subprocess.run(["nft", "-s", "-t", "list", "ruleset"], check=True, capture_output=True, text=True).stdout


def strange(bench: Bench) -> Iterator[str]:
    """What came out and may not have."""
    for data in bench.upstream.collect():
        if (problem := leaked(data)) or (data[12:14] == b"\x08\x00" and data[26:30] != bytes([10, 0, 2, 15])):
            yield f"upstream: {problem or 'not the uplink'}: {Ether(data).summary()}"
    for wire in bench.clients:
        router = bytes(int(part) for part in wire.router.split("."))
        for data in wire.collect():
            source = data[26:30] if data[12:14] == b"\x08\x00" else data[28:32]
            if source[0] == 100 and source[1] & 0xC0 == 0x40 and source != router:
                yield f"{wire.name}: from another client: {Ether(data).summary()}"


def fuzz(bench: Bench, seed: int, frames: int) -> dict[str, int]:
    """Send so many frames from laptop, printer and upstream in turn; returns what was refused."""
    neighbours = [wire.address for wire in bench.clients]
    senders = [
        (wire, Dice(wire, neighbours, seed * 3 + number).frames(frames))
        for number, wire in enumerate((bench.laptop, bench.printer, bench.upstream))
    ]
    with inside(bench.router):
        Path("/proc/sys/net/ipv4/ipfrag_time").write_text("1")
    bench.clear()
    before, rules, tainted = bench.counters(), rules_of(bench), Path("/proc/sys/kernel/tainted").read_text()
    sent = 0
    while sent < frames:
        for wire, source in senders:
            batch = [next(source) for _ in range(min(BATCH, frames - sent))]
            wire.send(*batch)
            sent += len(batch)
        time.sleep(0.002)
        found = list(strange(bench))
        assert not found, found[:5]
        for wire in bench.wires:
            wire.seen.clear()
    time.sleep(FORGOTTEN_S)  # the router's last words about fragments that nothing followed
    assert not list(strange(bench))
    for wire in bench.wires:
        wire.seen.clear()
    assert rules_of(bench) == rules
    assert Path("/proc/sys/kernel/tainted").read_text() == tainted  # no Oops, no WARNING
    return bench.moved(before)


def lives(bench: Bench, spec: Spec) -> None:
    """All that matters still is so."""
    bench.load(spec)
    for name in AFTERWARDS:
        SCENARIOS[name].run(bench)


def test_a_few_thousand_malformed_frames(bench: Bench) -> None:
    refused = fuzz(bench, 1, 12_000)
    assert {"spoofed", "invalid", "odd_flags", "isolated", "from_uplink", "arp_spoofed", "to_router"} <= set(refused)
    lives(bench, Spec())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_four_hundred_thousand_malformed_frames(bench: Bench, seed: int) -> None:
    """In four parts, each with seeds of its own."""
    begun = time.monotonic()
    refused = fuzz(bench, 100 + seed, 100_000)
    print(f"seed {seed}: 100000 frames in {time.monotonic() - begun:.1f} s, refused: {refused}")
    lives(bench, Spec())


def test_frames_are_the_same_each_time(bench: Bench) -> None:
    one, other = (list(Dice(bench.laptop, [], 5).frames(200)) for _ in range(2))
    assert one == other
    assert len(set(one)) > 150
