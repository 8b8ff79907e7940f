# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults that need a router of their own: it ends with them, or has many more clients."""

from __future__ import annotations

import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz import checksum, octets
from netvm_build.image.manifest import Image
from netvm_build.util.errors import QmpLost
from netvm_build.vm import registry
from netvm_build.vm.keeper import HUNG
from netvm_build.vmm.qemu import Qemu, VirtualMachine
from netvm_build.vmm.qemu.confinement import UNCONFINED
from wires import SERVER, UPLINK, leaked

from tests.support.booted.balloon import Balloon
from tests.support.booted.debugger import Debugger
from tests.support.booted.harm import LONG, SOON, flood, syns
from tests.support.booted.on_wires import PATIENCE_S, Router, require_taps, running
from tests.support.booted.outside import Dhcp, Host, Lease, Upstream, datagram_of, equals, eventually, host
from tests.support.booted.scene import Scene, scene

pytestmark = pytest.mark.integration

by_each_nic = pytest.mark.parametrize("nic", ["virtio-net-pci", "e1000e"])
"""What the uplink is."""


@pytest.fixture(autouse=True)
def _home(short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_taps("dnsmasq", "ping")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def ended(router: Router) -> bool:
    return not [one for one in registry.running() if one.pid == router.record.pid]


def kept_busy(router: Router, going: threading.Event) -> None:
    """PID 1 has something to answer all the while."""
    while not going.wait(0.02):
        with suppress(OSError):
            router.port.sendall(b'{"v": 1, "id": 0, "request": "kernel-config"}\n')


def test_pid_1_dies(image: Image, qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No signal can kill it; a fault of its own makes the kernel say so and stop, and nothing is forwarded."""
    monkeypatch.setenv(UNCONFINED, "1")  # QEMU makes the debugger's socket by itself
    with running(image, qemu) as router, scene(router, "virtio-net-pci") as now:
        assert "no service" in router.ask("kill", service="init")["error"]
        busy, going = threading.Event(), time.monotonic() + PATIENCE_S
        thread = threading.Thread(target=kept_busy, args=(router, busy), daemon=True)
        thread.start()
        stub = f"unix:{tmp_path}/gdb,server=on,wait=off"
        router.command("human-monitor-command", command_line=f"gdbserver {stub}")
        debugger = Debugger(tmp_path / "gdb")
        try:
            with suppress(OSError):  # it ends in the middle of this
                while not ended(router) and time.monotonic() < going:
                    if debugger.user_mode():  # PID 1 most likely: only it has something to do
                        debugger.jump_to_nowhere()
                    debugger.go(0.01)
                    debugger.stop()
        finally:
            busy.set()
            thread.join()
            debugger.leave()
        eventually(lambda: ended(router), bool, PATIENCE_S)
        assert "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b" in router.console()
        nothing_is_forwarded(now)


def nothing_is_forwarded(now: Scene) -> None:
    for wire in (*now.uplinks, *now.clients):
        wire.collect()
        wire.seen.clear()
    assert now.laptop.fetches(1.0) in ("TimeoutError", "OSError")
    assert not any(wire.collect() for wire in (*now.uplinks, *now.clients))


def test_all_memory_is_taken(image: Image, qemu: Qemu) -> None:
    """The machine ends, by a panic when only PID 1 is left, or by the watchdog before; and nothing is forwarded."""
    with running(image, qemu) as router, scene(router, "virtio-net-pci") as now:
        with now.watched():
            Balloon(router).leave(16 << 20)  # what comes free is taken at once
            for one in many(router, 8)[2:]:  # each needs some
                now.clients.append(one)
                one.open()
                with suppress(QmpLost, OSError):  # it ends in the middle of this
                    router.plug(one)
            eventually(lambda: ended(router), bool, 2 * PATIENCE_S)
        said = router.console()
        assert "Kernel panic - not syncing: System is deadlocked on memory" in said or HUNG in said
        nothing_is_forwarded(now)


A_LITTLE, SPARE = 64 << 10, 4 << 20
"""Less than connmand gives back when it ends; and what is left for a flood, which else takes what the kernel keeps for
itself (vm.min_free_kbytes)."""


@by_each_nic
def test_memory_is_taken(image: Image, qemu: Qemu, nic: str) -> None:
    """More and more of it, after a client's flood: the kernel ends connmand first, and nobody is let out for it.

    Then it depends on a few pages.  With what the services give back PID 1 goes on: it says why they ended, and starts
    them again once there is memory.  Or the kernel needs more: then it has only PID 1 left to end, and panics.
    """
    with running(image, qemu) as router, scene(router, nic) as now:
        with now.watched():
            memory, mark = Balloon(router), router.said
            spare = router.ask("status")["meminfo"]["available_kib"] << 10
            memory.leave(memory.whole - spare + SPARE)
            eventually(memory.left, lambda left: left <= memory.whole - spare + SPARE, PATIENCE_S)
            flood(now, now.laptop, syns(now.laptop, 2000))
            with suppress(QmpLost, OSError, AssertionError):  # it may end in the middle of this
                end = time.monotonic() + LONG
                while not ended_for_memory(router, mark) and time.monotonic() < end:
                    memory.leave(memory.left() - A_LITTLE)  # never much more than there is
                    router.ask("status", 10.0)  # which takes PID 1 a little, too
                memory.leave(memory.whole)
                router.ask("ping", PATIENCE_S)
            first, *_ = re.findall(r"Out of memory: Killed process \d+ \((\S+)\)", router.console())
            assert first == "connmand"  # as the kernel says: PID 1 may hear of several at once, in any order
            if ended_for_memory(router, mark) and "Kernel panic" not in router.console():
                print("PID 1 went on")
                now.expect("service", mark, SOON, name="connmand", state="exited", status=-9, reason="out of memory")
                eventually(now.services, all, LONG)
                now.well(within=LONG)
                return
            eventually(lambda: ended(router), bool, PATIENCE_S)
        assert "Kernel panic - not syncing: System is deadlocked on memory" in router.console()
        nothing_is_forwarded(now)


def ended_for_memory(router: Router, mark: int) -> bool:
    """Whether PID 1 has said since then that the kernel killed a service because memory ran out."""
    return any(event.get("reason") == "out of memory" for _, event in router.events[mark:])


# ---- the connection table

CROWD, EACH = 17, 1024


def many(router: Router, count: int) -> list[Host]:
    return [host(f"h{number}", f"0A:B3:EC:40:{number >> 7:02X}:{number << 1 & 255:02X}") for number in range(count)]


def segment(source: str, target: str, sport: int, dport: int, flags: int, seq: int, ack: int, macs: bytes) -> bytes:
    """A TCP segment without data in a frame, quickly made."""
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 69, 0, 40, 0, 0, 64, 6, 0, octets(source), octets(target)))
    head[10:12] = struct.pack("!H", checksum(bytes(head)))
    tcp = bytearray(struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 8192, 0, 0))
    ends = octets(source) + octets(target) + struct.pack("!BBH", 0, 6, len(tcp))
    tcp[16:18] = struct.pack("!H", checksum(ends + bytes(tcp)))
    return macs + b"\x08\x00" + bytes(head) + bytes(tcp)


def establish(one: Host, upstream: Upstream, base: int, count: int) -> int:
    """Open TCP connections in earnest, so that each is kept; returns how many came to be."""
    macs = bytes.fromhex((one.router_mac + one.mac).replace(":", ""))
    back = bytes.fromhex((upstream.router_mac + upstream.mac).replace(":", ""))
    done = 0
    for first in range(base, base + count, 128):
        ports = range(first, min(first + 128, base + count))
        upstream.collect()
        upstream.seen.clear()
        one.send(*[segment(one.address, SERVER, port, 81, 2, 1, 0, macs) for port in ports])
        end = time.monotonic() + 10
        answered: set[int] = set()
        while len(answered) < len(ports) and time.monotonic() < end:
            seen, upstream.seen = upstream.collect(), []
            for data in seen:
                assert not leaked(data)
                if data[12:14] == b"\x08\x00" and data[23] == 6 and data[47] == 2:
                    sport = int.from_bytes(data[34:36], "big")
                    answered.add(sport)
                    upstream.send(segment(SERVER, UPLINK, 81, sport, 18, 7, 2, back))
            time.sleep(0.002)
            if time.monotonic() > end - 8 and not answered:
                break
        time.sleep(0.05)
        one.send(*[segment(one.address, SERVER, port, 81, 16, 2, 8, macs) for port in ports])
        done += len(answered)
        if len(answered) < len(ports):
            break
    return done


@pytest.mark.long
@by_each_nic
def test_a_full_connection_table(nic: str, image: Image, qemu: Qemu) -> None:
    """Seventeen clients fill it together: what is new finds no room and is dropped, never sent as it is; what is known
    goes on; and when some of them are unplugged there is room again at once.
    """
    with ExitStack() as stack:
        router = stack.enter_context(running(image, qemu, spare=CROWD + 3))
        upstream = Upstream()
        crowd = many(router, CROWD + 1)
        for wire in (upstream, *crowd):
            stack.callback(wire.close)
            wire.open()
        server = Dhcp(upstream, Lease())
        stack.callback(server.close)
        router.plug(upstream, nic)
        for wire in crowd:
            router.plug(wire)
        router.wait("ready")
        eventually(lambda: len(router.ask("status")["clients"]), equals(CROWD + 1), PATIENCE_S)
        for wire in (upstream, *crowd):
            wire.warm_up()
        *fillers, late = crowd
        begun = time.monotonic()
        made = sum(establish(one, upstream, 2000, EACH - 8) for one in fillers)
        print(f"{made} connections by {CROWD} clients in {time.monotonic() - begun:.1f} s")
        assert made >= 16_000
        before = router.drops()
        assert establish(late, upstream, 2000, 64) < 64
        assert not any(leaked(data) for data in upstream.collect())
        known, seen = segment_of(fillers[0]), len(upstream.collect())
        fillers[0].send(known)
        eventually(lambda: len(upstream.collect()), lambda count: count > seen, PATIENCE_S)
        assert router.ask("status")["firewall"] is True
        assert router.drops()["unmasqueraded"] == before["unmasqueraded"]
        for one in fillers[:4]:
            router.unplug(one)
        eventually(lambda: establish(late, upstream, 4000, 64), equals(64), PATIENCE_S)
        assert router.trouble() == []


def segment_of(one: Host) -> bytes:
    """Another segment of a client's first connection."""
    macs = bytes.fromhex((one.router_mac + one.mac).replace(":", ""))
    return segment(one.address, SERVER, 2000, 81, 16, 2, 8, macs)


# ---- hundreds

HUNDREDS = 200


def roomy(machine: VirtualMachine) -> VirtualMachine:
    return replace(machine, memory_mib=256)


@pytest.mark.long
@by_each_nic
def test_hundreds_are_plugged_in_while_one_talks(nic: str, image: Image, qemu: Qemu) -> None:
    """As quickly as the monitor takes them: each is served, the first one all the while, and none hears another."""
    with ExitStack() as stack:
        router = stack.enter_context(running(image, qemu, spare=HUNDREDS + 3, change=roomy))
        now: Scene = stack.enter_context(scene(router, nic))
        crowd = many(router, HUNDREDS + 2)[2:]
        for one in crowd:
            stack.callback(one.close)
            one.open()
        now.clients += crowd
        stack.callback(lambda: now.clients.__delitem__(slice(2, None)))
        with now.watched():
            begun = time.monotonic()
            pages = []
            for number, one in enumerate(crowd):
                router.plug(one)
                if number % 20 == 0:
                    pages.append(now.laptop.fetches(PATIENCE_S))
            eventually(lambda: len(router.ask("status")["clients"]), equals(HUNDREDS + 2), 4 * PATIENCE_S)
            print(f"{HUNDREDS} clients in {time.monotonic() - begun:.1f} s, {len(pages)} pages meanwhile")
            assert pages == [UPLINK] * len(pages)
            for one in crowd:
                one.warm_up()
                one.send(datagram_of(one, one.address, SERVER, b"well"))
            now.well()
        print(f"{now.frames} frames judged; {router.ask('status')['meminfo']}")


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    assert registry.running() == ()
