# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The least DHCP server that a router's uplink needs (RFC 2131): one address, for ten hours, to any client."""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import IPv4Address
from types import TracebackType

from netvm_build.measure.wires import LINK, Wire

SERVER, LEASED, RESOLVER, MASK = (IPv4Address(one) for one in ("10.0.2.2", "10.0.2.15", "10.0.2.3", "255.255.255.0"))
LEASE_S = 36000

# RFC 2131, figure 1; RFC 2132 for the options.
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s192x4s")
_COOKIE = b"\x63\x82\x53\x63"
_REPLY = 2
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
_MASK, _ROUTER, _DNS, _LEASE, _KIND, _SERVER, _END = 1, 3, 6, 51, 53, 54, 255
_ANSWERS = {DISCOVER: OFFER, REQUEST: ACK}


def kind_of(options: bytes) -> int | None:
    """The message type among a request's options; None if there is none."""
    at = 0
    while at + 1 < len(options) and options[at] != _END:
        if options[at] == 0:  # a pad has no length
            at += 1
            continue
        if options[at] == _KIND and at + 2 < len(options):
            return options[at + 2]
        at += 2 + options[at + 1]
    return None


def answer(request: bytes) -> bytes | None:
    """What the server says to a message; None to one that it has no answer to."""
    if len(request) < _HEADER.size:
        return None
    _, hardware, length, _, xid, _, flags, *_, mac, cookie = _HEADER.unpack_from(request)
    kind = _ANSWERS.get(kind_of(request[_HEADER.size :]) or 0)
    if cookie != _COOKIE or kind is None:
        return None
    nobody = bytes(4)
    head = _HEADER.pack(
        _REPLY, hardware, length, 0, xid, 0, flags, nobody, LEASED.packed, SERVER.packed, nobody, mac, _COOKIE
    )
    options = [
        (_KIND, bytes([kind])),
        (_SERVER, SERVER.packed),
        (_LEASE, struct.pack("!I", LEASE_S)),
        (_MASK, MASK.packed),
        (_ROUTER, SERVER.packed),
        (_DNS, RESOLVER.packed),
    ]
    return head + b"".join(bytes([code, len(value)]) + value for code, value in options) + bytes([_END])


class Dhcp:
    """The server on a wire, as a context; it answers by broadcast, since nobody has an address yet."""

    def __init__(self, wire: Wire) -> None:
        with wire.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LINK.encode())
            self._socket.bind(("", 67))
        self._socket.settimeout(0.2)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                reply = answer(self._socket.recv(2000))
            except TimeoutError:
                continue
            if reply is not None:
                self._socket.sendto(reply, ("255.255.255.255", 68))

    def __enter__(self) -> Dhcp:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()
