# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What an uplink's network may not claim, and what becomes of an uplink where it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from init.core.config import WantedUplink
from init.core.protocol import EventWriter
from init.kernel.rtnetlink import Link
from init.net.claims import Claims, conflict
from init.net.leases import REFUSED_S
from init.net.uplink import Lease, Uplink
from init.net.uplinks import Uplinks


class Attached:
    """Clients' stand-in: one whose address lies outside the pool."""

    addresses = frozenset({"100.65.0.0", "100.65.0.1"})


CLAIMS = Claims("100.115.92.0/24", Attached())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "gateway", "routes", "why"),
    [
        ("100.115.92.1", "10.0.2.2", (), "address 100.115.92.1"),
        ("100.115.92.255", None, (), "address 100.115.92.255"),
        ("100.65.0.0", "10.0.2.2", (), "address 100.65.0.0"),
        ("10.0.2.15", "100.115.92.1", (), "gateway 100.115.92.1"),
        ("10.0.2.15", "10.0.2.2", (("100.115.92.3", 32),), "route to 100.115.92.3"),
        ("10.0.2.15", "10.0.2.2", (("100.115.92.2", 31),), "route to 100.115.92.2"),
        ("10.0.2.15", None, (("100.65.0.1", 32),), "route to 100.65.0.1"),
        ("10.0.2.15", "10.0.2.2", (("100.115.92.128", 25),), "route to 100.115.92.128"),  # nobody's yet
        ("10.0.2.15", "10.0.2.2", (("100.115.92.0", 24),), "route to 100.115.92.0"),
        ("127.0.0.1", "10.0.2.2", (), "no host's"),
        ("0.0.0.5", "10.0.2.2", (), "no host's"),
        ("224.0.0.1", None, (), "no host's"),
        ("255.255.255.255", None, (), "no host's"),
    ],
)
def test_a_claim_that_is_refused(address: str, gateway: str | None, routes: Any, why: str) -> None:
    assert why in CLAIMS.problem(address, gateway, routes)


@pytest.mark.parametrize(
    ("address", "gateway", "routes"),
    [
        ("10.0.2.15", "10.0.2.2", (("10.0.2.0", 24), ("8.8.8.8", 32))),
        ("10.0.2.15", None, ()),
        (
            "100.115.5.5",
            "100.115.4.1",
            (("100.115.0.0", 16), ("100.115.4.1", 32)),
        ),  # a provider's, which begins like ours
        ("100.65.0.2", "100.65.0.3", ()),
        ("10.0.2.15", "10.0.2.2", (("100.65.0.0", 24), ("100.115.92.0", 23))),  # a client's own is longer
        ("223.255.255.254", "1.1.1.1", ()),
    ],
)
def test_what_is_nobody_s_here_may_be_claimed(address: str, gateway: str | None, routes: Any) -> None:
    assert CLAIMS.problem(address, gateway, routes) == ""


@pytest.mark.parametrize(
    ("address", "length", "gateway", "why"),
    [
        ("10.0.2.2", 24, None, "its address 10.0.2.2 is the gateway of up0"),
        ("10.0.2.9", 28, None, "its broadcast address 10.0.2.15 is a host's at up0"),
        ("10.0.2.255", 16, None, "its address 10.0.2.255 is the broadcast address of up0"),
        ("10.0.3.9", 24, "10.0.2.255", "its gateway 10.0.2.255 is the broadcast address of up0"),
        ("10.0.3.9", 24, "10.0.2.15", "its gateway 10.0.2.15 is the address of up0"),
        ("10.0.2.1", 30, None, ""),
        ("10.0.2.14", 31, None, ""),
        ("10.0.2.15", 24, "10.0.2.2", ""),  # two home routers lease the same address
        ("10.0.2.77", 24, "10.0.2.2", ""),
    ],
)
def test_an_address_that_would_take_another_uplink_s_routes_is_refused(
    address: str, length: int, gateway: str | None, why: str
) -> None:
    first = Uplink(2, "up0", "", "", WantedUplink())
    first.lease = Lease("10.0.2.15/24", "10.0.2.2", (), 0)
    assert conflict(address, length, gateway, [Uplink(3, "up1", "", "", WantedUplink()), first]) == why


