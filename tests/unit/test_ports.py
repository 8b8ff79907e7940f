# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Source ports: whatever is forwarded, clients' connections and the router's own sockets keep clear of it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.model import Clients, Forward, NamedClient, Router
from netvm_build.model.address import Pair
from netvm_build.spec.rules import ports, traffic

LAPTOP = NamedClient("laptop", Pair(IPv4Address("100.64.0.0")))


def router(*forwarded: int, protocol: str = "udp") -> Router:
    forwards = tuple(Forward(port, "laptop", port, protocol) for port in forwarded)
    return Router(clients=Clients(named=(LAPTOP,), forwards=forwards))


@pytest.mark.parametrize(
    ("forwarded", "gap"),
    [
        ((), (1024, 65535)),
        ((80, 443), (1024, 65535)),
        ((51820,), (1024, 51819)),
        ((1024, 65535), (1025, 65534)),
        ((20000, 50000), (20001, 49999)),
        ((65535, 30000, 1024), (30001, 65534)),
    ],
)
def test_the_largest_gap_is_found(forwarded: tuple[int, ...], gap: tuple[int, int]) -> None:
    assert ports.largest_gap(router(*forwarded).clients.forwards) == gap


@given(st.lists(st.integers(1, 65535), max_size=40, unique=True))
def test_no_port_has_two_uses(forwarded: list[int]) -> None:
    spec = router(*forwarded)
    if any(one.path == "clients.forwards" for one in ports.rules(spec)):
        return
    found = ports.split(spec)
    ranges = [range(low, high + 1) for low, high in (found.first, found.second, found.own)]
    given_out = {port for one in ranges for port in one}
    assert sum(map(len, ranges)) == len(given_out)
    assert not given_out & {*range(1024), *forwarded}
    assert (found.first[0], found.second[1]) == found.masquerade
    assert abs(len(ranges[0]) - len(ranges[1])) <= 1
    assert len(ranges[0]) + len(ranges[1]) >= ports.LEAST
    assert traffic.settings(spec)["ipv4/ip_local_port_range"] == f"{found.own[0]} {found.own[1]}"


def test_a_range_is_kept_clear_of_as_a_whole() -> None:
    wide = Router(clients=Clients(named=(LAPTOP,), forwards=(Forward(20000, "laptop", 20000, count=20001),)))
    assert ports.largest_gap(wide.clients.forwards) == (40001, 65535)
    (found,) = ports.rules(Router(clients=Clients(forwards=(Forward(60, "laptop", 60, "udp", 20),))))
    assert "UDP port 67 is DHCP's" in found.message


def test_forwards_that_leave_too_few_ports_are_refused_with_the_way_out() -> None:
    (found,) = ports.rules(router(*range(8000, 65536, 8000)))
    assert (found.path, found.message) == (
        "clients.forwards",
        "the forwarded ports leave only 7999 ports in a row, from 8001 to 15999",
    )
    assert "leave 9216 ports in a row free between 1024 and 65535" in found.hint


def test_forwards_of_all_ports_leave_none() -> None:
    every = Router(clients=Clients(named=(LAPTOP,), forwards=(Forward(1, "laptop", 1, count=65535),)))
    (found,) = ports.rules(every)
    assert found.message == "the forwarded ports leave no port"


@pytest.mark.parametrize("port", ports.DHCP_PORTS)
def test_dhcp_is_never_forwarded(port: int) -> None:
    (found,) = ports.rules(router(port))
    assert f"UDP port {port} is DHCP's" in found.message
    assert not list(ports.rules(router(port, protocol="tcp")))
