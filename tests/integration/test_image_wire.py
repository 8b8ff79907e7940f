# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Scenarios and malformed frames against the default image on real wires."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import Dice
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP
from scapy.packet import Packet
from scenarios import SCENARIOS
from test_wire_fuzz import strange
from wires import GATEWAY, Wire

from tests.support.booted.image_bench import ON_THE_IMAGE, ImageBench, standing
from tests.support.booted.on_wires import require_taps, running

pytestmark = pytest.mark.integration

BATCH = 200
OFTEN = 8  # more questions than Linux asks at all
AFTERWARDS = ("a_client_has_one_address", "clients_are_kept_apart", "an_uplink_reaches_no_client_unasked")
REASSEMBLY_S = 3.0
"""After so long the router has told the senders of lone fragments that the rest did not come (ip_frag_time)."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("w")
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield folder


@pytest.fixture(scope="module")
def bench(image: Image, qemu: Qemu, home: Path, request: pytest.FixtureRequest) -> Iterator[ImageBench]:
    require_taps()
    nic = getattr(request, "param", "virtio-net-pci")
    with running(image, qemu, spare=6) as router, standing(router, nic) as made:
        yield made


@pytest.mark.parametrize("name", ON_THE_IMAGE)
def test_on_the_wire(bench: ImageBench, name: str) -> None:
    bench.load(SCENARIOS[name].spec)
    SCENARIOS[name].run(bench)
    assert bench.vm.trouble() == []


def test_a_client_is_asked_for_often_and_an_uplink_s_neighbour_is_not(bench: ImageBench) -> None:
    """By ARP.  What is lost as an interface comes up costs a client a tenth of a second."""
    wire = bench.outsider
    nowhere = GATEWAY.rpartition(".")[0] + ".99"
    mark = bench.vm.said
    bench.vm.unplug(wire)  # type: ignore[arg-type]
    wire.namespace.ip("link", "set", "w0", "arp", "off")  # nobody answers
    bench.vm.plug(wire)  # type: ignore[arg-type]
    bench.vm.wait("client", mark, client=wire.address)
    bench.clear()
    for target in (wire.router, nowhere):
        wire.send(IP(src=wire.address, dst=target) / ICMP(id=7))
    end = time.monotonic() + 20
    while len(asked(wire, wire.address)) < OFTEN and time.monotonic() < end:
        time.sleep(0.1)
    assert len(asked(wire, wire.address)) >= OFTEN
    time.sleep(4)  # after three seconds the router gives up
    assert 1 <= len(asked(bench.upstream, nowhere)) <= 3
    wire.namespace.ip("link", "set", "w0", "arp", "on")
    wire.warm_up()


def asked(wire: Wire, address: str) -> list[Packet]:
    """The router's questions by ARP for an address."""
    return [frame for frame in wire.arp() if frame[ARP].op == 1 and frame[ARP].pdst == address]


def fuzz(bench: ImageBench, seed: int, count: int, fragments: bool) -> dict[str, int]:
    """Send so many malformed frames from laptop, printer and upstream in turn; returns what was refused.

    The router answers its host all the while, lives, and nothing comes out that may not.
    """
    neighbours = [wire.address for wire in bench.clients]
    senders = [
        (wire, Dice(wire, neighbours, seed * 3 + number).frames(count))
        for number, wire in enumerate((bench.laptop, bench.printer, bench.upstream))
    ]
    bench.clear()
    before, services, sent = bench.counters(), bench.vm.ask("status")["services"], 0
    while sent < count:
        for wire, source in senders:
            batch = [next(source) for _ in range(min(BATCH, count - sent))]
            sent += len(batch)
            wire.send(*[one for one in batch if fragments or not is_fragment(one)])
        bench.vm.ask("ping")
        found = list(strange(bench))
        assert not found, found[:5]
        for wire in bench.wires:
            wire.seen.clear()
    time.sleep(REASSEMBLY_S if fragments else 0.2)
    assert not list(strange(bench))
    assert bench.vm.ask("status")["services"] == services  # the same processes
    assert bench.vm.trouble() == []
    return bench.moved(before)


def is_fragment(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and int.from_bytes(frame[20:22], "big") & 0x3FFF != 0


def lives(bench: ImageBench) -> None:
    """What matters still is so."""
    for wire in bench.wires:
        wire.warm_up()
    for name in AFTERWARDS:
        SCENARIOS[name].run(bench)


def test_ten_thousand_malformed_frames(bench: ImageBench) -> None:
    refused = fuzz(bench, 1, 10_000, fragments=False)
    assert {"spoofed", "invalid", "odd_flags", "isolated", "from_uplink", "arp_spoofed", "to_router"} <= set(refused)
    lives(bench)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("bench", ["virtio-net-pci", "e1000e"], indirect=True)
def test_two_hundred_thousand_malformed_frames(bench: ImageBench, seed: int) -> None:
    """In two parts, each with seeds of its own."""
    begun = time.monotonic()
    refused = fuzz(bench, 200 + seed, 100_000, fragments=True)
    print(f"seed {seed}: 100000 frames in {time.monotonic() - begun:.1f} s, refused: {refused}")
    lives(bench)
