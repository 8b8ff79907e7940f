# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An uplink is given its name while ConnMan looks at it: whenever that is, ConnMan configures it.

On one processor, as in the image, ConnMan comes to look in the middle of the renaming often enough.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from netvm_build.model import Router, Uplink
from test_namespaces import TOOLS
from world import World

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

TIMES = 60
FIRST = Uplink(
    name="first", mac="52:54:00:12:34:56", address=IPv4Interface("10.0.2.15/24"), gateway=IPv4Address("10.0.2.2")
)
OTHER = Uplink(
    name="other", mac="52:54:00:12:34:57", address=IPv4Interface("10.0.3.15/24"), gateway=IPv4Address("10.0.3.2")
)


def test_an_uplink_is_configured_however_often_it_comes(tmp_path: Path, connmand: list[str]) -> None:
    for tool in TOOLS:
        need(tool)
    processors = os.sched_getaffinity(0)
    world = World(tmp_path, connmand)
    try:
        os.sched_setaffinity(0, {min(processors)})  # what is started from here on
        world.prepare(Router(uplinks=(FIRST, OTHER)))
        world.boot()
        world.wait_for("ready")
        for _ in range(TIMES):
            after = len(world.events)
            world.plug(str(OTHER.mac), world.upstream, "lan1", "10.0.3.2/24")
            world.wait_for("uplink", after, state="lease", name="other", address="10.0.3.15/24")
            world.upstream.ip("link", "del", "lan1")
            world.wait_for("uplink", after, state="gone", name="other")
    finally:
        os.sched_setaffinity(0, processors)
        world.close()
