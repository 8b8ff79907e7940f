"""The table of faults: what is done to a running router, and what is expected of it.

A row is a function of a scene that does the harm, holds what the router says against a bound, and takes the harm back.
Around it test_faults.py looks at every frame that came out, and asks whether the clients are served afterwards.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from fuzz import Dice, checksum, octets
from wires import ARP, ICMP, IP, LAPTOP, SERVER, TCP, UPLINK, Ether

from tests.integration.clock import Clock
from tests.integration.judge import NOBODY
from tests.integration.on_wires import Tap
from tests.integration.outside import Dhcp, Host, Lease, Upstream, datagram_of, equals, eventually, host
from tests.integration.scene import Scene

OTHER = "10.0.2.77"
SOON, WHILE, LONG = 30.0, 60.0, 120.0
"""Bounds in seconds, for what takes a tenth, a second or ten; the machine may be busy with other things."""


@dataclass(frozen=True)
class Fault:
    """A row: its name, what it does, and whether it is one of the few that every run of the tests has time for."""

    run: Callable[[Scene], None]
    quick: bool

    @property
    def name(self) -> str:
        return self.run.__name__


FAULTS: list[Fault] = []


def row(quick: bool = False) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    def add(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS.append(Fault(run, quick))
        return run

    return add


# ---- the guest's processes


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


# ---- the uplink's cable and card


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


def cut_off(scene: Scene) -> None:
    """Without a lease nobody waits in vain: errors come at once, and the resolver of before is not asked."""
    eventually(lambda: scene.laptop.fetches(1.0), equals("OSError"), SOON)
    eventually(lambda: scene.laptop.resolves(1.0), equals("ConnectionRefusedError"), SOON)


# ---- the DHCP server


def leased(scene: Scene, lease: Lease | None) -> Dhcp:
    """From now on a server of ours gives leases, and the router has asked it."""
    if lease is not None:
        scene.leases.add(lease.address)
    server = scene.upstream.answers(lease)
    asks_anew(scene)
    return server


def asks_anew(scene: Scene) -> int:
    """The router has lost its lease and asks for another; a mark from before it did."""
    mark = scene.router.said
    scene.router.link(scene.upstream, False)
    eventually(lambda: scene.uplink()["address"], equals(None), SOON)
    mark = scene.router.said
    scene.router.link(scene.upstream, True)
    return mark


@row()
def the_dhcp_server_vanishes(scene: Scene) -> None:
    """The lease is kept to its end and no longer; the router asks on, and takes the first that answers."""
    mark = scene.router.said
    server = leased(scene, Lease(seconds=10))
    scene.expect("uplink", mark, WHILE, state="lease")
    server.lease, mark = None, scene.router.said
    scene.expect("uplink", mark, WHILE, state="lost")
    cut_off(scene)
    asked = len(server.heard)
    eventually(lambda: len(server.heard), lambda count: count >= asked + 2, LONG)
    server.lease = Lease()
    scene.expect("uplink", mark, LONG, state="lease", address=f"{UPLINK}/24")


@row()
def no_dhcp_server_answers_for_long(scene: Scene) -> None:
    """ConnMan takes an address of last resort after half a minute: that is no lease, and no resolver is asked."""
    mark = scene.router.said
    server = leased(scene, None)
    time.sleep(50)
    assert [event for _, event in scene.router.events[mark:] if event.get("state") == "lease"] == []
    assert scene.uplink()["address"] is None
    assert scene.laptop.resolves(SOON) == "ConnectionRefusedError"
    assert len(server.heard) > 3
    scene.upstream.dnsmasq()
    scene.expect("uplink", mark, LONG, state="lease", address=f"{UPLINK}/24")


@row()
def the_lease_is_renewed_with_another_address(scene: Scene) -> None:
    """What is sent from then on has the new address, connections known before included."""
    mark = scene.router.said
    server = leased(scene, Lease(seconds=10))
    scene.expect("uplink", mark, WHILE, state="lease", address=f"{UPLINK}/24")
    scene.leases.add(OTHER)
    server.lease = Lease(OTHER)
    scene.expect("uplink", mark, LONG, state="lease", address=f"{OTHER}/24")
    scene.well(OTHER)
    scene.leases.discard(UPLINK)
    assert scene.astray() == [], "a packet left with the address of before"
    scene.leases.add(UPLINK)


def refused(scene: Scene, lease: Lease, claimed: str) -> None:
    """Such a lease is refused by name, its uplink is down, and a better one is taken later."""
    mark = scene.router.said
    leased(scene, lease)
    event = scene.expect("uplink", mark, WHILE, state="refused")
    assert claimed in event["reason"]
    assert scene.uplink()["address"] is None
    for one in (scene.laptop, scene.printer):  # its own wire still works
        eventually(lambda one=one: one.namespace.pings(one.router), equals(True), SOON)  # type: ignore[misc]
    cut_off(scene)
    scene.upstream.dnsmasq()
    scene.expect("uplink", mark, LONG, state="lease", address=f"{UPLINK}/24")


@row(quick=True)
def dhcp_gives_a_client_s_address(scene: Scene) -> None:
    refused(scene, Lease(scene.laptop.address), "address 100.64.0.1 is the clients' own")


@row()
def dhcp_gives_the_router_s_address_towards_a_client(scene: Scene) -> None:
    refused(scene, Lease(scene.laptop.router), "address 100.64.0.0 is the clients' own")


@row()
def dhcp_s_gateway_is_a_client(scene: Scene) -> None:
    """ConnMan makes a route of its own to each gateway: the client's packets would go by it."""
    refused(scene, Lease(router=scene.laptop.address), "100.64.0.1 is the clients' own")


