# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Traffic of interfaces (rtnetlink) and the ruleset's named counters (nfnetlink), read when the host asks.

Sources: linux/rtnetlink.h and linux/if_link.h (IFLA_STATS64), linux/netfilter/nf_tables.h (NFT_MSG_GETOBJ).
"""

from __future__ import annotations

from init.core import native
from init.core.native import Struct
from init.kernel.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RECEIVE_BYTES,
    attribute,
    attributes,
    message,
    messages,
    refusal,
)
from init.kernel.nftables import NETLINK_NETFILTER, SUBSYSTEM
from init.kernel.rtnetlink import IFLA_IFNAME, LINK, NETLINK_ROUTE, RTM_GETLINK, RTM_NEWLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

IFLA_STATS64 = 23
NFT_MSG_NEWOBJ = SUBSYSTEM << 8 | 18
NFT_MSG_GETOBJ = SUBSYSTEM << 8 | 19
NFTA_OBJ_TABLE, NFTA_OBJ_NAME, NFTA_OBJ_TYPE, NFTA_OBJ_DATA = 1, 2, 3, 4
NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS = 1, 2
NFT_OBJECT_COUNTER = 1
NFGENMSG = 4  # the size of what precedes the attributes
TABLE = "netvm"
MAX_COUNTERS = 64

STATS64 = Struct("=4Q")  # the head of rtnl_link_stats64: rx_packets, tx_packets, rx_bytes, tx_bytes
BE32 = Struct(">I")
BE64 = Struct(">Q")


def parse_traffic(payload: bytes) -> tuple[str, dict[str, object]] | None:
    """An interface's name and what went through it, from RTM_NEWLINK; None if the message does not say."""
    if len(payload) < LINK.size:
        return None
    found = attributes(payload, LINK.size)
    name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    stats = found.get(IFLA_STATS64, b"")
    if not name or len(stats) < STATS64.size:
        return None
    rx_packets, tx_packets, rx_bytes, tx_bytes = STATS64.unpack_from(stats)
    return name, {"rx_packets": rx_packets, "tx_packets": tx_packets, "rx_bytes": rx_bytes, "tx_bytes": tx_bytes}


def parse_counter(payload: bytes) -> tuple[str, int, int] | None:
    """(name, packets, bytes) of a named counter, from NFT_MSG_NEWOBJ; None if it is none."""
    found = attributes(payload, NFGENMSG)
    name = found.get(NFTA_OBJ_NAME, b"").rstrip(b"\0").decode(errors="replace")
    data = attributes(found.get(NFTA_OBJ_DATA, b""), 0)
    packets, size = data.get(NFTA_COUNTER_PACKETS, b""), data.get(NFTA_COUNTER_BYTES, b"")
    if not name or found.get(NFTA_OBJ_TYPE) != BE32.pack(NFT_OBJECT_COUNTER) or len(packets) != 8 or len(size) != 8:
        return None
    return name, BE64.unpack(packets)[0], BE64.unpack(size)[0]


def dump_counters(table: str) -> bytes:
    """The payload of NFT_MSG_GETOBJ for every counter of the tables of that name, of whatever family."""
    wanted = attribute(NFTA_OBJ_TABLE, table.encode() + b"\0")
    return bytes(NFGENMSG) + wanted + attribute(NFTA_OBJ_TYPE, BE32.pack(NFT_OBJECT_COUNTER))


def traffic() -> dict[str, dict[str, object]]:
    """What went through every interface, by its name.  Raises OSError."""
    found = dump(NETLINK_ROUTE, RTM_GETLINK, LINK.pack(0, 0, 0, 0, 0))
    return dict(one for kind, payload in found if kind == RTM_NEWLINK and (one := parse_traffic(payload)))


def drops(table: str = TABLE) -> list[dict[str, object]]:
    """The ruleset's named counters, in its order; equal names of several tables count together.  Raises OSError."""
    found: dict[str, tuple[int, int]] = {}
    for kind, payload in dump(NETLINK_NETFILTER, NFT_MSG_GETOBJ, dump_counters(table)):
        counter = parse_counter(payload) if kind == NFT_MSG_NEWOBJ else None
        if counter is not None and (counter[0] in found or len(found) < MAX_COUNTERS):
            packets, size = found.get(counter[0], (0, 0))
            found[counter[0]] = packets + counter[1], size + counter[2]
    return [{"name": name, "packets": packets, "bytes": size} for name, (packets, size) in found.items()]


def dump(protocol: int, kind: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each message of a dump.  Raises OSError."""
    socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, protocol)
    try:
        socket.bind((0, 0))
        socket.settimeout(5)
        socket.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, 1, payload))
        while True:
            for answer, _, body in messages(socket.recv(RECEIVE_BYTES)):
                if answer == NLMSG_ERROR:
                    raise OSError(refusal(body), "the kernel refused the dump")
                if answer == NLMSG_DONE:
                    return
                yield answer, body
    finally:
        socket.close()
