# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rule MAC ⇄ address ⇄ pair, compared with the vectors that the guest's tests read too."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from netvm_build.model.address import (
    OUI,
    SHARED,
    AddressError,
    Pair,
    allocate,
    mac_of,
    pair_of_address,
    pair_of_mac,
    pair_of_router_mac,
    pairs_in,
    parse_mac,
    parse_pool,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "address.json").read_text())
WORDS = {
    "odd": "odd",
    "outside": "outside",
    "oui": "OUI",
    "shape": "is not a MAC|has no prefix length|is not an IPv4 network",
    "room": "no room",
    "start": "not the start",
}


def test_the_vectors_are_of_our_oui() -> None:
    assert VECTORS["oui"] == OUI


@pytest.mark.parametrize("vector", VECTORS["pairs"], ids=lambda v: v["router"])
def test_a_pair_is_the_same_from_every_side(vector: dict[str, str]) -> None:
    pair = Pair(IPv4Address(vector["router"]))
    shown = {
        "router": str(pair.router),
        "router_mac": pair.router_mac,
        "client": str(pair.client),
        "client_mac": pair.client_mac,
        "network": str(pair.network),
    }
    assert shown == vector
    for mac in (vector["router_mac"], vector["client_mac"], vector["client_mac"].lower()):
        assert pair_of_mac(mac) == pair
    assert pair_of_router_mac(vector["router_mac"].lower()) == pair
    assert pair_of_address(IPv4Address(vector["router"])) == pair
    assert pair_of_address(IPv4Address(vector["client"])) == pair


@pytest.mark.parametrize("vector", VECTORS["invalid_router_macs"], ids=lambda v: repr(v["mac"]))
def test_a_mac_that_no_router_interface_has_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(AddressError, match=WORDS[vector["why"]]) as caught:
        pair_of_router_mac(vector["mac"])
    assert caught.value.hint


@pytest.mark.parametrize("vector", VECTORS["invalid_router_addresses"], ids=lambda v: v["address"])
def test_an_address_that_no_router_has_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(AddressError, match=WORDS[vector["why"]]) as caught:
        Pair(IPv4Address(vector["address"]))
    assert caught.value.hint


def test_the_hint_for_an_odd_address_is_the_even_one() -> None:
    with pytest.raises(AddressError) as caught:
        Pair(IPv4Address("100.64.7.9"))
    assert "100.64.7.8" in str(caught.value.hint)


def test_mac_and_address_are_each_others_inverse() -> None:
    for number in range(int(SHARED.network_address), int(SHARED.broadcast_address) + 1, 2 * 7919):
        address = IPv4Address(number)
        assert pair_of_mac(mac_of(address)).router == IPv4Address(number & ~1)


def test_no_mac_is_made_of_an_address_that_it_could_not_hold() -> None:
    with pytest.raises(AddressError, match="outside"):
        mac_of(IPv4Address("10.64.0.0"))


def test_a_mac_is_told_in_upper_case() -> None:
    assert parse_mac("0a:b3:ec:40:00:0f") == "0A:B3:EC:40:00:0F"


@pytest.mark.parametrize("vector", VECTORS["pools"], ids=lambda v: v["pool"])
def test_a_pool_holds_a_pair_for_every_two_addresses(vector: dict[str, Any]) -> None:
    pairs = list(pairs_in(parse_pool(vector["pool"])))
    assert len(pairs) == vector["clients"]
    assert (str(pairs[0].router), str(pairs[-1].router)) == (vector["first"], vector["last"])


@pytest.mark.parametrize("vector", VECTORS["invalid_pools"], ids=lambda v: repr(v["pool"]))
def test_a_pool_that_cannot_be_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(AddressError, match=WORDS[vector["why"]]) as caught:
        parse_pool(vector["pool"])
    assert caught.value.hint


def pairs(*routers: str) -> tuple[Pair, ...]:
    return tuple(Pair(IPv4Address(router)) for router in routers)


def test_the_lowest_free_pairs_are_allocated() -> None:
    pool = IPv4Network("100.64.0.0/29")
    assert allocate(pool, ()) == pairs("100.64.0.0")
    assert allocate(pool, pairs("100.64.0.0", "100.64.0.4"), 2) == pairs("100.64.0.2", "100.64.0.6")
    assert allocate(pool, (), 0) == ()


def test_an_exhausted_pool_says_how_much_it_holds() -> None:
    taken = pairs("100.64.0.0", "100.99.0.0")  # the second is outside the pool: it takes nothing from it
    assert len(allocate(IPv4Network("100.64.0.0/30"), taken, 1)) == 1
    with pytest.raises(AddressError, match="room for 2 clients; 2 more do not fit beside 1 taken") as caught:
        allocate(IPv4Network("100.64.0.0/30"), taken, 2)
    assert "larger pool" in str(caught.value.hint)


def test_a_pool_of_millions_is_searched_no_further_than_needed() -> None:
    assert allocate(SHARED, (), 3) == pairs("100.64.0.0", "100.64.0.2", "100.64.0.4")
