# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router and its surroundings in network namespaces: upstream, clients, and the router as PID 1 of its own.

Each namespace lives as long as a process of the test; ending those leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from netvm_build.build.render import render, write
from netvm_build.kconfig import KernelConfig
from netvm_build.model import Router

HERE = Path(__file__).parent
UPSTREAM, RESOLVER = "10.0.2.2", "10.0.2.3"

SERVER = """
import socket, threading
def udp(address, port, answer):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((address, port))
    while True:
        data, peer = s.recvfrom(2000); s.sendto(answer(data, peer), peer)
def tcp(address, port):
    s = socket.create_server((address, port))
    while True:
        c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
who = lambda data, peer: peer[0].encode()
resolve = lambda data, peer: b"resolved " + data
for target, arguments in ((udp, ("10.0.2.2", 7, who)), (udp, ("10.0.2.3", 53, resolve)), (tcp, ("10.0.2.2", 7))):
    threading.Thread(target=target, args=arguments).start()
"""

ASK = """
import socket, sys
kind, address, port, source = sys.argv[1:5]
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(1.5)
if source: s.bind((source, 0))
try:
    s.connect((address, int(port))); kind == "udp" and s.send(b"hello"); print(s.recv(100).decode())
except OSError as error:
    print(type(error).__name__)
"""


