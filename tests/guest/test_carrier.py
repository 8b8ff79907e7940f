# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A moment without carrier: what clients notice of it, beside a plain Linux that masquerades.

With the image's own ConnMan.  A client listens to a server that ticks; it never says anything itself, as a mail program
waits for mail.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dhcp_server import KIND, REQUEST, Answer
from test_dhcp import Lan
from wires import inside
from world import Namespace

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

TICK_S, MOMENT_S, HOLD_S = 0.1, 1.5, 5.0
SERVER = "10.0.2.2"
TICKS = """
import socket, threading, time
s = socket.create_server(("0.0.0.0", 7))
def tick(c):
    number = 0
    while True:
        c.sendall(b"%d\\n" % number); number += 1; time.sleep(0.1)
while True: threading.Thread(target=tick, args=(s.accept()[0],), daemon=True).start()
"""
MASQUERADE = "table ip nat { chain out { type nat hook postrouting priority 100; oifname up0 masquerade; }; }"


def connected() -> socket.socket:
    """A connection to the server, which may still be starting."""
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((SERVER, 7), timeout=5)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


class Listener:
    """A client's connection that only listens."""

    def __init__(self, client: Namespace) -> None:
        with inside(client):
            self.socket = connected()
        self.socket.settimeout(0.05)
        self.heard: list[tuple[float, int]] = []
        self._rest = b""

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                data = self.socket.recv(4096)
            except TimeoutError:
                continue
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.heard += [(time.monotonic(), int(line)) for line in lines]

    @property
    def silence(self) -> float:
        """The longest time without a tick."""
        return max(later[0] - one[0] for one, later in zip(self.heard, self.heard[1:], strict=False))

    @property
    def lost(self) -> int:
        """Ticks that never came."""
        numbers = [number for _, number in self.heard]
        return numbers[-1] + 1 - len(numbers)


def pulled(far: Namespace, client: Namespace, seconds: float) -> Listener:
    """What a client hears whose router loses its carrier for so long."""
    listener = Listener(client)
    listener.listen(1)
    far.ip("link", "set", "lan0", "down")
    listener.listen(seconds)
    far.ip("link", "set", "lan0", "up")
    listener.listen(6)
    return listener


@pytest.fixture
def lan(connmand: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    need("nft")
    made = Lan(tmp_path_factory.mktemp("lan"), connmand)
    try:
        made.world.wait_for("ready")
        made.world.processes.append(made.world.upstream.spawn(sys.executable, "-c", TICKS))
        yield made
    finally:
        made.close()


def client_of(lan: Lan) -> Namespace:
    client = lan.world.client(0)
    lan.world.wait_for("client")
    assert client.pings(SERVER)
    return client


@contextmanager
def plain_masquerade() -> Iterator[tuple[Namespace, Namespace]]:
    """A server's and a client's namespace, and between them Linux with one rule and nothing else."""
    far, router, client = (Namespace() for _ in range(3))
    try:
        for other, name, theirs, ours, near in (
            (far, "up0", "lan0", "10.0.2.15/24", f"{SERVER}/24"),
            (client, "c0", "eth0", "100.115.92.0/31", "100.115.92.1/31"),
        ):
            words = ("link", "add", name, "type", "veth", "peer", "name", theirs, "netns", str(other.pid))
            router.ip(*words)
            for namespace, address, interface in ((router, ours, name), (other, near, theirs)):
                namespace.ip("addr", "add", address, "dev", interface)
                namespace.ip("link", "set", interface, "up")
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        router.run("nft", MASQUERADE)
        client.ip("route", "add", "default", "via", "100.115.92.0")
        server = far.spawn(sys.executable, "-c", TICKS)
        assert client.pings(SERVER)
        yield far, client
        server.kill()
        server.wait()
    finally:
        for one in (far, router, client):
            one.holder.kill()
            one.holder.wait()


def test_a_moment_without_carrier_costs_what_it_costs_a_plain_linux(lan: Lan) -> None:
    """No tick, no lease, no event; the server is asked once whether the lease still holds."""
    with plain_masquerade() as (far, other):
        control = pulled(far, other, MOMENT_S)
    client, mark = client_of(lan), len(lan.world.events)
    lan.answers.heard.clear()
    listener = pulled(lan.world.upstream, client, MOMENT_S)
    print(f"silent for {listener.silence:.2f} s; a plain Linux: {control.silence:.2f} s")
    assert (control.lost, listener.lost) == (0, 0)
    assert control.silence >= MOMENT_S
    assert listener.silence < control.silence + 1
    said = [one for one in lan.world.events[mark:] if one["event"] not in ("client", "reply", "log")]
    assert said == []
    assert [one[KIND][0] for one in lan.answers.heard] == [REQUEST]
    assert lan.address == "10.0.2.15/24"


def test_another_lease_after_it_is_another_address(lan: Lan) -> None:
    """The cable is in another network: connections by the former address are forgotten."""
    client, mark = client_of(lan), len(lan.world.events)
    listener = Listener(client)
    listener.listen(0.5)
    lan.answers.answer = Answer(address="10.0.2.99/24")
    lan.world.upstream.ip("link", "set", "lan0", "down")
    time.sleep(1)
    lan.world.upstream.ip("link", "set", "lan0", "up")
    lan.world.wait_for("uplink", mark, state="lease", address="10.0.2.99/24")
    assert client.ask("tcp", SERVER, 7).startswith("0")
    listener.listen(1)  # what came before the change
    heard = len(listener.heard)
    listener.listen(2)
    assert len(listener.heard) == heard
    assert lan.address == "10.0.2.99/24"


def test_a_carrier_that_stays_away_is_a_lease_lost(lan: Lan) -> None:
    mark, begun = len(lan.world.events), time.monotonic()
    lan.world.upstream.ip("link", "set", "lan0", "down")
    lan.world.wait_for("uplink", mark, state="lost")
    took = time.monotonic() - begun
    assert HOLD_S - 0.5 < took < HOLD_S + 3
    lan.world.upstream.ip("link", "set", "lan0", "up")
    lan.world.wait_for("uplink", mark, state="lease")


def test_an_uplink_that_never_comes_to_rest_is_still_followed(lan: Lan) -> None:
    """Short flaps, one after another, and then none: the lease is confirmed, and works."""
    for _ in range(4):
        lan.world.upstream.ip("link", "set", "lan0", "down")
        time.sleep(0.4)
        lan.world.upstream.ip("link", "set", "lan0", "up")
        time.sleep(0.2)
    client = client_of(lan)
    assert client.ask("tcp", SERVER, 7).startswith("0")
    assert lan.address == "10.0.2.15/24"
