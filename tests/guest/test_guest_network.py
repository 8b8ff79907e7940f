# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""rtnetlink messages, uevents, and the picture of the network that is made of them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from init.kernel import interfaces, netlink, uevents
from init.kernel import rtnetlink as rt
from init.kernel.network import NetworkState

# As `strace -e sendto,recvfrom -x ip …` shows them on x86-64.
NEWLINK = rt.LINK.pack(0, rt.ARPHRD_ETHER, 2, rt.IFF_UP, 0) + bytes.fromhex(
    "0900 0300 6574 6830 0000 0000"  # IFLA_IFNAME eth0
    "0a00 0100 5254 0012 3456 0000"  # IFLA_ADDRESS 52:54:00:12:34:56
    "0800 0400 dc05 0000"  # IFLA_MTU 1500
)


def link_message(
    index: int, name: str, mac: str = "52:54:00:12:34:56", kind: int = rt.ARPHRD_ETHER, flags: int = rt.IFF_UP
) -> bytes:
    return (
        rt.LINK.pack(0, kind, index, flags, 0)
        + netlink.attribute(rt.IFLA_IFNAME, name.encode() + b"\0")
        + netlink.attribute(rt.IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
    )


def route_message(
    index: int, gateway: str | None, metric: int = 0, table: int = 254, length: int = 0, target: str = ""
) -> bytes:
    tail = netlink.attribute(rt.RTA_DST, netlink.packed(target)) if target else b""
    tail += netlink.attribute(rt.RTA_OIF, netlink.U32.pack(index)) + netlink.attribute(
        rt.RTA_PRIORITY, netlink.U32.pack(metric)
    )
    tail += netlink.attribute(rt.RTA_TABLE, netlink.U32.pack(table))
    if gateway is not None:
        tail += netlink.attribute(rt.RTA_GATEWAY, netlink.packed(gateway))
    return rt.ROUTE.pack(rt.AF_INET, length, 0, 0, table & 0xFF, 0, 0, rt.RTN_UNICAST, 0) + tail


def test_a_link_is_read() -> None:
    link = rt.parse_link(NEWLINK)
    assert link is not None
    assert (link.index, link.name, link.mac, link.kind) == (2, "eth0", "52:54:00:12:34:56", rt.ARPHRD_ETHER)
    assert link.flags & rt.IFF_UP


def test_a_bridge_port_s_message_is_no_link() -> None:
    assert rt.parse_link(b"\x07" + NEWLINK[1:]) is None


def test_an_address_is_read() -> None:
    address = rt.parse_address(interfaces.new_address(3, "100.115.92.0", 31))
    assert address is not None
    assert (address.index, address.address, address.prefix) == (3, "100.115.92.0", 31)


def test_a_default_route_is_read() -> None:
    route = rt.parse_default_route(route_message(4, "10.0.2.2", metric=20))
    assert route is not None
    assert (route.index, route.gateway, route.metric) == (4, "10.0.2.2", 20)
    without = rt.parse_default_route(route_message(4, None))
    assert without is not None
    assert without.gateway is None


@pytest.mark.parametrize("other", [{"table": 255}, {"table": 1000}, {"length": 24}])
def test_other_routes_are_passed_over(other: dict[str, Any]) -> None:
    assert rt.parse_default_route(route_message(4, "10.0.2.2", **other)) is None


def test_a_route_to_somewhere_is_read() -> None:
    route = rt.parse_route(route_message(4, "10.0.2.2", length=32, target="100.115.92.1"))
    assert route is not None
    assert (route.index, route.destination, route.length) == (4, "100.115.92.1", 32)
    assert rt.parse_route(route_message(4, "10.0.2.2")) is None  # a default route is another matter
    assert rt.parse_route(route_message(4, None, table=255, length=32, target="100.115.92.1")) is None


def test_messages_are_cut_where_their_lengths_say() -> None:
    data = netlink.message(rt.RTM_NEWLINK, 0, 7, NEWLINK) + netlink.message(netlink.NLMSG_DONE, 0, 8, b"\0\0\0\0")
    assert list(netlink.messages(data)) == [(rt.RTM_NEWLINK, 7, NEWLINK), (netlink.NLMSG_DONE, 8, b"\0\0\0\0")]


def test_torn_messages_never_raise() -> None:
    whole = netlink.message(rt.RTM_NEWLINK, 0, 7, NEWLINK) + netlink.message(
        rt.RTM_NEWROUTE, 0, 8, route_message(4, "10.0.2.2")
    )
    dice = random.Random(1)  # noqa: S311  (the same torn messages each time)
    for _ in range(3000):
        data = bytearray(whole[: dice.randrange(len(whole) + 1)])
        for _ in range(dice.randrange(3)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        for _, _, payload in netlink.messages(bytes(data)):
            rt.parse_link(payload)
            rt.parse_address(payload)
            rt.parse_default_route(payload)
            rt.parse_route(payload)


def test_renaming_and_raising_a_link() -> None:
    rename = interfaces.set_link(2, name="up0")
    assert rt.LINK.unpack_from(rename) == (0, 0, 2, 0, 0)
    assert netlink.attributes(rename, rt.LINK.size) == {rt.IFLA_IFNAME: b"up0\0"}
    assert rt.LINK.unpack_from(interfaces.set_link(2, up=True)) == (0, 0, 2, rt.IFF_UP, rt.IFF_UP)
    assert rt.LINK.unpack_from(interfaces.set_link(2, up=False)) == (0, 0, 2, 0, rt.IFF_UP)


class Seen:
    def __init__(self) -> None:
        self.came: list[str] = []
        self.gone: list[str] = []
        self.changes = 0
        self.network = NetworkState(
            lambda link: self.came.append(link.name), lambda link: self.gone.append(link.name), self.change
        )

    def change(self) -> None:
        self.changes += 1


def test_the_picture_follows_the_messages() -> None:
    seen = Seen()
    net = seen.network
    net.apply([(rt.RTM_NEWLINK, link_message(2, "eth0")), (rt.RTM_NEWLINK, link_message(2, "up0"))])
    assert seen.came == ["eth0"]
    assert net.links[2].name == "up0"
    net.apply([(rt.RTM_NEWADDR, interfaces.new_address(2, "10.0.2.15", 24))])
    net.apply(
        [(rt.RTM_NEWROUTE, route_message(2, "10.0.2.9", 30)), (rt.RTM_NEWROUTE, route_message(2, "10.0.2.2", 10))]
    )
    assert net.address_of(2) == ("10.0.2.15", 24)
    assert net.default_route_of(2) == (10, "10.0.2.2")
    net.apply([(rt.RTM_DELROUTE, route_message(2, "10.0.2.2", 10))])
    assert net.default_route_of(2) == (30, "10.0.2.9")
    net.apply([(rt.RTM_DELADDR, interfaces.new_address(2, "10.0.2.15", 24))])
    assert net.address_of(2) is None
    net.apply([(rt.RTM_DELLINK, link_message(2, "up0"))])
    assert (seen.gone, net.default_route_of(2)) == (["up0"], None)


@pytest.mark.parametrize("loss", ["its last address", "taken down"])
def test_routes_that_the_kernel_drops_without_a_word_are_forgotten(loss: str) -> None:
    net = Seen().network
    net.apply([(rt.RTM_NEWLINK, link_message(2, "up0")), (rt.RTM_NEWADDR, interfaces.new_address(2, "10.0.2.15", 24))])
    net.apply(
        [(rt.RTM_NEWADDR, interfaces.new_address(2, "10.0.2.77", 24)), (rt.RTM_NEWROUTE, route_message(2, "10.0.2.2"))]
    )
    net.apply([(rt.RTM_NEWROUTE, route_message(2, "10.0.2.2", length=32, target="100.115.92.1"))])
    assert net.targets_of(2) == {("100.115.92.1", 32)}
    net.apply([(rt.RTM_DELADDR, interfaces.new_address(2, "10.0.2.15", 24))])
    assert net.default_route_of(2) == (0, "10.0.2.2")
    if loss == "taken down":
        net.apply([(rt.RTM_NEWLINK, link_message(2, "up0", flags=0))])
        assert net.address_of(2) == ("10.0.2.77", 24)
    else:
        net.apply([(rt.RTM_DELADDR, interfaces.new_address(2, "10.0.2.77", 24))])
    assert (net.default_route_of(2), net.targets_of(2)) == (None, set())


def test_a_route_s_end_is_noted() -> None:
    net = Seen().network
    there = route_message(2, None, length=32, target="100.115.92.1")
    net.apply([(rt.RTM_NEWROUTE, there), (rt.RTM_NEWROUTE, route_message(2, None, length=24, target="10.0.2.0"))])
    net.apply([(rt.RTM_DELROUTE, there)])
    assert net.targets_of(2) == {("10.0.2.0", 24)}


def test_after_an_overflow_a_dump_mends_the_picture() -> None:
    seen = Seen()
    seen.network.apply(
        [(rt.RTM_NEWLINK, link_message(2, "eth0")), (rt.RTM_NEWADDR, interfaces.new_address(2, "10.0.0.1", 8))]
    )
    seen.network.replace([(rt.RTM_NEWLINK, link_message(3, "eth1"))])
    assert (seen.came, seen.gone) == (["eth0", "eth1"], ["eth0"])
    assert seen.network.address_of(2) is None


OVERFLOW = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "rootfs")!r})
from init.kernel import interfaces
from init.kernel import rtnetlink as rt
changes, requests = rt.Changes(), interfaces.LinkRequests()
for number in range(10000):
    requests.set_up(1, number % 2 == 0)
