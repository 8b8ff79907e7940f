# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which card becomes which uplink, VLANs on it, and which way clients go: by what the kernel and ConnMan say."""

from __future__ import annotations

from errno import ENODEV, ENOMEM
from typing import Any

import pytest
from init.core.config import WantedUplink
from init.kernel import interfaces, netlink, sysctl
from init.kernel import rtnetlink as rt
from init.kernel.network import NetworkState
from init.net import uplinks
from init.net.firewall import STANDBY_GROUP, UPLINK_GROUP
from init.net.leases import GRACE_S
from init.net.uplink import Uplink, number_of
from init.net.uplinks import Uplinks

MAC, OTHER = "52:54:00:12:34:56", "52:54:00:12:34:57"
CABLE, BACKUP = WantedUplink("cable", MAC), WantedUplink("backup", OTHER)
TAGGED = WantedUplink("tagged", MAC, 7)


class Heard:
    """What was asked of the kernel, what was said, and whose connections were forgotten."""

    def __init__(self, *wanted: WantedUplink) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.events: list[dict[str, Any]] = []
        self.forgotten: list[str] = []
        self.network = NetworkState(lambda _: None, lambda _: None, lambda: None)
        self.uplinks = Uplinks(self, self, self, wanted, lambda *_: "", self, self.forget)  # type: ignore[arg-type]
        self.servers: dict[str, tuple[str, ...]] = {}
        self.connected: set[str] = set()
        self.now = 0.0

    def __getattr__(self, name: str) -> Any:
        if name in ("rename", "set_up", "add_vlan", "later", "regroup", "begin"):
            return lambda *arguments: self.asked.append((name, *arguments))
        raise AttributeError(name)

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event} | fields)

    def follow(self, uplinks: list[Uplink], active: Uplink | None) -> None:
        """What the kernel's rules and tables would be made."""
        self.asked.append(("follow", [one.name for one in uplinks], active and active.name))

    def forget(self, address: str) -> str:
        self.forgotten.append(address)
        return ""

    def plug(self, index: int, name: str, mac: str) -> None:
        self.uplinks.attach(rt.Link(index, name, mac, 0, rt.ARPHRD_ETHER))

    def has(self, index: int, address: str = "", metric: int | None = None) -> None:
        """The kernel's side of an uplink: an address, and a default route of a metric."""
        self.network.addresses[index] = {address: 24} if address else {}
        self.network.routes[index] = {} if metric is None else {metric: "10.0.0.1"}

    def compare(self, passed: float = 1.0) -> list[dict[str, Any]]:
        self.now += passed
        before = len(self.events)
        self.wavers = self.uplinks.leases.compare(
            self.network, lambda name: self.servers.get(name, ()), self.now, self.connected.__contains__
        )
        return self.events[before:]


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl, "apply", lambda *_: [])


def two() -> Heard:
    """Both uplinks are plugged in, the backup first."""
    heard = Heard(CABLE, BACKUP)
    heard.plug(3, "nic0", OTHER)
    heard.plug(2, "nic1", MAC)
    return heard


def test_an_uplink_is_named_by_its_place_in_the_spec() -> None:
    heard = two()
    assert [one[2] for one in heard.asked if one[0] == "rename"] == ["up1", "up0"]
    assert [(event["interface"], event["name"]) for event in heard.events] == [("up1", "backup"), ("up0", "cable")]


def test_the_short_form_takes_whatever_comes() -> None:
    heard = Heard(WantedUplink())
    heard.plug(2, "nic0", MAC)
    heard.plug(3, "nic1", OTHER)
    assert [one[2] for one in heard.asked if one[0] == "rename"] == ["up0", "up1"]
    assert "name" not in heard.events[0]
    assert heard.uplinks.missing == []


def test_another_card_is_left_alone_and_a_missing_one_is_known() -> None:
    heard = Heard(CABLE, BACKUP)
    heard.plug(2, "nic0", "52:54:00:00:00:99")
    assert heard.asked == []
    assert heard.events[0]["text"].endswith(f"is left alone: the uplink is to be {MAC}, {OTHER}")
    assert heard.uplinks.missing == [CABLE, BACKUP]