class Namespace:
    """A network namespace, held by a process."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.pid = self.holder.pid
        while self.identity(self.pid) == self.identity("self"):
            time.sleep(0.005)
        self.ip("link", "set", "lo", "up")

    @staticmethod
    def identity(pid: int | str) -> Path:
        """What tells a process's network namespace from others."""
        return Path(f"/proc/{pid}/ns/net").readlink()

    def run(self, *argv: str) -> str:
        """The output of a program that is run in here."""
        command = ["nsenter", "-t", str(self.pid), "-n", *argv]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def ip(self, *words: str) -> str:
        """The output of ip(8) in here."""
        return self.run("ip", *words)

    def spawn(self, *argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """A program that goes on in here."""
        return subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", *argv], stdin=stdin, stderr=subprocess.DEVNULL)

    def ask(self, kind: str, address: str, port: int, source: str = "") -> str:
        """What a server answers to a client in here, or the name of the error."""
        return self.run(sys.executable, "-c", ASK, kind, address, str(port), source).strip()

    def pings(self, address: str) -> bool:
        """Whether one echo request of several is answered.

        The first frame into a link that has just come up may be lost (the kernel takes its queue up a little later,
        linkwatch), and ARP asks again only after a second.
        """
        return self._ping("-c1", "-w10", address)

    def pings_in_vain(self, address: str) -> bool:
        """Whether two echo requests are not answered."""
        return not self._ping("-c2", "-i0.5", "-W1", address)

    def _ping(self, *words: str) -> bool:
        command = ["nsenter", "-t", str(self.pid), "-n", "ping", "-q", *words]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


class World:
    """Upstream, any number of clients, and one router."""

    def __init__(self, folder: Path, connmand: list[str]) -> None:
        self.folder = folder
        self.connmand = connmand
        self.bus: list[str] = []
        self.dbus_daemon: list[str] = []  # this machine's, unless another is given
        self.without: dict[str, list[str]] = {}  # by service, system calls that it may not make here
        self.record = ""  # where to record the services' system calls, in place of holding them to their tables
        self.processes: list[subprocess.Popen[bytes]] = []
        self.upstream = self.namespace()
        self.events: list[dict[str, Any]] = []
        self.console = ""
        self.router: subprocess.Popen[bytes] | None = None
        self.inside: Namespace | None = None
        self._veths = 0
        self._clients: set[int] = set()

    def namespace(self) -> Namespace:
        """A new namespace that ends with the world."""
        made = Namespace()
        self.processes.append(made.holder)
        return made

    def prepare(self, router: Router = Router(), *, ruleset: str | None = None) -> None:  # noqa: B008  (frozen)
        """Write the router's /etc as the builder renders it, or with another ruleset."""
        self.spec = router
        write(render(router, KernelConfig("6.12", (), (), {}, ())), self.folder / "tree")
        self.etc = self.folder / "tree/rootfs/etc"
        if ruleset is not None:
            (self.etc / "netvm/ruleset.nft").write_text(ruleset)

    def serve_upstream(self) -> None:
        """Servers upstream, and DHCP for a real ConnMan."""
        self.processes.append(self.upstream.spawn(sys.executable, "-c", SERVER))
        if self.connmand[0] != sys.executable and self.spec.uplink.dhcp:
            leases = self.folder / "leases"
            argv = [
                "dnsmasq",
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--port=0",
                f"--dhcp-leasefile={leases}",
            ]
            argv += [
                "--interface=lan0",
                "--bind-interfaces",
                "--dhcp-range=10.0.2.15,10.0.2.15,1h",
                "--dhcp-authoritative",
            ]
            argv += ["--dhcp-option=option:router,10.0.2.2", "--dhcp-option=option:dns-server,10.0.2.3", "--no-ping"]
            self.processes.append(self.upstream.spawn(*argv, "--user=root", f"--pid-file={self.folder}/dnsmasq.pid"))

    def boot(self, *, crash: bool = False) -> None:
        """Start the router with one uplink."""
        self.inside = Namespace()
        self.processes.append(self.inside.holder)
        self.plug("52:54:00:12:34:56", self.upstream, "lan0", UPSTREAM + "/24", RESOLVER + "/24")
        if not any("SERVER" in str(one.args) for one in self.processes):
            self.serve_upstream()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        settings = {"etc": str(self.etc), "connmand": self.connmand, "bus": self.bus, "port": theirs.fileno()}
        settings |= {"crash": crash, "record": self.record, "without": self.without, "dbus_daemon": self.dbus_daemon}
        (self.folder / "settings.json").write_text(json.dumps(settings))
        enter = ["nsenter", "-t", str(self.inside.pid), "-n"]
        enter += ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
        launch = [sys.executable, "-ISB", str(HERE / "launcher.py"), str(self.folder / "settings.json")]
        self.router = subprocess.Popen(
            [*enter, *launch], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        self.port = ours
        assert self.router.stdout is not None
        threading.Thread(target=self._read_events, args=(ours.makefile(),), daemon=True).start()
        threading.Thread(target=self._read_console, args=(self.router.stdout,), daemon=True).start()

    def _read_events(self, stream: IO[str]) -> None:
        for line in stream:
            self.events.append(json.loads(line))

    def _read_console(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.console += line.decode(errors="replace")

    def plug(self, mac: str, other: Namespace, name: str, *addresses: str) -> str:
        """Plug a veth of this MAC into the router, its other end into `other`.  Returns its name inside."""
        assert self.inside is not None
        self._veths += 1
        inside = f"eth{self._veths}"
        self.inside.ip(
            "link", "add", inside, "address", mac, "type", "veth", "peer", "name", name, "netns", str(other.pid)
        )
        for address in addresses:
            other.ip("addr", "add", address, "dev", name)
        other.ip("link", "set", name, "up")
        return inside

    def client(self, number: int, mac: str | None = None) -> Namespace:
        """A client whose router is 100.115.92.<number>, which no client of this world had before."""
        assert number not in self._clients, f"another test has had client {number:#x} of this router"
        self._clients.add(number)
        made = self.namespace()
        self.plug(mac or f"0A:B3:EC:73:5C:{number:02X}", made, "eth0", f"100.115.92.{number + 1}/31")
        made.ip("route", "add", "default", "via", f"100.115.92.{number}")
        return made

    def wait(self, what: Callable[[dict[str, Any]], bool], seconds: float = 15, after: int = 0) -> dict[str, Any]:
        """The first event, after so many, that is what we wait for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for event in self.events[after:]:
                if what(event):
                    return event
            time.sleep(0.01)
        raise AssertionError(f"it did not come; events: {json.dumps(self.events, indent=0)}\nconsole: {self.console}")

    def wait_for(self, event_name: str, /, after: int = 0, **fields: Any) -> dict[str, Any]:
        """The first event, after so many, of that name and with these fields."""
        return self.wait(lambda event: event["event"] == event_name and fields.items() <= event.items(), after=after)

    def request(self, name: str, **fields: Any) -> dict[str, Any]:
        """The reply to a request."""
        number, after = time.monotonic_ns(), len(self.events)
        self.port.sendall(json.dumps({"v": 1, "id": number, "request": name, **fields}).encode() + b"\n")
        return self.wait_for("reply", after, id=number)

    def ends(self, seconds: float = 10) -> int:
        """What the router's machine ended with: minus SIGINT when it was powered off, see pid_namespaces(7)."""
        assert self.router is not None
        return self.router.wait(seconds)

    def term(self) -> None:
        """Send SIGTERM to the router's PID 1."""
        assert self.router is not None
        children = Path(f"/proc/{self.router.pid}/task/{self.router.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)

    def counters(self) -> dict[str, int]:
        """Packets that each named counter of the firewall has seen."""
        assert self.inside is not None
        listed = json.loads(self.inside.run("nft", "-j", "list", "counters"))["nftables"]
        return {one["counter"]["name"]: one["counter"]["packets"] for one in listed if "counter" in one}

    def close(self) -> None:
        """End everything."""
        for process in ([self.router] if self.router is not None else []) + self.processes[::-1]:
            process.kill()
            process.wait()
