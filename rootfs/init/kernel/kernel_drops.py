# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the kernel drops by itself, before or after every rule of the firewall; read when the host asks.

Sources: /proc/net/snmp and /proc/net/netstat (RFC 4293 and Linux's own), /proc/net/stat/rt_cache, and the statistics of
connection tracking (IPCTNL_MSG_CT_GET_STATS_CPU, linux/netfilter/nfnetlink_conntrack.h).
"""

from __future__ import annotations

from init.kernel.counters import BE32, NFGENMSG, dump
from init.kernel.netlink import attributes
from init.kernel.nftables import NETLINK_NETFILTER

IPCTNL_MSG_CT_GET_STATS_CPU = 1 << 8 | 4
CTA_STATS_INSERT_FAILED, CTA_STATS_DROP = 9, 10

FILES = ("snmp", "netstat")
COUNTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("header", ("Ip.InHdrErrors",)),
    ("no_route", ("IpExt.InNoRoutes", "Ip.OutNoRoutes")),
    ("address", ("Ip.InAddrErrors",)),
    ("rp_filter", ("TcpExt.IPReversePathFilter",)),
    ("martian", ("in_martian_dst", "in_martian_src")),
    ("reassembly", ("Ip.ReasmFails",)),
    ("too_big", ("Ip.FragFails",)),
    ("no_memory", ("Ip.InDiscards", "Ip.OutDiscards")),
    ("no_free_port", ("insert_failed",)),
    ("no_room", ("drop",)),
)
"""A counter's name, and which of the kernel's are added up for it.

builder/netvm_build/model/refusals.py has the words for each.
"""


def pairs(text: str) -> dict[str, int]:
    """``Ip.InHdrErrors`` → count, of a file with a line of names and a line of numbers for each group."""
    found: dict[str, int] = {}
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):  # noqa: B905  (a last line without its pair)
        group = names.partition(":")[0]
        for name, number in zip(names.split()[1:], numbers.split()[1:]):  # noqa: B905
            if number.isdigit():
                found[f"{group}.{name}"] = int(number)
    return found


def columns(text: str) -> dict[str, int]:
    """Name → sum over all CPUs, of a file with a line of names and a line of hexadecimal numbers for each CPU."""
    found: dict[str, int] = {}
    head, *rows = text.splitlines() or [""]
    for row in rows:
        for name, number in zip(head.split(), row.split()):  # noqa: B905
            found[name] = found.get(name, 0) + int(number, 16)
    return found


def tracking() -> dict[str, int]:
    """What connection tracking could not insert, and what it dropped, on all CPUs.  Raises OSError."""
    found = {"insert_failed": 0, "drop": 0}
    for _, payload in dump(NETLINK_NETFILTER, IPCTNL_MSG_CT_GET_STATS_CPU, bytes(NFGENMSG)):
        counts = attributes(payload, NFGENMSG)
        for name, kind in (("insert_failed", CTA_STATS_INSERT_FAILED), ("drop", CTA_STATS_DROP)):
            value = counts.get(kind, b"")
            found[name] += BE32.unpack(value)[0] if len(value) == BE32.size else 0
    return found


def kernel_drops(root: str = "/proc/net") -> list[dict[str, object]]:
    """Each of COUNTS, in their order; one that this kernel does not have is 0.  Raises OSError."""
    found = tracking()
    for name, parse in (*((file, pairs) for file in FILES), ("stat/rt_cache", columns)):
        try:
            with open(f"{root}/{name}") as file:
                found |= parse(file.read())
        except FileNotFoundError:
            continue
    return [{"name": name, "packets": sum([found.get(one, 0) for one in parts])} for name, parts in COUNTS]
