# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Forgets connections: of a client that has left, so that the next client with its address inherits nothing; of DNS
questions to a resolver that is no longer ours; and of an uplink that is no longer the way out.

Messages of ctnetlink (nfnetlink, linux/netfilter/nfnetlink_conntrack.h): delete by a filter on a direction's tuple.
A kernel that knows no such filter takes it for one exact connection and answers ENOENT; nothing is ever flushed whole.
"""

from __future__ import annotations

from init.core import native
from init.kernel.netlink import NLM_F_ACK, NLM_F_REQUEST, U32, attribute, packed, transact
from init.kernel.nftables import NESTED, NETLINK_NETFILTER
from init.kernel.rtnetlink import AF_INET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

IPCTNL_MSG_CT_DELETE = 1 << 8 | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_IP_V4_SRC, CTA_IP_V4_DST = 1, 1, 2
CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT = 2, 1, 2
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
FLAG_IP_SRC, FLAG_IP_DST, FLAG_PROTO_NUM, FLAG_PROTO_SRC_PORT = 1 << 0, 1 << 1, 1 << 3, 1 << 4
CTA_STATUS, CTA_STATUS_MASK, IPS_DST_NAT = 3, 26, 1 << 5
TCP, UDP, DOMAIN = 6, 17, 53


def delete(direction: int, address: str, protocol: int = 0, port: int = 0, *, to: bool = False) -> bytes:
    """The payload of IPCTNL_MSG_CT_DELETE for every connection whose tuple of a direction has this source, or, with
    `to`, this target.

    `direction` is CTA_TUPLE_ORIG (the source began it) or CTA_TUPLE_REPLY (the source is who answers, after any
    translation of the target); `protocol` and `port` narrow it down where they are given.
    """
    tuple_ = attribute(NESTED | CTA_TUPLE_IP, attribute(CTA_IP_V4_DST if to else CTA_IP_V4_SRC, packed(address)))
    flags = FLAG_IP_DST if to else FLAG_IP_SRC
    if protocol:
        numbers = attribute(CTA_PROTO_NUM, bytes([protocol])) + attribute(CTA_PROTO_SRC_PORT, port.to_bytes(2, "big"))
        tuple_ += attribute(NESTED | CTA_TUPLE_PROTO, numbers)
        flags |= FLAG_PROTO_NUM | FLAG_PROTO_SRC_PORT
    original = direction == CTA_TUPLE_ORIG
    filter_ = attribute(CTA_FILTER_ORIG_FLAGS, U32.pack(flags if original else 0))
    filter_ += attribute(CTA_FILTER_REPLY_FLAGS, U32.pack(0 if original else flags))
    return bytes([AF_INET, 0, 0, 0]) + attribute(NESTED | direction, tuple_) + attribute(NESTED | CTA_FILTER, filter_)


def forget_client(address: str) -> str:
    """Delete the connections that a client began or that were let through to it; returns why not, or nothing."""
    return _send(address, [delete(CTA_TUPLE_ORIG, address), delete(CTA_TUPLE_REPLY, address)])


def forget_uplink(address: str) -> str:
    """Delete the connections that went out by an uplink's address, or were forwarded from it; returns why not, or
    nothing.

    A client's connection to a server that had this address is not among them: its target is not translated.
    """
    forwarded = b"".join(attribute(kind, IPS_DST_NAT.to_bytes(4, "big")) for kind in (CTA_STATUS, CTA_STATUS_MASK))
    return _send(
        address, [delete(CTA_TUPLE_REPLY, address, to=True), delete(CTA_TUPLE_ORIG, address, to=True) + forwarded]
    )


def forget_resolver(address: str) -> str:
    """Delete the DNS questions that a resolver would answer; returns why not, or nothing."""
    return _send(address, [delete(CTA_TUPLE_REPLY, address, protocol, DOMAIN) for protocol in (UDP, TCP)])


def _send(address: str, payloads: Sequence[bytes]) -> str:
    try:
        socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_NETFILTER)
    except OSError as error:
        return f"the connections of {address} could not be forgotten: {error.strerror}"
    try:
        socket.bind((0, 0))
        socket.settimeout(5)
        for sequence, payload in enumerate(payloads, start=1):
            try:
                transact(socket, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, sequence, payload)
            except FileNotFoundError:  # there was none
                continue
    except OSError as error:
        return f"the connections of {address} could not be forgotten: {error.strerror}"
    finally:
        socket.close()
    return ""