def test_a_card_of_vlans_is_a_trunk_and_no_uplink() -> None:
    heard = Heard(TAGGED, WantedUplink("lab", MAC, 8))
    heard.plug(2, "nic0", MAC)
    assert heard.asked[:2] == [("begin",), ("follow", [], None)]
    assert heard.asked[2:] == [
        ("rename", 2, "trunk2", 0), ("set_up", 2), ("add_vlan", 2, "up0", 7), ("add_vlan", 2, "up1", 8)
    ]  # fmt: skip
    assert heard.events == []
    assert heard.uplinks.expects("up1")
    heard.uplinks.adopt(rt.Link(5, "up1", MAC, 0, rt.ARPHRD_ETHER))
    assert heard.asked[-2:] == [("rename", 5, "up1", STANDBY_GROUP), ("set_up", 5)]
    assert heard.events[-1] == {
        "event": "uplink", "state": "found", "interface": "up1", "mac": MAC, "driver": "", "name": "lab", "vlan": 8
    }  # fmt: skip
    assert not heard.uplinks.expects("up1")


def test_a_vlan_and_what_is_untagged_share_a_card() -> None:
    heard = Heard(TAGGED, CABLE)
    heard.plug(2, "nic0", MAC)
    assert heard.asked[2:] == [("rename", 2, "up1", STANDBY_GROUP), ("set_up", 2), ("add_vlan", 2, "up0", 7)]
    assert [event["interface"] for event in heard.events] == ["up1"]


def test_a_kernel_without_vlans_says_so() -> None:
    heard = Heard(TAGGED)

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    vars(heard)["add_vlan"] = refuse
    heard.plug(2, "nic0", MAC)
    assert heard.events[-1]["text"].endswith("could not be set up: Operation not supported")


def test_the_message_that_makes_a_vlan() -> None:
    """The attributes of linux/if_link.h, and the identity in the host's byte order, as rtnetlink has numbers."""
    payload = interfaces.new_vlan(2, "up0", 7)
    found = netlink.attributes(payload, rt.LINK.size)
    assert (found[rt.IFLA_LINK], found[rt.IFLA_IFNAME]) == (b"\2\0\0\0", b"up0\0")
    info = netlink.attributes(found[rt.IFLA_LINKINFO], 0)
    assert info[interfaces.IFLA_INFO_KIND] == b"vlan"
    assert netlink.attributes(info[interfaces.IFLA_INFO_DATA], 0) == {interfaces.IFLA_VLAN_ID: b"\7\0"}


def test_clients_go_by_the_best_route_and_connections_of_the_other_are_forgotten() -> None:
    heard = two()
    heard.has(3, "10.0.3.15", 0)
    assert [event["event"] for event in heard.compare()] == ["uplink", "route"]
    heard.has(3, "10.0.3.15", 4_000_000_000)
    heard.has(2, "10.0.2.15", 0)
    assert [(event["event"], event["name"]) for event in heard.compare()] == [("uplink", "cable"), ("route", "cable")]
    assert heard.forgotten == ["10.0.3.15"]
    heard.has(2)
    heard.has(3, "10.0.3.15", 0)
    told = heard.compare()
    assert [(event.get("state"), event["name"]) for event in told] == [("lost", "cable"), (None, "backup")]
    assert heard.forgotten == ["10.0.3.15", "10.0.2.15"]
    heard.has(3)
    assert heard.compare()[-1] == {"event": "route", "interface": None}


def test_a_route_that_is_set_anew_is_no_loss_and_one_that_stays_away_is() -> None:
    heard = two()
    heard.has(2, "10.0.2.15", 0)
    heard.compare()
    heard.has(2, "10.0.2.15")
    assert heard.compare() == []
    assert heard.wavers
    heard.has(2, "10.0.2.15", 0)
    assert heard.compare(GRACE_S / 2) == []
    heard.has(2, "10.0.2.15")
    assert heard.compare() == []
    assert [event.get("state") for event in heard.compare(GRACE_S)] == ["lost", None]
    assert not heard.wavers
    assert heard.forgotten == ["10.0.2.15"]


