# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults of the guest's processes, and of the machine they run in."""

from __future__ import annotations

import os
import re
import signal
import time

from wires import UPLINK

from tests.support.booted.balloon import balloon
from tests.support.booted.harm import LONG, OTHER, SOON, WHILE, as_usual, flood, leased, row, syns
from tests.support.booted.outside import Lease, equals, eventually, host
from tests.support.booted.scene import Scene

JUMP_S = 15
"""Past the end of a short lease, and well before the watchdog has had enough (30 s)."""


@row(quick=True)
def connmand_is_killed(scene: Scene) -> None:
    """Its uplink has no lease until it is back; then it has one again."""
    mark = scene.router.said
    pid = scene.router.ask("kill", service="connmand")["pid"]
    scene.expect("service", mark, SOON, name="connmand", state="exited", pid=pid, status=-9)
    scene.expect("service", mark, SOON, name="connmand", state="started")
    scene.expect("uplink", mark, WHILE, state="lost")
    scene.expect("uplink", mark, WHILE, state="lease", address=f"{UPLINK}/24")


@row(quick=True)
def dbus_daemon_is_killed(scene: Scene) -> None:
    """It is started again, and connmand, which ends with it, once it serves."""
    mark = scene.router.said
    scene.router.ask("kill", service="dbus-daemon")
    scene.expect("service", mark, SOON, name="dbus-daemon", state="exited", status=-9)
    scene.expect("service", mark, SOON, name="connmand", state="exited")
    scene.expect("service", mark, SOON, name="dbus-daemon", state="started")
    scene.expect("service", mark, SOON, name="connmand", state="started")
    scene.expect("uplink", mark, WHILE, state="lease", address=f"{UPLINK}/24")


@row()
def connmand_keeps_dying(scene: Scene) -> None:
    """Five times in a row: `degraded`, longer and longer waits, no reboot; and it is back when it is let be."""
    mark = scene.router.said
    for _ in range(5):
        now = scene.router.said
        scene.router.ask("kill", service="connmand")
        scene.expect("service", now, LONG, name="connmand", state="started")
    event = scene.expect("degraded", mark, SOON)
    assert "connmand keeps dying" in event["reason"]
    scene.expect("uplink", mark, LONG, state="lease")


@row(quick=True)
def the_machine_is_paused(scene: Scene) -> None:
    """For some seconds: nothing is lost but the time."""
    mark = scene.router.said
    scene.router.command("stop")
    assert scene.laptop.fetches(1.0) == "TimeoutError"
    time.sleep(2)
    scene.router.command("cont")
    scene.router.ask("ping", SOON)
    assert not [event for _, event in scene.router.events[mark:] if event["event"] not in ("reply", "log")]


@row()
def the_machine_is_paused_past_its_lease(scene: Scene) -> None:
    """Its clock stood still, so it takes its lease for good; a renewal tells it better."""
    mark = scene.router.said
    server = leased(scene, Lease(seconds=8))
    scene.expect("uplink", mark, WHILE, state="lease")
    scene.router.command("stop")
    time.sleep(10)
    scene.leases.add(OTHER)
    server.lease = Lease(OTHER)
    scene.router.command("cont")
    scene.expect("uplink", mark, LONG, state="lease", address=f"{OTHER}/24")
    scene.well(OTHER)
    as_usual(scene)


@row()
def the_clock_jumps(scene: Scene) -> None:
    """Its process stands still while time goes on, past the end of its lease: its clock jumps."""
    mark = scene.router.said
    server = leased(scene, Lease(seconds=8))
    scene.expect("uplink", mark, WHILE, state="lease")
    before, mark = scene.router.ask("ping")["t"], scene.router.said
    os.kill(scene.router.record.qemu_pid, signal.SIGSTOP)
    try:
        time.sleep(JUMP_S)
        scene.leases.add(OTHER)
        server.lease = Lease(OTHER)
    finally:
        os.kill(scene.router.record.qemu_pid, signal.SIGCONT)
    assert scene.router.ask("ping", SOON)["t"] - before >= JUMP_S  # it would have stood still in a pause
    scene.expect("uplink", mark, WHILE, state="lease", address=f"{OTHER}/24")
    scene.well(OTHER)
    as_usual(scene)


A_LITTLE = 64 << 10


@row()
def memory_is_taken(scene: Scene) -> None:
    """All of it by a balloon, but for what the kernel keeps for itself, while another client opens connections.

    The kernel ends connmand first, and PID 1, which it cannot end, says so and answers; given back, all is as before.
    """
    late = host("late", "0A:B3:EC:73:5C:20")
    try:
        late.open()
        scene.clients.append(late)
        scene.router.plug(late)
        late.warm_up()
        with balloon(scene.router) as memory:
            memory.take_all()
            mark, end = scene.router.said, time.monotonic() + WHILE
            left = memory.left()
            flood(scene, late, syns(late, 2000))
            while not ended_for_memory(scene, mark) and time.monotonic() < end:
                left = memory.left()
                memory.leave(left - A_LITTLE)  # never much more than there is, or it would take what comes free
                scene.router.ask("kernel-config", SOON)  # which takes PID 1 itself some memory
            memory.leave(memory.whole)
            scene.router.ask("ping", SOON)
            scene.expect("service", mark, SOON, name="connmand", state="exited", status=-9, reason="out of memory")
            first, *_ = re.findall(r"Out of memory: Killed process \d+ \((\S+)\)", scene.router.console())
            assert first == "connmand"  # as the kernel says: PID 1 may hear of several at once, in any order
            scene.notes.append(f"{left >> 20} MiB left")
        eventually(scene.services, all, LONG)
        eventually(lambda: scene.uplink()["address"], equals(f"{UPLINK}/24"), LONG)
        scene.router.unplug(late)
        assert scene.astray() == []
    finally:
        scene.clients.remove(late)
        late.close()


def ended_for_memory(scene: Scene, mark: int) -> bool:
    """Whether the kernel has killed a service because memory ran out since then."""
    return any(event.get("reason") == "out of memory" for _, event in scene.router.events[mark:])
