# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the image's own ConnMan makes of a DHCP server's answers, in a router in namespaces.

The server is ours, so that it can say what a real one would not.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dhcp_server import (
    ACK,
    CLIENT_ID,
    DNS,
    HOST_NAME,
    LARGEST,
    MICROSOFT_ROUTES,
    MTU,
    OVERLOAD,
    REQUEST,
    REQUESTED,
    ROUTER,
    ROUTES,
    SERVER_ID,
    Answer,
    Server,
    option,
    route,
)
from netvm_build.cli.client_commands import _rows
from netvm_build.model import NO_HOST_NAME, RANDOM_MAC, Route, Router, Uplink
from netvm_build.vm.clients import engine, plan
from test_dhcp_options import some_field
from test_namespaces import TOOLS
from test_several_uplinks import BACKUP, CABLE, Two
from world import World

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

USUAL, THE_SPEC = Answer(), Router()
ON_LINK = "0.0.0.0"  # noqa: S104  (a router that is none: RFC 3442)


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        need(tool)


class Lan:
    """A router whose uplink leads to a network with the test's DHCP server."""

    def __init__(
        self, folder: Path, connmand: list[str], spec: Router = THE_SPEC, answer: Answer | None = USUAL
    ) -> None:
        self.world = World(folder, connmand)
        self.world.serve_upstream = lambda: None  # type: ignore[method-assign]
        self.world.prepare(spec)
        self.server: Server | None = None
        self.world.boot()
        self.server = Server(self.world.upstream, answer)
        self.answers = self.server

    def asks(self, answer: Answer | None) -> int:
        """The router asks anew, and gets this; a mark from before it did."""
        assert self.world.inside is not None
        self.world.inside.ip("link", "set", "up0", "down")  # a cable that is out keeps the address for a while
        self.eventually(lambda: self.address, lambda found: found is None)
        self.answers.answer = answer
        self.answers.heard.clear()
        mark = len(self.world.events)
        self.world.inside.ip("link", "set", "up0", "up")
        return mark

    def leases(self, answer: Answer) -> dict[str, Any]:
        """The event of a lease that the router takes."""
        return self.leased(self.asks(answer))

    def leased(self, mark: int) -> dict[str, Any]:
        """The event of a lease after a mark, whose gateway the kernel has told."""
        return self.world.wait(lambda event: event.get("state") == "lease" and bool(event.get("gateway")), 30, mark)

    @property
    def uplink(self) -> dict[str, Any]:
        """The uplink as `status` has it."""
        (found,) = self.world.request("status")["uplinks"]
        return dict(found)

    @property
    def address(self) -> str | None:
        found = self.uplink["address"]
        assert found is None or isinstance(found, str)
        return found

    @property
    def routes(self) -> dict[str, str | None]:
        """The routes of the uplink that are not the kernel's own: destination to router."""
        assert self.world.inside is not None
        listed = json.loads(self.world.inside.ip("-j", "route", "show", "dev", "up0"))
        return {one["dst"]: one.get("gateway") for one in listed if one.get("protocol") != "kernel"}

    @property
    def mtu(self) -> int:
        assert self.world.inside is not None
        return int(json.loads(self.world.inside.ip("-j", "link", "show", "up0"))[0]["mtu"])

    def said(self, mark: int, *texts: str) -> bool:
        """Whether a line of a log holds all these."""
        logs = [event["text"] for event in self.world.events[mark:] if event["event"] == "log"]
        return any(all(text in line for text in texts) for line in logs)

    def eventually(self, what: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while not wanted(found := what()):
            assert time.monotonic() < end, f"still {found!r} after {seconds:g} s; console: {self.world.console}"
            time.sleep(0.05)
        return found

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        self.world.close()


@pytest.fixture(scope="module")
def lan(connmand: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    made = Lan(tmp_path_factory.mktemp("lan"), connmand)
    try:
        made.world.wait_for("uplink", state="lease")
        yield made
    finally:
        made.close()


@pytest.fixture
def lan_of(connmand: list[str], tmp_path: Path) -> Iterator[Callable[..., Lan]]:
    """lan_of(uplink, answer): a router of its own."""
    made: list[Lan] = []

    def make(uplink: Uplink, answer: Answer | None = USUAL) -> Lan:
        made.append(Lan(tmp_path, connmand, Router(uplink=uplink), answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


PAIR = Answer("10.9.0.8/31", "10.9.0.9", None, server="10.9.0.9")


def test_an_even_address_of_a_pair_by_dhcp(lan: Lan) -> None:
    """A broadcast address would be that of the gateway, which the kernel then takes for no host's."""
    lan.world.upstream.ip("addr", "add", "10.9.0.9/31", "dev", "lan0")
    lease = lan.leases(PAIR)
    assert (lease["address"], lease["gateway"]) == ("10.9.0.8/31", "10.9.0.9")
    assert lan.routes["default"] == "10.9.0.9"
    client = lan.world.client(0x10)
    lan.world.wait_for("client", router="100.115.92.16")
    assert client.pings("10.9.0.9")
    assert client.pings("10.0.2.2")  # behind the gateway


def test_an_address_alone_by_dhcp_has_a_router_elsewhere(lan: Lan) -> None:
    """Option 3 only, as providers of virtual machines give it: the router is in no network of the uplink's own."""
    lan.world.upstream.ip("addr", "add", "10.9.1.1/32", "dev", "lan0")
    lan.world.upstream.ip("route", "add", "10.9.0.7/32", "dev", "lan0")
    lease = lan.leases(Answer("10.9.0.7/32", "10.9.1.1", None, server="10.9.1.1"))
    assert (lease["address"], lease["gateway"]) == ("10.9.0.7/32", "10.9.1.1")
    assert lan.routes["default"] == "10.9.1.1"
    assert lan.uplink["active"] is True
    client = lan.world.client(0x14)
    lan.world.wait_for("client", router="100.115.92.20")
    assert client.pings("10.0.2.2")  # behind the gateway


@pytest.mark.parametrize("prefix", [31, 32])
def test_a_static_address_of_a_pair_or_alone(lan_of: Callable[..., Lan], prefix: int) -> None:
    static = Uplink(
        dhcp=False,
        address=IPv4Interface(f"10.9.0.8/{prefix}"),
        gateway=IPv4Address("10.9.0.9"),
        nameservers=(IPv4Address("10.0.2.3"),),
    )
    lan = lan_of(static)
    lan.world.upstream.ip("addr", "add", "10.9.0.9/32", "dev", "lan0")
    lan.world.upstream.ip("route", "add", "10.9.0.8/32", "dev", "lan0")
    lease = lan.leased(0)
    assert (lease["address"], lease["gateway"]) == (f"10.9.0.8/{prefix}", "10.9.0.9")
    client = lan.world.client(0x10)
    lan.world.wait_for("client")
    assert client.pings("10.0.2.2")


DEFAULT = route("0.0.0.0/0", "10.0.2.2")
CLASSLESS = route("0.0.0.0/0", "10.0.2.4") + route("10.20.0.0/15", "10.0.2.5") + route("192.0.2.128/25", ON_LINK)


def test_classless_routes_stand_in_place_of_the_router(lan: Lan) -> None:
    """RFC 3442: option 121 is asked for before the routers, and where it is there they do not count."""
    lease = lan.leases(replace(USUAL, more=option(ROUTES, CLASSLESS)))
    assert lease["gateway"] == "10.0.2.4"
    wanted = {"default": "10.0.2.4", "10.20.0.0/15": "10.0.2.5", "192.0.2.128/25": None}
    lan.eventually(lambda: wanted.items() <= lan.routes.items(), bool)
    asked = lan.answers.heard[0][REQUESTED]
    assert asked.index(ROUTES) < asked.index(ROUTER)
    lan.leases(USUAL)
    assert lan.routes["default"] == "10.0.2.2"
    assert not wanted.keys() - {"default"} & lan.routes.keys()


def test_classless_routes_without_a_default_leave_the_routers_out(lan: Lan) -> None:
    mark = lan.asks(replace(USUAL, more=option(ROUTES, route("10.20.0.0/16", "10.0.2.5"))))
    lease = lan.world.wait_for("uplink", mark, state="lease", nameservers=["10.0.2.3"])
    assert lease["gateway"] is None
    assert lan.routes["10.20.0.0/16"] == "10.0.2.5"


def test_classless_routes_change_as_a_lease_is_renewed(lan: Lan) -> None:
    """What a renewal leaves out is removed, what it adds is there, and the address stays."""
    first = option(ROUTES, DEFAULT + route("10.20.0.0/16", "10.0.2.5") + route("10.30.0.0/16", "10.0.2.5"))
    lan.leases(replace(USUAL, more=first, seconds=10))
    lan.eventually(lambda: {"10.20.0.0/16", "10.30.0.0/16"} <= lan.routes.keys(), bool)
    mark = len(lan.world.events)
    lan.answers.answer = replace(
        USUAL, more=option(ROUTES, route("0.0.0.0/0", "10.0.2.2") + route("10.40.0.0/16", "10.0.2.6"))
    )
    lan.eventually(lambda: lan.routes.get("10.40.0.0/16"), lambda found: found == "10.0.2.6")
    assert not {"10.20.0.0/16", "10.30.0.0/16"} & lan.routes.keys()
    assert not [event for event in lan.world.events[mark:] if event.get("state") == "lost"]


def test_routes_by_a_router_that_is_no_neighbour(lan: Lan) -> None:
    """As a provider gives them with a /32: a router, and how to reach it."""
    routes = route("100.127.0.1/32", ON_LINK) + route("0.0.0.0/0", "100.127.0.1") + route("10.20.0.0/16", "100.127.0.1")
    lease = lan.leases(Answer("10.9.0.7/32", None, None, more=option(ROUTES, routes)))
    assert (lease["address"], lease["gateway"]) == ("10.9.0.7/32", "100.127.0.1")
    lan.eventually(lambda: lan.routes.get("10.20.0.0/16"), lambda found: found == "100.127.0.1")


def test_microsoft_s_option_counts_where_the_standard_one_is_missing(lan: Lan) -> None:
    theirs = option(MICROSOFT_ROUTES, DEFAULT + route("10.50.0.0/16", "10.0.2.7"))
    lan.leases(replace(USUAL, more=theirs))
    lan.eventually(lambda: lan.routes.get("10.50.0.0/16"), lambda found: found == "10.0.2.7")
    lan.leases(replace(USUAL, more=theirs + option(ROUTES, CLASSLESS)))
    lan.eventually(lambda: lan.routes.get("10.20.0.0/15"), lambda found: found == "10.0.2.5")
    assert "10.50.0.0/16" not in lan.routes


BAD_ROUTES = {
    "33 bits": b"\x21" + bytes(9),
    "cut short": CLASSLESS[:-1],
    "empty": b"",
    "a byte too many": CLASSLESS + b"\0",
}


@pytest.mark.parametrize("routes", BAD_ROUTES.values(), ids=BAD_ROUTES)
def test_routes_that_make_no_sense_do_not_count_at_all(lan: Lan, routes: bytes) -> None:
    mark = lan.asks(replace(USUAL, more=option(ROUTES, routes)))
    lease = lan.leased(mark)
    assert lease["gateway"] == "10.0.2.2"
    assert lan.routes.keys() <= {"default", "10.0.2.2", "10.0.2.3"}
    assert lan.said(mark, "DHCP option 121 ignored") or routes == b""


def test_routes_to_nowhere_are_left_out(lan: Lan) -> None:
    nowhere = [route(one, "10.0.2.9") for one in ("127.0.0.0/8", "224.0.0.0/4", "0.0.0.0/8", "255.255.255.255/32")]
    good = DEFAULT + route("10.60.0.0/16", "10.0.2.9") + route("0.0.0.0/1", "10.0.2.9")
    mark = lan.asks(replace(USUAL, more=option(ROUTES, b"".join(nowhere) + good)))
    lan.leased(mark)
    lan.eventually(lambda: lan.routes.get("10.60.0.0/16"), lambda found: found == "10.0.2.9")
    assert lan.routes.get("0.0.0.0/1") == "10.0.2.9"
    assert not {"127.0.0.0/8", "224.0.0.0/4", "0.0.0.0/8", "255.255.255.255"} & lan.routes.keys()
    assert lan.said(mark, "DHCP route ignored: 127.0.0.0/8")


def test_a_route_to_a_client_is_refused(lan: Lan) -> None:
    client = lan.world.client(0x20)
    lan.world.wait_for("client", router="100.115.92.32")
    mark = lan.asks(replace(USUAL, more=option(ROUTES, CLASSLESS + route("100.115.92.33/32", "10.0.2.9"))))
    refused = lan.world.wait_for("uplink", mark, state="refused")
    assert "route to 100.115.92.33 is the clients' own" in refused["reason"]
    mark = len(lan.world.events)
    assert client.pings("100.115.92.32")
    lan.answers.answer = USUAL
    lan.leased(mark)


@pytest.mark.parametrize("mtu", [9000, 1400, 576])
def test_the_mtu_of_a_lease_and_the_usual_one_after_it(lan: Lan, mtu: int) -> None:
    lan.world.upstream.ip("link", "set", "lan0", "mtu", "9000")
    lan.leases(replace(USUAL, more=option(MTU, struct.pack("!H", mtu))))
    lan.eventually(lambda: lan.mtu, lambda found: found == mtu)
    lan.leases(USUAL)
    lan.eventually(lambda: lan.mtu, lambda found: found == 1500)


@contextmanager
def keeper(world: World, path: Path) -> Iterator[None]:
    """Answers a reader as the keeper of a VM does: with what the router answers."""

    def serve() -> None:
        reader, _ = listener.accept()
        with reader, reader.makefile() as lines:
            for line in lines:
                asked = json.loads(line)
                reply = world.request(asked["request"]) | {"id": asked["id"]}
                reader.sendall(json.dumps(reply).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)


def test_an_attached_client_is_told_the_mtu_of_the_lease(
    lan: Lan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `client attach` prints it, of what the router says of its uplink at that moment."""
    monkeypatch.setattr(engine, "STATUS_S", 60.0)
    for mtu, told in ((1400, "1400"), (9000, "1500")):
        lan.world.upstream.ip("link", "set", "lan0", "mtu", "9000")
        lan.leases(replace(USUAL, more=option(MTU, struct.pack("!H", mtu))))
        lan.eventually(lambda: lan.uplink["mtu"], lambda found, mtu=mtu: found == mtu)  # type: ignore[misc]
        events = tmp_path / str(mtu)
        with keeper(lan.world, events):
            now = engine._mtu(SimpleNamespace(events=str(events)))  # type: ignore[arg-type]
        one = plan.Attachment("netvm", "web", "100.64.0.0", "t1", "bus=port-spare0,addr=0x0", plan.TAP, mtu=now)
        assert ("MTU", told) in _rows(one)


def test_the_usual_mtu_is_known_after_connman_was_killed(lan: Lan) -> None:
    lan.leases(replace(USUAL, more=option(MTU, struct.pack("!H", 1400))))
    lan.eventually(lambda: lan.mtu, lambda found: found == 1400)
    mark = len(lan.world.events)
    lan.world.request("kill", service="connmand")
    lan.world.wait_for("service", mark, name="connmand", state="started")
    lan.leased(len(lan.world.events))
    lan.leases(USUAL)
    lan.eventually(lambda: lan.mtu, lambda found: found == 1500)


@pytest.mark.parametrize("mtu", [575, 68, 0])
def test_an_mtu_that_is_too_small_is_ignored_and_said(lan: Lan, mtu: int) -> None:
    mark = lan.asks(replace(USUAL, more=option(MTU, struct.pack("!H", mtu))))
    lan.leased(mark)
    lan.eventually(lambda: lan.said(mark, f"MTU {mtu} from DHCP is ignored: less than 576"), bool)
    assert lan.mtu == 1500


def test_an_mtu_that_is_no_number_is_ignored(lan: Lan) -> None:
    mark = lan.asks(replace(USUAL, more=option(MTU, b"\x05")))
    lan.leased(mark)
    assert lan.mtu == 1500


@pytest.mark.parametrize("size", [400, 800, 1100])
def test_a_long_answer_is_a_lease(lan: Lan, size: int) -> None:
    """The options are longer than the 308 octets that BOOTP had room for; what counts comes last."""
    filler = b"".join(option(224, bytes(100)) for _ in range(size // 100))
    lan.leases(replace(USUAL, router=None, more=filler + option(ROUTER, bytes([10, 0, 2, 2]))))
    assert lan.routes["default"] == "10.0.2.2"
    assert lan.answers.heard[-1][LARGEST] == struct.pack("!H", 1500)


def test_an_answer_that_is_too_long_is_refused_and_said(lan: Lan) -> None:
    assert lan.world.inside is not None
    for where, name in ((lan.world.upstream, "lan0"), (lan.world.inside, "up0")):  # a veth takes no more than its MTU
        where.ip("link", "set", name, "mtu", "9000")
    mark = lan.asks(replace(USUAL, more=b"".join(option(224, bytes(250)) for _ in range(6))))
    lan.eventually(lambda: lan.said(mark, "DHCP answer refused: it is longer than the 1500 bytes"), bool)
    assert lan.address is None
    lan.answers.answer = USUAL
    lan.leased(mark)


def test_an_answer_in_fragments_is_refused_and_said(lan: Lan) -> None:
    """As a server on a link of 1500 bytes sends what is longer."""
    lan.answers.mtu = 1500
    try:
        mark = lan.asks(replace(USUAL, more=b"".join(option(224, bytes(250)) for _ in range(6))))
        lan.eventually(lambda: lan.said(mark, "DHCP answer refused: it is longer than"), bool)
        assert lan.address is None
    finally:
        lan.answers.mtu = 65535
    lan.answers.answer = USUAL
    lan.leased(mark)


def test_an_answer_whose_checksum_comes_to_zero(lan: Lan) -> None:
    """One in 65536, and then each time it is asked for again."""
    assert lan.leases(replace(USUAL, sum_is_zero=True))["address"] == "10.0.2.15/24"


@pytest.mark.long
def test_a_server_that_offers_and_never_acknowledges(lan_of: Callable[..., Lan]) -> None:
    """ConnMan gives up, and begins anew after a minute; it lives, and takes the lease that comes at last."""
    lan = lan_of(Uplink(), None)
    del lan.answers.kinds[REQUEST]
    lan.answers.answer = USUAL
    mark = len(lan.world.events)
    lan.world.wait(lambda event: event.get("error") == "dhcp-failed", 60, mark)
    heard = len(lan.answers.heard)
    lan.eventually(lambda: len(lan.answers.heard), lambda found: found > heard, 120)
    lan.answers.kinds[REQUEST] = ACK
    lan.leased(mark)
    assert not [event for event in lan.world.events if event.get("state") == "exited"]


def test_options_in_overloaded_fields(lan: Lan) -> None:
    """RFC 2131: `file` first, then `sname`; an option of several fields is one (RFC 3396)."""
    routes = route("0.0.0.0/0", "10.0.2.4") + route("10.20.0.0/16", "10.0.2.5") + route("10.30.0.0/16", "10.0.2.5")
    parts = [option(ROUTES, part) for part in (routes[:9], routes[9:16], routes[16:])]
    lease = lan.leases(
        replace(
            USUAL,
            router=None,
            resolver=None,
            more=option(OVERLOAD, b"\3") + parts[0],
            file=parts[1] + option(DNS, bytes([10, 0, 2, 3])) + b"\xff",
            sname=parts[2] + b"\xff",
        )
    )
    assert lease["gateway"] == "10.0.2.4"
    lan.eventually(lambda: {"10.20.0.0/16", "10.30.0.0/16"} <= lan.routes.keys(), bool)
    lan.eventually(lambda: lan.uplink["nameservers"], lambda found: found == ["10.0.2.3"])


def test_an_offer_without_a_server_ends_no_search(lan: Lan) -> None:
    mark = lan.asks(replace(USUAL, whole=b"\xff"))
    lan.eventually(lambda: lan.answers.heard, bool)
    time.sleep(1)
    lan.answers.answer = USUAL
    lan.leased(mark)


HANGS = {
    "an option beyond the end": b"".join(option(224, bytes(200)) for _ in range(6)) + b"\xe0\xff" + bytes(20),
    "overload of itself": option(OVERLOAD, b"\3") * 3 + b"\xff",
    "a short server": bytes([54, 1, 10, 255]),
    "a short time": bytes([51, 2, 0, 0, 54, 4, 10, 0, 2, 2, 255]),
    "nothing at all": b"",
}


@pytest.mark.parametrize("options", HANGS.values(), ids=HANGS)
def test_answers_that_once_never_ended(lan: Lan, options: bytes) -> None:
    """Neither the answer nor connmand hangs: the next good one is a lease."""
    mark = lan.asks(replace(USUAL, whole=options, file=b"\x34\xff" * 64, sname=b"\x01" * 64))
    lan.eventually(lambda: lan.answers.heard, bool)
    time.sleep(0.5)
    assert lan.leases(USUAL)["address"] == "10.0.2.15/24"
    assert not [event for event in lan.world.events[mark:] if event["event"] == "service"]


@pytest.mark.parametrize("code", [HOST_NAME, 15, 252])
def test_texts_that_are_no_text_end_nothing(lan: Lan, code: int) -> None:
    """ConnMan hands them on by D-Bus, whose library aborts a program that sends what is not UTF-8."""
    mark = len(lan.world.events)
    lan.leases(replace(USUAL, more=option(code, b"http://\xff\xfe/")))
    lan.leases(USUAL)
    assert code not in lan.answers.heard[-1][REQUESTED]
    assert not [event for event in lan.world.events[mark:] if event["event"] == "service"]


def test_the_host_name_that_a_server_gives_is_not_told_again(lan: Lan) -> None:
    lan.leases(replace(USUAL, more=option(HOST_NAME, b"tracked")))
    lan.leases(USUAL)
    assert HOST_NAME not in lan.answers.heard[-1][REQUESTED]
    assert {one[HOST_NAME] for one in lan.answers.heard} == {b"netvm"}


def test_no_host_name_is_told(lan_of: Callable[..., Lan]) -> None:
    lan = lan_of(Uplink(hostname=NO_HOST_NAME))
    lan.world.wait_for("uplink", state="lease")
    assert lan.answers.heard
    assert not [one for one in lan.answers.heard if HOST_NAME in one]


def test_a_random_mac_is_all_that_the_network_sees(lan_of: Callable[..., Lan]) -> None:
    """Neither a frame's sender nor the client identifier is the card's own MAC."""
    lan = lan_of(Uplink(send_mac=RANDOM_MAC, hostname=NO_HOST_NAME))
    found = lan.world.wait_for("uplink", state="found")
    lan.world.wait_for("uplink", state="lease")
    assert found["mac"] == "52:54:00:12:34:56"
    assert set(lan.answers.macs) == {found["send_mac"]}
    assert {one[CLIENT_ID].hex(":").upper() for one in lan.answers.heard} == {"01:" + found["send_mac"]}
    lan.world.client(0x10)
    client = lan.world.client(0x12)
    lan.world.wait_for("client", router="100.115.92.18")
    assert client.pings("10.0.2.2")
    neighbours = json.loads(lan.world.upstream.ip("-j", "neigh", "show", "dev", "lan0"))
    assert {one["lladdr"].upper() for one in neighbours if "lladdr" in one} == {found["send_mac"]}


def test_a_mac_of_the_spec_is_sent(lan_of: Callable[..., Lan]) -> None:
    lan = lan_of(Uplink(mac="52:54:00:12:34:56", send_mac="52:54:00:AA:BB:CC"))
    lan.world.wait_for("uplink", state="lease")
    assert set(lan.answers.macs) == {"52:54:00:AA:BB:CC"}
    assert (lan.uplink["mac"], lan.uplink["send_mac"]) == ("52:54:00:12:34:56", "52:54:00:AA:BB:CC")


def test_the_mtu_of_the_spec_stays_whatever_dhcp_says(lan_of: Callable[..., Lan]) -> None:
    lan = lan_of(Uplink(mtu=1400), replace(USUAL, more=option(MTU, struct.pack("!H", 9000))))
    lan.world.wait_for("uplink", state="lease")
    time.sleep(0.5)
    assert lan.mtu == lan.uplink["mtu"] == 1400
    assert not lan.said(0, "MTU")


def test_static_routes_are_there_with_the_address(lan_of: Callable[..., Lan]) -> None:
    """Again after the cable was out, and before those of DHCP to the same network."""
    wanted = (Route(IPv4Network("10.20.0.0/16"), IPv4Address("10.0.2.9")), Route(IPv4Network("192.0.2.1/32")))
    lan = lan_of(Uplink(routes=wanted))
    lan.world.wait_for("uplink", state="lease")
    theirs = option(ROUTES, route("0.0.0.0/0", "10.0.2.2") + route("10.20.0.0/16", "10.0.2.4"))

    def there() -> bool:
        assert lan.world.inside is not None
        found = lan.routes
        return "192.0.2.1" in found and "via 10.0.2.9" in lan.world.inside.ip("route", "get", "10.20.0.1")

    lan.eventually(there, bool)
    lan.leases(replace(USUAL, more=theirs))
    lan.eventually(there, bool)


def test_clients_follow_the_routes_of_the_uplink_in_use(connmand: list[str], tmp_path: Path) -> None:
    """Both uplinks have a route to the same network."""
    near, far = (Route(IPv4Network("10.20.0.0/16"), IPv4Address(f"10.0.{number}.9")) for number in (2, 3))
    spec = Router(uplinks=(replace(CABLE, routes=(near,)), replace(BACKUP, routes=(far,))))
    two = Two(tmp_path, connmand, spec, dhcp=("cable", "backup"))
    try:
        two.client()
        two.goes_by("cable", 0)
        by(two, "via 10.0.2.9 dev up0")
        mark = len(two.world.events)
        two.cable.cable("down")
        two.goes_by("backup", mark)
        by(two, "via 10.0.3.9 dev up1")
    finally:
        two.world.close()


def by(two: Two, wanted: str) -> None:
    """Which way a client's packet goes, in the words of ip-route(8)."""
    assert two.world.inside is not None
    question = "route get 10.20.0.1 from 100.115.92.1 iif c735c00"
    end = time.monotonic() + 20
    while wanted not in (found := two.world.inside.ip(*question.split())):
        assert time.monotonic() < end, found
        time.sleep(0.1)


ROUNDS = int(os.environ.get("NETVM_DHCP_ROUNDS", "25"))


def random_answer(rng: random.Random) -> Answer:
    """An answer that begins like a good one in half of all cases, and goes on with anything."""
    room = rng.choice((60, 300, 1100))
    good = USUAL.options(0)[3:-1] if rng.random() < 0.5 else option(SERVER_ID, bytes([10, 0, 2, 2]))
    code = rng.choice((ROUTES, ROUTES, MICROSOFT_ROUTES, MTU, ROUTER, DNS, OVERLOAD))
    return replace(
        USUAL,
        address=f"10.0.2.{rng.randrange(10, 20)}/24",
        whole=good + some_field(rng, room, code),
        file=some_field(rng, 128, code),
        sname=some_field(rng, 64, code),
    )


def test_random_answers_harm_nothing(lan: Lan) -> None:
    """As many leases as rounds, of which many are taken: connmand lives, and the next good answer is a lease."""
    rng = random.Random(3442)  # noqa: S311  (the same each time)
    inside, mark = lan.world.inside, len(lan.world.events)
    assert inside is not None
    lan.answers.make = lambda: random_answer(rng)
    before = {one["name"]: one["restarts"] for one in lan.world.request("status")["services"]}
    try:
        for _ in range(ROUNDS):
            inside.ip("link", "set", "up0", "down")
            lan.answers.heard.clear()
            inside.ip("link", "set", "up0", "up")
            end = time.monotonic() + 2
            while len(lan.answers.heard) < 2 and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(0.05)
    finally:
        lan.answers.make = lambda: lan.answers.answer
    assert {one["name"]: one["restarts"] for one in lan.world.request("status")["services"]} == before
    assert not [event for event in lan.world.events[mark:] if event["event"] == "service"]
    assert sum(event.get("state") == "lease" for event in lan.world.events[mark:]) > ROUNDS / 8
    lan.eventually(lambda: lan.address, lambda found: found is None or found, 15)
    mark = lan.asks(USUAL)
    assert lan.leased(mark)["address"] == "10.0.2.15/24"
