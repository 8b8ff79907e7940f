# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Resolvers that do not answer: what PID 1 finds out, and what glibc's own resolver gets at a client."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from demands import require
from hypothesis import given
from hypothesis import strategies as st
from init.core.loop import Loop
from init.net import resolver_health
from init.net.resolver_health import Health, is_answer
from test_wire_boot import pid_1
from world import Namespace, World

STAND_IN = [sys.executable, str(Path(__file__).parents[1] / "support" / "guest" / "standin_connmand.py")]
ROUTER, LIVE, SILENT, ABSENT = "100.115.92.0", "10.0.2.6", "10.0.2.4", "10.0.2.5"

RESOLVER = """
import socket, struct, sys, threading
def answer(asked):
    if asked[12] == 0:
        return asked[:2] + b"\\x81\\x80" + asked[4:]
    kind = struct.unpack_from("!H", asked, asked.index(0, 12) + 1)[0]
    end = asked.index(0, 12) + 5
    found = b"\\xc0\\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1]) if kind == 1 else b""
    return asked[:2] + b"\\x81\\x80" + struct.pack("!HHHH", 1, bool(found), 0, 0) + asked[12:end] + found
def udp(s):
    while True:
        data, peer = s.recvfrom(2000); s.sendto(answer(data), peer)
def tcp(s):
    while True:
        c, peer = s.accept(); said = answer(c.recv(2000)[2:])
        c.sendall(struct.pack("!H", len(said)) + said); c.close()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((sys.argv[1], 53))
threading.Thread(target=udp, args=(u,)).start(); tcp(socket.create_server((sys.argv[1], 53)))
"""


# ---- what counts as an answer, and what follows


@given(st.binary(max_size=600), st.binary(min_size=2, max_size=2))
def test_any_bytes_are_an_answer_or_none(data: bytes, number: bytes) -> None:
    answered = is_answer(data, number)
    assert answered == (len(data) >= 12 and data[:2] == number and data[2] >= 0x80 and data[3] % 16 != 2)


class Resolver:
    """One on this machine, whose answers the test chooses."""

    def __init__(self, address: str, rcode: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.setblocking(False)
        self.rcode, self.asked = rcode, 0

    def serve(self) -> None:
        try:
            data, peer = self.socket.recvfrom(2000)
        except BlockingIOError:
            return
        self.asked += 1
        assert struct.unpack("!HHHHHBHH", data[2:]) == (0x0100, 1, 0, 0, 0, 0, 2, 1)
        self.socket.sendto(b"no" + data[2:], peer)  # somebody who guesses
        self.socket.sendto(data[:2] + bytes([0x81, 0x80 | self.rcode]) + data[4:], peer)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_health, "PATIENCE_S", 0.05)
    monkeypatch.setattr(resolver_health, "EVERY_S", 0.3)


@pytest.mark.usefixtures("quick")
def test_those_that_answer_are_used_and_all_where_none_does() -> None:
    good, failing = Resolver("127.0.53.1"), Resolver("127.0.53.2", rcode=2)
    by = ["lo"]
    here = ("127.0.53.1", "127.0.53.2", "127.0.53.3")
    loop = Loop()
    said: list[str] = []
    changes: list[tuple[str, ...]] = []
    health = Health(loop, lambda: changes.append(health.live(here, by[-1])), said.append)

    def run(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            loop.step(0.01)
            good.serve()
            failing.serve()

    assert health.live(here, by[-1]) == here  # nothing is known yet
    run(0.2)
    assert health.live(here, by[-1]) == ("127.0.53.1",)
    assert changes[-1] == ("127.0.53.1",)
    failing.rcode = 0
    run(0.5)
    assert health.live(here, by[-1]) == ("127.0.53.1", "127.0.53.2")
    good.rcode = failing.rcode = 2
    run(0.6)
    assert health.live(here, by[-1]) == here
    dead, again = "does not answer, and is not used while another one does", "answers again"
    assert sorted(said[:2]) == [f"resolver {one} {dead}" for one in here[1:]]
    assert said[2] == f"resolver {here[1]} {again}"
    assert sorted(said[3:]) == [f"resolver {one} {dead}" for one in here[:2]]
    asked = good.asked
    assert health.live(("127.0.53.1",), "lo") == ("127.0.53.1",)
    run(0.5)
    assert good.asked == asked  # a single one is not asked
    by.append("absent0")
    assert health.live(here, by[-1]) == here
    run(0.2)
    assert good.asked == asked  # by no other interface
    for one in (good, failing):
        one.socket.close()


# ---- at a client, with glibc


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("dbus-daemon", "nsenter", "getent")
    made = World(tmp_path, STAND_IN)
    yield made
    made.close()


def look_up(client: Namespace, folder: Path, name: str, options: str = "") -> float:
    """How long glibc's resolver takes for a name with the router as its one resolver; fails if it finds nothing."""
    (folder / "resolv.conf").write_text(f"nameserver {ROUTER}\n{options}\n")
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    binds = "; ".join(f"mount --bind {folder}/{one} /etc/{one}" for one in ("resolv.conf", "nsswitch.conf"))
    begun = time.monotonic()
    argv = ["nsenter", "-t", str(client.pid), "-n", "unshare", "-m", "sh", "-c", f"{binds}; getent ahostsv4 {name}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "192.0.2.1" in done.stdout, f"{name}: {done}"
    return time.monotonic() - begun


def resolve_by(world: World, *resolvers: str) -> None:
    """What ConnMan writes with a lease of these."""
    lines = "".join(f"nameserver {one}\\n" for one in resolvers)
    script = f"printf '{lines}' > /run/connman/resolv.conf"
    subprocess.run(["nsenter", "-t", str(pid_1(world)), "-m", "sh", "-c", script], check=True)


@pytest.mark.integration
def test_a_name_is_found_though_two_of_three_resolvers_are_dead(world: World, tmp_path: Path) -> None:
    """Within glibc's first five seconds from the first moment, and at once when PID 1 knows; by UDP and by TCP."""
    world.prepare()
    world.boot()
    world.wait_for("uplink", state="lease")
    for address in (SILENT, LIVE):
        world.upstream.ip("addr", "add", f"{address}/24", "dev", "lan0")
    world.upstream.run("nft", "add table ip mute; add chain ip mute in { type filter hook input priority 0; }")
    world.upstream.run("nft", f"add rule ip mute in ip daddr {SILENT} drop")
    client = world.client(0)
    world.wait_for("client")
    world.processes.append(world.upstream.spawn(sys.executable, "-c", RESOLVER, LIVE))
    after = len(world.events)
    resolve_by(world, SILENT, ABSENT, LIVE)
    world.wait_for("uplink", after, state="lease", nameservers=[SILENT, ABSENT, LIVE])
    world.request("ping")  # answered once the firewall has them
    took = [look_up(client, tmp_path, f"first{number}.example") for number in range(2)]
    assert max(took) < 6, took
    world.wait_for("log", text=f"resolver {SILENT} does not answer, and is not used while another one does")
    world.wait_for("log", text=f"resolver {ABSENT} does not answer, and is not used while another one does")
    took = [look_up(client, tmp_path, f"name{number}.example") for number in range(6)]
    took += [look_up(client, tmp_path, f"tcp{number}.example", "options use-vc") for number in range(3)]
    assert max(took) < 2, took
