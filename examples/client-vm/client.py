# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A client VM without an operating system: PID 1 of the router's own kernel and root, this file being its second disk.

It takes the address that its MAC encodes, asks the router for the address of a name, fetches a page from there, says so
on the console and ends.  docs/how-to/attach-clients.md starts it.  The root holds little of Python, so this uses
little: no `socket`.
"""

import _socket
import os
import sys
import time
from _struct import pack, unpack_from

NEWLINK, NEWADDR, NEWROUTE = 16, 20, 24  # rtnetlink(7)
REPLACE = 0x100 | 0x400  # NLM_F_REPLACE, NLM_F_CREATE


class Socket(_socket.socket):
    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def rtnetlink(kind: int, body: bytes, flags: int = 0) -> None:
    """One request, and the kernel's answer."""
    with Socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0) as netlink:
        netlink.send(pack("=IHHII", len(body) + 16, kind, 0x1 | 0x4 | flags, 1, 0) + body)
        error = -unpack_from("=i", netlink.recv(4096), 16)[0]
    if error:
        raise OSError(error, os.strerror(error))


def configure() -> tuple[str, str]:
    """Address, gateway: a client's are its MAC's last three octets, its router's the number below."""
    index, name = next(link for link in _socket.if_nameindex() if link[1].startswith("eth"))
    with Socket(_socket.AF_PACKET, _socket.SOCK_RAW) as probe:
        probe.bind((name, 0))
        mac = probe.getsockname()[4]
    address = bytes([100]) + mac[3:]
    router = (int.from_bytes(address, "big") - 1).to_bytes(4, "big")
    rtnetlink(NEWLINK, pack("=BxHiII", 0, 0, index, 1, 1))
    rtnetlink(NEWADDR, pack("=BBBBi", 2, 31, 0, 0, index) + attribute(1, address) + attribute(2, address), REPLACE)
    route = pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)
    rtnetlink(NEWROUTE, route + attribute(5, router) + attribute(4, pack("=i", index)), REPLACE)
    return _socket.inet_ntoa(address), _socket.inet_ntoa(router)


def resolve(name: str, router: str) -> str:
    """The first address of a name (RFC 1035), asked of the router."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + pack("!HH", 1, 1)
    with Socket(_socket.AF_INET, _socket.SOCK_DGRAM) as channel:
        channel.settimeout(2.0)
        channel.connect((router, 53))
        channel.send(pack("!6H", 1, 0x0100, 1, 0, 0, 0) + question)
        answer = channel.recv(4096)
    at = 12 + len(question)
    for _ in range(unpack_from("!H", answer, 6)[0]):
        while answer[at] and answer[at] < 0xC0:
            at += answer[at] + 1
        at += 2 if answer[at] else 1
        kind, _, _, length = unpack_from("!HHIH", answer, at)
        if kind == 1:
            return _socket.inet_ntoa(answer[at + 10 : at + 14])
        at += 10 + length
    raise OSError(f"{name} has no address")


def fetch(address: str, host: str, path: str) -> tuple[str, bytes]:
    """The status line and the body of a page."""
    with Socket(_socket.AF_INET, _socket.SOCK_STREAM) as stream:
        stream.settimeout(10.0)
        stream.connect((address, 80))
        stream.send(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        page = b""
        while data := stream.recv(65536):
            page += data
    head, _, body = page.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


def main() -> None:
    host, _, path = sys.argv[1].removeprefix("http://").partition("/")
    me, router = configure()
    for _ in range(20):  # the link may need a moment
        try:
            address = resolve(host, router)
            status, body = fetch(address, host, "/" + path)
            break
        except OSError as error:
            status, address, body = f"no answer: {error}", router, b""
            time.sleep(0.5)
    print(f"client {me} by {router}: {host} is {address}: {status}, {len(body)} bytes", flush=True)


main()
