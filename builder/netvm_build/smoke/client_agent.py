# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PID 1 of a client VM: does over the kernel's real TCP/IP stack what the host asks on a virtio-serial port.

The host writes this text, padded with newlines, to a disk and boots the router's own kernel and root with
``init=/usr/bin/python3 -- -ISB /dev/vdb``.  So it imports only what any Python has built in, and what the router's init
imports too: the image holds nothing else, not even `json` or `socket`.  Requests and answers are JSON lines; an answer
repeats the request's id.  Nothing is mounted but /dev, and
/sys where drivers are modules.
"""

from __future__ import annotations

import _socket
import os
import select
import sys
import time
from _struct import pack, unpack, unpack_from

MYPY = False  # `typing` is not in the image
if MYPY:
    from collections.abc import Callable
    from typing import Any

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 18, 20, 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
IFF_UP, IFF_RUNNING = 0x1, 0x40
ECHO_PORT = 7
PORT_DEADLINE_S = 20.0
CHUNK = 65536


class Socket(_socket.socket):
    """A socket that closes at the end of its `with`."""

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def encode(value: object) -> str:
    """JSON of what our answers are made of."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join([encode(str(key)) + ": " + encode(entry) for key, entry in value.items()]) + "}"
    safe = [char if " " <= char <= "~" and char not in '"\\' else f"\\u{ord(char) & 0xFFFF:04x}" for char in str(value)]
    return '"' + "".join(safe) + '"'


def decode(line: bytes) -> dict[str, object]:
    """A request.  JSON without null, true and false is Python; its sender sent this program too, so eval is safe."""
    request = eval(line, {"__builtins__": {}, "true": True, "false": False, "null": None})  # noqa: S307
    if not isinstance(request, dict):
        raise TypeError("a request is an object")
    return request


def port() -> int:
    """The one virtio-serial port of this machine, as soon as the kernel has made its node."""
    deadline = time.monotonic() + PORT_DEADLINE_S
    while time.monotonic() < deadline:
        for name in os.listdir("/dev"):  # noqa: PTH208 - pathlib is not in the image
            if name.startswith("vport"):
                return os.open("/dev/" + name, os.O_RDWR)
        time.sleep(0.02)
    raise TimeoutError("no virtio-serial port appeared: is VIRTIO_CONSOLE in this kernel?")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a netlink message (rtnetlink(7)), padded to four bytes."""
    return pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def rtnetlink(kind: int, flags: int, body: bytes) -> None:
    """Send one request and wait until the kernel says it is done.  Raises OSError."""
    with Socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0) as netlink:  # 0 is NETLINK_ROUTE
        netlink.send(pack("=IHHII", len(body) + 16, kind, flags | NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
        error = -unpack_from("=i", netlink.recv(4096), 16)[0]
    if error:
        raise OSError(error, os.strerror(error))


def up(index: int) -> None:
    """Set a link up."""
    rtnetlink(RTM_NEWLINK, 0, pack("=BxHiII", _socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP))


def ethernet() -> tuple[int, str, bytes]:
    """Index, name and MAC of the first Ethernet interface."""
    for index, name in _socket.if_nameindex():
        if name.startswith("eth"):
            with Socket(_socket.AF_PACKET, _socket.SOCK_RAW) as probe:
                probe.bind((name, 0))
                return index, name, probe.getsockname()[4]
    raise OSError("no Ethernet interface: is VIRTIO_NET in this kernel?")


def running(index: int) -> bool:
    """Whether the kernel has seen the link's carrier: before, it drops what is sent (IFF_RUNNING of netdevice(7))."""
    with Socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0) as netlink:
        body = pack("=BxHiII", _socket.AF_UNSPEC, 0, index, 0, 0)
        netlink.send(pack("=IHHII", len(body) + 16, RTM_GETLINK, NLM_F_REQUEST, 1, 0) + body)
        return bool(unpack_from("=I", netlink.recv(CHUNK), 16 + 8)[0] & IFF_RUNNING)


