# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""nf_tables over netlink (linux/netfilter/nf_tables.h): whole transactions, and the elements of sets and maps.

A transaction is a batch of messages (linux/netfilter/nfnetlink.h): all of it is in force at once, or nothing of it.
The ruleset is such a batch already, made by nft when the image was built; elements are simple enough to write here.
"""

from __future__ import annotations

from init.core import native
from init.core.native import os
from init.kernel.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    RECEIVE_BYTES,
    attribute,
    message,
    messages,
    refusal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NETLINK_NETFILTER = 12
SUBSYSTEM = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWSETELEM, DELSETELEM = SUBSYSTEM << 8 | 12, SUBSYSTEM << 8 | 14
NESTED = 0x8000
LIST_TABLE, LIST_SET, LIST_ELEMENTS, LIST_ELEM = 1, 2, 3, 1
ELEM_KEY, ELEM_DATA, ELEM_FLAGS, DATA_VALUE = 1, 2, 3, 1
INTERVAL_END = b"\0\0\0\1"  # NFT_SET_ELEM_INTERVAL_END
IP, ARP = 2, 3  # NFPROTO_IPV4, NFPROTO_ARP

Message = tuple[int, int, bytes]
"""(type, flags, payload)"""

Element = tuple[bytes, bytes]
"""(key, data): data is empty in a set, and INTERVAL_END where a key is the first one behind an interval."""


def interval(first: bytes, end: bytes | None) -> list[Element]:
    """The elements of an interval of a set, from its first key to the first one behind it; None where there is none."""
    return [(first, b""), *([] if end is None else [(end, INTERVAL_END)])]


def add(family: int, name: str, elements: Sequence[Element]) -> Message:
    """Adds elements to a set or map of the table netvm; those that are there already stay."""
    return NEWSETELEM, NLM_F_CREATE, _elements(family, name, elements)


def remove(family: int, name: str, elements: Sequence[Element]) -> Message:
    """Takes elements out of a set.  One that is not there fails the whole transaction (ENOENT)."""
    return DELSETELEM, 0, _elements(family, name, elements)


def flush(family: int, name: str) -> Message:
    """Takes all elements out of a set or map."""
    return DELSETELEM, 0, _elements(family, name, ())


def _elements(family: int, name: str, elements: Sequence[Element]) -> bytes:
    payload = bytes([family, 0, 0, 0])
    payload += attribute(LIST_TABLE, b"netvm\0") + attribute(LIST_SET, name.encode() + b"\0")
    if elements:
        listed = b"".join([attribute(NESTED | LIST_ELEM, _element(key, data)) for key, data in elements])
        payload += attribute(NESTED | LIST_ELEMENTS, listed)
    return payload


def _element(key: bytes, data: bytes) -> bytes:
    packed = attribute(NESTED | ELEM_KEY, attribute(DATA_VALUE, key))
    if data is INTERVAL_END:
        return packed + attribute(ELEM_FLAGS, data)
    return packed + attribute(NESTED | ELEM_DATA, attribute(DATA_VALUE, data)) if data else packed


def batch(parts: Sequence[Message]) -> bytes:
    """One transaction of these messages, the last of which is acknowledged."""
    frame = bytes([0, 0, 0, SUBSYSTEM])  # nfgenmsg: no family, version 0, and the subsystem in network order
    last = len(parts)
    whole = [message(BATCH_BEGIN, NLM_F_REQUEST, 0, frame)]
    for number, (kind, flags, payload) in enumerate(parts, start=1):
        acknowledged = NLM_F_ACK if number == last else 0
        whole.append(message(kind, NLM_F_REQUEST | flags | acknowledged, number, payload))
    whole.append(message(BATCH_END, NLM_F_REQUEST, last + 1, frame))
    return b"".join(whole)


LONGEST = 4 << 20
"""Bytes of a transaction.  The default, net.core.wmem_default, is 208 KiB: too few for thousands of forwarded ports."""


class Tables:
    """The kernel's nf_tables.  It has answered before a transaction's send returns, so nothing here ever waits."""

    def __init__(self) -> None:
        self._socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_NETFILTER)
        try:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_SNDBUFFORCE, LONGEST)
        except OSError:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_SNDBUF, LONGEST)
        self._socket.bind((0, 0))
        self._socket.setblocking(False)

    def commit(self, transaction: bytes) -> None:
        """Put a transaction into force.  Raises OSError with the kernel's first complaint; nothing is in force then."""
        # Of one without its end the kernel acknowledges every message, and then drops all of it.
        end = transaction[-HEADER.size - 4 :]
        if len(end) < HEADER.size or HEADER.unpack_from(end)[:2] != (HEADER.size + 4, BATCH_END):
            raise OSError(74, "the transaction is cut off")  # EBADMSG
        self._socket.send(transaction)
        answers = self._answers()
        complaint = next((answer for answer in answers if answer), 0)
        if complaint:
            raise OSError(complaint, os.strerror(complaint))
        if not answers:
            raise OSError(71, "the kernel did not answer")  # EPROTO

    def _answers(self) -> list[int]:
        """The kernel's answers so far: 0, or a number of errno."""
        found: list[int] = []
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return found
            found += [refusal(body) for kind, _, body in messages(data) if kind == NLMSG_ERROR]

    def apply(self, parts: Sequence[Message]) -> None:
        """Commit a transaction of these messages.  Raises OSError."""
        self.commit(batch(parts))