def test_the_less_preferred_is_refused_at_once_whichever_came_first() -> None:
    """It leases the address that is the other's gateway, and has it when the other comes by its lease."""
    heard = two()
    heard.has(3, "10.0.0.1", 0)
    heard.compare()
    heard.has(2, "10.0.2.15", 0)
    said = [(one.get("state"), one.get("name"), one.get("reason")) for one in heard.compare()]
    assert said[:2] == [("lease", "cable", None), ("refused", "backup", "its address 10.0.0.1 is the gateway of up0")]
    assert heard.uplinks.active is not None
    assert heard.uplinks.active.name == "up0"


def test_an_uplink_that_waits_its_turn_is_not_lost() -> None:
    """ConnMan gives it no route, and calls it connected; clients do not go by it."""
    heard = two()
    heard.has(2, "10.0.2.15", 0)
    heard.has(3, "10.0.3.15", 9)
    heard.compare()
    heard.has(3, "10.0.3.15")
    heard.connected = {"up0", "up1"}
    assert heard.compare() == []
    assert heard.wavers
    assert heard.compare() == []
    assert not heard.wavers
    heard.has(2)
    assert [event["event"] for event in heard.compare()] == ["uplink", "route"]
    assert heard.uplinks.active is None
    assert {uplink.name: uplink.lease is not None for uplink in heard.uplinks.all} == {"up0": False, "up1": True}


def changes(heard: Heard, since: int) -> list[tuple[Any, ...]]:
    return [one for one in heard.asked[since:] if one[0] in ("regroup", "follow")]


def test_a_switch_puts_the_new_one_s_group_before_its_routes_and_takes_the_former_s_away_after() -> None:
    heard = two()
    heard.has(3, "10.0.3.15", 0)
    heard.compare()
    assert changes(heard, 0)[-2:] == [("regroup", 3, UPLINK_GROUP), ("follow", ["up1", "up0"], "up1")]
    heard.has(3, "10.0.3.15", 9)
    heard.has(2, "10.0.2.15", 0)
    since = len(heard.asked)
    heard.compare()
    assert changes(heard, since) == [
        ("regroup", 2, UPLINK_GROUP), ("follow", ["up1", "up0"], "up0"), ("regroup", 3, STANDBY_GROUP)
    ]  # fmt: skip


def test_a_radio_is_kept_apart_as_a_cable_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are held to the routes of the one in use before the other one is even named."""
    heard = Heard(WantedUplink())
    heard.uplinks = Uplinks(heard, heard, heard, (WantedUplink(),), lambda *_: "", heard, wifi=True)  # type: ignore[arg-type]
    monkeypatch.setattr(uplinks, "is_radio", lambda name: name.startswith("wlan"))
    heard.plug(2, "eth0", MAC)
    assert ("begin",) not in heard.asked  # one uplink costs nothing
    heard.has(2, "10.0.2.15", 0)
    heard.compare()
    since = len(heard.asked)
    heard.plug(3, "wlan0", OTHER)
    assert heard.asked[since : since + 3] == [
        ("begin",), ("follow", ["up0"], "up0"), ("rename", 3, "up1", STANDBY_GROUP)
    ]  # fmt: skip


def test_where_uplinks_cannot_be_kept_apart_there_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(WantedUplink())

    def begin() -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(heard, "begin", begin, raising=False)
    heard.plug(2, "nic0", MAC)
    heard.plug(3, "nic1", OTHER)
    assert [one[1] for one in heard.asked if one[0] == "rename"] == [2]
    assert heard.events[-1] == {
        "event": "uplink", "state": "refused", "interface": "nic1", "mac": OTHER, "driver": "",
        "reason": "uplinks cannot be kept apart: Operation not supported",
    }  # fmt: skip


def test_routes_that_cannot_be_followed_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = two()

    def follow(*_: object) -> None:
        raise OSError(105, "No buffer space available")

    monkeypatch.setattr(heard, "follow", follow)
    heard.has(2, "10.0.2.15", 0)
    heard.compare()
    heard.compare()
    told = [event["reason"] for event in heard.events if event["event"] == "degraded"]
    assert told == ["the uplinks' routes could not be followed: No buffer space available"]
    monkeypatch.undo()
    heard.has(3, "10.0.3.15", 1)
    heard.compare()
    heard.compare()
    told = [event["reason"] for event in heard.events if event["event"] == "recovered"]
    assert told == ["the uplinks' routes are followed again"]


def test_a_group_that_the_kernel_refuses_is_told_once_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = two()

    def regroup(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as refusing:
        refusing.setattr(heard, "regroup", regroup)
        heard.has(2, "10.0.2.15", 5)
        heard.compare()
        heard.compare()
    heard.has(3, "10.0.3.15", 1)
    heard.compare()
    told = [(event["event"], event["reason"]) for event in heard.events if event["event"] in ("degraded", "recovered")]
    assert told == [
        ("degraded", "up0 could not be put into another group: Cannot allocate memory"),
        ("recovered", "up0 is in its group again"),
    ]


def test_an_uplink_that_was_just_taken_out_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address goes a moment before the interface does."""
    heard = Heard(WantedUplink())
    heard.plug(2, "nic0", MAC)
    heard.has(2, "10.0.2.15", 0)
    heard.compare()

    def regroup(*_: object) -> None:
        raise OSError(ENODEV, "No such device")

    monkeypatch.setattr(heard, "regroup", regroup, raising=False)
    heard.has(2)
    assert [event["state"] for event in heard.compare()] == ["lost"]


