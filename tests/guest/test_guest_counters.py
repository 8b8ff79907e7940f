# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the guest counts: interfaces and refusals, parsed from bytes and read from a real kernel."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from init.kernel import counters, rings
from init.kernel.kernel_drops import columns, pairs
from init.kernel.netlink import attribute
from init.kernel.rtnetlink import LINK

ROOT = Path(__file__).parents[2]

RULESET = """
table ip netvm {
  counter spoofed {}
  counter isolated {}
  chain output { type filter hook output priority 0; ip daddr 127.0.0.9 counter name spoofed drop; }
}
table ip6 netvm {
  counter spoofed { packets 5 bytes 50; }
}
table ip elsewhere {
  counter foreign {}
}
"""

INSIDE = f"""
import json, socket, subprocess, sys
sys.path.insert(0, {str(ROOT / "rootfs")!r})
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
from init.kernel import counters
before = counters.drops()
subprocess.run(["nft", "-f", "-"], input=sys.argv[1], text=True, check=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for address in ("127.0.0.9", "127.0.0.9", "127.0.0.1"):
    try:
        s.sendto(b"x" * 100, (address, 9))
    except PermissionError:
        pass
print(json.dumps([before, counters.drops(), counters.traffic()]))
"""


def counter(name: str, packets: int, size: int, kind: int = counters.NFT_OBJECT_COUNTER) -> bytes:
    data = attribute(counters.NFTA_COUNTER_BYTES, counters.BE64.pack(size))
    data += attribute(counters.NFTA_COUNTER_PACKETS, counters.BE64.pack(packets))
    return (
        bytes(counters.NFGENMSG)
        + attribute(counters.NFTA_OBJ_NAME, name.encode() + b"\0")
        + attribute(counters.NFTA_OBJ_TYPE, counters.BE32.pack(kind))
        + attribute(0x8000 | counters.NFTA_OBJ_DATA, data)
    )


def test_a_counter_is_read() -> None:
    assert counters.parse_counter(counter("spoofed", 3, 252)) == ("spoofed", 3, 252)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0\0\0", counter("q", 1, 1, kind=2), counter("", 1, 1), *(counter("x", 1, 1)[:n] for n in range(0, 48, 3))],
)
def test_what_is_no_counter(payload: bytes) -> None:
    assert counters.parse_counter(payload) is None


def test_traffic_is_read_and_torn_messages_are_not() -> None:
    stats = counters.STATS64.pack(1, 2, 3, 4) + bytes(100)
    payload = LINK.pack(0, 1, 7, 0, 0) + attribute(3, b"c735c00\0") + attribute(counters.IFLA_STATS64, stats)
    assert counters.parse_traffic(payload) == (
        "c735c00",
        {"rx_packets": 1, "tx_packets": 2, "rx_bytes": 3, "tx_bytes": 4},
    )
    assert counters.parse_traffic(payload[:40]) is None
    assert counters.parse_traffic(b"\0") is None


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")
def test_a_real_kernel_s_counters() -> None:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", INSIDE, RULESET], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, drops, traffic = json.loads(done.stdout)
    assert before == []
    assert drops == [
        {"name": "spoofed", "packets": 2 + 5, "bytes": 2 * 128 + 50},
        {"name": "isolated", "packets": 0, "bytes": 0},
    ]
    # the packet that was let through, and the ICMP error that answers it
    assert traffic["lo"]["tx_packets"] == traffic["lo"]["rx_packets"] >= 1
    assert traffic["lo"]["tx_bytes"] >= 142


def test_files_of_any_shape_are_read() -> None:
    assert pairs("Ip: A B\nIp: 1 2\nTcp: C\nTcp: -1\nlast") == {"Ip.A": 1, "Ip.B": 2}
    assert pairs("") == columns("") == columns("a b") == {}
    assert columns("a b\n00000001 0000000a\n00000002 00000001\n") == {"a": 3, "b": 11}


def test_it_is_loaded_only_when_asked() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT / 'rootfs')!r}); import init.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "init.main" in loaded
    assert not {"init.kernel.counters", "init.kernel.kernel_drops", "init.host.requests"} & set(loaded)


def test_rings_of_what_has_none() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as asking:
        assert not rings.shorten(asking.fileno(), "lo")
        assert not rings.shorten(asking.fileno(), "nosuch0")
        assert not rings.shorten(asking.fileno(), "a-name-longer-than-an-interface-can-have")
