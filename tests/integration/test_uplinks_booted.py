# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Several uplinks on the real image in real QEMU: two cards, VLANs of one card, and the clock by ConnMan's NTP.

All of it under TCG, which is there on every machine and always behaves the same.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build import guest
from netvm_build.build import loading, pipeline
from netvm_build.guest.client import EventClient
from netvm_build.image.manifest import Image
from netvm_build.smoke import report
from netvm_build.smoke.engine import smoke
from netvm_build.smoke.report import Status
from netvm_build.util.events import discard
from netvm_build.vm import registry
from netvm_build.vm.engine import RunOptions, detached, stop
from netvm_build.vmm.qemu import Qemu

from tests.support.needs import tell

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
NTP_EPOCH = 2208988800  # seconds from 1900 to 1970 (RFC 5905)
AHEAD_S = 3600


def example(name: str, workshop: Path, *, stock: bool = False) -> Image:
    """The image of an example, in a folder that stays between runs; perhaps with Debian's kernel."""
    folder = workshop / (f"{name}-stock" if stock else name)
    folder.mkdir(exist_ok=True)
    text = (ROOT / "examples" / f"{name}.yaml").read_text()
    (folder / "netvm.yaml").write_text(f"{text}\nkernel: {{stock: true}}\n" if stock else text)
    if (workshop / loading.LOCK_NAME).exists() and not stock:
        shutil.copy(workshop / loading.LOCK_NAME, folder / loading.LOCK_NAME)
    return pipeline.build(loading.load(folder / "netvm.yaml"), folder / "image", tell)


@pytest.fixture(scope="session")
def twoways(image: Image, workshop: Path) -> Image:  # after the default image, whose lock it takes
    return example("two-uplinks", workshop)


def judged(image: Image, qemu: Qemu, folder: Path) -> dict[str, str]:
    """The details of the checks of a smoke run that passed."""
    result = smoke(image, qemu, accel="tcg", out=folder, sink=discard)
    assert result.passed, report.text(result)
    (entry,) = result.nics
    assert all(check.status is not Status.FAILED for check in entry.checks)
    print(report.text(result))
    return {check.name: check.detail for check in entry.checks if check.status is Status.PASSED}


def test_clients_go_by_the_other_uplink_and_come_back(twoways: Image, qemu: Qemu, tmp_path: Path) -> None:
    checks = judged(twoways, qemu, tmp_path)
    assert checks["uplinks"] == "fibre 10.0.2.15/24, backup 10.0.3.15/24"
    assert checks["failover"].startswith("away from fibre in ")


@pytest.mark.parametrize(
    "stock", [pytest.param(False, marks=pytest.mark.long, id="ours"), pytest.param(True, id="stock")]
)
def test_uplinks_that_are_vlans_of_one_card(
    stock: bool, image: Image, qemu: Qemu, workshop: Path, tmp_path: Path
) -> None:
    """DHCP, clients and DNS go through the tags, and nothing of a client's gets out.

    The kernel is one of its own, or Debian's, which has VLANs as a module.
    """
    checks = judged(example("vlan", workshop, stock=stock), qemu, tmp_path)
    assert checks["uplinks"] == "office 10.0.2.15/24, lab 10.20.8.2/24"
    assert checks["client 100.115.92.1"].startswith("icmp udp dns tcp")
    assert "no client's address" in checks["uplink traffic"]
    assert b"\x81\x00\x00\x07" in (tmp_path / "e1000e" / "uplink.pcap").read_bytes()


HIDDEN = """\
uplink:
  dhcp: true
  hostname: none
  send_mac: random
  mtu: 1400
  routes: [{to: 10.20.0.0/16, via: 10.0.2.2}]
"""


@pytest.mark.long
def test_a_router_that_tells_neither_its_name_nor_its_card(
    variant: Callable[[str, str], Path], qemu: Qemu, tmp_path: Path
) -> None:
    """No frame on the uplink holds the card's own MAC or the router's name; all checks of the smoke boot pass."""
    made = pipeline.build(loading.load(variant("uplink:\n  dhcp: true\n", HIDDEN)), tmp_path / "image", tell)
    judged(made, qemu, tmp_path / "smoke")
    seen = (tmp_path / "smoke/e1000e/uplink.pcap").read_bytes()
    assert len(seen) > 1 << 20
    assert bytes.fromhex("525400123456") not in seen
    assert b"netvm" not in seen


def serve_time(server: socket.socket) -> None:
    """NTP (RFC 5905) of a clock that is ahead, after an answer that is forged; ends when the socket is closed."""
    while True:
        try:
            asked, peer = server.recvfrom(1024)
        except OSError:
            return
        head = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"TEST")
        for ahead, asked_at in ((3 * AHEAD_S, bytes(8)), (AHEAD_S, asked[40:48])):
            now = time.time() + NTP_EPOCH + ahead
            stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
            server.sendto(head + stamp + asked_at + stamp + stamp, peer)


@pytest.fixture
def time_server() -> Iterator[None]:
    """On this host's loopback, where QEMU's user network leads 10.0.2.2."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind(("127.0.0.1", 123))
    except OSError as error:
        server.close()
        if os.environ.get("CI"):
            pytest.fail(f"no time server can listen on 127.0.0.1:123, and CI must run every test: {error.strerror}")
        pytest.skip(f"no time server can listen on 127.0.0.1:123: {error.strerror}")
    threading.Thread(target=serve_time, args=(server,), daemon=True).start()
    yield
    server.close()


def test_the_clock_is_set_by_the_time_servers_of_the_spec(
    twoways: Image, qemu: Qemu, time_server: None, short_runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ConnMan has the one capability that it takes, and the spec's server is asked by the uplink that names it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = detached(twoways, qemu, RunOptions(accel="tcg"))
    try:
        with EventClient(Path(record.events)) as talk:
            until(talk, lambda event: isinstance(event, guest.RouteEvent) and event.name == "fibre")
            deadline = time.monotonic() + 60
            while abs(talk.ask("status")["clock"] - (time.time() + AHEAD_S)) > 5:
                assert time.monotonic() < deadline, "the clock was not set"
                time.sleep(0.5)
            status = {one["name"]: one for one in talk.ask("status")["uplinks"]}
            assert status["backup"]["nameservers"] == ["10.0.3.3"]
        assert stop(record)
    finally:
        for left in registry.running():
            stop(left, now=True)


def until(talk: EventClient, what: Callable[[guest.GuestEvent], bool]) -> None:
    for told in talk.follow(time.monotonic() + 120):
        if told.event is not None and what(told.event):
            return
    pytest.fail("the router did not get so far")
