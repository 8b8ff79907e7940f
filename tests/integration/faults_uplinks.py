# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults of uplinks: their cables and their cards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from wires import UPLINK

from tests.support.booted.harm import SOON, WHILE, cut_off, row
from tests.support.booted.outside import Upstream, equals, eventually
from tests.support.booted.scene import Scene

AFTERWARDS_S = 7.0
"""Longer than an uplink keeps its address without carrier."""


@row(quick=True)
def the_cable_is_pulled(scene: Scene) -> None:
    """No lease; clients learn at once that there is no way out, by ICMP and by a refusal of DNS."""
    mark = scene.router.said
    scene.router.link(scene.upstream, False)
    scene.expect("uplink", mark, SOON, state="lost")
    cut_off(scene)
    scene.router.link(scene.upstream, True)
    scene.expect("uplink", mark, WHILE, state="lease", address=f"{UPLINK}/24")


@row(quick=True)
def the_carrier_is_away_for_a_moment(scene: Scene) -> None:
    """Nobody notices: no event, the same address, and a page right after it."""
    mark = scene.router.said
    scene.router.link(scene.upstream, False)
    time.sleep(1)
    scene.router.link(scene.upstream, True)
    eventually(lambda: scene.laptop.fetches(1.0), equals(UPLINK), SOON)
    time.sleep(AFTERWARDS_S)
    assert [event for _, event in scene.router.events[mark:] if event["event"] == "uplink"] == []
    assert scene.uplink()["address"] == f"{UPLINK}/24"


@row(quick=True)
def the_card_is_taken_out(scene: Scene) -> None:
    """And put in again: it has the same name and a lease."""
    mark = scene.router.said
    scene.router.unplug(scene.upstream)
    scene.expect("uplink", mark, SOON, state="gone", interface="up0")
    assert scene.router.ask("status")["uplinks"] == []
    cut_off(scene)
    scene.router.plug(scene.upstream, scene.nic)
    scene.expect("uplink", mark, WHILE, state="found", interface="up0")
    scene.expect("uplink", mark, WHILE, state="lease", address=f"{UPLINK}/24")


@row()
def the_cable_flaps(scene: Scene) -> None:
    """Twenty times, quicker than a lease takes."""
    for number in range(20):
        scene.router.link(scene.upstream, False)
        time.sleep(0.05 * (number % 4))
        scene.router.link(scene.upstream, True)
        time.sleep(0.05 * (number % 7))
    eventually(lambda: scene.uplink()["address"], equals(f"{UPLINK}/24"), WHILE)


@contextmanager
def a_second_uplink(scene: Scene) -> Iterator[Upstream]:
    """A network with a DHCP server of its own, which the scene knows; its card is not plugged in."""
    second = Upstream("second", "52:54:00:00:00:03", "52:54:00:12:34:57", "10.0.3.2", "10.0.3.15", "10.0.3.3")
    try:
        second.serve()
        scene.uplinks.append(second)
        scene.leases.add(second.router)
        yield second
    finally:
        scene.uplinks.remove(second)
        scene.leases.discard(second.router)
        second.close()


@row(quick=True)
def a_second_uplink_takes_over(scene: Scene) -> None:
    """While the first has no cable, clients go by the second, as its address; and back again."""
    with a_second_uplink(scene) as second:
        mark = scene.router.said
        scene.router.plug(second)
        scene.expect("uplink", mark, WHILE, state="lease", interface="up1", address="10.0.3.15/24")
        scene.router.link(scene.upstream, False)
        scene.expect("uplink", mark, SOON, state="lost", interface="up0")
        scene.well(second.router)
        scene.router.link(scene.upstream, True)
        scene.expect("uplink", mark, WHILE, state="lease", interface="up0")
        mark = scene.router.said
        scene.router.unplug(second)
        scene.expect("uplink", mark, SOON, state="gone", interface="up1")
        assert scene.astray() == []


@row()
def a_second_uplink_comes_and_goes(scene: Scene) -> None:
    """Ten times: each time ConnMan may look at it in the middle of its renaming, and each time it has a lease."""
    with a_second_uplink(scene) as second:
        for _ in range(10):
            mark = scene.router.said
            scene.router.plug(second)
            scene.router.wait("uplink", mark, WHILE, state="lease", interface="up1", address="10.0.3.15/24")
            scene.router.unplug(second)
            scene.router.wait("uplink", mark, SOON, state="gone", interface="up1")
        assert scene.astray() == []


@row()
def a_card_has_no_client_s_oui(scene: Scene) -> None:
    """It is an uplink: ConnMan asks there for a lease, and clients' packets go there by no route."""
    stray = Upstream("stray", "52:54:00:00:00:09", "02:00:00:00:00:01", "10.0.9.2", "10.0.9.15", "10.0.9.3")
    try:
        stray.open(deaf=False)
        scene.uplinks.append(stray)
        mark = scene.router.said
        scene.router.plug(stray)
        scene.expect("uplink", mark, SOON, state="found", interface="up1", mac="02:00:00:00:00:01")
        scene.well()
        scene.router.unplug(stray)
        scene.expect("uplink", mark, SOON, state="gone", interface="up1")
        assert scene.astray() == []
    finally:
        scene.uplinks.remove(stray)
        stray.close()


@row()
def two_uplinks_have_one_mac(scene: Scene) -> None:
    """The second is refused and stays mute, and the first goes on; once that is unplugged, the second is the uplink."""
    twin = Upstream("twin", "52:54:00:00:00:09", scene.upstream.router_mac, "10.0.9.2", "10.0.9.15", "10.0.9.3")
    try:
        twin.serve()
        scene.uplinks.append(twin)
        scene.leases.add(twin.router)
        mark = scene.router.said
        scene.router.plug(twin)
        event = scene.expect("uplink", mark, SOON, state="refused", mac=twin.router_mac)
        assert event["reason"] == "duplicate: up0 has the same MAC"
        scene.well()
        assert not twin.collect()
        mark = scene.router.said
        scene.router.unplug(scene.upstream)
        scene.expect("uplink", mark, SOON, state="gone", interface="up0")
        scene.expect("uplink", mark, WHILE, state="lease", interface="up0", address=f"{twin.router}/24")
        scene.well(twin.router)
        scene.router.plug(scene.upstream, scene.nic)
        scene.expect("uplink", mark, SOON, state="refused")
        mark = scene.router.said
        scene.router.unplug(twin)
        scene.expect("uplink", mark, WHILE, state="lease", interface="up0", address=f"{UPLINK}/24")
        assert scene.astray() == []
    finally:
        scene.uplinks.remove(twin)
        scene.leases.discard(twin.router)
        twin.close()
