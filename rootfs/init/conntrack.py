"""Forgets the connections of a client that is gone, so that whoever gets its address next gets none of its packets.

One message of ctnetlink (nfnetlink, linux/netfilter/nfnetlink_conntrack.h): delete by a filter on the original source.
A kernel that knows no such filter takes it for one exact connection and answers ENOENT; nothing is ever flushed whole.
"""

from __future__ import annotations

from init import native
from init.rtnetlink import AF_INET, NLM_F_ACK, NLM_F_REQUEST, U32, attribute, packed, transact

NETLINK_NETFILTER = 12
IPCTNL_MSG_CT_DELETE = 1 << 8 | 2
NESTED = 0x8000
CTA_TUPLE_ORIG, CTA_FILTER = 1, 25
CTA_TUPLE_IP, CTA_IP_V4_SRC = 1, 1
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
CTA_FILTER_FLAG_IP_SRC = 1


def delete_by_source(address: str) -> bytes:
    """The payload of IPCTNL_MSG_CT_DELETE for every connection that this address began."""
    source = attribute(NESTED | CTA_TUPLE_IP, attribute(CTA_IP_V4_SRC, packed(address)))
    flags = attribute(CTA_FILTER_ORIG_FLAGS, U32.pack(CTA_FILTER_FLAG_IP_SRC))
    flags += attribute(CTA_FILTER_REPLY_FLAGS, U32.pack(0))
    return (
        bytes([AF_INET, 0, 0, 0]) + attribute(NESTED | CTA_TUPLE_ORIG, source) + attribute(NESTED | CTA_FILTER, flags)
    )


def forget(address: str) -> str:
    """Delete the connections that an address began; returns why not, or an empty text."""
    try:
        socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_NETFILTER)
    except OSError as error:
        return f"the connections of {address} could not be forgotten: {error.strerror}"
    try:
        socket.bind((0, 0))
        socket.settimeout(5)
        transact(socket, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 1, delete_by_source(address))
    except FileNotFoundError:  # it had none
        return ""
    except OSError as error:
        return f"the connections of {address} could not be forgotten: {error.strerror}"
    finally:
        socket.close()
    return ""
