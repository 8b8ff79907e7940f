# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Faults of the DHCP server behind the uplink: it is silent, it changes its mind, it lies."""

from __future__ import annotations

import subprocess
import time

from fuzz import octets
from wires import GATEWAY, UPLINK

from tests.support.booted.harm import LONG, OTHER, SOON, WHILE, as_usual, cut_off, leased, row
from tests.support.booted.judge import NOBODY
from tests.support.booted.outside import Lease, equals, eventually
from tests.support.booted.scene import Scene


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
    assert scene.astray() == []  # with both addresses, up to here
    scene.leases.discard(UPLINK)
    scene.well(OTHER)
    assert scene.astray() == [], "a packet left with the address of before"
    scene.leases.add(UPLINK)
    as_usual(scene)


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
    refused(scene, Lease(scene.laptop.address), "address 100.115.92.1 is the clients' own")


@row()
def dhcp_gives_the_router_s_address_towards_a_client(scene: Scene) -> None:
    refused(scene, Lease(scene.laptop.router), "address 100.115.92.0 is the clients' own")


@row()
def dhcp_s_gateway_is_a_client(scene: Scene) -> None:
    """ConnMan makes a route of its own to each gateway: the client's packets would go by it."""
    refused(scene, Lease(router=scene.laptop.address), "100.115.92.1 is the clients' own")


@row()
def dhcp_s_resolver_is_a_client(scene: Scene) -> None:
    refused(scene, Lease(resolver=scene.printer.address), "route to 100.115.92.3 is the clients' own")


@row()
def dhcp_gives_an_address_of_no_host(scene: Scene) -> None:
    refused(scene, Lease("127.0.0.1"), "127.0.0.1 is no host's address")


def does_not_fit(scene: Scene, size: int) -> str:
    """What ping says of a packet of so many bytes that may not be fragmented."""
    argv = ["nsenter", "-t", str(scene.laptop.namespace.pid), "-n", "ping", "-M", "do", "-c1", "-W2"]
    done = subprocess.run([*argv, f"-s{size - 28}", GATEWAY], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).replace("mtu = ", "mtu=")


@row(quick=True)
def dhcp_changes_the_mtu(scene: Scene) -> None:
    """The uplink has it, larger or smaller, clients are told what does not fit, and it goes with the lease."""
    for mtu in (1400, 4000):
        leased(scene, Lease(options=((26, mtu.to_bytes(2, "big")),)))
        eventually(lambda: scene.uplink(), lambda found, mtu=mtu: found["mtu"] == mtu and found["address"], LONG)  # type: ignore[misc]
        eventually(scene.laptop.fetches, equals(UPLINK), WHILE)
        if mtu < 1500:
            eventually(lambda: does_not_fit(scene, 1500), lambda said: "mtu=1400" in said, SOON)
    as_usual(scene)
    eventually(lambda: scene.uplink()["mtu"], equals(1500), SOON)


@row()
def dhcp_gives_classless_routes(scene: Scene) -> None:
    """The gateway is the one among them, whatever option 3 says, and clients go by it."""
    routes = bytes([0, *octets(GATEWAY)]) + bytes([16, 10, 20, *octets(GATEWAY)])
    leased(scene, Lease(router=NOBODY, options=((121, routes),)))
    eventually(lambda: scene.uplink().get("gateway"), equals(GATEWAY), WHILE)
    scene.well()
    as_usual(scene)


@row()
def dhcp_answers_at_length(scene: Scene) -> None:
    """More options than BOOTP has room for: a lease; more than a frame has: a reason."""
    leased(scene, Lease(options=tuple((224, bytes(200)) for _ in range(5))))
    eventually(lambda: scene.uplink()["address"], equals(f"{UPLINK}/24"), WHILE)
    scene.well()
    as_usual(scene)


def junk(frame: bytes) -> bytes:
    """A DHCP answer whose options are cut short, too long, repeated and unknown."""
    return frame + bytes([12, 255, 65, 66, 53, 0, 53, 1, 99, 121, 7, 32, 100, 115, 92, 1, 10, 0, 6, 3, 1, 2, 3, 1])


ODD_LEASES = {
    "no subnet": Lease(mask="0.0.0.0"),  # noqa: S104
    "one address": Lease(mask="255.255.255.255"),
    "no time": Lease(options=(("lease_time", 0),)),
    "for ever": Lease(options=(("lease_time", 0xFFFFFFFF),)),
    "gateway itself": Lease(router=UPLINK),
    "no gateway": Lease(router=NOBODY),
    "resolver nobody": Lease(resolver=NOBODY),
    "resolver the router": Lease(resolver="127.0.0.1"),
    "long names": Lease(options=(("hostname", b"A" * 250), ("domain", b"\xff\x00`$(reboot)`" * 19))),
    "cut short": Lease(raw=lambda frame: frame[: len(frame) // 2]),
    "junk after": Lease(raw=junk),
    "odd lengths": Lease(options=((6, b"\1\2\3"), (3, b"\1"), (1, b""), (51, b"\0"))),
    "classless routes": Lease(options=((121, bytes([32, 100, 115, 92, 1, 10, 0, 2, 2, 0, 10, 0, 2, 2])),)),
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
        as_usual(scene)
