# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A running router in real QEMU: detached, looked into by several, stopped; and with hundreds of clients.

All of it under TCG, which is there on every machine and always behaves the same.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from netvm_build import guest
from netvm_build.guest.client import EventClient
from netvm_build.image.manifest import Image
from netvm_build.model import Clients
from netvm_build.model.address import Pair, allocate, parse_pool
from netvm_build.util import process
from netvm_build.vm import registry
from netvm_build.vm.engine import RunOptions, detached, stop
from netvm_build.vmm.qemu import ClientNic, Qemu, nic_properties
from netvm_build.vmm.qemu.monitor import Monitor
from netvm_build.vmm.qemu.pcie import PciSlot

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """netvm-build as a process; whatever VM a failing test leaves is ended."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "builder"))

    def call(*argv: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "netvm_build", *argv]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    yield call
    for record in registry.running():
        stop(record, now=True)


def test_a_detached_router_is_looked_into_and_stopped(command: Command, image: Image, qemu: Qemu) -> None:
    started = command("run", str(image.folder), "-d", "--accel", "tcg", "--qemu", str(qemu.path), "--clients", "2")
    assert started.returncode == 0, started.stderr
    waited = command("events", "--until", "ready", "--timeout", "120")
    assert waited.returncode == 0, waited.stdout
    now = json.loads(command("status", "--json").stdout)
    assert (now["state"], now["firewall"]) == ("ready", {"loaded": True})
    (uplink,) = now["uplinks"]
    assert (uplink["address"], uplink["gateway"]) == ("10.0.2.15/24", "10.0.2.2")
    assert uplink["in_bytes"] > 300  # a DHCP answer at least
    assert [client["client"] for client in now["clients"]] == ["100.115.92.1", "100.115.92.3"]
    assert all("in_bytes" in client for client in now["clients"])
    assert {service["name"] for service in now["services"]} == {"dbus-daemon", "connmand"}
    assert {"spoofed", "isolated"} <= {drop["reason"] for drop in now["drops"]}
    record = registry.find(None)
    with EventClient(Path(record.events)) as one, EventClient(Path(record.events)) as other:
        pid = one.ask("status")["services"][1]["pid"]
        assert other.ask("status")["services"][1]["pid"] == pid
    stopped = command("stop")
    assert (stopped.returncode, stopped.stderr) == (0, "netvm is off\n")
    assert not process.started(record.qemu_pid)
    assert registry.running() == ()


def test_a_killed_keeper_takes_its_qemu_along(command: Command, image: Image, qemu: Qemu) -> None:
    record = detached(image, qemu, RunOptions(accel="tcg"))
    os.kill(record.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while process.started(record.qemu_pid):  # before any other command could clean up
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Path(record.events).exists()
    assert registry.running() == ()
    assert not Path(record.events).exists()


def test_the_refused_packets_are_counted(command: Command, image: Image, qemu: Qemu) -> None:
    """A frame with a source that is not the client's, sent into the client's network by hand."""
    record = detached(image, qemu, RunOptions(accel="tcg"))
    with EventClient(Path(record.events)) as talk:
        until(talk, guest.Ready)
        before = {drop["name"]: drop["packets"] for drop in talk.ask("counters")["drops"]}
        (client,) = record.clients
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(client.socket)
            for _ in range(3):
                frame = spoofed(client)
                wire.sendall(len(frame).to_bytes(4, "big") + frame)
            deadline = time.monotonic() + 20
            while True:
                body = talk.ask("counters")
                after = {drop["name"]: drop["packets"] for drop in body["drops"]}
                if after["spoofed"] - before["spoofed"] == 3:
                    break
                assert time.monotonic() < deadline, (before, after)
                time.sleep(0.1)
        rows = {row["interface"]: row for row in body["interfaces"]}
        assert rows["c735c00"]["rx_bytes"] >= 3 * len(spoofed(client))
    assert stop(record)


def until(talk: EventClient, kind: type[guest.GuestEvent], where: Callable[[Any], bool] = lambda _: True) -> Any:
    """The first event of a kind.  Fails when the VM ends or two minutes pass."""
    for told in talk.follow(time.monotonic() + 120):
        if isinstance(told.event, kind) and where(told.event):
            return told.event
    pytest.fail(f"no {kind.__name__}")


def spoofed(client: registry.ClientNetwork) -> bytes:
    """A UDP datagram from 10.9.9.9 by the client's card to the router's."""
    router_mac = bytes.fromhex(client.client_mac.replace(":", ""))[:5] + bytes([int(client.client_mac[-2:], 16) - 1])
    ether = router_mac + bytes.fromhex(client.client_mac.replace(":", "")) + b"\x08\x00"
    udp = b"\x30\x39\x00\x35\x00\x0c\x00\x00test"
    addresses = socket.inet_aton("10.9.9.9") + socket.inet_aton("1.1.1.1")
    head = b"\x45\x00" + (20 + len(udp)).to_bytes(2, "big") + b"\x00\x01\x00\x00\x40\x11\x00\x00" + addresses
    total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return (ether + head[:10] + checksum + head[12:] + udp).ljust(60, b"\0")


# ------------------------------------------------------------------ many

MANY = 240


by_each_nic = pytest.mark.parametrize("nic", ["virtio-net-pci", "e1000e"])
"""What the uplink is."""


def roomy(image: Image, nic: str) -> Image:
    """The image with a pool and a memory for so many."""
    router = replace(image.manifest.router, clients=Clients(IPv4Network("100.115.92.0/23")))
    machine = replace(image.manifest.machine, memory_mib=256, nic=nic)
    return replace(image, manifest=replace(image.manifest, router=router, machine=machine))


def judge(record: registry.VmState, talk: EventClient, base_kib: int, what: str, seconds: float) -> None:
    """All clients are there, the memory suffices, and both console and power button work."""
    body = talk.ask("status", timeout_s=60)
    assert len(body["clients"]) == MANY
    used = body["meminfo"]["total_kib"] - body["meminfo"]["available_kib"]
    assert talk.ask("counters", timeout_s=60)["interfaces"][-1]["interface"].startswith("c73")
    print(f"{what}: {MANY} clients in {seconds:.1f} s, {used / 1024:.0f} MiB used", end=" ")
    print(f"({(used - base_kib) / MANY / 1024:.2f} MiB and {seconds / MANY * 1000:.0f} ms a client)")
    with socket.socket(socket.AF_UNIX) as screen:
        screen.settimeout(10)
        screen.connect(record.console)
        assert screen.recv(1 << 16)  # the scroll-back
        assert stop(record, 60)
        rest = b""
        while data := screen.recv(1 << 16):
            rest += data
    assert b'"event": "shutdown"' in rest  # said on a console that is alive


def all_there(talk: EventClient) -> None:
    """Every client has been allowed, in any order."""
    there: set[str] = set()
    for told in talk.follow(time.monotonic() + 240):
        if isinstance(told.event, guest.ClientEvent):
            there.add(told.event.client)
        if len(there) == MANY:
            return
    pytest.fail(f"{len(there)} of {MANY} clients are there")


@pytest.mark.long
@by_each_nic
def test_many_clients_at_boot(nic: str, command: Command, image: Image, qemu: Qemu) -> None:
    started = time.monotonic()
    record = detached(roomy(image, nic), qemu, RunOptions(accel="tcg", clients=MANY))
    with EventClient(Path(record.events)) as talk:
        all_there(talk)
        judge(record, talk, 27 << 10, "at boot", time.monotonic() - started)


@pytest.mark.long
@by_each_nic
def test_many_clients_hot_plugged(nic: str, command: Command, image: Image, qemu: Qemu) -> None:
    record = detached(roomy(image, nic), qemu, RunOptions(accel="tcg", clients=0, spare=MANY))
    pairs = allocate(parse_pool("100.115.92.0/23"), (), MANY)
    with EventClient(Path(record.events)) as talk:
        until(talk, guest.Ready)
        base = talk.ask("status")["meminfo"]
        started = time.monotonic()
        plug(record, pairs)
        all_there(talk)
        used = base["total_kib"] - base["available_kib"]
        judge(record, talk, used, "hot-plugged", time.monotonic() - started)


def plug(record: registry.VmState, pairs: tuple[Pair, ...]) -> None:
    """Every pair's NIC into a free port, by the monitor that users have."""
    with Monitor(Path(record.monitor)) as monitor:
        for number, (pair, port) in enumerate(zip(pairs, record.ports, strict=True)):
            slot = PciSlot(**dict(part.split("=", 1) for part in port.split(",")))
            monitor.execute("netdev_add", type="hubport", id=f"n{number}", hubid=number)
            monitor.plug(nic_properties(ClientNic(f"n{number}", pair.router_mac, ""), slot))
