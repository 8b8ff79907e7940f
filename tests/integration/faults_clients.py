# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults of clients and of what is sent: floods, junk, cards with the wrong MAC."""

from __future__ import annotations

from fuzz import Dice
from wires import ARP, ICMP, IP, LAPTOP, SERVER, UPLINK, Ether

from tests.support.booted.harm import SOON, WHILE, flood, row, syns
from tests.support.booted.judge import NOBODY
from tests.support.booted.outside import datagram_of, equals, eventually, host
from tests.support.booted.scene import Scene


@row()
def upstream_sends_junk(scene: Scene) -> None:
    """Twenty thousand malformed frames to the uplink."""
    scene.router.ask("ping")
    frames = list(Dice(scene.upstream, [scene.laptop.address, scene.printer.address], 77).frames(20_000))
    flood(scene, scene.upstream, frames)


@row(quick=True)
def a_client_floods(scene: Scene) -> None:
    """ARP, SYN, DHCP and fragments: each is refused by its own counter, and the others are served meanwhile."""
    flooder, everyone = host("flooder", "0A:B3:EC:73:5C:10"), "ff:ff:ff:ff:ff:ff"
    own, router, server = flooder.address, flooder.router, IP(src=flooder.address, dst=SERVER, flags="MF", proto=17)
    to_router = Ether(src=flooder.mac, dst=flooder.router_mac)
    fragment = bytes(to_router / server / bytes(64))  # in a row: a busy router meets no limit else
    once = [
        datagram_of(flooder, NOBODY, "255.255.255.255", bytes(240), 68, 67),
        bytes(to_router / IP(src=own, dst=router) / ICMP(id=1)),
        bytes(Ether(src=flooder.mac, dst=everyone) / ARP(op=1, hwsrc=flooder.mac, psrc=own, pdst=router)),
    ]
    try:
        flooder.open()
        scene.clients.append(flooder)
        scene.router.plug(flooder)
        flooder.warm_up()
        before = scene.router.drops()
        for _ in range(3):
            flood(scene, flooder, once * 500 + [fragment] * 3000 + syns(flooder, 2000))
            assert (scene.printer.fetches(SOON), scene.laptop.resolves(SOON)) == (UPLINK, SERVER)
        after = scene.router.drops()
        moved = {name for name, count in after.items() if count > before[name]}
        assert {"client_dhcp", "too_many_fragments", "too_fast", "arp_too_fast", "too_many_connections"} <= moved, moved
        scene.router.unplug(flooder)
        assert scene.astray() == []
    finally:
        scene.clients.remove(flooder)
        flooder.close()


@row(quick=True)
def two_cards_have_one_client_s_mac(scene: Scene) -> None:
    """The second is refused and stays mute; once the first has been unplugged it takes its place."""
    twin = host("twin", LAPTOP)
    try:
        twin.join()
        mark = scene.router.said
        scene.router.plug(twin)
        event = scene.expect("client-refused", mark, SOON, mac=LAPTOP)
        assert event["reason"].startswith("duplicate: c735c00")
        assert twin.fetches(1.0) in ("TimeoutError", "OSError")
        assert not twin.collect()
        scene.clients.append(twin)
        mark = scene.router.said
        scene.router.unplug(scene.laptop)
        scene.expect("client-gone", mark, SOON, mac=LAPTOP)
        scene.expect("client", mark, SOON, mac=LAPTOP, interface="c735c00")
        eventually(twin.fetches, equals(UPLINK), WHILE)
        scene.router.plug(scene.laptop)
        scene.expect("client-refused", mark, SOON, mac=LAPTOP)
        mark = scene.router.said
        scene.router.unplug(twin)
        scene.expect("client", mark, SOON, mac=LAPTOP)
        assert scene.astray() == []
    finally:
        if twin in scene.clients:
            scene.clients.remove(twin)
        twin.close()


@row(quick=True)
def macs_are_odd(scene: Scene) -> None:
    """A client's own MAC, and one outside 100.64.0.0/10: refused by name.  The last pair of all: a client."""
    stranger = host("stranger", "0A:B3:EC:7F:FF:FE")
    try:
        stranger.join()
        for mac, reason in (("0A:B3:EC:73:5C:11", "is odd"), ("0A:B3:EC:80:00:00", "outside 100.64.0.0/10")):
            mark = scene.router.said
            scene.router.plug(stranger, mac=mac)
            assert reason in scene.expect("client-refused", mark, SOON, mac=mac)["reason"]
            assert stranger.fetches(0.5) in ("TimeoutError", "OSError")
            assert not stranger.collect()
            scene.router.unplug(stranger)
        mark = scene.router.said
        scene.clients.append(stranger)
        scene.router.plug(stranger)
        scene.expect("client", mark, SOON, client="100.127.255.255")
        eventually(stranger.fetches, equals(UPLINK), WHILE)
        scene.router.unplug(stranger)
        scene.expect("client-gone", mark, SOON, client="100.127.255.255")
        assert scene.astray() == []
    finally:
        if stranger in scene.clients:
            scene.clients.remove(stranger)
        stranger.close()
