# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A second uplink whose DHCP server lies, with the image's own ConnMan: clients still go by the one in use.

What the lies do to the kernel's routes is ConnMan's; scenarios_standby.py has more of them, put there by hand.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest
from dhcp_server import ROUTES, Answer, Server, option, route
from test_namespaces import TOOLS
from test_several_uplinks import WORLD, Two
from wires import inside
from world import Namespace

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

OWN = Answer("10.0.3.15/24", "10.0.3.2", "10.0.3.3", server="10.0.3.2")
"""What the backup's network gives when it does not lie."""


def lie(address: str = OWN.address, router: str | None = OWN.router, resolver: str | None = OWN.resolver) -> Answer:
    return Answer(address, router, resolver, server="10.0.3.2")


def routed(*targets: str) -> Answer:
    ways = b"".join(route(one, "10.0.3.2") for one in targets)
    return Answer(OWN.address, OWN.router, OWN.resolver, more=option(ROUTES, ways), server="10.0.3.2")


LIES = {
    "it names the first one's resolver": lie(resolver="10.0.2.3"),
    "it names a server as its resolver": lie(resolver=WORLD),
    "it leases a network that has the server": lie("192.0.2.99/24", "192.0.2.2"),
    "it leases a quarter of all networks": lie("192.0.3.9/2", "192.0.3.2"),
    "it leases the server's own address": lie(f"{WORLD}/32", "10.0.3.2"),
    "the server is its broadcast address": lie("192.0.2.0/31", WORLD),
    "it is the first one's network": lie("10.0.2.77/24", "10.0.2.2", "10.0.2.3"),
    "its gateway is in the first one's network": lie(router="10.0.2.2"),
    "it has a route to the server": routed(f"{WORLD}/32", "0.0.0.0/0"),
    "it has routes to all there is": routed("0.0.0.0/1", "128.0.0.0/1", "10.0.2.0/25", "0.0.0.0/0"),
    "it has a route around the pool": routed("100.115.0.0/16", "100.115.92.0/28", "0.0.0.0/0"),
    "its address is the cable's broadcast address": lie("10.0.2.255/16", "10.0.3.2"),
    "its gateway is the cable's broadcast address": lie("10.0.3.15/16", "10.0.2.255"),
    "its gateway is the cable's own address": lie(router="10.0.2.15"),
}


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        need(tool)


class Liar:
    """The router, its cable in use, a client, and what the backup's server says."""

    def __init__(self, two: Two) -> None:
        self.two, self.world = two, two.world
        two.cable.serve_dhcp()
        self.server = Server(two.backup.namespace, None)
        two.goes_by("cable", 0)
        self.world.wait_for("uplink", state="lease", name="cable", nameservers=["10.0.2.3"])
        self.client = two.client()

    def says(self, answer: Answer | None) -> int:
        """The backup asks anew and gets this; the events before it does."""
        self.two.backup.cable("down")
        self.wait(lambda: self.of("backup")["address"] is None)
        self.server.answer = answer
        self.server.heard.clear()
        mark = len(self.world.events)
        self.two.backup.cable("up")
        if answer is not None:
            self.wait(lambda: len(self.server.heard) >= 2)
        return mark

    def fails_over(self) -> None:
        """The backup has its own lease, the cable is pulled, and clients go by the backup."""
        mark = self.says(OWN)
        self.world.wait_for("uplink", mark, state="lease", name="backup")
        mark = len(self.world.events)
        self.two.cable.cable("down")
        self.two.goes_by("backup", mark)

    def of(self, name: str) -> dict[str, object]:
        """What `status` says of an uplink."""
        found: dict[str, dict[str, object]] = {one["name"]: one for one in self.world.request("status")["uplinks"]}
        return found[name]

    def wait(self, what: object, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not what():  # type: ignore[operator]
            assert time.monotonic() < end, self.world.events[-10:]
            time.sleep(0.05)

    @property
    def came(self) -> list[str]:
        """What clients sent to a server behind the backup."""
        log = self.two.backup.log
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory, connmand: list[str]) -> Iterator[Liar]:
    two = Two(tmp_path_factory.mktemp("liar"), connmand)
    made = None
    try:
        made = Liar(two)
        yield made
    finally:
        if made is not None:
            made.server.close()
        two.world.close()


def served_by_the_cable(client: Namespace) -> None:
    assert client.ask("udp", WORLD, 7) == "cable 10.0.2.15"
    assert client.ask("udp", "100.115.92.0", 53) == "cable 10.0.2.15"
    assert client.ask("udp", "10.0.2.3", 53) == "cable 10.0.2.15"
    assert client.pings("100.115.92.0")