@row()
def dhcp_s_resolver_is_a_client(scene: Scene) -> None:
    refused(scene, Lease(resolver=scene.printer.address), "route to 100.64.0.3 is the clients' own")


@row()
def dhcp_gives_an_address_of_no_host(scene: Scene) -> None:
    refused(scene, Lease("127.0.0.1"), "127.0.0.1 is no host's address")


def junk(frame: bytes) -> bytes:
    """A DHCP answer whose options are cut short, too long, repeated and unknown."""
    return frame + bytes([12, 255, 65, 66, 53, 0, 53, 1, 99, 121, 7, 32, 100, 64, 0, 1, 10, 0, 6, 3, 1, 2, 3, 1])


ODD_LEASES = {
    "no subnet": Lease(mask="0.0.0.0"),  # noqa: S104
    "one address": Lease(mask="255.255.255.255"),
    "no time": Lease(options=(("lease_time", 0),)),
    "for ever": Lease(options=(("lease_time", 0xFFFFFFFF),)),
    "gateway itself": Lease(router=UPLINK),
    "no gateway": Lease(router=NOBODY),
    "resolver nobody": Lease(resolver=NOBODY),
    "resolver the router": Lease(resolver="127.0.0.1"),
    "long names": Lease(options=(("hostname", b"A" * 250), ("domain", b"\xff\x00`$(reboot)`" * 20))),
    "cut short": Lease(raw=lambda frame: frame[: len(frame) // 2]),
    "junk after": Lease(raw=junk),
    "odd lengths": Lease(options=((6, b"\1\2\3"), (3, b"\1"), (1, b""), (51, b"\0"))),
    "classless routes": Lease(options=((121, bytes([32, 100, 64, 0, 1, 10, 0, 2, 2, 0, 10, 0, 2, 2])),)),
}


@row()
def dhcp_answers_are_odd(scene: Scene) -> None:
    """Leases that make no sense, each for three seconds: used, or not; nothing dies of it, and a good one is next."""
    before = scene.restarts()
    for what, lease in ODD_LEASES.items():
        server = leased(scene, lease)
        eventually(lambda server=server: server.heard, bool, WHILE)  # type: ignore[misc]
        time.sleep(3)
        assert scene.restarts() == before, what
        scene.upstream.dnsmasq()
        asks_anew(scene)
        eventually(lambda: scene.uplink()["address"], equals(f"{UPLINK}/24"), LONG)


# ---- what is sent


@row()
def upstream_sends_junk(scene: Scene) -> None:
    """Twenty thousand malformed frames to the uplink."""
    scene.router.ask("ping")
    frames = list(Dice(scene.upstream, [scene.laptop.address, scene.printer.address], 77).frames(20_000))
    flood(scene, scene.upstream, frames)


def flood(scene: Scene, wire: Tap, frames: list[bytes]) -> None:
    """Send frames as quickly as the wire takes them; meanwhile PID 1 answers, and the printer gets its page."""
    slowest = 0.0
    for at in range(0, len(frames), 500):
        wire.send(*frames[at : at + 500])
        begun = time.monotonic()
        scene.router.ask("ping", SOON)
        slowest = max(slowest, time.monotonic() - begun)
    scene.notes.append(f"{len(frames)} frames, answers within {slowest:.2f} s")


@row(quick=True)
def a_client_floods(scene: Scene) -> None:
    """ARP, SYN, DHCP and fragments: each is refused by its own counter, and the others are served meanwhile."""
    flooder, everyone = host("flooder", "0A:B3:EC:40:00:10"), "ff:ff:ff:ff:ff:ff"
    own, router, server = flooder.address, flooder.router, IP(src=flooder.address, dst=SERVER, flags="MF", proto=17)
    to_router = Ether(src=flooder.mac, dst=flooder.router_mac)
    once = [
        datagram_of(flooder, NOBODY, "255.255.255.255", bytes(240), 68, 67),
        bytes(to_router / server / bytes(64)),
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
            flood(scene, flooder, once * 500 + syns(flooder, 2000))
            assert (scene.printer.fetches(SOON), scene.laptop.resolves(SOON)) == (UPLINK, SERVER)
        after = scene.router.drops()
        moved = {name for name, count in after.items() if count > before[name]}
        assert {"client_dhcp", "too_many_fragments", "too_fast", "arp_too_fast", "too_many_connections"} <= moved, moved
        scene.router.unplug(flooder)
        assert scene.astray() == []
    finally:
        scene.clients.remove(flooder)
        flooder.close()


def syns(wire: Host, count: int) -> list[bytes]:
    """The beginnings of so many connections to a host that answers none."""
    first = Ether(src=wire.mac, dst=wire.router_mac) / IP(src=wire.address, dst="203.0.113.9") / TCP(dport=9, flags="S")
    frame, made = bytearray(bytes(first)), []
    pseudo = octets(wire.address) + octets("203.0.113.9") + struct.pack("!BBH", 0, 6, 20)
    for number in range(count):
        frame[34:36] = struct.pack("!H", 1024 + number)
        frame[50:52] = b"\0\0"
        frame[50:52] = struct.pack("!H", checksum(pseudo + bytes(frame[34:54])))
        made.append(bytes(frame))
    return made


# ---- the machine


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


# ---- more cards


@row(quick=True)
def a_second_uplink_takes_over(scene: Scene) -> None:
    """While the first has no cable, clients go by the second, as its address; and back again."""
    second = Upstream("second", "52:54:00:00:00:03", "52:54:00:12:34:57", "10.0.3.2", "10.0.3.15", "10.0.3.3")
    try:
        second.serve()
        scene.uplinks.append(second)
        scene.leases.add(second.router)
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
    finally:
        scene.uplinks.remove(second)
        scene.leases.discard(second.router)
        second.close()


@row(quick=True)
def two_cards_have_one_client_s_mac(scene: Scene) -> None:
    """The second is refused and stays mute; once the first is gone it takes its place."""
    twin = host("twin", LAPTOP)
    try:
        twin.join()
        mark = scene.router.said
        scene.router.plug(twin)
        event = scene.expect("client-refused", mark, SOON, mac=LAPTOP)
        assert event["reason"].startswith("duplicate: c400000")
        assert twin.fetches(1.0) in ("TimeoutError", "OSError")
        assert not twin.collect()
        scene.clients.append(twin)
        mark = scene.router.said
        scene.router.unplug(scene.laptop)
        scene.expect("client-gone", mark, SOON, mac=LAPTOP)
        scene.expect("client", mark, SOON, mac=LAPTOP, interface="c400000")
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
        for mac, reason in (("0A:B3:EC:40:00:11", "is odd"), ("0A:B3:EC:80:00:00", "outside 100.64.0.0/10")):
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
    """The second is refused and stays mute, and the first goes on; once that is gone, the second is the uplink."""
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


# ---- memory and time


@row()
def memory_runs_short(scene: Scene) -> None:
    """A balloon takes most of it: the router goes on, and has it back afterwards."""
    seat = scene.router.free.pop(0)
    scene.router.device("balloon", "virtio-balloon-pci", seat)
    time.sleep(1)
    told = scene.router.ask("status")["meminfo"]
    spare = (told["available_kib"] >> 10) - 10
    scene.router.command("balloon", value=(96 - spare) << 20)
    eventually(lambda: scene.router.ask("status")["meminfo"]["available_kib"] >> 10, lambda mib: mib <= 16, WHILE)
    scene.notes.append(f"{scene.router.ask('status')['meminfo']['available_kib'] >> 10} MiB left")
    frames = [bytes(one) for one in Dice(scene.laptop, [scene.printer.address], 78).frames(3000)]
    flood(scene, scene.laptop, frames + syns(scene.laptop, 200))
    scene.well()
    scene.router.command("balloon", value=96 << 20)
    eventually(lambda: scene.router.ask("status")["meminfo"]["available_kib"], lambda kib: kib > 30 << 10, WHILE)
    scene.router.remove("balloon")
    scene.router.free.append(seat)


@row()
def the_clock_jumps(scene: Scene) -> None:
    """A time server that DHCP names says it is ten years later, then twenty years earlier: leases and timers hold."""
    clock = Clock(scene.upstream)
    try:
        for years in (10, -20):
            clock.years = years
            asked = len(clock.heard)
            mark = scene.router.said
            server = leased(scene, Lease(seconds=20, options=(("NTP_server", scene.upstream.address),)))
            scene.expect("uplink", mark, WHILE, state="lease")
            eventually(lambda asked=asked: len(clock.heard), lambda count, asked=asked: count > asked, LONG)  # type: ignore[misc]
            before = len(server.heard)
            eventually(lambda s=server: len(s.heard), lambda count, b=before: count > b, LONG)  # type: ignore[misc]
            assert scene.uplink()["address"] == f"{UPLINK}/24"
            scene.notes.append(f"{years} years: its clock was off by {clock.heard[asked:][:4]}")
        times = [event["t"] for _, event in scene.router.events]
        assert times == sorted(times)
    finally:
        clock.close()
        scene.upstream.dnsmasq()
        asks_anew(scene)
        eventually(lambda: scene.uplink()["address"], equals(f"{UPLINK}/24"), LONG)