class Loop:
    """Timers that run when told."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.due.append((seconds, callback))


class Requests:
    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def rename(self, index: int, name: str, group: int = 0) -> None:
        self.made.append(("rename", index, name))

    def regroup(self, index: int, group: int) -> None:
        return

    def set_up(self, index: int, up: bool = True) -> None:
        self.made.append(("up" if up else "down", index))


class Routing:
    """One uplink needs none."""

    def begin(self) -> None:
        return

    def follow(self, uplinks: object, active: object) -> None:
        return


class Said(EventWriter):
    def __init__(self) -> None:
        super().__init__(None)
        self.said: list[dict[str, Any]] = []

    def emit(self, event: str, **fields: object) -> None:
        self.said.append(json.loads(json.dumps({"event": event, **fields})))


class Network:
    address: tuple[str, int] | None = None
    gateway: str | None = "10.0.2.2"

    def address_of(self, index: int) -> tuple[str, int] | None:
        return self.address

    def default_route_of(self, index: int) -> tuple[int, str | None] | None:
        return (0, self.gateway) if self.address else None

    def targets_of(self, index: int) -> set[tuple[str, int]]:
        return set()


def test_a_refused_uplink_goes_down_is_no_lease_and_is_tried_again() -> None:
    loop, requests, events, network = Loop(), Requests(), Said(), Network()
    uplinks = Uplinks(loop, requests, events, (WantedUplink(),), CLAIMS.problem, Routing())  # type: ignore[arg-type]
    uplinks.attach(Link(2, "eth0", "52:54:00:12:34:56", 0, 1))

    def compare() -> list[str]:
        said = len(events.said)
        uplinks.leases.compare(network, lambda _: (), 0.0)  # type: ignore[arg-type]
        return [event["state"] for event in events.said[said:]]

    network.address = ("10.0.2.15", 24)
    assert compare() == ["lease"]
    network.address = ("100.115.92.1", 24)
    assert compare() == ["refused", "lost"]
    event = events.said[-2]
    assert (event["address"], event["gateway"]) == ("100.115.92.1/24", "10.0.2.2")
    assert "another clients.pool than 100.115.92.0/24" in event["reason"]
    assert requests.made[-1] == ("down", 2)
    assert compare() == []  # ConnMan has not taken the address away yet: that is not said again
    assert uplinks.active is None
    network.address = None
    assert compare() == []
    ((seconds, again),) = loop.due
    assert seconds == REFUSED_S
    again()
    assert requests.made[-1] == ("up", 2)
    network.address = ("10.0.2.15", 24)
    assert compare() == ["lease"]


def test_an_address_of_last_resort_is_no_lease() -> None:
    """ConnMan takes one, and makes a route to everywhere by it, where no DHCP server answers."""
    network, events = Network(), Said()
    uplinks = Uplinks(Loop(), Requests(), events, (WantedUplink(),), CLAIMS.problem, Routing())  # type: ignore[arg-type]
    uplinks.attach(Link(2, "eth0", "52:54:00:12:34:56", 0, 1))
    network.address, network.gateway = ("169.254.75.114", 16), None
    uplinks.leases.compare(network, lambda _: (), 0.0)  # type: ignore[arg-type]
    assert uplinks.active is None
    network.gateway = "169.254.1.1"  # a server gave it, or the spec
    uplinks.leases.compare(network, lambda _: (), 0.0)  # type: ignore[arg-type]
    assert uplinks.active is not None
    assert [event["state"] for event in events.said] == ["found", "lease"]


def test_an_uplink_that_is_gone_is_not_tried_again() -> None:
    loop, requests, events, network = Loop(), Requests(), Said(), Network()
    uplinks = Uplinks(loop, requests, events, (WantedUplink(),), CLAIMS.problem, Routing())  # type: ignore[arg-type]
    uplinks.attach(Link(2, "eth0", "52:54:00:12:34:56", 0, 1))
    network.address = ("127.0.0.1", 8)
    uplinks.leases.compare(network, lambda _: (), 0.0)  # type: ignore[arg-type]
    uplinks.detach(2)
    made = len(requests.made)
    loop.due[0][1]()
    assert len(requests.made) == made


def test_an_uplink_with_another_s_mac_waits_until_that_is_gone() -> None:
    requests, events = Requests(), Said()
    uplinks = Uplinks(Loop(), requests, events, (WantedUplink(),), CLAIMS.problem, Routing())  # type: ignore[arg-type]
    for index in (2, 3, 4):
        uplinks.attach(Link(index, f"eth{index}", "52:54:00:12:34:56", 0, 1))
    assert [(event["state"], event["interface"]) for event in events.said] == [
        ("found", "up0"),
        ("refused", "eth3"),
        ("refused", "eth4"),
    ]
    assert events.said[1]["reason"] == "duplicate: up0 has the same MAC"
    assert {made[1] for made in requests.made} == {2}
    uplinks.detach(3)
    uplinks.detach(2)
    assert [(event["state"], event["interface"]) for event in events.said[3:]] == [("gone", "up0"), ("found", "up0")]
    assert ("rename", 4, "up0") in requests.made
