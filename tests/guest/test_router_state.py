# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""One definition of ready: clients can go out.  Events and `status` follow it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dhcp_server import Answer
from init.core.supervisor import Running
from init.net import router_state
from init.net.router_state import RouterState
from init.net.uplink import NO_ROUTE, Lease, Uplink
from test_dhcp import Lan

from tests.support.needs import need

WAY = Lease("10.0.2.15/24", "10.0.2.2", (), 0)
NO_WAY = Lease("10.0.2.15/24", None, (), NO_ROUTE)
LACK = "up0 has 10.0.2.15/24, but no default route: the network names no usable gateway"


class Service:
    """A service as the supervisor knows it: required, and waited for until its device doesn't come."""

    lacking = Running.lacking

    def __init__(self) -> None:
        self.ready = True
        self.waiting = SimpleNamespace(gave_up=False)
        self.service = SimpleNamespace(name="connmand", required=True)


class Heard:
    """The router's parts as its state sees them, and what it says."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | None]] = []
        self.due: list[Any] = []
        self.loaded = True
        self.service = Service()
        self.states = [self.service]
        self.uplink = Uplink(2, "up0", "", "e1000e", SimpleNamespace())  # type: ignore[arg-type]
        self.all = [self.uplink]
        self.active: Uplink | None = None
        self.was_ready = 0
        self.state = RouterState(self, self, self, self, self, self, self.on_ready)  # type: ignore[arg-type]

    def on_ready(self) -> None:
        self.was_ready += 1

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields.get("reason")))

    def later(self, seconds: float, callback: Any) -> None:
        assert seconds == router_state.NO_WAY_OUT_S
        self.due.append(callback)

    def leased(self, lease: Lease | None) -> None:
        self.uplink.lease = lease
        self.active = self.uplink if lease is WAY else None
        self.state.check()

    def pass_time(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


def test_ready_is_said_once_and_status_follows_what_is_now() -> None:
    heard = Heard()
    heard.state.check()
    assert (heard.state.state, heard.state.missing, heard.events) == ("booting", ["up0 has no lease"], [])
    heard.leased(WAY)
    assert (heard.state.state, heard.state.missing) == ("ready", [])
    heard.leased(None)
    assert (heard.state.state, heard.state.missing) == ("degraded", ["up0 has no lease"])
    heard.leased(WAY)
    assert heard.state.state == "ready"
    assert (heard.events, heard.was_ready) == ([("ready", None)], 1)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"loaded": False}, "the firewall is not loaded"),
        ({"all": []}, "there is no uplink"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], missing: str) -> None:
    heard = Heard()
    for name, value in change.items():
        setattr(heard, name, value)
    heard.state.check()
    assert missing in heard.state.missing
    assert heard.events == []


def test_a_service_that_is_down_is_missing_unless_its_device_was_waited_for_in_vain() -> None:
    heard = Heard()
    heard.service.ready = False
    heard.leased(WAY)
    assert heard.state.missing == ["connmand is not running"]
    heard.service.waiting.gave_up = True
    heard.state.check()
    assert heard.events == [("ready", None)]


def test_an_address_without_a_way_out_is_degraded_and_never_ready() -> None:
    heard = Heard()
    heard.leased(NO_WAY)
    heard.leased(NO_WAY)
    assert (heard.events, len(heard.due)) == ([], 1)  # it may just be being set
    heard.pass_time()
    assert heard.events == [("degraded", LACK)]
    assert (heard.state.state, heard.state.missing) == ("degraded", [LACK])
    heard.leased(NO_WAY)
    heard.pass_time()
    heard.state.lease_is_due(30)
    assert heard.events == [("degraded", LACK)]
    heard.leased(WAY)
    assert heard.events[1:] == [("ready", None), ("recovered", "clients can go out by up0")]


def test_a_default_route_that_comes_a_moment_later_is_no_trouble() -> None:
    heard = Heard()
    heard.leased(NO_WAY)
    heard.leased(WAY)
    heard.pass_time()
    assert heard.events == [("ready", None)]


@pytest.fixture
def lan(connmand: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    need("nft")
    made = Lan(tmp_path_factory.mktemp("lan"), connmand, answer=Answer(router=None))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root")
def test_a_lease_without_a_gateway_is_no_router_that_is_ready(lan: Lan) -> None:
    """With the image's own ConnMan; with a gateway it is ready at last."""
    said = lan.world.wait_for("degraded")
    assert said["reason"] == LACK
    status = lan.world.request("status")
    assert (status["state"], status["missing"]) == ("degraded", [LACK])
    assert not [one for one in lan.world.events if one["event"] == "ready"]
    lan.leases(Answer())
    lan.world.wait_for("ready")
    status = lan.world.request("status")
    assert (status["state"], status["missing"]) == ("ready", [])
    lan.asks(None)
    status = lan.world.request("status")
    assert (status["state"], status["missing"]) == ("degraded", ["up0 has no lease"])
