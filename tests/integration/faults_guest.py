# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults of the guest's processes, and of the machine they run in."""

from __future__ import annotations

import os
import signal
import time

from wires import UPLINK

from tests.support.booted.harm import LONG, OTHER, SOON, WHILE, as_usual, leased, row
from tests.support.booted.outside import Lease
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
