# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The tables and rules that PID 1 asks the kernel for, one table for each uplink."""

from __future__ import annotations

from errno import ENETDOWN, EPERM
from typing import Any

import pytest
from init.core.config import WantedUplink
from init.kernel import rtnetlink as rt
from init.kernel.netlink import U32, attributes, dotted
from init.kernel.network import NetworkState
from init.net import routing
from init.net.routing import FROM_CLIENT, NOWHERE, Routing
from init.net.uplink import Lease, Uplink

ADD, DELETE, ADD_RULE, DELETE_RULE = rt.RTM_NEWROUTE, rt.RTM_DELROUTE, routing.RTM_NEWRULE, routing.RTM_DELRULE
FIRST, SECOND = NOWHERE + 2, NOWHERE + 3
ROUTER, PAIR = "100.65.0.0", "100.65.0.1"


class Kernel:
    """What was asked, in short, and what is refused."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refuses: dict[int, int] = {}
        self.network = NetworkState(lambda _: None, lambda _: None, lambda: None)
        self.routing = Routing(self, self.network, "100.115.92.0/24", {ROUTER, PAIR})  # type: ignore[arg-type]
        self.uplinks = [Uplink(index, f"up{index - 2}", "", "", WantedUplink()) for index in (2, 3)]
        for one in self.uplinks:
            net = f"10.0.{one.index}"
            self.network.links[one.index] = rt.Link(one.index, one.name, "", rt.IFF_UP, rt.ARPHRD_ETHER)
            self.network.addresses[one.index] = {f"{net}.15": 24}
            self.network.routes[one.index] = {one.index: f"{net}.2"}
            self.network.targets[one.index] = {(f"{net}.0", 24, 0): None}

    def change(self, kind: int, _flags: int, payload: bytes) -> None:
        if kind in self.refuses:
            raise OSError(self.refuses[kind], "no")
        if kind in (ADD_RULE, DELETE_RULE):
            found = attributes(payload, routing.RULE.size)
            table = U32.unpack(found.get(routing.FRA_TABLE, bytes(4)))[0]
            self.asked.append((kind, U32.unpack(found[routing.FRA_PRIORITY])[0], table))
            return
        found = attributes(payload, rt.ROUTE.size)
        _, length, _, _, _, _, _, what, _ = rt.ROUTE.unpack_from(payload)
        gateway = dotted(found[rt.RTA_GATEWAY]) if rt.RTA_GATEWAY in found else None
        target = f"{dotted(found.get(rt.RTA_DST, bytes(4)))}/{length}"
        self.asked.append((kind, U32.unpack(found[rt.RTA_TABLE])[0], target, what, gateway))

    def follow(self, active: Uplink | None) -> list[tuple[Any, ...]]:
        before = len(self.asked)
        self.routing.follow(self.uplinks, active)
        return self.asked[before:]


@pytest.fixture
def kernel() -> Kernel:
    made = Kernel()
    made.routing.begin()
    made.follow(made.uplinks[0])
    return made


def test_with_one_uplink_nothing_is_asked() -> None:
    made = Kernel()
    assert made.follow(made.uplinks[0]) == []


def test_the_kernel_s_own_rule_goes_once_ours_are_there() -> None:
    made = Kernel()
    made.routing.begin()
    made.routing.begin()
    assert made.asked == [
        (ADD_RULE, routing.HERE, routing.LOCAL), (ADD_RULE, routing.OWN, 0), (DELETE_RULE, 0, routing.LOCAL)
    ]  # fmt: skip


def test_a_table_has_the_uplink_s_routes_and_no_client_s(kernel: Kernel) -> None:
    routes = {one[2:] for one in kernel.asked if one[:2] == (ADD, SECOND)}
    assert routes == {
        ("10.0.3.0/24", rt.RTN_UNICAST, None),
        ("0.0.0.0/0", rt.RTN_UNICAST, "10.0.3.2"),
        ("10.0.3.15/32", routing.RTN_THROW, None),
        ("10.0.3.255/32", routing.RTN_THROW, None),
        ("100.115.92.0/24", routing.RTN_THROW, None),
        ("100.65.0.0/31", routing.RTN_THROW, None),
        ("0.0.0.0/0", routing.RTN_UNREACHABLE, None),
    }


def test_a_route_into_the_pool_is_not_followed_and_one_around_it_is(kernel: Kernel) -> None:
    kernel.network.targets[2] |= {("100.115.92.16", 28, 0): "10.0.2.2", ("100.115.0.0", 16, 0): "10.0.2.2"}
    assert kernel.follow(kernel.uplinks[0]) == [(ADD, FIRST, "100.115.0.0/16", rt.RTN_UNICAST, "10.0.2.2")]


def test_a_switch_is_one_rule_for_another(kernel: Kernel) -> None:
    """The new one is there, behind the former, before that is taken away: there is a route at each moment."""
    asked = kernel.follow(kernel.uplinks[1])
    clients = [one for one in asked if one[1] == FROM_CLIENT]
    assert clients == [(ADD_RULE, FROM_CLIENT, SECOND), (DELETE_RULE, FROM_CLIENT, FIRST)]
    assert not [one for one in asked if one[0] in (ADD, DELETE)]
    assert [one for one in kernel.follow(None) if one[1] == FROM_CLIENT] == [
        (ADD_RULE, FROM_CLIENT, NOWHERE), (DELETE_RULE, FROM_CLIENT, SECOND)
    ]  # fmt: skip


def test_a_route_that_is_set_anew_is_kept_meanwhile(kernel: Kernel) -> None:
    first = kernel.uplinks[0]
    first.lease = Lease("10.0.2.15/24", "10.0.2.2", (), 0)
    kernel.network.routes[2].clear()
    assert kernel.follow(first) == []
    first.lease = None
    assert kernel.follow(first) == [(DELETE, FIRST, "0.0.0.0/0", rt.RTN_UNICAST, "10.0.2.2")]


def test_routes_that_the_kernel_took_away_at_once_are_set_again(kernel: Kernel) -> None:
    """With an interface's last address it flushes them in every table, and tells nobody."""
    first = kernel.uplinks[0]
    kernel.network.emptied[2] = kernel.network.emptied.get(2, 0) + 1
    assert {one[2] for one in kernel.follow(first)} == {"10.0.2.0/24", "0.0.0.0/0"}
    assert kernel.follow(first) == []


def test_an_interface_that_is_just_down_is_tried_again_and_another_error_is_none_of_ours(kernel: Kernel) -> None:
    first = kernel.uplinks[0]
    kernel.network.targets[2][("192.0.2.0", 24, 0)] = "10.0.2.2"
    kernel.refuses[ADD] = ENETDOWN
    assert kernel.follow(first) == []
    del kernel.refuses[ADD]
    assert [one[2] for one in kernel.follow(first)] == ["192.0.2.0/24"]
    kernel.refuses[ADD_RULE] = EPERM
    with pytest.raises(OSError, match="no"):
        kernel.follow(kernel.uplinks[1])


def test_an_uplink_that_is_gone_leaves_no_table(kernel: Kernel) -> None:
    del kernel.uplinks[1]
    asked = kernel.follow(kernel.uplinks[0])
    assert (DELETE_RULE, routing.BY_OTHER_ADDRESS, SECOND) in asked
    assert {one[2] for one in asked if one[:2] == (DELETE, SECOND)} >= {"100.115.92.0/24", "10.0.3.0/24"}
    assert kernel.follow(kernel.uplinks[0]) == []
