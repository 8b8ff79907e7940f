# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every scenario with real frames: what was sent, what came out of each wire, which counter moved."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from init.kernel import sysctl
from netvm_build.model import Router as Spec
from netvm_build.model import refusals
from scenarios import SCENARIOS
from wires import IP, SERVER, UDP, UPLINK, Packet, Wire, inside
from workbench import Bench, standing

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OURS = set(refusals.KERNEL_DROPS) - {"martian"}
"""All but what the kernel counts for the whole machine, in every namespace."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_the_wire(bench: Bench, name: str) -> None:
    scenario = SCENARIOS[name]
    bench.load(scenario.spec)
    scenario.run(bench)


def test_every_setting_is_there_and_holds(bench: Bench) -> None:
    """Also after forwarding was switched on, which sets others; a misspelt one would be passed over in silence."""
    wanted = dict(sysctl.EVERYWHERE)
    for name, table in (("up0", sysctl.UPLINK), ("c735c00", sysctl.EACH)):
        wanted |= {key.format(name=name): value for key, value in table}
    wanted = {key: value for key, value in wanted.items() if not key.startswith("ipv4/neigh/default/")}  # not in here
    with inside(bench.router):
        found = {key: Path(sysctl.ROOT, key).read_text().strip() for key in wanted}
    assert found == wanted


COUNT = f"""
import json, sys
sys.path.insert(0, {str(ROOT / "rootfs")!r})
from init.kernel.kernel_drops import kernel_drops
print(json.dumps(kernel_drops()))
"""


def test_what_a_real_kernel_drops_by_itself(bench: Bench) -> None:
    """Every name of the table; a TTL that ends here, no route, too big, and a sender that the routes contradict."""
    bench.load(Spec())
    laptop = bench.laptop

    def counted() -> dict[str, int]:
        command = ["nsenter", "-t", str(bench.router.pid), "-n", sys.executable, "-c", COUNT]
        rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return {row["name"]: row["packets"] for row in rows}

    def moved(packet: Packet, wire: Wire = laptop) -> dict[str, int]:
        before = counted()
        wire.send(packet)
        time.sleep(0.2)
        after = counted()
        return {name: count - before[name] for name, count in after.items() if count != before[name] and name in OURS}

    assert list(counted()) == list(refusals.KERNEL_DROPS)
    assert moved(IP(src=laptop.address, dst=SERVER, ttl=1) / UDP(sport=1, dport=2)) == {"header": 1}
    bench.ip("route del default")
    try:
        assert moved(IP(src=laptop.address, dst=SERVER) / UDP(sport=3, dport=2)) == {"no_route": 1}
    finally:
        bench.lease(UPLINK)
    bench.ip("link set up0 mtu 1300")
    try:
        large = IP(src=laptop.address, dst=SERVER, flags="DF") / UDP(sport=4, dport=2) / bytes(1400)
        assert moved(large) == {"too_big": 1}
    finally:
        bench.ip("link set up0 mtu 1500")
    came = bench.passes(laptop, IP(src=laptop.address, dst=SERVER) / UDP(sport=5, dport=2), bench.upstream)
    answer = IP(src=SERVER, dst=UPLINK) / UDP(sport=2, dport=came[UDP].sport)
    bench.ip(f"route add {SERVER}/32 dev c735c02")
    try:
        assert moved(answer, bench.upstream) == {"rp_filter": 1}
    finally:
        bench.ip(f"route del {SERVER}/32 dev c735c02")
