# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What is set on a card: the MAC that it sends, its MTU, its routes."""

from __future__ import annotations

import os
from errno import EINVAL, ENETUNREACH, EOPNOTSUPP
from typing import Any

import pytest
from init.core.config import WantedUplink
from init.kernel import interfaces
from init.kernel import rtnetlink as rt
from init.net import cards
from init.net.uplink import Uplink
from test_guest_uplinks import MAC, OTHER, Heard

SENT = "52:54:00:AA:BB:CC"


def test_a_random_mac_is_local_of_one_interface_and_no_client_s(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {cards.draw() for _ in range(2000)}
    assert len(drawn) == 2000
    assert {int(mac[:2], 16) & 3 for mac in drawn} == {2}
    for first in range(256):
        monkeypatch.setattr(os, "urandom", lambda _, first=first: bytes([first, 0xB3, 0xEC, 1, 2, 3]))
        assert not cards.draw().startswith("0A:")


def test_a_card_keeps_its_random_mac_until_the_machine_ends() -> None:
    wanted = [WantedUplink(send_mac="random")]
    first = cards.sent_mac(MAC, wanted)
    assert first not in (MAC, cards.sent_mac(OTHER, wanted))
    assert cards.sent_mac(MAC, wanted) == first
    assert cards.sent_mac(MAC, [WantedUplink()]) == MAC


def test_a_mac_is_set_before_the_card_is_named_and_up() -> None:
    heard = Settable(WantedUplink("cable", MAC, send_mac=SENT, mtu=9000))
    heard.plug(2, "nic0", MAC)
    assert [one[0] for one in heard.asked] == ["set_card", "set_card", "rename", "set_up"]
    assert heard.asked[0] == ("set_card", 2, {"mac": SENT})
    assert heard.asked[1] == ("set_card", 2, {"mtu": 9000})
    assert heard.events[-1]["mac"] == MAC
    assert heard.events[-1]["send_mac"] == SENT


def test_a_card_that_cannot_send_it_stays_down() -> None:
    heard = Settable(WantedUplink(send_mac=SENT), refuses={"mac": EOPNOTSUPP})
    heard.plug(2, "nic0", MAC)
    assert [one[0] for one in heard.asked] == ["set_card"]
    assert "could not be set up" in heard.events[-1]["text"]


def test_an_mtu_that_the_driver_refuses_is_said_and_no_more() -> None:
    heard = Settable(WantedUplink(mtu=9000), refuses={"mtu": EINVAL})
    heard.plug(2, "nic0", MAC)
    assert heard.events[0]["text"].startswith(f"nic0 ({MAC}) does not take an MTU of 9000: ")
    assert heard.events[1]["state"] == "found"


def test_a_second_card_does_not_send_the_same_mac() -> None:
    """It waits until the first has been removed."""
    heard = Settable(WantedUplink(send_mac=SENT))
    heard.plug(2, "nic0", MAC)
    heard.plug(3, "nic1", OTHER)
    assert heard.events[-1]["reason"] == "duplicate: up0 has the same MAC"
    heard.uplinks.detach(2)
    assert (heard.events[-1]["state"], heard.events[-1]["mac"]) == ("found", OTHER)


@pytest.mark.parametrize(
    ("wanted", "mtu"),
    [
        ([WantedUplink()], None),
        ([WantedUplink(mtu=1400)], 1400),
        ([WantedUplink("a", MAC, 7, mtu=9000), WantedUplink("b", MAC, 8)], 9000),
        ([WantedUplink("a", MAC, 7, mtu=1400), WantedUplink("b", MAC, 8)], None),
        ([WantedUplink("a", MAC, 7, mtu=1400), WantedUplink("b", MAC, mtu=9000)], 9000),
    ],
)
def test_a_card_s_mtu_holds_its_vlans(wanted: list[WantedUplink], mtu: int | None) -> None:
    assert cards.card_mtu(wanted) == mtu
    for one in wanted:
        expected = one.mtu or (1500 if any(other.mtu for other in wanted) else None)
        assert cards.vlan_mtu(one, wanted) == expected


def test_static_routes_are_added_where_they_are_missing_and_for_each_address() -> None:
    routes = (("10.0.0.0", 8, "10.9.0.1"), ("192.0.2.1", 32, None))
    heard = Settable(WantedUplink(routes=routes))
    one = Uplink(4, "up0", MAC, "e1000e", WantedUplink(routes=routes))
    made = cards.Cards(heard, heard)  # type: ignore[arg-type]
    there = {("10.0.0.0", 8), ("192.0.2.1", 32)}
    both = [("add_route", 4, "10.0.0.0", 8, "10.9.0.1", 516), ("add_route", 4, "192.0.2.1", 32, None, 516)]
    for address, found, asked in (
        (("10.9.0.2", 24), set(), both),
        (("10.9.0.2", 24), there, []),
        (("10.9.0.2", 24), {("10.0.0.0", 8)}, both),
        (None, set(), []),
        (("10.9.0.2", 24), there, both),  # they may be another's
        (("10.9.0.3", 24), there, both),
    ):
        heard.asked.clear()
        made.keep_routes(one, address, found)
        assert heard.asked == asked


def test_a_static_route_that_the_kernel_refuses_is_logged_once() -> None:
    """Until the reason is another, or the route is there after all."""
    routes = (("10.0.0.0", 8, "10.9.0.1"), ("192.0.2.1", 32, None))
    heard = Settable(WantedUplink(routes=routes))
    one = Uplink(4, "up0", MAC, "e1000e", WantedUplink(routes=routes))
    made = cards.Cards(heard, heard)  # type: ignore[arg-type]
    said = []
    for refusal in (ENETUNREACH, ENETUNREACH, ENETUNREACH, EINVAL, EINVAL, 0, 0, EINVAL):
        heard.refuses = {"10.0.0.0": refusal} if refusal else {}
        heard.events.clear()
        made.keep_routes(one, ("10.9.0.2", 24), set())
        said.append([event["text"] for event in heard.events])
    unreachable, invalid = (f"up0: no route to 10.0.0.0/8: {os.strerror(one)}" for one in (ENETUNREACH, EINVAL))
    assert said == [[unreachable], [], [], [invalid], [], ["up0: route to 10.0.0.0/8 added"], [], [invalid]]


def test_what_is_asked_of_the_kernel() -> None:
    assert interfaces.set_card(2, mac=SENT, mtu=1400) == (
        rt.LINK.pack(0, 0, 2, 0, 0)
        + bytes.fromhex("0a000100525400aabbcc0000")  # IFLA_ADDRESS
        + bytes.fromhex("0800040078050000")  # IFLA_MTU
    )
    route = interfaces.new_route(4, "10.0.0.0", 8, "10.9.0.1", 516)
    found = rt.parse_route(route)
    assert found is not None
    assert (found.index, found.destination, found.length) == (4, "10.0.0.0", 8)


class Settable(Heard):
    """As Heard, with cards that can be set; `refuses` are errors by what is set."""

    def __init__(self, *wanted: WantedUplink, refuses: dict[str, int] | None = None) -> None:
        self.refuses = refuses or {}
        super().__init__(*wanted)

    def set_card(self, index: int, **what: Any) -> None:
        self.asked.append(("set_card", index, what))
        for key in what:
            if key in self.refuses:
                raise OSError(self.refuses[key], "refused")

    def add_route(self, *arguments: Any) -> None:
        self.asked.append(("add_route", *arguments))
        if refusal := self.refuses.get(arguments[1]):
            raise OSError(refusal, os.strerror(refusal))
