# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wires to a router: what is sent into them and what comes out, frame by frame.

The far ends are bare: their kernels answer ARP and nothing else, so every other frame is the router's or the test's.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EAGAIN, ENOBUFS
from typing import Any

from init.kernel import sysctl
from netvm_build.model import DEFAULT_POOL
from netvm_build.model.address import mac_of
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from world import Namespace

__all__ = ["ARP", "ICMP", "IP", "TCP", "UDP", "Ether", "Packet"]

UPLINK, GATEWAY, SERVER = "10.0.2.15", "10.0.2.2", "93.184.215.14"
RESOLVER, OTHER_RESOLVER = "10.0.2.3", "10.0.2.4"
UPLINK_MAC, GATEWAY_MAC = "52:54:00:12:34:56", "52:54:00:00:00:02"
LAPTOP, PRINTER = (mac_of(DEFAULT_POOL[number]) for number in (0, 2))
OUTSIDER = "0A:B3:EC:41:00:00"
PATIENCE_S = 10.0
QUIET_S = 0.03
CLONE_NEWNET, OUTGOING, ETH_P_ALL = 0x40000000, 4, 3

DEAF = (
    "table ip deaf {\n"
    + "".join(
        f"chain {hook} {{\ntype filter hook {hook} priority 0; policy drop;\n}}\n" for hook in ("input", "output")
    )
    + "}\n"
)

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """The calling thread is in a namespace; its sockets stay there, its children are born there."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/proc/{namespace.pid}/ns/net", os.O_RDONLY)
    try:
        _enter(other)
        yield
    finally:
        _enter(own)
        os.close(own)
        os.close(other)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def odd(mac: str) -> str:
    """The client's MAC of a router's."""
    return f"{mac[:-2]}{int(mac[-2:], 16) + 1:02X}"


class Wire:
    """The far end of a wire to the router: what is sent into it, and what came out of it."""

    def __init__(self, name: str, mac: str, router_mac: str, address: str, router: str, prefix: int) -> None:
        self.name, self.mac, self.router_mac = name, mac, router_mac
        self.address, self.router, self.prefix = address, router, prefix
        self.namespace = Namespace()
        self.seen: list[bytes] = []

    def open(self, deaf: bool = True) -> None:
        """Set up the end that is called w0 and listen; its kernel answers ARP and, where it is deaf, nothing else."""
        with inside(self.namespace):
            if deaf:
                subprocess.run(["nft", "-f", "-"], input=DEAF, text=True, check=True)
            sysctl.apply((("ipv6/conf/all/disable_ipv6", "1"),))
            for words in (f"addr add {self.address}/{self.prefix} dev w0", "link set w0 up"):
                subprocess.run(["ip", *words.split()], check=True)
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
        self.socket.bind(("w0", 0x0003))
        self.socket.setblocking(False)

    def frame(self, packet: Packet) -> bytes:
        """A packet in a frame from this end to the router."""
        return bytes(Ether(src=self.mac, dst=self.router_mac) / packet)

    def send(self, *packets: Packet | bytes) -> None:
        """Send packets as they are, in frames to the router; bytes are whole frames."""
        for packet in packets:
            data = packet if isinstance(packet, bytes) else self.frame(packet)
            while True:
                try:
                    self.socket.send(data)
                except OSError as error:
                    if error.errno not in (EAGAIN, ENOBUFS):  # a full queue
                        raise
                    time.sleep(0.001)
                    continue
                break

    def collect(self) -> list[bytes]:
        """Every frame that came since the wire was last cleared."""
        while True:
            try:
                data, where = self.socket.recvfrom(65536)
            except BlockingIOError:
                return self.seen
            if where[2] != OUTGOING:
                self.seen.append(data)

    def packets(self) -> list[Packet]:
        """What came, without ARP."""
        return [frame for frame in map(Ether, self.collect()) if not frame.haslayer(ARP)]

    def arp(self) -> list[Packet]:
        return [frame for frame in map(Ether, self.collect()) if frame.haslayer(ARP)]

    def wait(self, what: Callable[[Packet], Any] = lambda _: True) -> Packet:
        """The first packet that is what we wait for."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for packet in self.packets():
                if what(packet):
                    return packet
            time.sleep(0.002)
        raise AssertionError(f"{self.name}: it did not come; came: {[one.summary() for one in self.packets()]}")

    def wait_arp(self, what: Callable[[ARP], Any]) -> ARP:
        """The first ARP packet that is what we wait for."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for frame in self.arp():
                found: ARP = frame[ARP]
                if what(found):
                    return found
            time.sleep(0.002)
        raise AssertionError(f"{self.name}: it did not come; came: {[one.summary() for one in self.arp()]}")

    def warm_up(self) -> None:
        """Ask the router for its MAC until it answers: the first frames into a new link may be lost."""
        ask = Ether(src=self.mac, dst="ff:ff:ff:ff:ff:ff")
        ask /= ARP(op=1, hwsrc=self.mac, psrc=self.address, pdst=self.router)
        end = time.monotonic() + PATIENCE_S
        while not [one for one in self.arp() if one[ARP].op == 2 and one[ARP].psrc == self.router]:
            assert time.monotonic() < end, f"{self.name}: the router does not answer ARP"
            self.send(bytes(ask))
            time.sleep(0.01)

    def close(self) -> None:
        if hasattr(self, "socket"):
            self.socket.close()
        self.namespace.holder.kill()
        self.namespace.holder.wait()


def leaked(frame: bytes) -> str:
    """How a frame shows an address of the clients' space, or nothing: sender in IP or ARP, or quoted in an ICMP error.

    Every address of 100.64.0.0/10 counts: on the tests' uplink there is no other such network.
    """
    kind, data = frame[12:14], frame[14:]
    if kind == b"\x08\x06":
        return "ARP sender" if _ours(data[14:18]) else ""
    if kind != b"\x08\x00" or len(data) < 20:
        return "" if kind == b"\x08\x00" else f"not IPv4 ({kind.hex()})"
    if _ours(data[12:16]):
        return "source"
    head = (data[0] & 15) * 4
    if data[9] == 1 and data[head] in (3, 5, 11, 12):
        quoted = data[head + 8 :]
        if _dhcp_answer(quoted) and quoted[12:16] == data[16:20] and not _ours(quoted[12:16]):
            return ""  # its own words, told back to who said them: the address that it offers is not ours to know
        if _ours(quoted[12:16]) or _ours(quoted[16:20]):
            return "quoted in an ICMP error"
    return ""


def _dhcp_answer(datagram: bytes) -> bool:
    head = (datagram[0] & 15) * 4 if datagram else 0
    return datagram[9:10] == b"\x11" and datagram[head : head + 4] == b"\x00\x43\x00\x44"


def _ours(address: bytes) -> bool:
    return len(address) == 4 and address[0] == 100 and address[1] & 0xC0 == 0x40
