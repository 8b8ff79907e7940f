# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A ruleset of thousands of forwarded ports is one netlink message, longer than a socket takes by default."""

from __future__ import annotations

import struct
from pathlib import Path

from demands import require
from init.kernel.nftables import IP, Tables, add, batch
from wires import inside
from world import Namespace

COUNT, AT_ONCE = 20_000, 1000


def test_a_transaction_may_be_longer_than_the_default_of_a_socket() -> None:
    require()
    addresses = [struct.pack("!I", 0x0A000000 + number) for number in range(COUNT)]
    parts = [add(IP, "many", [(one, b"") for one in addresses[at : at + AT_ONCE]]) for at in range(0, COUNT, AT_ONCE)]
    assert len(batch(parts)) > int(Path("/proc/sys/net/core/wmem_default").read_text())
    apart = Namespace()
    try:
        apart.run("nft", "add table ip netvm; add set ip netvm many { type ipv4_addr; }")
        with inside(apart):
            Tables().apply(parts)
        assert apart.run("nft", "list", "set", "ip", "netvm", "many").count("10.0.") == COUNT
    finally:
        apart.holder.kill()
        apart.holder.wait()