@pytest.mark.parametrize("what", LIES)
def test_clients_go_by_the_uplink_in_use_although(what: str, liar: Liar) -> None:
    mark = liar.says(LIES[what])
    end = time.monotonic() + 4
    while time.monotonic() < end:
        served_by_the_cable(liar.client)
        if any(one.get("state") in ("lease", "refused") for one in liar.world.events[mark:]):
            end = min(end, time.monotonic() + 1)
    said = [one for one in liar.world.events[mark:] if one["event"] in ("uplink", "route", "degraded")]
    print([{key: one.get(key) for key in ("event", "state", "name", "address", "reason")} for one in said])
    assert not [one for one in said if one["event"] in ("route", "degraded") or one.get("name") == "cable"], said
    assert liar.of("cable")["active"] is True
    assert liar.of("backup")["active"] is False
    assert liar.came == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lie("10.0.2.2/24", "10.0.2.9"), "its address 10.0.2.2 is the gateway of up0"),
        (lie("10.0.2.2/32", "10.0.3.2"), "its address 10.0.2.2 is the gateway of up0"),
        (lie("10.0.2.9/28", "10.0.2.1"), "its broadcast address 10.0.2.15 is a host's at up0"),
        (lie("10.0.3.15/16", "10.0.2.255"), "its gateway 10.0.2.255 is the broadcast address of up0"),
    ],
    ids=["gateway", "only gateway", "broadcast", "gateway is broadcast"],
)
def test_a_lease_that_was_there_first_takes_no_route_from_a_preferred_uplink(
    answer: Answer, reason: str, liar: Liar
) -> None:
    """The cable's routes are all there once it has its lease, and the backup is refused."""
    liar.fails_over()
    mark = liar.says(answer)
    liar.world.wait_for("uplink", mark, state="lease", name="backup", gateway=answer.router)
    mark = len(liar.world.events)
    liar.two.cable.cable("up")
    liar.two.goes_by("cable", mark)
    served_by_the_cable(liar.client)
    assert liar.world.wait_for("uplink", mark, state="refused", name="backup")["reason"] == reason
    assert not [one for one in liar.world.events[mark:] if one["event"] == "degraded"]
    assert liar.world.inside is not None
    neighbour = ("10.0.2.77", "from", "100.115.92.1", "iif", "c735c00")
    assert "10.0.2.77 from 100.115.92.1 dev up0" in liar.world.inside.ip("route", "get", *neighbour)


def test_a_gateway_that_the_kernel_refuses_is_nobody_else_s_trouble(liar: Liar) -> None:
    """The backup's gateway is its own address: its route is refused, and a switch to the cable still works."""
    liar.fails_over()
    liar.says(lie(router=OWN.address.partition("/")[0]))
    liar.wait(lambda: liar.of("backup")["address"] is not None)
    liar.two.cable.cable("up")
    liar.wait(lambda: liar.of("cable")["active"])
    served_by_the_cable(liar.client)


def test_no_lease_of_a_standby_ends_a_client_s_connection(liar: Liar) -> None:
    """It leases the address of the client's server, and then another one."""
    liar.wait(lambda: liar.of("cable")["active"])
    with inside(liar.client), socket.create_connection((WORLD, 7), timeout=5) as connection:
        connection.settimeout(4)
        connection.sendall(b"1")
        assert connection.recv(100) == b"cable 1"
        for answer in (lie(f"{WORLD}/32", "10.0.3.2"), OWN):
            mark = liar.says(answer)
            liar.world.wait_for("uplink", mark, state="lease", name="backup")
            connection.sendall(b"2")
            assert connection.recv(100) == b"cable 2"


def test_a_standby_s_own_lease_is_renewed(liar: Liar) -> None:
    """By itself, while clients go by the other one."""
    mark = liar.says(Answer(OWN.address, OWN.router, OWN.resolver, seconds=10, server=OWN.server))
    liar.world.wait_for("uplink", mark, state="lease", name="backup")
    asked = len(liar.server.heard)
    time.sleep(12)
    assert len(liar.server.heard) > asked
    assert not [one for one in liar.world.events[mark:] if one.get("state") == "lost"]
    served_by_the_cable(liar.client)
    assert liar.came == []


def test_after_the_lies_a_pulled_cable_leads_to_the_other_one_and_back(liar: Liar) -> None:
    liar.fails_over()
    assert liar.client.ask("udp", WORLD, 7) == "backup 10.0.3.15"
    assert liar.client.ask("udp", "100.115.92.0", 53) == "backup 10.0.3.15"
    mark = len(liar.world.events)
    liar.two.cable.cable("up")
    liar.two.goes_by("cable", mark)
    served_by_the_cable(liar.client)
