"""A client of a router that runs: a network namespace of the VFIO test's host, joined by the socket that `run` offers.

Its TCP/IP stack is the host's kernel's.  A tap is its network card, and two threads carry the tap's frames.
"""

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

from host import default_route, interface

NAME = "net0"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # <linux/if_tun.h>
SIOCSIFHWADDR, ARPHRD_ETHER = 0x8924, 1


class Client:
    """The namespace's process, which does what it is asked.  Use it in a `with`."""

    def __init__(self, network):
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

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.channel.close()

    def ask(self, what, *arguments):
        self.channel.sendall(json.dumps([what, *arguments]).encode() + b"\n")
        return json.loads(self.answers.readline())


def serve(channel, network):
    os.unshare(os.CLONE_NEWNET)
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
    for line in channel.makefile("r"):
        what, *arguments = json.loads(line)
        try:
            said = {"ping": ping, "fetch": fetch}[what](*arguments)
        except OSError as error:
            said = {"error": str(error)}
        channel.sendall(json.dumps(said).encode() + b"\n")


def to_router(tap, link):
    """QEMU's stream netdev has each frame's length before it."""
    while True:
        frame = os.read(tap, 65536)
        link.sendall(struct.pack("!I", len(frame)) + frame)


def from_router(tap, link):
    stream = link.makefile("rb")
    while head := stream.read(4):
        os.write(tap, stream.read(struct.unpack("!I", head)[0]))


def ping(to):
    from builder.smoke import client_agent

    return client_agent.ping(to, count=3)


def fetch(host, port, path):
    """What a server upstream has there, by its hash."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    seconds = round(time.monotonic() - began, 2)
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "seconds": seconds}
