# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Two uplinks with the image's own ConnMan: which way clients go, and what becomes of them when a cable is pulled.

Each uplink leads to a network of its own, with DHCP, a resolver and a server that tells who asks.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from netvm_build.model import Clients, Forward, NamedClient, Router, Uplink
from netvm_build.model.address import Pair
from test_namespaces import TOOLS
from wires import inside
from world import Namespace, World

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

CABLE = Uplink(name="cable", mac="52:54:00:12:34:56", hostname="branch.example")
BACKUP = Uplink(name="backup", mac="52:54:00:12:34:57")
LAPTOP = NamedClient("laptop", Pair(IPv4Address("100.115.92.0")))
TWO = Router(
    uplinks=(CABLE, BACKUP), clients=Clients(named=(LAPTOP,), forwards=(Forward(4000, "laptop", 4007, "udp"),))
)
WORLD = "192.0.2.1"  # on both sides, as the internet is
FAR = """
import socket, sys, threading, time
net, side, log = sys.argv[1:]
def udp(address, port, answer):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((address, port))
    while True:
        data, peer = s.recvfrom(2000)
        with open(log, "a") as file: print(port, peer[0], data.decode(errors="replace"), file=file)
        s.sendto(answer(data, peer), peer)
def stream(address, port):
    s = socket.create_server((address, port))
    while True:
        c, peer = s.accept(); threading.Thread(target=echo, args=(c,)).start()
def echo(c):
    while data := c.recv(2000): c.sendall(side.encode() + b" " + data)
who = lambda data, peer: f"{side} {peer[0]}".encode()
for target, arguments in ((udp, ("192.0.2.1", 7, who)), (udp, (f"10.0.{net}.3", 53, who)),
                          (stream, ("192.0.2.1", 7))):
    threading.Thread(target=target, args=arguments).start()
"""


SHORT_DHCP = """
import sys
from scapy.all import BOOTP, DHCP, IP, UDP, Ether, conf, sendp, sniff
net = f"10.0.{sys.argv[1]}"
def answer(packet):
    asked = dict(one[:2] for one in packet[DHCP].options if isinstance(one, tuple))["message-type"]
    kind = {1: "offer", 3: "ack"}.get(asked)
    if kind is None: return
    boot = packet[BOOTP]
    options = [("message-type", kind), ("server_id", net + ".2"), ("lease_time", 10), ("subnet_mask", "255.255.255.0"),
               ("router", net + ".2"), ("name_server", net + ".3"), "end"]
    reply = BOOTP(op=2, xid=boot.xid, yiaddr=net + ".15", siaddr=net + ".2", chaddr=boot.chaddr, flags=boot.flags)
    frame = Ether(dst=packet[Ether].src) / IP(src=net + ".2", dst=net + ".15") / UDP(sport=67, dport=68) / reply
    sendp(frame / DHCP(options=options), iface="lan0", verbose=False)
sniff(iface="lan0", lfilter=lambda packet: DHCP in packet and packet[BOOTP].op == 1, prn=answer, store=False)
"""


