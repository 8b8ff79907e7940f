# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What is around a router on taps: an upstream that serves DHCP, DNS and HTTP, and clients with stacks of their own."""

from __future__ import annotations

import hashlib
import http.server
import random
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from dhcp_server import Listener
from fuzz import checksum, octets
from init.net import address as rule
from scapy.layers.dhcp import BOOTP, DHCP
from wires import GATEWAY, GATEWAY_MAC, RESOLVER, SERVER, UPLINK, UPLINK_MAC, Ether, inside, odd

from tests.support.booted.on_wires import Tap

BODY = random.Random(7).randbytes(100_000)  # noqa: S311  (the same each time)
NAME = "server.test"
KINDS = {1: "discover", 3: "request", 4: "decline", 7: "release"}  # option 53 of RFC 2132


class Page(http.server.BaseHTTPRequestHandler):
    """A page of known bytes, which says who asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("X-Seen-As", self.client_address[0])
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *words: object) -> None:
        """Nothing: who asks is in the answer."""


@dataclass
class Lease:
    """What the test's DHCP server says; `options` are scapy's, added to or put in the place of the usual ones."""

    address: str = UPLINK
    seconds: int = 3600
    router: str = GATEWAY
    resolver: str = RESOLVER
    mask: str = "255.255.255.0"
    options: tuple[Any, ...] = ()
    raw: Callable[[bytes], bytes] = field(default=lambda frame: frame)


class Dhcp(Listener):
    """A DHCP server (RFC 2131) that says what it is told to: `lease` may change at any time, None answers nothing."""

    def __init__(self, wire: Tap, lease: Lease | None) -> None:
        self.lease = lease
        self.heard: list[str] = []
        self._wire = wire
        super().__init__(wire.namespace, "w0")

    def answers(self, frame: bytes) -> Iterable[bytes]:
        asked = Ether(frame)
        if DHCP not in asked:  # anybody may send junk to this port
            return ()
        options = dict(one for one in asked[DHCP].options if isinstance(one, tuple) and len(one) == 2)
        kind = KINDS.get(options.get("message-type", 0), "other")
        self.heard.append(kind)
        if kind not in ("discover", "request") or self.lease is None:
            return ()
        return (self._answer(asked, kind, options, self.lease),)

    def _answer(self, asked: Any, kind: str, options: dict[str, Any], lease: Lease) -> bytes:
        wanted = options.get("requested_addr") or asked[BOOTP].ciaddr
        no = kind == "request" and wanted not in (lease.address, "0.0.0.0")  # noqa: S104
        said: list[Any] = [
            ("message-type", 6 if no else 2 if kind == "discover" else 5),
            ("server_id", self._wire.address),
        ]
        if not no:
            said += [("lease_time", lease.seconds), ("subnet_mask", lease.mask), ("router", lease.router)]
            said += [("name_server", lease.resolver)]
            said = [one for one in said if one[0] not in {given[0] for given in lease.options}] + list(lease.options)
        reply = BOOTP(
            op=2,
            xid=asked[BOOTP].xid,
            flags=asked[BOOTP].flags,
            chaddr=asked[BOOTP].chaddr,
            yiaddr="0.0.0.0" if no else lease.address,  # noqa: S104
        ) / DHCP(options=[*said, "end"])
        datagram = bytes(reply)
        frame = bytearray(datagram_of(self._wire, self._wire.address, "255.255.255.255", datagram, 67, 68))
        frame[:6] = b"\xff" * 6
        return lease.raw(bytes(frame))


class Upstream(Tap):
    """The network behind an uplink: a gateway that is the whole outside too, with dnsmasq and HTTP."""

    def __init__(
        self,
        name: str = "upstream",
        mac: str = GATEWAY_MAC,
        router_mac: str = UPLINK_MAC,
        address: str = GATEWAY,
        router: str = UPLINK,
        resolver: str = RESOLVER,
    ) -> None:
        super().__init__(name, mac, router_mac, address, router, 24)
        self.resolver = resolver
        self._folder = tempfile.TemporaryDirectory()
        self._spawned = 0
        self._dns: subprocess.Popen[bytes] | None = None
        self._dhcpd: subprocess.Popen[bytes] | None = None
        self._dhcp: Dhcp | None = None
        self._page: http.server.ThreadingHTTPServer | None = None

    def serve(self) -> None:
        """Addresses, a web server and dnsmasq."""
        self.open(deaf=False)
        for words in (f"addr add {self.resolver}/24 dev w0", f"addr add {SERVER}/32 dev lo"):
            self.namespace.ip(*words.split())
        with inside(self.namespace):
            self._page = http.server.ThreadingHTTPServer((SERVER, 80), Page)
        self._page.daemon_threads = True
        threading.Thread(target=self._page.serve_forever, daemon=True).start()
        self._dns = self._spawn(f"--address=/{NAME}/{SERVER}", f"--listen-address={self.resolver}")
        self.dnsmasq()

    def dnsmasq(self) -> None:
        """DHCP by dnsmasq, in place of the test's server."""
        self.silent()
        argv = [f"--dhcp-leasefile={self._folder.name}/leases", "--dhcp-authoritative", "--no-ping", "--port=0"]
        argv += [f"--dhcp-range={self.router},{self.router},1h", f"--dhcp-option=option:router,{self.address}"]
        self._dhcpd = self._spawn(*argv, f"--dhcp-option=option:dns-server,{self.resolver}")

    def answers(self, lease: Lease | None) -> Dhcp:
        """DHCP by the test's server, in place of dnsmasq."""
        self.silent()
        self._dhcp = Dhcp(self, lease)
        return self._dhcp

    def silent(self) -> None:
        """No DHCP at all."""
        if self._dhcp is not None:
            self._dhcp.close()
        if self._dhcpd is not None:
            self._dhcpd.kill()
            self._dhcpd.wait()
        self._dhcp = self._dhcpd = None

    def _spawn(self, *options: str) -> subprocess.Popen[bytes]:
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]
        self._spawned += 1
        pid = f"--pid-file={self._folder.name}/pid{self._spawned}"
        return self.namespace.spawn(*argv, "--interface=w0", "--bind-interfaces", pid, *options)

    def close(self) -> None:
        self.silent()
        if self._dns is not None:
            self._dns.kill()
            self._dns.wait()
        if self._page is not None:
            self._page.shutdown()
            self._page.server_close()
        self._folder.cleanup()
        super().close()


