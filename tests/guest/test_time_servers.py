# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which network the image's ConnMan asks for the time, of two uplinks.  Nobody answers: the clock is this machine's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dhcp_server import Server
from test_namespaces import TOOLS
from test_several_uplinks import CABLE, TWO, Two
from test_standby_uplink import routed

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

TIME_SERVER = "192.0.2.7"
ASKED = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("{TIME_SERVER}", 123))
while True:
    data, peer = s.recvfrom(2000)
    with open(sys.argv[1], "a") as file: print(peer[0], data[40:48].hex(), file=file)
"""


class Clocks:
    """Two uplinks, and what a time server behind each was asked."""

    def __init__(self, folder: Path, connmand: list[str]) -> None:
        self.two = Two(
            folder, connmand, replace(TWO, uplinks=(replace(CABLE, timeservers=(TIME_SERVER,)), TWO.uplinks[1]))
        )
        self.logs = {side.name: folder / f"{side.name}.time" for side in (self.two.cable, self.two.backup)}
        for side in (self.two.cable, self.two.backup):
            side.namespace.ip("addr", "add", f"{TIME_SERVER}/32", "dev", "lan0")
            argv = [sys.executable, "-c", ASKED, str(self.logs[side.name])]
            self.two.world.processes.append(side.namespace.spawn(*argv))

    def asked(self, name: str) -> list[str]:
        """(sender, transmit timestamp) of each question."""
        return self.logs[name].read_text().splitlines() if self.logs[name].exists() else []

    def wait(self, name: str, more: int, seconds: float = 40) -> None:
        """So many more questions."""
        before, end = len(self.asked(name)), time.monotonic() + seconds
        while len(self.asked(name)) < before + more:
            assert time.monotonic() < end, (self.asked("cable"), self.asked("backup"))
            time.sleep(0.1)


@pytest.fixture
def clocks(tmp_path: Path, connmand: list[str]) -> Iterator[Clocks]:
    for tool in TOOLS:
        need(tool)
    made = Clocks(tmp_path, connmand)
    yield made
    made.two.world.close()


def test_time_servers_are_asked_by_the_uplink_in_use(clocks: Clocks) -> None:
    """Although a standby has a route to them; and by that one once it is in use."""
    two = clocks.two
    two.cable.serve_dhcp()
    two.goes_by("cable", 0)
    clocks.wait("cable", 1)
    server = Server(two.backup.namespace, routed(f"{TIME_SERVER}/32", "0.0.0.0/0"))
    try:
        two.world.wait_for("uplink", state="lease", name="backup")
        clocks.wait("cable", 3)
        assert clocks.asked("backup") == []
        mark = len(two.world.events)
        two.cable.cable("down")
        two.goes_by("backup", mark)
        clocks.wait("backup", 1)
    finally:
        server.close()
    stamps = [line.split()[1] for name in clocks.logs for line in clocks.asked(name)]
    assert len(set(stamps)) == len(stamps)