class Side:
    """What is behind an uplink's cable: 10.0.<number>.0/24."""

    def __init__(self, world: World, uplink: Uplink, number: int) -> None:
        self.world, self.number, self.name, self.mac = world, number, uplink.name, str(uplink.mac)
        self.log = world.folder / f"{self.name}.log"
        self.namespace = world.upstream if number == 2 else world.namespace()
        self.dhcp: subprocess.Popen[bytes] | None = None

    def wire(self) -> None:
        """The addresses of this side, and its servers; the cable is in."""
        if self.number != 2:
            net = f"10.0.{self.number}"
            self.world.plug(self.mac, self.namespace, "lan0", f"{net}.2/24", f"{net}.3/24")
        self.namespace.ip("addr", "add", f"{WORLD}/32", "dev", "lan0")
        argv = [sys.executable, "-c", FAR, str(self.number), self.name, str(self.log)]
        self.world.processes.append(self.namespace.spawn(*argv))

    def serve_dhcp(self, lease: str = "2m") -> None:
        net = f"10.0.{self.number}"
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--no-ping"]
        argv += [f"--dhcp-leasefile={self.world.folder}/{self.name}.leases", "--interface=lan0", "--bind-interfaces"]
        argv += [f"--dhcp-range={net}.15,{net}.15,{lease}", "--dhcp-authoritative"]
        argv += [f"--dhcp-option=option:router,{net}.2", f"--dhcp-option=option:dns-server,{net}.3"]
        argv += [
            f"--pid-file={self.world.folder}/{self.name}.pid",
            f"--log-facility={self.world.folder}/{self.name}.dhcp",
        ]
        self.dhcp = self.namespace.spawn(*argv, "--log-dhcp")
        self.world.processes.append(self.dhcp)

    def serve_short_dhcp(self) -> None:
        """DHCP with a lease of ten seconds, the shortest that ConnMan takes, and shorter than dnsmasq can."""
        argv = [sys.executable, "-c", SHORT_DHCP, str(self.number)]
        self.dhcp = self.namespace.spawn(*argv)
        self.world.processes.append(self.dhcp)

    def cable(self, state: str) -> None:
        self.namespace.ip("link", "set", "lan0", state)

    @property
    def asked(self) -> list[str]:
        """The questions that this side's resolver got."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith("53 ")]


class Two:
    """The router with its two sides and a client."""

    def __init__(self, folder: Path, connmand: list[str], spec: Router = TWO, *, dhcp: tuple[str, ...] = ()) -> None:
        self.world = World(folder, connmand)
        self.cable, self.backup = (Side(self.world, one, n) for one, n in zip(spec.uplinks, (2, 3), strict=True))
        self.world.serve_upstream = lambda: None  # type: ignore[method-assign]  # each side serves itself
        self.world.prepare(spec)
        self.world.boot()
        for side in (self.cable, self.backup):
            side.wire()
            if side.name in dhcp:
                side.serve_dhcp()

    def client(self) -> Namespace:
        made = self.world.client(0)
        self.world.wait_for("client")
        return made

    def goes_by(self, name: str, after: int, seconds: float = 15) -> None:
        """Wait until clients go out by an uplink."""
        self.world.wait(lambda event: event["event"] == "route" and event.get("name") == name, seconds, after)


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        need(tool)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, connmand: list[str]) -> Iterator[Two]:
    """Both uplinks have a lease, and the backup had it first."""
    made = Two(tmp_path_factory.mktemp("two"), connmand, dhcp=("backup",))
    try:
        made.goes_by("backup", 0)
        made.cable.serve_dhcp()
        made.goes_by("cable", 0)
        yield made
    finally:
        made.world.close()


@pytest.fixture(scope="module")
def laptop(two: Two) -> Namespace:
    return two.client()


def test_the_first_of_the_spec_is_preferred_whichever_came_first(two: Two, laptop: Namespace) -> None:
    events = [event for event in two.world.events if event["event"] in ("route", "uplink")]
    assert next(event["name"] for event in events if event.get("state") == "lease") == "backup"
    assert [event["name"] for event in events if event["event"] == "route"][-1] == "cable"
    assert not [event for event in events if event.get("state") == "lost"]  # the change of order is no loss
    assert laptop.ask("udp", WORLD, 7) == "cable 10.0.2.15"
    assert laptop.ask("udp", "100.115.92.0", 53) == "cable 10.0.2.15"
    status = {one["name"]: one for one in two.world.request("status")["uplinks"]}
    assert (status["cable"]["active"], status["backup"]["active"]) == (True, False)
    assert (status["cable"]["nameservers"], status["backup"]["nameservers"]) == (["10.0.2.3"], ["10.0.3.3"])


def test_dhcp_servers_are_told_the_host_name(two: Two) -> None:
    for side in (two.cable, two.backup):  # that of the one uplink which names any
        log = two.world.folder / f"{side.name}.dhcp"
        assert "client provides name: branch.example" in log.read_text()


def test_a_pulled_cable_costs_no_more_than_open_connections(two: Two, laptop: Namespace) -> None:
    """By the other uplink new ones work at once, and old ones learn that they are dead; no question goes astray."""
    with inside(laptop):
        old = socket.create_connection((WORLD, 7), timeout=5)
        flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.connect((WORLD, 7))
    flow.settimeout(2)
    old.sendall(b"1")
    assert old.recv(100) == b"cable 1"
    flow.send(b"x")
    assert flow.recv(100) == b"cable 10.0.2.15"
    after, asked, begun = len(two.world.events), len(two.cable.asked), time.monotonic()
    two.cable.cable("down")
    two.goes_by("backup", after)
    told = time.monotonic() - begun
    assert laptop.ask("udp", WORLD, 7) == "backup 10.0.3.15"
    assert laptop.ask("tcp", WORLD, 7) != "ConnectionRefusedError"
    flow.send(b"y")  # the same socket: its connection was forgotten, and it is a new one now
    assert flow.recv(100) == b"backup 10.0.3.15"
    answered = [laptop.ask("udp", "100.115.92.0", 53) for _ in range(5)]
    assert answered == ["backup 10.0.3.15"] * 5
    assert len(two.cable.asked) == asked
    old.sendall(b"2")
    with pytest.raises(ConnectionResetError):
        old.settimeout(10)
        while old.recv(100):
            pass
    lost = two.world.wait_for("uplink", after, state="lost")
    assert lost["name"] == "cable"
    print(f"away in {told:.2f} s")
    after, begun = len(two.world.events), time.monotonic()
    two.cable.cable("up")
    two.goes_by("cable", after)
    print(f"back in {time.monotonic() - begun:.2f} s")
    two.world.wait_for("uplink", after, state="lease", name="cable", nameservers=["10.0.2.3"])
    assert laptop.ask("udp", WORLD, 7) == "cable 10.0.2.15"
    asked = len(two.backup.asked)
    assert [laptop.ask("udp", "100.115.92.0", 53) for _ in range(5)] == ["cable 10.0.2.15"] * 5
    assert len(two.backup.asked) == asked
    flow.send(b"z")
    assert flow.recv(100) == b"cable 10.0.2.15"
    counters = two.world.counters()
    assert counters["unmasqueraded"] == 0


def reaches_itself(laptop: Namespace, address: str) -> bool:
    """Whether the laptop gets to its forwarded port by an address, and its own answer back."""
    with inside(laptop):
        server, asking = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with server, asking:
        server.bind(("", 4007))
        server.settimeout(1)
        asking.connect((address, 4000))
        asking.settimeout(1)
        asking.send(b"who?")
        try:
            question, peer = server.recvfrom(100)
            server.sendto(peer[0].encode() + b" " + question, peer)
            return asking.recv(100) == b"100.115.92.0 who?"
        except TimeoutError:
            return False


def test_clients_reach_forwarded_ports_by_the_address_of_the_uplink_in_use(two: Two, laptop: Namespace) -> None:
    ways = ("10.0.2.15", "10.0.3.15")
    assert [reaches_itself(laptop, way) for way in ways] == [True, False]
    for state, name, reached in (("down", "backup", [False, True]), ("up", "cable", [True, False])):
        after = len(two.world.events)
        two.cable.cable(state)
        two.goes_by(name, after)
        end = time.monotonic() + 10
        assert two.world.inside is not None
        while ways[reached.index(True)] not in two.world.inside.run(
            "nft", "list", "set", "ip", "netvm", "uplink_addresses"
        ):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert [reaches_itself(laptop, way) for way in ways] == reached


def test_a_pulled_backup_is_no_matter(two: Two, laptop: Namespace) -> None:
    with inside(laptop):
        old = socket.create_connection((WORLD, 7), timeout=5)
    after = len(two.world.events)
    two.backup.cable("down")
    two.world.wait_for("uplink", after, state="lost", name="backup")
    old.sendall(b"1")
    assert old.recv(100) == b"cable 1"
    two.backup.cable("up")
    two.world.wait_for("uplink", after, state="lease", name="backup")
    time.sleep(0.5)
    old.sendall(b"2")
    assert old.recv(100) == b"cable 2"
    assert not [event for event in two.world.events[after:] if event["event"] == "route"]
    status = {one["name"]: one for one in two.world.request("status")["uplinks"]}
    assert (status["backup"]["address"], status["backup"]["gateway"]) == ("10.0.3.15/24", "10.0.3.2")


def test_a_restarted_connman_is_told_the_order_again(two: Two, laptop: Namespace) -> None:
    after = len(two.world.events)
    two.world.request("kill", service="connmand")
    two.world.wait_for("service", after, name="connmand", state="started")
    end = time.monotonic() + 20
    while True:
        with suppress(subprocess.CalledProcessError):
            if laptop.ask("udp", "100.115.92.0", 53) == laptop.ask("udp", WORLD, 7) == "cable 10.0.2.15":
                break
        assert time.monotonic() < end, two.world.events[after:]
        time.sleep(0.2)


@pytest.mark.lasts(95)
def test_an_uplink_without_dhcp_says_so_and_leads_nobody_astray(tmp_path: Path, connmand: list[str]) -> None:
    """ConnMan's own error, once it has asked for half a minute; the other uplink carries on as the only one."""
    two = Two(tmp_path, connmand, dhcp=("backup",))
    try:
        two.goes_by("backup", 0)
        client = two.client()
        said = two.world.wait(lambda event: event["event"] == "uplink-error", 60)
        assert (said["name"], said["error"]) == ("cable", "dhcp-failed")
        status = {one["name"]: one for one in two.world.request("status")["uplinks"]}
        assert (status["cable"]["error"], status["cable"]["address"]) == ("dhcp-failed", None)
        assert two.world.inside is not None
        assert "169.254" not in two.world.inside.ip("addr")
        assert client.ask("udp", WORLD, 7) == "backup 10.0.3.15"
        assert client.ask("udp", "100.115.92.0", 53) == "backup 10.0.3.15"
        two.cable.serve_dhcp()
        two.goes_by("cable", 0, 100)  # a minute later it asks again
        assert client.ask("udp", WORLD, 7) == "cable 10.0.2.15"
        assert {one["name"]: one for one in two.world.request("status")["uplinks"]}["cable"]["error"] is None
    finally:
        two.world.close()


