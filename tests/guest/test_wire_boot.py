# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The whole init on a wire: clients that send before it starts, and clients that send all they can."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from demands import require
from fuzz import checksum, octets
from wires import ARP, ICMP, IP, LAPTOP, UDP, UPLINK, Ether, inside, leaked, odd
from world import Namespace, World

pytestmark = pytest.mark.integration

STAND_IN = [sys.executable, str(Path(__file__).parents[1] / "support" / "guest" / "standin_connmand.py")]
CLIENT, ROUTER, SERVER = "100.115.92.1", "100.115.92.0", "10.0.2.2"


def listen(namespace: Namespace, name: str) -> socket.socket:
    """What comes in on an interface of a namespace, and where frames can be sent into it."""
    with inside(namespace):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    made.bind((name, 3))
    made.setblocking(False)
    return made


def collect(wire: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    while True:
        try:
            data, where = wire.recvfrom(65536)
        except BlockingIOError:
            return found
        if where[2] != 4:  # PACKET_OUTGOING
            found.append(data)


def datagram(number: int, target: str = SERVER, port: int = 9) -> bytes:
    """A frame of the client to a server upstream, or to another."""
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 69, 0, 28, 0, 0, 64, 17, 0, octets(CLIENT), octets(target)))
    head[10:12] = struct.pack("!H", checksum(bytes(head)))
    link = bytes.fromhex((LAPTOP + odd(LAPTOP)).replace(":", "")) + b"\x08\x00"
    return link + bytes(head) + struct.pack("!HHHH", 1024 + number % 50_000, port, 8, 0)


class EarlyWorld(World):
    """A world whose first client is plugged in before the router's PID 1 starts, and which sends all the while."""

    def plug(self, mac: str, other: Namespace, name: str, *addresses: str) -> str:
        inside_name = super().plug(mac, other, name, *addresses)
        if mac != LAPTOP and not hasattr(self, "early"):
            self.early = self.namespace()
            super().plug(LAPTOP, self.early, "w0", f"{CLIENT}/31")
            self.outside = listen(other, name)
            self.wire = listen(self.early, "w0")
            self.sending = True
            self.thread = threading.Thread(target=self._send)
            self.thread.start()
        return inside_name

    def _send(self) -> None:
        number = 0
        while self.sending:
            number += 1
            with suppress(OSError):  # the router's end may not be up yet
                self.wire.send(datagram(number))
            time.sleep(0.0005)

    def close(self) -> None:
        self.sending = False
        if hasattr(self, "thread"):
            self.thread.join()
        super().close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[EarlyWorld]:
    require("dbus-daemon", "nsenter")
    made = EarlyWorld(tmp_path, STAND_IN)
    yield made
    made.close()


def test_from_the_first_moment_nothing_leaves_as_a_client_s(world: EarlyWorld) -> None:
    """From before PID 1 until the lease and after: masqueraded or not at all, and not one frame of IPv6."""
    world.prepare()
    world.boot()
    world.wait_for("ready")
    world.wait_for("client")
    end = time.monotonic() + 5
    seen: list[bytes] = []
    while time.monotonic() < end and sum(data[26:30] == octets(UPLINK) for data in seen) < 50:
        seen += collect(world.outside)
        time.sleep(0.01)
    world.sending = False
    assert sum(data[26:30] == octets(UPLINK) for data in seen) >= 50
    assert [problem for data in seen if (problem := leaked(data))] == []


def test_without_a_ruleset_nothing_leaves_at_all(world: EarlyWorld) -> None:
    world.prepare(ruleset="table ip netvm { nonsense }\n")
    world.boot()
    world.wait_for("failed")
    time.sleep(0.2)
    assert collect(world.outside) == []


def pid_1(world: World) -> int:
    """The router's PID 1, as the machine of the tests knows it."""
    assert world.router is not None
    return int(Path(f"/proc/{world.router.pid}/task/{world.router.pid}/children").read_text().split()[0])


def test_the_init_leads_questions_to_another_resolver(world: EarlyWorld) -> None:
    """One socket asks all the while; as soon as the new resolver is asked, the former one never is again."""
    world.prepare()
    world.boot()
    world.wait_for("client")
    world.wait_for("uplink", state="lease", nameservers=["10.0.2.3"])
    world.sending = False
    world.thread.join()
    world.upstream.ip("addr", "add", "10.0.2.4/24", "dev", "lan0")
    asked: list[str] = []

    def ask_until(resolver: str, times: int) -> None:
        end = time.monotonic() + 5
        while asked.count(resolver) < times and time.monotonic() < end:
            world.wire.send(datagram(7, ROUTER, 53))
            time.sleep(0.002)
            found = [data for data in collect(world.outside) if data[12:14] == b"\x08\x00" and data[36:38] == b"\0\x35"]
            asked.extend(".".join(map(str, data[30:34])) for data in found)

    ask_until("10.0.2.3", 5)
    script = "printf 'nameserver 10.0.2.4\\n' > /run/connman/resolv.conf"
    subprocess.run(["nsenter", "-t", str(pid_1(world)), "-m", "sh", "-c", script], check=True)
    ask_until("10.0.2.4", 50)
    assert asked.count("10.0.2.3") >= 5
    assert asked.count("10.0.2.4") >= 50
    assert set(asked[asked.index("10.0.2.4") :]) == {"10.0.2.4"}
    assert not [event for event in world.events if event["event"] in ("log", "degraded")]


def processor_ticks(pid: int) -> int:
    """What a process has used of the processor: proc(5), utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_client_s_flood_does_not_reach_pid_1(world: EarlyWorld) -> None:
    """DHCP, ARP, pings and fragments by the ten thousand: PID 1 hears nothing of it, and answers its host as ever."""
    world.prepare()
    world.boot()
    world.wait_for("ready")
    world.wait_for("client")
    world.wait_for("uplink", state="lease", nameservers=["10.0.2.3"])
    world.sending = False
    world.thread.join()
    mac, everyone = odd(LAPTOP), "ff:ff:ff:ff:ff:ff"
    frames = [
        Ether(src=mac, dst=everyone) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / bytes(240),  # noqa: S104
        Ether(src=mac, dst=everyone) / ARP(op=1, hwsrc=mac, psrc=CLIENT, pdst=ROUTER),
        Ether(src=mac, dst=LAPTOP) / ARP(op=2, hwsrc=mac, psrc=CLIENT, pdst=ROUTER),
        Ether(src=mac, dst=LAPTOP) / IP(src=CLIENT, dst=ROUTER) / ICMP(id=1),
        Ether(src=mac, dst=LAPTOP) / IP(src=CLIENT, dst=ROUTER) / UDP(sport=53, dport=68) / bytes(240),
        Ether(src=mac, dst=LAPTOP) / IP(src=CLIENT, dst=SERVER, flags="MF", proto=17) / bytes(64),
    ]
    packed = [bytes(frame) for frame in frames]
    pid = pid_1(world)
    world.request("ping")
    ticks, events, before = processor_ticks(pid), len(world.events), world.counters()
    for _ in range(3000):
        for data in packed:
            while True:
                try:
                    world.wire.send(data)
                except BlockingIOError:
                    time.sleep(0.001)
                    continue
                break
    time.sleep(0.1)
    assert processor_ticks(pid) - ticks <= 3
    assert world.events[events:] == []
    assert "error" not in world.request("ping")
    after = world.counters()
    moved = {name for name, count in after.items() if count - before[name] > 1000}
    assert {"client_dhcp", "arp_too_fast", "too_fast", "too_many_fragments"} <= moved
