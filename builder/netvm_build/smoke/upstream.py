# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the clients reach through NAT: small servers on this host's loopback, to which QEMU's user network leads.

They serve one run: a client that doesn't know the run's token gets nothing.  Nothing listens beyond 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import struct
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from types import TracebackType
from typing import cast

from netvm_build.util.interrupts import ended

TRANSFER_BYTES = 4 << 20
ANSWER = IPv4Address("192.0.2.53")  # TEST-NET-1 (RFC 5737): no such machine
DNS_A, DNS_NS, DNS_IN = 1, 2, 1
_CHUNK = 64 << 10
_MAX_STREAMS = 8


@dataclass(frozen=True)
class Transfer:
    """A TCP transfer there and back: what was sent and what returned."""

    sent_sha256: str
    returned_sha256: str
    returned_bytes: int

    @property
    def intact(self) -> bool:
        return self.sent_sha256 == self.returned_sha256


class Upstream:
    """The servers of one run, as a context: `udp_port`, `tcp_port` and `dns_port` are ports of 127.0.0.1."""

    def __init__(self, size_bytes: int = TRANSFER_BYTES) -> None:
        self.token = secrets.token_hex(8)
        self.name = f"{self.token}.smoke.test"  # a name that no resolver knows (RFC 6761)
        self.size_bytes = size_bytes
        self.udp_port = self.tcp_port = self.dns_port = 0
        self._transfers: dict[str, asyncio.Future[Transfer]] = {}
        self._transports: list[asyncio.DatagramTransport] = []
        self._server: asyncio.Server | None = None
        self._streams = 0

    async def __aenter__(self) -> Upstream:
        loop = asyncio.get_running_loop()
        echo, _ = await loop.create_datagram_endpoint(lambda: _Echo(self.token), ("127.0.0.1", 0))
        dns, _ = await loop.create_datagram_endpoint(lambda: _Dns(self.name), ("127.0.0.1", 0))
        self._transports = [echo, dns]
        self.udp_port = echo.get_extra_info("sockname")[1]
        self.dns_port = dns.get_extra_info("sockname")[1]
        self._server = await asyncio.start_server(self._stream, "127.0.0.1", 0, limit=_CHUNK)
        self.tcp_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in self._transports:
            transport.close()
        if self._server is not None:
            self._server.close()

    def expect(self, who: str) -> tuple[str, Awaitable[Transfer]]:
        """A token for one transfer, and its result once it is done."""
        token = f"{self.token}-{who}"
        self._transfers[token] = asyncio.get_running_loop().create_future()
        return token, self._transfers[token]

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams += 1
        try:
            if self._streams > _MAX_STREAMS:
                return
            async with asyncio.timeout(10):
                token = (await reader.readline()).decode(errors="replace").strip()
            result = self._transfers.get(token)
            if result is None or result.done():
                return
            transfer = await self._exchange(reader, writer)
            if not result.done():
                result.set_result(transfer)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client says what it saw; a transfer without a result fails at its deadline
        finally:
            self._streams -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Transfer:
        payload = random.Random(self.token).randbytes(self.size_bytes)  # noqa: S311 - a pattern, not a secret

        async def send() -> None:
            for start in range(0, len(payload), _CHUNK):
                writer.write(payload[start : start + _CHUNK])
                await writer.drain()

        sending = asyncio.create_task(send())
        digest, count = hashlib.sha256(), 0
        try:
            while count < len(payload) and (data := await reader.read(_CHUNK)):
                digest.update(data)
                count += len(data)
        finally:
            await ended(sending)
        return Transfer(hashlib.sha256(payload).hexdigest(), digest.hexdigest(), count)


class _Echo(asyncio.DatagramProtocol):
    """Gives back datagrams that carry the run's token."""

    def __init__(self, token: str) -> None:
        self.token = token.encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data.startswith(self.token):
            self.transport.sendto(data, addr)


class _Dns(_Echo):
    """Answers A queries for one name; every other name does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__("")
        self.name = name

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = respond(data, self.name, ANSWER)
        if answer is not None:
            self.transport.sendto(answer, addr)


# ------------------------------------------------------------------ DNS (RFC 1035)


def encode_name(name: str) -> bytes:
    """A name as length-prefixed labels; "" is the root."""
    labels = [label.encode("ascii") for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(number: int, name: str, kind: int = DNS_A) -> bytes:
    """A query with recursion desired."""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!2H", kind, DNS_IN)


def respond(message: bytes, name: str, address: IPv4Address) -> bytes | None:
    """The answer to a query: the address for `name`, NXDOMAIN for others; None to what is no single query."""
    if len(message) < 17 or len(message) > 512:
        return None
    number, flags, questions = struct.unpack_from("!3H", message)
    if flags & 0x8000 or questions != 1:
        return None
    wanted = encode_name(name) + struct.pack("!2H", DNS_A, DNS_IN)
    known = message[12:].lower().startswith(wanted.lower())
    end = 12 + len(wanted) if known else len(message)
    head = struct.pack("!6H", number, 0x8580 if known else 0x8583, 1, int(known), 0, 0)
    record = struct.pack("!3HIH", 0xC00C, DNS_A, DNS_IN, 60, 4) + address.packed if known else b""
    return head + message[12:end] + record


def answers(message: bytes, number: int) -> bool:
    """True for a response, of whatever outcome, to query `number`."""
    return len(message) >= 12 and struct.unpack_from("!2H", message)[0] == number and bool(message[2] & 0x80)


def address_in(message: bytes, number: int, name: str) -> IPv4Address | None:
    """The address in an answer of one record, as `respond` makes it."""
    if not answers(message, number) or message[3] & 0xF:
        return None
    record = message[12 + len(encode_name(name)) + 4 :]
    return IPv4Address(record[12:16]) if len(record) >= 16 and record[2:4] == b"\0\1" else None


async def resolver_answers(address: str, deadline_s: float = 1.5) -> bool:
    """Whether a resolver answers a query for the root's name servers at all."""
    number = secrets.randbits(16)
    loop = asyncio.get_running_loop()
    got: asyncio.Future[bytes] = loop.create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
            if not got.done() and answers(data, number):
                got.set_result(data)

    try:
        transport, _ = await loop.create_datagram_endpoint(Once, remote_addr=(address, 53))
    except OSError:
        return False
    try:
        transport.sendto(query(number, "", DNS_NS))
        async with asyncio.timeout(deadline_s):
            await got
    except (TimeoutError, OSError):
        return False
    finally:
        transport.close()
    return True
