# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A DHCP server for tests: every byte of its answers is the test's choice."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fuzz import checksum, octets
from wires import inside
from world import Namespace

SUBNET, ROUTER, DNS, MTU, LEASE_TIME, OVERLOAD, KIND, SERVER_ID = 1, 3, 6, 26, 51, 52, 53, 54
REQUESTED, LARGEST, HOST_NAME, CLIENT_ID, ROUTES, MICROSOFT_ROUTES, END = 55, 57, 12, 61, 121, 249, 255
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
COOKIE = b"\x63\x82\x53\x63"


def option(code: int, data: bytes) -> bytes:
    """An option, or several of the same code where the data is longer than one holds (RFC 3396)."""
    parts = [data[at : at + 255] for at in range(0, len(data), 255)] or [b""]
    return b"".join(bytes([code, len(part)]) + part for part in parts)


def route(to: str, via: str) -> bytes:
    """A classless static route (RFC 3442)."""
    network = IPv4Network(to)
    return (
        bytes([network.prefixlen]) + octets(str(network.network_address))[: (network.prefixlen + 7) // 8] + octets(via)
    )


@dataclass(frozen=True)
class Answer:
    """A lease.  `more` are options as bytes, `file` and `sname` what those fields hold; `least` is padded to."""

    address: str = "10.0.2.15/24"
    router: str | None = "10.0.2.2"
    resolver: str | None = "10.0.2.3"
    seconds: int = 3600
    more: bytes = b""
    file: bytes = b""
    sname: bytes = b""
    server: str = "10.0.2.2"
    whole: bytes | None = None
    """In place of all options but the message type, where it is set."""
    sum_is_zero: bool = False
    """The UDP checksum comes to zero, which is sent as all ones (RFC 768); else there is none."""

    def options(self, kind: int) -> bytes:
        """The field of options."""
        if self.whole is not None:
            return option(KIND, bytes([kind])) + self.whole
        mask = IPv4Network(self.address, strict=False).netmask
        said = option(KIND, bytes([kind])) + option(SERVER_ID, octets(self.server))
        said += option(LEASE_TIME, struct.pack("!I", self.seconds)) + option(SUBNET, mask.packed)
        said += b"" if self.router is None else option(ROUTER, octets(self.router))
        said += b"" if self.resolver is None else option(DNS, octets(self.resolver))
        return said + self.more + bytes([END])


def options_of(data: bytes) -> dict[int, bytes]:
    """The options of a message of the client's, which is well formed."""
    found: dict[int, bytes] = {}
    at = 240
    while at < len(data) and data[at] != END:
        if data[at]:
            found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1] if data[at] else 1
    return found


def fragments(frame: bytes, mtu: int) -> list[bytes]:
    """A frame as it is, or its packet in fragments of at most so many bytes."""
    head, data = frame[:34], frame[34:]
    if len(frame) - 14 <= mtu:
        return [frame]
    room = (mtu - 20) // 8 * 8
    made = []
    for at in range(0, len(data), room):
        part = data[at : at + room]
        ip = bytearray(head[14:])
        ip[2:4] = struct.pack("!H", 20 + len(part))
        ip[6:8] = struct.pack("!H", at // 8 | (0x2000 if at + room < len(data) else 0))
        ip[10:12] = b"\0\0"
        ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
        made.append(head[:14] + bytes(ip) + part)
    return made


class Listener:
    """Hears what comes in by an interface of a namespace for a DHCP server, and sends what `answers` it."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self._socket.bind((interface, 0x0800))
        self._socket.settimeout(0.1)
        self._going = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def answers(self, frame: bytes) -> Iterable[bytes]:
        """The frames that answer one to UDP port 67, whatever is in it."""
        raise NotImplementedError

    def _serve(self) -> None:
        while self._going:
            try:
                frame, where = self._socket.recvfrom(2000)
            except OSError:
                continue
            if where[2] == socket.PACKET_OUTGOING or frame[23:24] != b"\x11" or frame[36:38] != b"\x00\x43":
                continue
            for answer in self.answers(frame):
                with suppress(OSError):
                    self._socket.send(answer)

    def close(self) -> None:
        """Serve no longer."""
        self._going = False
        self._thread.join()
        self._socket.close()


class Server(Listener):
    """Answers well-formed messages; `answer` may change at any time, None is silence."""

    def __init__(self, namespace: Namespace, answer: Answer | None, interface: str = "lan0") -> None:
        self.answer = answer
        self.heard: list[dict[int, bytes]] = []
        self.macs: list[str] = []
        self.mtu = 65535
        self.make: Callable[[], Answer | None] = lambda: self.answer
        self.kinds = {DISCOVER: OFFER, REQUEST: ACK}
        super().__init__(namespace, interface)

    def answers(self, frame: bytes) -> Iterable[bytes]:
        asked = options_of(frame[42:])
        self.heard.append(asked)
        self.macs.append(frame[6:12].hex(":").upper())
        kind = self.kinds.get(asked.get(KIND, b"\0")[0])
        answer = self.make()
        return fragments(self._frame(frame[42:], kind, answer), self.mtu) if kind and answer else ()

    def _frame(self, asked: bytes, kind: int, answer: Answer) -> bytes:
        address = IPv4Address(answer.address.partition("/")[0]).packed
        head = b"\2\1\6\0" + asked[4:8] + bytes(4) + bytes(4) + address + bytes(8) + asked[28:44]
        body = head + answer.sname.ljust(64, b"\0") + answer.file.ljust(128, b"\0") + COOKIE + answer.options(kind)
        udp = struct.pack("!HHHH", 67, 68, 8 + len(body), 0)
        if answer.sum_is_zero:
            pseudo = octets(answer.server) + b"\xff" * 4 + struct.pack("!HH", 17, 8 + len(body))
            filler = struct.pack("!H", checksum(pseudo + udp + body))  # the end of `file`, which is at an even place
            body = body[:234] + filler + body[236:]
            assert checksum(pseudo + udp + body) == 0
            udp = udp[:6] + b"\xff\xff"
        ip = bytearray(
            struct.pack("!BBHHHBBH4s4s", 69, 0, 28 + len(body), 0, 0, 64, 17, 0, octets(answer.server), b"\xff" * 4)
        )
        ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
        return b"\xff" * 6 + b"\x52\x54\0\0\0\2" + b"\x08\0" + bytes(ip) + udp + body
