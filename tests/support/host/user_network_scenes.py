# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a client reaches by the user network of a host, inside a namespace that is one.

    user_network_scenes.py IMAGE QEMU OUTSIDE HOST

A real router is booted once for each backend, and once by QEMU's own without being told to close the loopback.  Its
client is this program, on the client's socket.  OUTSIDE is an address beside HOST, which answers TCP and UDP on port
8080.  Prints a JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from netvm_build import guest
from netvm_build.guest.client import EventClient
from netvm_build.image import manifest
from netvm_build.util import process
from netvm_build.vm import registry, user_network
from netvm_build.vm.engine import RunOptions, detached, stop
from netvm_build.vm.uplink import parse
from netvm_build.vmm import qemu
from scapy.config import conf
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

conf.verb = 0
PORT = 8080
HOST_ADDRESS, RESOLVER = "10.0.2.2", "10.0.2.3"
REFUSED = ["127.0.0.1"]  # by the router itself, without an answer
SENT = 4  # a first packet may be lost while ARP is asked
WAIT_S = 5.0


class Service:
    """TCP and UDP on an address of this host; what arrived is counted, and UDP is answered."""

    def __init__(self, address: str, port: int = PORT) -> None:
        self.connections = self.datagrams = 0
        self._tcp = socket.create_server((address, port))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((address, port))
        for work in (self._accept, self._answer):
            threading.Thread(target=work, daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._tcp.accept()[0].close()
            self.connections += 1

    def _answer(self) -> None:
        while True:
            data, sender = self._udp.recvfrom(2048)
            self.datagrams += 1
            self._udp.sendto(data[:2] + b"\x81\x80" + data[4:], sender)  # a DNS answer without an answer

    @property
    def arrived(self) -> dict[str, int]:
        return {"tcp": self.connections, "udp": self.datagrams}


class Client:
    """A client's side of its socket."""

    def __init__(self, network: registry.ClientNetwork) -> None:
        self.network = network
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.connect(network.socket)
        self._port = 20000

    def send(self, layers: Packet) -> None:
        frame = bytes(Ether(src=self.network.client_mac, dst=self._router_mac()) / layers)
        self._wire.sendall(len(frame).to_bytes(4, "big") + frame)

    def _router_mac(self) -> str:
        return self.network.client_mac[:-2] + f"{int(self.network.client_mac[-2:], 16) - 1:02x}"

    def _frames(self, until: float) -> Any:
        while (left := until - time.monotonic()) > 0:
            self._wire.settimeout(left)
            try:
                length = int.from_bytes(self._wire.recv(4, socket.MSG_WAITALL), "big")
                frame = Ether(self._wire.recv(length, socket.MSG_WAITALL))
            except TimeoutError:
                return
            if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == self.network.client:
                answer = ARP(op=2, hwsrc=self.network.client_mac, psrc=self.network.client, hwdst=frame.src,
                             pdst=frame[ARP].psrc)  # fmt: skip
                self.send(answer)
                continue
            yield frame

    def ask(self, target: str, layers: Packet, is_answer: Callable[[Packet], bool]) -> str:
        """What the first answer of several tries is; empty without one, which is expected of what is refused here."""
        tries, patience_s = (SENT, WAIT_S) if target not in REFUSED else (1, 2.0)
        for _ in range(tries):
            self.send(IP(src=self.network.client, dst=target) / layers)
            for frame in self._frames(time.monotonic() + patience_s):
                if IP in frame and is_answer(frame):
                    return str(frame[TCP].flags) if TCP in frame else "unreachable" if ICMP in frame else "answer"
        return ""

    def tcp(self, target: str, port: int = PORT) -> str:
        """The flags of the answer to a SYN."""
        self._port += 1
        port_here = self._port
        return self.ask(
            target,
            TCP(sport=port_here, dport=port, flags="S", seq=1),
            lambda frame: (TCP in frame and frame[TCP].dport == port_here) or ICMP in frame,
        )

    def udp(self, target: str, port: int = PORT, payload: bytes = b"hello") -> str:
        self._port += 1
        port_here = self._port
        return self.ask(
            target,
            UDP(sport=port_here, dport=port) / payload,
            lambda frame: (UDP in frame and frame[UDP].dport == port_here) or ICMP in frame,
        )

    def name(self, server: str = "") -> str:
        """Whether a question to the router, or to another server, about a name is answered."""
        return self.udp(server or self.network.router, 53, bytes(DNS(rd=1, qd=DNSQR(qname="netvm.example"))))


def ready(record: registry.VmState) -> None:
    with EventClient(Path(record.events)) as talk:
        for told in talk.follow(time.monotonic() + 180):
            if isinstance(told.event, guest.Ready):
                return
    raise AssertionError("the router wasn't ready")


def reached(client: Client, outside: str, own: str) -> dict[str, Any]:
    return {
        "loopback": {"tcp": client.tcp(HOST_ADDRESS), "udp": client.udp(HOST_ADDRESS)},
        "by the resolver's": {"tcp": client.tcp(RESOLVER), "udp": client.udp(RESOLVER)},
        "by its address": {"tcp": client.tcp("127.0.0.1"), "udp": client.udp("127.0.0.1")},
        "outside": {"tcp": client.tcp(outside), "udp": client.udp(outside)},
        "host": {"tcp": client.tcp(own)},
        "name": client.name(),
        "name by the resolver's address": client.name(RESOLVER),
    }


def main(folder: str, program: str, outside: str, own: str) -> None:
    image = manifest.load(Path(folder))
    qemu_program = qemu.identify(Path(program))
    service, resolver = Service("127.0.0.1"), Service("127.0.0.53", 53)
    beside = Service("127.0.0.53")
    found: dict[str, Any] = {}
    usual = user_network.closed
    for scene, where in (("untold", "slirp"), ("slirp", "slirp"), ("user", "user")):
        before, asked = service.arrived, resolver.datagrams
        user_network.closed = usual if scene != "untold" else lambda *_, **__: ()
        REFUSED[1:] = [HOST_ADDRESS] if scene == "slirp" else []
        backend = user_network.choose(where, image)
        record = detached(image, qemu_program, RunOptions(accel="tcg", uplink=parse(where), backend=backend))
        try:
            ready(record)
            client = Client(record.clients[0])
            record = registry.find(record.name)
            entry = found[scene] = {"backend": record.backend, "reason": record.backend_reason}
            entry["told of the loopback"] = record.loopback
            entry |= reached(client, outside, own)
            entry["asked the host's resolver"] = resolver.datagrams > asked
            if record.helpers:
                entry |= replaced(record, client, outside)
                entry["asked the next resolver"] = followed(client)
            entry["arrived beside the resolver"] = beside.arrived
            entry["dropped"] = dropped(record)
            entry["arrived"] = {name: count - before[name] for name, count in service.arrived.items()}
        finally:
            stop(record)
        entry["left"] = [one.pid for one in record.helpers if not process.has_ended(one.pid, one.started, 5.0)]
    found["killed keeper"] = killed(image, qemu_program)
    print(json.dumps(found))


def dropped(record: registry.VmState) -> int:
    """The packets that the router refused because they were for this host's loopback."""
    with EventClient(Path(record.events)) as talk:
        counters = talk.ask("counters")
    return int(next(one["packets"] for one in counters["drops"] if one["name"] == "to_host"))


def killed(image: manifest.Image, program: qemu.Qemu) -> dict[str, Any]:
    """What is left when the keeper of a router is killed, before any other command cleans up."""
    options = RunOptions(accel="tcg", backend=user_network.choose("user", image))
    record = detached(image, program, options)
    os.kill(record.pid, signal.SIGKILL)
    left = [one.pid for one in record.helpers if not process.has_ended(one.pid, one.started, 10.0)]
    registry.running()
    return {"passts": len(record.helpers), "left": left}


def replaced(record: registry.VmState, client: Client, outside: str) -> dict[str, Any]:
    """passt is killed: whether another takes its place, and clients get out again."""
    (before,) = record.helpers
    process.kill(before.pid, before.started, 5.0)
    until = time.monotonic() + 60
    after = record.helpers
    while after == record.helpers and time.monotonic() < until:
        time.sleep(0.1)
        after = registry.find(record.name).helpers
    said = []
    with EventClient(Path(record.events)) as talk:
        for told in talk.follow(time.monotonic() + 5):
            if isinstance(told.event, guest.Log) and told.event.source == "host":
                said.append(told.event.text)
                break
    return {"another": after != record.helpers, "said": said, "outside again": client.udp(outside)}


def followed(client: Client) -> bool:
    """Whether questions go to this host's next resolver soon."""
    other = Service("127.0.0.54", 53)
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.54\n")
    until = time.monotonic() + 60
    while not other.datagrams and time.monotonic() < until:
        client.name()
        time.sleep(0.5)
    return other.datagrams > 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        main(*sys.argv[1:])
