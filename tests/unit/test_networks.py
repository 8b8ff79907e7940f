# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The user networks behind emulated uplinks: QEMU's own by DHCP, and a static uplink's as its spec has it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from init.net import host_networks
from netvm_build.model import Clients, NamedClient, Router, Uplink
from netvm_build.model.address import Pair
from netvm_build.util.errors import LaunchError
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.networks import DEFAULT, close, dhcp_network, imitate, user_networks

from tests.unit.test_qemu import IMAGE, PROGRAM


def networks(*uplinks: Uplink, pool: str = "100.64.0.0/24", named: str = "100.64.9.0") -> list[str]:
    clients = Clients(IPv4Network(pool), named=(NamedClient("laptop", Pair(IPv4Address(named))),))
    router = Router(uplinks=uplinks, clients=clients)
    return [one.options for one in user_networks(replace(IMAGE.manifest, router=router))]


def static(address: str, gateway: str, *resolvers: str) -> Uplink:
    servers = tuple(map(IPv4Address, resolvers))
    return Uplink(dhcp=False, address=IPv4Interface(address), gateway=IPv4Address(gateway), nameservers=servers)


@pytest.mark.parametrize(
    ("address", "gateway", "resolvers", "options"),
    [
        # this host is the gateway, and QEMU's resolver the first one of the spec
        ("192.168.1.2/24", "192.168.1.1", ["192.168.1.53"], "192.168.1.0/24,host=192.168.1.1,dns=192.168.1.53"),
        # the gateway is the resolver, so this host is another
        ("192.168.1.2/24", "192.168.1.1", ["192.168.1.1"], "192.168.1.0/24,host=192.168.1.3,dns=192.168.1.1"),
        # no resolver in this network: QEMU still needs an address for its own
        ("192.168.1.2/24", "192.168.1.1", ["9.9.9.9"], "192.168.1.0/24,host=192.168.1.1,dns=192.168.1.3"),
        ("192.168.1.2/24", "192.168.1.1", [], "192.168.1.0/24,host=192.168.1.1,dns=192.168.1.3"),
        (
            "192.168.1.2/24",
            "192.168.1.1",
            ["9.9.9.9", "192.168.1.9"],
            "192.168.1.0/24,host=192.168.1.1,dns=192.168.1.9",
        ),
        # too small for the four of us, or a gateway outside: the 256 addresses around the gateway
        ("10.9.0.8/31", "10.9.0.9", ["10.9.0.9"], "10.9.0.0/24,host=10.9.0.1,dns=10.9.0.9"),
        ("10.9.0.9/30", "10.9.0.10", ["1.1.1.1"], "10.9.0.0/24,host=10.9.0.10,dns=10.9.0.1"),
        ("203.0.113.7/32", "10.0.0.1", ["10.0.0.2"], "10.0.0.0/24,host=10.0.0.1,dns=10.0.0.2"),
        ("11.1.2.3/7", "11.255.0.1", ["11.255.0.1"], "11.255.0.0/24,host=11.255.0.2,dns=11.255.0.1"),
        ("10.200.0.2/8", "10.0.0.1", ["10.77.0.1"], "10.0.0.0/8,host=10.0.0.1,dns=10.77.0.1"),
        # the router's own address and clients' stay free
        ("10.9.0.1/28", "10.9.0.2", ["10.9.0.2"], "10.9.0.0/28,host=10.9.0.3,dns=10.9.0.2"),
        ("100.64.9.3/31", "100.64.9.2", ["100.64.9.2"], "100.64.9.0/24,host=100.64.9.4,dns=100.64.9.2"),
    ],
)
def test_a_static_uplink_has_its_own_network(address: str, gateway: str, resolvers: list[str], options: str) -> None:
    assert networks(static(address, gateway, *resolvers)) == [f",net={options}"]


def test_dhcp_has_qemus_own_networks() -> None:
    assert networks(Uplink(), Uplink("b"), Uplink("c")) == ["", ",net=10.0.3.0/24", ",net=10.0.4.0/24"]


def test_no_two_uplinks_have_one_network() -> None:
    fixed = static("10.0.2.7/24", "10.0.2.1", "10.0.2.1")
    assert networks(Uplink(), fixed, Uplink("c")) == [
        ",net=10.0.5.0/24",
        ",net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.1",
        ",net=10.0.4.0/24",
    ]
    everywhere = static("10.1.2.3/8", "10.0.0.1", "10.0.0.1")
    assert networks(Uplink(), everywhere)[0] == ",net=172.31.0.0/24"


@pytest.mark.parametrize("wrong", [{"address": None}, {"gateway": None}])
def test_a_manifest_that_makes_no_sense_gets_the_default(wrong: dict[str, Any]) -> None:
    assert networks(replace(static("192.168.1.2/24", "192.168.1.1"), **wrong)) == [""]


@pytest.mark.parametrize("prefix", range(1, 33))
def test_qemu_takes_whatever_comes_out(prefix: int) -> None:
    """As libslirp demands: both in the network, and different."""
    address = IPv4Interface(f"192.168.37.138/{prefix}")
    gateway = IPv4Address("172.20.0.1") if prefix == 32 else address.ip + 1
    for resolvers in ([gateway], [IPv4Address("1.1.1.1")], [], [address.ip]):
        found = imitate(address, gateway, resolvers, [IPv4Network("192.168.0.0/30")])
        assert {found.host, found.resolver} <= set(
            found.network.hosts() if prefix > 15 else {found.host, found.resolver}
        )
        assert found.host in found.network
        assert found.resolver in found.network
        assert len({found.host, found.resolver, address.ip}) == 3
        assert gateway in (found.host, found.resolver)


@pytest.mark.parametrize("prefix", range(1, 33))
def test_the_router_understands_which_networks_to_close(prefix: int) -> None:
    """Both halves: what the host writes on the kernel's command line is what the guest reads there."""
    address = IPv4Interface(f"192.168.37.138/{prefix}")
    found = imitate(address, IPv4Address("172.20.0.1") if prefix == 32 else address.ip + 1, [])
    line = close("root=/dev/vda quiet -- -ISB start.pyc", [DEFAULT, found])
    assert line.startswith("root=/dev/vda quiet netvm.host_network=10.0.2.0/24,10.0.2.3 netvm.host_network=")
    assert line.endswith(" -- -ISB start.pyc")
    closed = host_networks.parse(line)
    assert [one.text for one in closed] == [DEFAULT.closed, found.closed]
    assert (closed[1].first, closed[1].end - 1) == (int(found.network[0]), int(found.network[-1]))
    assert closed[1].resolver == str(found.resolver)


def test_no_command_line_gets_too_long_for_the_kernel() -> None:
    assert len(close("x" * 2000, [DEFAULT])) == 2040
    with pytest.raises(LaunchError, match="the kernel's command line would have 2080 characters"):
        close("x" * 2000, [DEFAULT, dhcp_network(IPv4Network("10.0.3.0/24"))])
    assert close("x" * 2047, []) == "x" * 2047


def test_the_command_lines_have_it() -> None:
    router = Router(uplink=static("192.168.1.2/24", "192.168.1.1", "192.168.1.1"))
    image = replace(IMAGE, manifest=replace(IMAGE.manifest, router=router))
    wanted = "net=192.168.1.0/24,host=192.168.1.3,dns=192.168.1.1"
    assert f"user,id=uplink,ipv6=off,{wanted}" in qemu.argv(PROGRAM, qemu.router(image, "tcg"))
    assert any(wanted in part for part in qemu.by_hand(image, PROGRAM, "igb"))
