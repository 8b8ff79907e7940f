# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Rulesets that the router's own is measured beside.  Each is a file here, which says where its design comes from."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

import jinja2
from netvm_build.model.address import Pair, interface_name
from netvm_build.spec.rules import traffic

FOLDER = Path(__file__).parent
SETS = FOLDER / "init_sets.nft"
MASQUERADE, QUBES, PATCHPANEL = "masquerade", "qubes", "patchpanel"
PEERS = (MASQUERADE, QUBES, PATCHPANEL)
RESOLVER = "10.0.2.3"


def text(name: str, pairs: Sequence[Pair], pool: IPv4Network) -> str:
    """A ruleset by its name, for these clients, with the sets that the init fills in.

    The first client's rules are in the middle, so that they are found after as many others as the average client's.
    """
    half = len(pairs) // 2
    ordered = (*pairs[1 : half + 1], *pairs[:1], *pairs[half + 1 :])
    clients = [{"interface": interface_name(pair.router_mac), "address": str(pair.client)} for pair in ordered]
    return SETS.read_text() + _render(name, clients=clients, pool=str(pool))


def _render(name: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # it isn't HTML
    )
    file = f"{name}.nft" if (FOLDER / f"{name}.nft").exists() else f"{name}.nft.j2"
    return environment.get_template(file).render(client_group=traffic.CLIENT_GROUP, resolver=RESOLVER, **values)