def test_connections_of_an_address_that_the_uplink_in_use_has_too_are_kept() -> None:
    """Another network may lease the very same address, and take it back."""
    heard = two()
    heard.has(2, "10.0.2.15", 0)
    heard.has(3, "10.0.2.15", 9)
    heard.compare()
    heard.has(3)
    heard.compare()
    assert heard.forgotten == []
    heard.has(3, "10.0.2.15", 9)
    heard.compare()
    heard.has(2)
    heard.compare()
    assert heard.forgotten == ["10.0.2.15"]


def test_a_default_route_without_a_gateway_is_no_way_out() -> None:
    """ConnMan sets one where the network names no gateway: each address would be asked for by ARP."""
    heard = Heard(WantedUplink())
    heard.plug(2, "nic0", MAC)
    heard.has(2, "10.0.2.15")
    heard.network.routes[2] = {0: None}
    (event,) = heard.compare()
    assert (event["state"], event["address"], event["gateway"]) == ("lease", "10.0.2.15/24", None)
    assert heard.uplinks.active is None


def test_an_error_is_told_once_and_again_when_it_is_another() -> None:
    heard = two()
    errors = {"up0": "dhcp-failed"}
    heard.uplinks.complain(lambda name: errors.get(name, ""))
    heard.uplinks.complain(lambda name: errors.get(name, ""))
    errors["up0"] = "connect-failed"
    heard.uplinks.complain(lambda name: errors.get(name, ""))
    told = [event["error"] for event in heard.events if event["event"] == "uplink-error"]
    assert told == ["dhcp-failed", "connect-failed"]
    heard.uplinks.complain(lambda _: "")
    assert [uplink.error for uplink in heard.uplinks.all] == ["", ""]


def test_the_number_in_a_name() -> None:
    assert [number_of(name) for name in ("up0", "up11")] == [0, 11]
    assert number_of("wlan0") > 1000


@pytest.mark.parametrize("failures", [1, 2])
def test_an_interface_without_memory_for_its_rings_is_taken_up_again(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, after what only caches was given back and the rest was moved together."""
    heard, did = Heard(WantedUplink()), list[str]()

    def set_up(_index: int) -> None:
        did.append("set_up")
        if did.count("set_up") <= failures:
            raise OSError(ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(heard, "set_up", set_up, raising=False)
    monkeypatch.setattr(
        sysctl, "apply", lambda table, *_, **__: did.append("gather") if table is sysctl.GATHER else None
    )
    heard.plug(2, "eth0", MAC)
    assert did == ["set_up", "gather", "set_up"]
    (event,) = heard.events
    assert event["event"] == ("uplink" if failures == 1 else "log")


def test_what_else_is_wrong_with_an_interface_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, did = Heard(WantedUplink()), list[int]()

    def set_up(index: int) -> None:
        did.append(index)
        raise OSError(ENODEV, "No such device")

    monkeypatch.setattr(heard, "set_up", set_up, raising=False)
    heard.plug(2, "eth0", MAC)
    assert did == [2]
    assert heard.events[0]["text"].endswith("could not be set up: No such device")