@pytest.mark.lasts(25)
def test_a_lease_that_runs_out_is_a_way_lost(tmp_path: Path, connmand: list[str]) -> None:
    """The cable stays in, and its DHCP server goes away."""
    two = Two(tmp_path, connmand, dhcp=("backup",))
    try:
        two.cable.serve_short_dhcp()
        two.goes_by("cable", 0, 30)
        client, after = two.client(), len(two.world.events)
        time.sleep(6)  # renewed meanwhile
        assert client.ask("udp", WORLD, 7) == "cable 10.0.2.15"
        assert two.cable.dhcp is not None
        two.cable.dhcp.kill()
        two.goes_by("backup", after, 30)
        assert client.ask("udp", WORLD, 7) == "backup 10.0.3.15"
        assert client.ask("udp", "100.115.92.0", 53) == "backup 10.0.3.15"
        two.cable.serve_short_dhcp()
        two.goes_by("cable", len(two.world.events), 60)
        assert client.ask("udp", WORLD, 7) == "cable 10.0.2.15"
    finally:
        two.world.close()


def test_a_card_that_is_not_there_is_told(tmp_path: Path) -> None:
    world = World(
        tmp_path, [sys.executable, str(Path(__file__).parents[1] / "support" / "guest" / "standin_connmand.py")]
    )
    try:
        world.prepare(TWO)
        world.boot()
        world.wait_for("ready")
        found, missing = world.request("status")["uplinks"]
        assert (found["name"], found["active"]) == ("cable", True)
        assert (missing["interface"], missing["name"], missing["mac"]) == (None, "backup", BACKUP.mac)
    finally:
        world.close()
