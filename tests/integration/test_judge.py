# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The judge of frames finds fault with each that may not be, and with no other."""

from __future__ import annotations

from typing import Any

import demands
import pytest
from wires import ARP, ICMP, IP, SERVER, TCP, UDP, UPLINK, UPLINK_MAC, Ether

from tests.support.booted.judge import MARK, NOBODY, at_client, at_uplink

assert demands  # which skips this module where scapy is missing
LEASES = {UPLINK}
CLIENT, ROUTER, MAC = "100.115.92.1", "100.115.92.0", "0A:B3:EC:73:5C:00"
LAYER = UDP(sport=1, dport=2)
QUOTED = IP(src=CLIENT, dst=SERVER) / LAYER


def uplink(packet: Any, mac: str = UPLINK_MAC) -> str:
    return at_uplink(bytes(Ether(src=mac, dst="52:54:00:00:00:02") / packet), UPLINK_MAC, LEASES)


def client(packet: Any, mac: str = MAC) -> str:
    return at_client(bytes(Ether(src=mac, dst="0A:B3:EC:73:5C:01") / packet), MAC, ROUTER, CLIENT, {SERVER})


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=UPLINK, dst=SERVER) / TCP(),
        ARP(psrc=UPLINK, pdst="10.0.2.2"),
        ARP(psrc=NOBODY, pdst=UPLINK),
        IP(src=NOBODY, dst="255.255.255.255") / UDP(sport=68, dport=67) / bytes(240),
        IP(src=UPLINK, dst=SERVER) / ICMP(type=3) / (IP(src=SERVER, dst=UPLINK) / LAYER),
    ],
)
def test_what_may_leave_an_uplink(packet: Any) -> None:
    assert uplink(packet) == ""


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (IP(src=CLIENT, dst=SERVER) / LAYER, "source"),
        (ARP(psrc=ROUTER, pdst="10.0.2.2"), "ARP sender"),
        (IP(src=UPLINK, dst=SERVER) / ICMP(type=3) / QUOTED, "quoted"),
        (IP(src="10.0.2.99", dst=SERVER) / LAYER, "another sender"),
        (ARP(psrc="10.0.2.99", pdst="10.0.2.2"), "another sender"),
        (IP(src=NOBODY, dst=SERVER) / LAYER, "no address"),
        (IP(src=UPLINK, dst=SERVER) / LAYER / MARK, "marked"),
        (b"\x86\xdd" + bytes(60), "not IPv4"),
    ],
)
def test_what_may_not(packet: Any, why: str) -> None:
    assert why in uplink(packet)


def test_a_client_s_address_that_was_leased_is_no_leak() -> None:
    """A DHCP server that gives one sees what it gave, until the router has put the uplink down."""
    frame = bytes(Ether(src=UPLINK_MAC) / IP(src=CLIENT, dst=SERVER) / LAYER)
    assert at_uplink(frame, UPLINK_MAC, {CLIENT}) == ""
    assert at_uplink(frame, UPLINK_MAC, {UPLINK}) == "source"


def test_another_s_mac_is_seen_at_both() -> None:
    assert "MAC" in uplink(IP(src=UPLINK, dst=SERVER) / LAYER, "02:00:00:00:00:01")
    assert "MAC" in client(IP(src=SERVER, dst=CLIENT) / LAYER, "02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (IP(src=SERVER, dst=CLIENT) / LAYER, ""),
        (IP(src=ROUTER, dst=CLIENT) / ICMP(type=3) / QUOTED, ""),
        (ARP(psrc=ROUTER, pdst=CLIENT), ""),
        (ARP(psrc=ROUTER, pdst="100.115.92.3"), "ARP of others"),
        (IP(src="100.115.92.3", dst=CLIENT) / LAYER, "nobody it asked"),
        (IP(src=SERVER, dst="100.115.92.3") / LAYER, "for another"),
        (IP(src=SERVER, dst=CLIENT) / LAYER / MARK, "marked"),
        (b"\x86\xdd" + bytes(60), "neither"),
    ],
)
def test_what_a_client_may_hear(packet: Any, why: str) -> None:
    found = client(packet)
    assert why in found
    assert bool(found) == bool(why)
