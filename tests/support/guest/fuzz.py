# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Malformed frames from fixed seeds: Ethernet, ARP, IPv4, ICMP, UDP and TCP, some nearly right, some quite wrong."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from wires import GATEWAY, RESOLVER, SERVER, UPLINK, Wire

BROADCAST = b"\xff" * 6


def octets(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Dice:
    """Frames from one wire; the same seed gives the same frames."""

    def __init__(self, wire: Wire, neighbours: list[str], seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311  (the same frames each time)
        self.mac = bytes.fromhex(wire.mac.replace(":", ""))
        self.router_mac = bytes.fromhex(wire.router_mac.replace(":", ""))
        self.own = octets(wire.address)
        self.places = [octets(one) for one in (*neighbours, GATEWAY, RESOLVER, SERVER, UPLINK, wire.router)]
        self.places += [bytes(4), BROADCAST[:4], octets("127.0.0.1"), octets("224.0.0.1"), octets("100.115.92.200")]

    def frames(self, count: int) -> Iterator[bytes]:
        kinds = (self.udp, self.tcp, self.icmp, self.fragment, self.arp, self.ip, self.ethernet)
        for _ in range(count):
            yield self.dice.choices(kinds, (4, 6, 5, 3, 3, 4, 1))[0]()

    def some(self, most: int) -> bytes:
        return self.dice.randbytes(self.dice.randrange(most))

    def address(self, often: bytes | None = None) -> bytes:
        """The sender's own address mostly where one is given, else a place of interest, else any."""
        if often is not None and self.dice.random() < 0.6:
            return often
        return self.dice.choice(self.places) if self.dice.random() < 0.8 else self.dice.randbytes(4)

    def link(self, kind: int, payload: bytes) -> bytes:
        target = self.dice.choices((self.router_mac, BROADCAST, self.dice.randbytes(6)), (20, 2, 1))[0]
        source = self.mac if self.dice.random() < 0.95 else self.dice.randbytes(6)
        return (target + source + struct.pack("!H", kind) + payload)[:1514].ljust(14, b"\0")

    def packet(self, protocol: int, payload: bytes, *, offset: int = 0, number: int | None = None) -> bytes:
        """An IPv4 packet, one in six with a header that is wrong in one place."""
        dice = self.dice
        wrong = dice.randrange(8) if dice.random() < 0.17 else -1
        options = self.some(41)[: dice.randrange(11) * 4] if wrong == 0 else b""
        options = options[: len(options) & ~3]
        length = 20 + len(options) + len(payload)
        head = bytearray(
            struct.pack(
                "!BBHHHBBH4s4s",
                (4 if wrong != 1 else dice.randrange(16)) << 4
                | (5 + len(options) // 4 if wrong != 2 else dice.randrange(16)),
                dice.randrange(256) if wrong == 3 else 0,
                length if wrong != 4 else dice.randrange(65536),
                dice.randrange(65536) if number is None else number,
                offset,
                64 if wrong != 5 else dice.randrange(3),
                protocol,
                0,
                self.address(self.own),
                self.address(),
            )
            + options
        )
        total = checksum(bytes(head)) if wrong != 6 else dice.randrange(65536)
        head[10:12] = struct.pack("!H", total)
        return self.link(0x0800, bytes(head) + payload)

    def udp(self) -> bytes:
        ports = (0, 53, 67, 68, 123, 5353, self.dice.randrange(65536))
        data = self.some(64)
        length = 8 + len(data) if self.dice.random() < 0.9 else self.dice.randrange(65536)
        head = struct.pack("!HHHH", self.dice.choice(ports), self.dice.choice(ports), length, 0)
        return self.packet(17, head + data)

    def tcp(self) -> bytes:
        dice = self.dice
        ports = (0, 22, 53, 80, 443, 8080, dice.randrange(65536))
        options = self.some(41)[: dice.randrange(11) * 4]
        options = options[: len(options) & ~3]
        offset = 5 + len(options) // 4 if dice.random() < 0.8 else dice.randrange(16)
        flags = dice.choice((2, 16, 18, 4, 20, 17, dice.randrange(256)))
        head = struct.pack(
            "!HHIIBBHHH",
            *(dice.choice(ports), dice.choice(ports), dice.randrange(1 << 32), dice.randrange(1 << 32)),
            *(offset << 4 | dice.randrange(16), flags, dice.randrange(65536), dice.randrange(65536), 0),
        )
        return self.packet(6, (head + options + self.some(32))[: dice.randrange(1, 80)])

    def icmp(self) -> bytes:
        kind = self.dice.choice((0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 17, self.dice.randrange(256)))
        quoted = self.packet(17, self.some(16))[14:] if self.dice.random() < 0.7 else self.some(64)
        body = bytearray(struct.pack("!BBHI", kind, self.dice.randrange(16), 0, self.dice.randrange(1 << 32)) + quoted)
        body[2:4] = struct.pack("!H", checksum(bytes(body)))
        return self.packet(1, bytes(body))

    def fragment(self) -> bytes:
        """Overlapping, endless and lonely ones of few datagrams."""
        offset = self.dice.choice((0, 1, 2, 3, 185, 8190, self.dice.randrange(8192)))
        more = 0x2000 if self.dice.random() < 0.7 else 0
        payload = self.dice.randbytes(8 * self.dice.randrange(1, 12) - self.dice.choice((0, 0, 3)))
        return self.packet(self.dice.choice((6, 17, 1)), payload, offset=more | offset, number=self.dice.randrange(4))

    def arp(self) -> bytes:
        dice = self.dice
        head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, dice.choice((1, 2, 2, 3, 8, dice.randrange(65536))))
        if dice.random() < 0.2:
            head = dice.randbytes(8)
        ends = self.mac + self.address(self.own) + dice.choice((bytes(6), self.router_mac)) + self.address()
        return self.link(0x0806, (head + ends)[: 28 if dice.random() < 0.8 else dice.randrange(28)])

    def ip(self) -> bytes:
        """Any protocol, and packets cut short."""
        whole = self.packet(self.dice.randrange(256), self.some(64))
        return whole if self.dice.random() < 0.6 else whole[: self.dice.randrange(14, max(15, len(whole)))]

    def ethernet(self) -> bytes:
        kind = self.dice.choice((0x8100, 0x86DD, 0x88CC, 0x0806, 0x0800, 46, self.dice.randrange(65536)))
        return self.link(kind, self.some(200))