class Host(Tap):
    """A client with this machine's TCP/IP, its default route by the router."""

    def join(self) -> None:
        """Address and route."""
        self.open(deaf=False)
        self.namespace.ip("route", "add", "default", "via", self.router)

    def fetches(self, seconds: float = 3.0) -> str:
        """The address by which the web server saw us, after a page came whole; else what went wrong."""
        with inside(self.namespace):
            made = socket.socket()
        try:
            made.settimeout(seconds)
            made.connect((SERVER, 80))
            made.sendall(b"GET / HTTP/1.0\r\n\r\n")
            parts = []
            while data := made.recv(65536):
                parts.append(data)
        except OSError as error:
            return f"{type(error).__name__}"
        finally:
            made.close()
        head, _, body = b"".join(parts).partition(b"\r\n\r\n")
        if hashlib.sha256(body).digest() != hashlib.sha256(BODY).digest():
            return f"{len(body)} other bytes"
        return next(line for line in head.decode().splitlines() if line.startswith("X-Seen-As")).partition(": ")[2]

    def resolves(self, seconds: float = 3.0) -> str:
        """What the router's resolver says of the server's name, or what went wrong."""
        with inside(self.namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        question = b"".join(bytes([len(part)]) + part.encode() for part in NAME.split(".")) + b"\0\0\1\0\1"
        try:
            made.settimeout(seconds)
            made.connect((self.router, 53))
            made.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question)
            answer = made.recv(512)
        except OSError as error:
            return type(error).__name__
        finally:
            made.close()
        return ".".join(map(str, answer[-4:]))


def datagram_of(wire: Tap, source: str, target: str, data: bytes, sport: int = 9999, dport: int = 9) -> bytes:
    """A UDP datagram in a frame from a wire's end to the router, quickly made."""
    length = 28 + len(data)
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 69, 0, length, 0, 0, 64, 17, 0, octets(source), octets(target)))
    head[10:12] = struct.pack("!H", checksum(bytes(head)))
    link = bytes.fromhex((wire.router_mac + wire.mac).replace(":", "")) + b"\x08\x00"
    return link + bytes(head) + struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def equals(wanted: Any) -> Callable[[Any], bool]:
    """Whether what is found is that."""
    return lambda found: bool(found == wanted)


def eventually(what: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float) -> tuple[float, Any]:
    """Seconds until what is asked again and again is as wanted, and it.  Fails after so many seconds."""
    begun = time.monotonic()
    while True:
        found = what()
        if wanted(found):
            return time.monotonic() - begun, found
        assert time.monotonic() - begun < seconds, f"still {found!r} after {seconds:g} s"
        time.sleep(0.02)


def host(name: str, router_mac: str) -> Host:
    """A client by the router's MAC of its pair."""
    pair = rule.pair_of_router_mac(router_mac)
    return Host(name, odd(router_mac), router_mac, pair.client, pair.router, 31)
