# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""In place of dbus-daemon: accepts every client, and then breaks the protocol, each time in another way."""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import time

SOCKET = "/run/dbus/system_bus_socket"
HEAD = struct.Struct("<cBBBII")
SIGNAL_KIND, RETURN_KIND = 4, 2
TEXT_OF_UP2 = "up\N{SUPERSCRIPT TWO}"


def text(value: str) -> bytes:
    raw = value.encode()
    return len(raw).to_bytes(4, "little") + raw + b"\0"


def variant(kind: str, value: bytes, at: int, alignment: int = 4) -> bytes:
    head = bytes([len(kind)]) + kind.encode() + b"\0"
    return head + b"\0" * (-(at + len(head)) % alignment) + value


def message(fields: list[tuple[int, str, bytes]], body: bytes = b"", kind: int = RETURN_KIND) -> bytes:
    listed = b""
    for code, of, value in fields:
        listed += b"\0" * (-len(listed) % 8) + bytes([code])
        listed += variant(of, value, len(listed))
    head = HEAD.pack(b"l", kind, 0, 1, len(body), 9) + len(listed).to_bytes(4, "little") + listed
    return head + b"\0" * (-len(head) % 8) + body


def services(interface: str) -> bytes:
    """An answer to the fourth call, GetServices: one service that is ready, on an interface of this name."""

    def entry(key: str, kind: str, value: bytes, so_far: bytes) -> bytes:
        start = so_far + b"\0" * (-len(so_far) % 8) + text(key)
        return start + variant(kind, value, len(start))

    link = entry("Interface", "s", text(interface), b"")
    entries = entry("State", "s", text("ready"), b"")
    entries = entry("Type", "s", text("ethernet"), entries)
    start = entries + b"\0" * (-len(entries) % 8) + text("Ethernet")
    start += variant("a{sv}", len(link).to_bytes(4, "little"), len(start))
    entries = start + b"\0" * (-len(start) % 8) + link
    body = b""
    for path in ("/a", "/b"):
        body += b"\0" * (-len(body) % 8) + text(path)
        body += b"\0" * (-len(body) % 4) + len(entries).to_bytes(4, "little")
        body += b"\0" * (-len(body) % 8) + entries
    body = len(body).to_bytes(4, "little") + bytes(4) + body
    return message([(5, "u", (4).to_bytes(4, "little")), (8, "g", b"\x0aa(oa{sv})\0".replace(b"\x0a", b"\x09"))], body)


def ways() -> list[bytes]:
    chance = random.Random(9)  # noqa: S311  (a pattern)
    sound = services("up0")
    found = [
        message([(5, "as", (6).to_bytes(4, "little") + text("1"))]),
        message([(5, "u", (1).to_bytes(4, "little")), (8, "s", text("y" * 200_000))], bytes(200_000)),
        message([(5, "v", b"\1v\0" * 90 + b"\1y\0\7")]),
        services(TEXT_OF_UP2),
        services("up" + "9" * 5000),
        services("up1") + message([(5, "s", text("x"))]),
        message([], kind=SIGNAL_KIND) * 20_000 + b"x" * 64,
        b"\0" * 100_000,
    ]
    for _ in range(40):
        data = bytearray(sound)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        found.append(bytes(data) + b"x" * 64)
    return found


def main() -> None:
    """Tell that we serve, and treat each connection worse than the one before."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(SOCKET)
    server.listen()
    telling = int(sys.argv[-1].partition("=")[2])
    os.write(telling, b"unix:path=" + SOCKET.encode() + b"\n")
    os.close(telling)
    for number, way in enumerate(ways() * 100):
        peer, _ = server.accept()
        with peer:
            try:
                if number == 0:
                    peer.sendall(b"O" * 10_000)
                    continue
                peer.recv(4096)
                peer.sendall(b"OK 0123\r\n")
                peer.recv(4096)
                peer.sendall(way)
                time.sleep(0.01)
            except OSError:
                continue


if __name__ == "__main__":
    main()