def configure() -> dict[str, object]:
    """Give this machine the address its MAC encodes, and the router, one below, as its default route."""
    index, name, mac = ethernet()
    address = bytes([100]) + mac[3:]
    router = (int.from_bytes(address, "big") - 1).to_bytes(4, "big")
    up(_socket.if_nametoindex("lo"))
    up(index)
    body = pack("=BBBBi", _socket.AF_INET, 31, 0, 0, index)
    rtnetlink(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body + attribute(1, address) + attribute(2, address))
    # table main, protocol boot, scope universe, type unicast; then RTA_GATEWAY and RTA_OIF
    route = pack("=BBBBBBBBI", _socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
    gateway = attribute(5, router) + attribute(4, pack("=i", index))
    rtnetlink(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route + gateway)
    deadline = time.monotonic() + PORT_DEADLINE_S
    while not running(index) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"interface": name, "mac": mac.hex(":"), "address": _socket.inet_ntoa(address)}


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


class Pinger:
    """Sends ICMP echo requests at an interval and counts the answers."""

    def __init__(self, to: str, interval_s: float, count: int = 0) -> None:
        self.socket = Socket(_socket.AF_INET, _socket.SOCK_RAW, _socket.IPPROTO_ICMP)
        self.to, self.interval_s, self.count = to, interval_s, count
        self.ident = id(self) >> 4 & 0xFFFF
        self.sent: dict[int, float] = {}
        self.rtts_ms: list[float] = []
        self.trouble: dict[str, object] = {}
        self.next_at = time.monotonic()

    def tick(self) -> float:
        """Send what is due; the seconds until the next is."""
        now = time.monotonic()
        if now >= self.next_at and (not self.count or len(self.sent) < self.count):
            number = len(self.sent) & 0xFFFF
            head = pack("!BBHHH", 8, 0, 0, self.ident, number)
            data = pack("!d", now) * 6
            packet = pack("!BBHHH", 8, 0, checksum(head + data), self.ident, number) + data
            self.sent[number] = now
            self.next_at = now + self.interval_s
            try:
                self.socket.sendto(packet, (self.to, 0))
            except OSError as error:  # counts as lost, as a packet without an answer does
                self.trouble = {"trouble": str(error)}
        return max(0.0, self.next_at - time.monotonic())

    def take(self) -> None:
        """Read one packet; count it if it answers one that we sent, for the first time."""
        packet, (source, _) = self.socket.recvfrom(2048)
        icmp = packet[(packet[0] & 15) * 4 :]
        if len(icmp) < 8 or source != self.to:
            return
        kind, _, _, ident, number = unpack_from("!BBHHH", icmp)
        if kind == 0 and ident == self.ident and self.sent.get(number, 0.0) > 0.0:
            self.rtts_ms.append((time.monotonic() - self.sent[number]) * 1000)
            self.sent[number] = 0.0

    def result(self) -> dict[str, object]:
        worst = round(max(self.rtts_ms), 3) if self.rtts_ms else None
        lost = " ".join([str(number) for number, at in self.sent.items() if at])
        return {"sent": len(self.sent), "received": len(self.rtts_ms), "worst_ms": worst, "lost": lost} | self.trouble

    def drain(self, seconds: float) -> None:
        """Wait for answers still on their way, no longer than needed."""
        deadline = time.monotonic() + seconds
        while len(self.rtts_ms) < len(self.sent) and (left := deadline - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self.take()


def ping(to: str, count: int = 3, interval_s: float = 0.1, timeout_s: float = 2.0) -> dict[str, object]:
    """`count` echo requests; waits `timeout_s` for the last answers."""
    pinger = Pinger(to, interval_s, count)
    with pinger.socket:
        while len(pinger.sent) < count:
            wait_s = pinger.tick()
            if select.select([pinger.socket], [], [], wait_s)[0]:
                pinger.take()
        pinger.drain(timeout_s)
    return pinger.result()


def udp(to: str, port: int, data: str, timeout_s: float = 2.0, tries: int = 3) -> dict[str, object]:
    """Send a datagram (hex) until something comes back from there; `data` null if nothing did."""
    with Socket(_socket.AF_INET, _socket.SOCK_DGRAM) as channel:
        channel.connect((to, port))
        for attempt in range(1, tries + 1):
            try:
                channel.send(bytes.fromhex(data))
                if select.select([channel], [], [], timeout_s)[0]:
                    return {"data": channel.recv(65535).hex(), "tries": attempt}
            except OSError as error:
                return {"data": None, "tries": attempt, "error": str(error)}
    return {"data": None, "tries": tries}


def dial(to: str, port: int, timeout_s: float) -> Socket:
    """A TCP connection.  Raises OSError."""
    stream = Socket(_socket.AF_INET, _socket.SOCK_STREAM)
    stream.settimeout(timeout_s)
    try:
        stream.connect((to, port))
    except OSError:
        stream.close()
        raise
    return stream


def tcp(to: str, port: int, token: str, timeout_s: float = 30.0) -> dict[str, object]:
    """Send the token, then give every byte back until the other side is done; the sender judges what returns."""
    started, total = time.monotonic(), 0
    with dial(to, port, timeout_s) as stream:
        stream.sendall(token.encode() + b"\n")
        while chunk := stream.recv(CHUNK):
            stream.sendall(chunk)
            total += len(chunk)
    return {"bytes": total, "seconds": round(time.monotonic() - started, 3)}


def connect(to: str, port: int, timeout_s: float = 2.0) -> dict[str, object]:
    """Whether a TCP connection can be made at all."""
    try:
        dial(to, port, timeout_s).close()
    except OSError as error:
        return {"connected": False, "error": str(error)}
    return {"connected": True}


class Agent:
    """The loop: answers requests, echoes UDP and TCP on port 7, and pings on while it waits."""

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.buffer = b""
        self.pinger: Pinger | None = None
        self.datagrams = Socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        self.datagrams.bind(("", ECHO_PORT))
        self.listener = Socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self.listener.bind(("", ECHO_PORT))
        self.listener.listen(4)

    def say(self, **answer: object) -> None:
        line = encode(answer).encode() + b"\n"
        while line:
            line = line[os.write(self.channel, line) :]

    def watch(self, to: str, interval_s: float) -> dict[str, object]:
        self.pinger = Pinger(to, interval_s)
        return {}

    def unwatch(self, timeout_s: float = 1.0) -> dict[str, object]:
        if self.pinger is None:
            raise ValueError("nothing is watched")
        pinger, self.pinger = self.pinger, None
        with pinger.socket:
            pinger.drain(timeout_s)
        return pinger.result()

    def answer(self, line: bytes) -> None:
        request = decode(line)
        number, name = request.pop("id"), str(request.pop("request"))
        known: dict[str, Callable[..., dict[str, object]]] = {"configure": configure, "ping": ping, "udp": udp}
        known |= {"tcp": tcp, "connect": connect, "watch": self.watch, "unwatch": self.unwatch}
        try:
            self.say(id=number, **known[name](**request))
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.say(id=number, error=f"{type(error).__name__}: {error}")

    def serve(self) -> None:
        self.say(hello=1, t=round(time.clock_gettime(time.CLOCK_BOOTTIME), 3))
        while True:
            wait_s = self.pinger.tick() if self.pinger else None
            waited: list[Any] = [self.channel, self.datagrams, self.listener]
            if self.pinger:
                waited.append(self.pinger.socket)
            for ready in select.select(waited, [], [], wait_s)[0]:
                if ready is self.datagrams:
                    data, sender = self.datagrams.recvfrom(2048)
                    self.datagrams.sendto(data, sender)
                elif ready is self.listener:
                    os.close(self.listener._accept()[0])
                elif ready is self.channel:
                    self.read()
                elif self.pinger:
                    self.pinger.take()

    def read(self) -> None:
        *lines, self.buffer = (self.buffer + os.read(self.channel, CHUNK)).split(b"\n")
        for line in lines:
            self.answer(line)


def load_drivers() -> None:
    """What this machine's hardware asks for, where the kernel has its drivers as modules."""
    sys.path.append("/usr/lib/netvm")
    from init.core import native
    from init.kernel import modules

    if native.exists(modules.TABLE):
        native.mount("sysfs", "/sys", "sysfs", 0, "")
        modules.Drivers().look()


if __name__ == "__main__":
    load_drivers()
    Agent(port()).serve()
