# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""netlink(7): how messages and attributes are framed, asking for a change, and messages that differ in few values."""

from __future__ import annotations

from init.core.native import Struct, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from init.core.native import Socket

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400

HEADER = Struct("=IHHII")  # nlmsghdr
ATTRIBUTE = Struct("=HH")  # nlattr
U32 = Struct("=I")
S32 = Struct("=i")

NLA_TYPE_MASK = 0x3FFF
EBADMSG = 74
RECEIVE_BYTES = 65536


def dotted(packed: bytes) -> str:
    """Four bytes as ``a.b.c.d``."""
    return ".".join([str(octet) for octet in packed])


def packed(address: str) -> bytes:
    """``a.b.c.d`` as four bytes."""
    return bytes(map(int, address.split(".")))


def align(length: int) -> int:
    """The next multiple of four, as netlink pads."""
    return (length + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence, payload) of each message in what was received; a torn one ends the list."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, _, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data):
            return
        yield kind, sequence, data[at + HEADER.size : at + length]
        at += align(length)


def refusal(body: bytes) -> int:
    """The number of errno in the payload of NLMSG_ERROR; 0 means done, EBADMSG that the payload is torn."""
    return -int(S32.unpack_from(body)[0]) if len(body) >= S32.size else EBADMSG


def attributes(data: bytes, at: int, *wanted: int) -> dict[int, bytes]:
    """The attributes that follow a message's fixed part, or, of many, those `wanted`; a torn one ends the list."""
    found: dict[int, bytes] = {}
    end, enough, unpack = len(data), len(wanted), ATTRIBUTE.unpack_from
    while at + 4 <= end:
        length, kind = unpack(data, at)
        if length < 4 or at + length > end:
            break
        kind &= NLA_TYPE_MASK
        if not wanted or kind in wanted:
            found[kind] = data[at + 4 : at + length]
            if len(found) == enough:
                break
        at += (length + 3) & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (align(length) - length)


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One message with its header."""
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload


class Template:
    """Messages that differ only in a few values: packed once, then filled in, ten times as fast as packing them anew.

    `whole` has a placeholder for each value, any number of times.  A value is as long as its placeholder.
    """

    __slots__ = ("_gaps", "_pieces")

    def __init__(self, whole: bytes, placeholders: Sequence[bytes]) -> None:
        self._pieces: list[bytes] = []
        self._gaps: list[tuple[int, int]] = []
        while found := [(at, which) for which, one in enumerate(placeholders) if (at := whole.find(one)) >= 0]:
            place, which = min(found)
            self._pieces += [whole[:place], placeholders[which]]
            self._gaps.append((len(self._pieces) - 1, which))
            whole = whole[place + len(placeholders[which]) :]
        self._pieces.append(whole)

    def fill(self, *values: bytes) -> bytes:
        """The messages with these values, in the order of the placeholders."""
        pieces = self._pieces.copy()
        for place, which in self._gaps:
            pieces[place] = values[which]
        return b"".join(pieces)


PLACEHOLDERS = tuple(b"\xff\xff\xff" + bytes([number]) for number in range(1, 6))
"""Placeholders of four bytes, which can't be an address, nor a number of an interface or a message."""


def transact(socket: Socket, kind: int, flags: int, sequence: int, payload: bytes) -> None:
    """Ask for one change, with NLM_F_ACK among the flags, and wait for the answer.  Raises OSError when it is a no."""
    socket.send(message(kind, flags, sequence, payload))
    await_answer(socket, sequence)


def await_answer(socket: Socket, last: int, first: int | None = None) -> None:
    """Wait for the answer to a message; those before it, from the `first` on, are answered only where it is a no.

    Raises OSError for the first no.
    """
    complaint = 0
    while True:
        for answer, number, body in messages(socket.recv(RECEIVE_BYTES)):
            if answer == NLMSG_ERROR and (last if first is None else first) <= number <= last:
                complaint = complaint or refusal(body)
                if number == last:
                    if complaint:
                        raise OSError(complaint, os.strerror(complaint))
                    return
