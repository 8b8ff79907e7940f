# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A client of a router that runs: a network namespace of the VFIO test's host, joined by the socket that `run` offers.

Its TCP/IP stack is the host's kernel's.  A tap is its network card, and two threads carry the tap's frames.
"""

import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from host import LIBC, default_route, interface

NAME = "net0"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # <linux/if_tun.h>
CLONE_NEWNET = 0x40000000  # <linux/sched.h>
SIOCSIFHWADDR, ARPHRD_ETHER = 0x8924, 1


class Client:
    """The namespace's process, which does what it is asked.  Use it in a `with`."""

    def __init__(self, network: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            try:
                serve(theirs, network)
            finally:
                os._exit(1)
        theirs.close()
        self.channel, self.answers = ours, ours.makefile("r")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.channel.close()

    def ask(self, what: str, *arguments: Any) -> Any:
        self.channel.sendall(json.dumps([what, *arguments]).encode() + b"\n")
        return json.loads(self.answers.readline())


def serve(channel: socket.socket, network: dict[str, str]) -> None:
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), IFF_TAP | IFF_NO_PI))
    mac = bytes.fromhex(network["client_mac"].replace(":", ""))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFHWADDR, struct.pack("=16sH6s16x", NAME.encode(), ARPHRD_ETHER, mac))
    interface(NAME, network["client"], "255.255.255.254")
    default_route(network["router"])
    link = socket.socket(socket.AF_UNIX)
    link.connect(network["socket"])
    for carry in (to_router, from_router):
        threading.Thread(target=carry, args=(tap, link), daemon=True).start()
    calls: dict[str, Callable[..., Any]] = {"ping": ping, "fetch": fetch}
    for line in channel.makefile("r"):
        what, *arguments = json.loads(line)
        try:
            said: Any = calls[what](*arguments)
        except OSError as error:
            said = {"error": str(error)}
        channel.sendall(json.dumps(said).encode() + b"\n")


def to_router(tap: int, link: socket.socket) -> None:
    """QEMU's stream netdev has each frame's length before it."""
    while True:
        frame = os.read(tap, 65536)
        link.sendall(struct.pack("!I", len(frame)) + frame)


def from_router(tap: int, link: socket.socket) -> None:
    stream = link.makefile("rb")
    while head := stream.read(4):
        os.write(tap, stream.read(struct.unpack("!I", head)[0]))


def ping(to: str) -> Any:
    from netvm_build.smoke import client_agent

    return client_agent.ping(to, count=3)


def fetch(host: str, port: int, path: str) -> dict[str, Any]:
    """What a server upstream has there, by its hash."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    seconds = round(time.monotonic() - began, 2)
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "seconds": seconds}