try:
    changes.receive()
    sys.exit("nothing was lost")
except OSError as error:
    assert error.errno == rt.ENOBUFS, error
requests.add_address(1, "192.0.2.1", 24)
came = [rt.parse_address(payload) for kind, payload in changes.receive() if kind == rt.RTM_NEWADDR]
assert "192.0.2.1" in [one.address for one in came], len(came)
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_what_comes_after_an_overflow_is_heard() -> None:
    """The kernel drops what is new until all that is old has been read, and reports that once."""
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", OVERFLOW], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


FURNISH = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "rootfs")!r})
from init.kernel import interfaces, netlink
from init.kernel import rtnetlink as rt
requests = interfaces.LinkRequests()
form = interfaces.configuring(7, 31, "c735c00")
for index, address, error in ((99, "192.0.2.1", "No such device"), (1, "192.0.2.1", "")):
    try:
        requests.configure(form, index, "c735c00", address)
        said = ""
    except OSError as no:
        said = no.strerror
    assert said == error, (index, said)
requests.set_up(1)  # no late answer is taken for this one's
dump = rt.Changes().dump()
(link,) = [payload for kind, payload in dump if kind == rt.RTM_NEWLINK]
found = rt.parse_link(link)
assert (found.name, found.flags & rt.IFF_UP) == ("c735c00", rt.IFF_UP), vars(found)
assert netlink.attributes(link, rt.LINK.size)[rt.IFLA_GROUP] == netlink.U32.pack(7)
assert "192.0.2.1" in [rt.parse_address(payload).address for kind, payload in dump if kind == rt.RTM_NEWADDR]
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_a_link_is_named_grouped_addressed_and_raised_at_once_or_it_is_said_why_not() -> None:
    done = subprocess.run(["unshare", "-n", sys.executable, "-c", FURNISH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_of_a_known_link_the_name_alone_is_read() -> None:
    known = {2: rt.Link(2, "eth0", "52:54:00:12:34:56", 0, rt.ARPHRD_ETHER)}
    link = rt.parse_link(link_message(2, "up0", mac="00:00:00:00:00:00"), known)
    assert link is not None
    assert (link.name, link.mac, link.flags) == ("up0", "52:54:00:12:34:56", rt.IFF_UP)


def test_an_uevent_is_read() -> None:
    message = b"add@/devices/pci0000:00/net/eth1\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=eth1\0SEQNUM=7\0"
    event = uevents.parse(message)
    assert event is not None
    assert (event.action, event.subsystem, event.variables["INTERFACE"]) == ("add", "net", "eth1")


@pytest.mark.parametrize("message", [b"", b"libudev\0\xfe\xed\xca\xfe", b"add", b"add@relative\0A=1", b"\xff\xff@\0\0"])
def test_what_is_no_uevent_is_none(message: bytes) -> None:
    assert uevents.parse(message) is None
