# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The guest's half of MAC → address, against the vectors that the host's tests read too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from init.net.address import Refused, has_oui, interface_name, pair_of_router_mac

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "address.json").read_text())


@pytest.mark.parametrize("pair", VECTORS["pairs"], ids=lambda pair: pair["router_mac"])
def test_a_routers_mac_gives_its_pair(pair: dict[str, str]) -> None:
    for mac in (pair["router_mac"], pair["router_mac"].lower()):
        found = pair_of_router_mac(mac)
        assert (found.router, found.client) == (pair["router"], pair["client"])


@pytest.mark.parametrize("pair", VECTORS["pairs"], ids=lambda pair: pair["client_mac"])
def test_a_clients_own_mac_is_refused(pair: dict[str, str]) -> None:
    with pytest.raises(Refused, match="odd"):
        pair_of_router_mac(pair["client_mac"])


WITH_OUI = [bad for bad in VECTORS["invalid_router_macs"] if bad["why"] in ("odd", "outside")]


@pytest.mark.parametrize("bad", WITH_OUI, ids=lambda bad: bad["mac"])
def test_an_invalid_mac_is_refused_for_its_reason(bad: dict[str, str]) -> None:
    assert has_oui(bad["mac"], VECTORS["oui"])
    with pytest.raises(Refused, match=bad["why"]):
        pair_of_router_mac(bad["mac"])


@pytest.mark.parametrize("bad", [bad for bad in VECTORS["invalid_router_macs"] if bad["why"] == "oui"], ids=str)
def test_another_oui_is_never_a_client(bad: dict[str, str]) -> None:
    assert not has_oui(bad["mac"], VECTORS["oui"])


def test_interface_names_are_short_and_one_to_a_mac() -> None:
    names = {interface_name(pair["router_mac"]) for pair in VECTORS["pairs"]}
    assert len(names) == len(VECTORS["pairs"])
    assert all(name.startswith("c") and len(name) <= 15 for name in names)
