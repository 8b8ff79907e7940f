# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router behind a router, started by one command: examples/two-tier, with packets through both."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.image.manifest import Image
from netvm_build.vm import registry
from netvm_build.vm.engine import stop
from netvm_build.vmm.qemu import Qemu
from netvm_build.vmm.qemu.confinement import UNCONFINED
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.support.needs import tell

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "two-tier"
OWN_KERNEL = "kernel:\n  fragments: [virtio]\n\n"
CLIENT, CLIENT_MAC = "100.64.8.1", "0A:B3:EC:40:08:01"
ROUTER, ROUTER_MAC = "100.64.8.0", "0A:B3:EC:40:08:00"
HOST, BY_SLIRP = "10.0.2.2", ("--uplink", "slirp")
"""This host as QEMU's user network has it, which answers pings."""

PATIENCE_S = 20.0

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(
    params=[pytest.param(True, marks=pytest.mark.long, id="as-it-is"), pytest.param(False, id="one-kernel")]
)
def images(request: pytest.FixtureRequest, workshop: Path, image: Image) -> tuple[Image, Image]:
    """(driver, firewall): as the example is, or both with the kernel that the other tests have built."""
    made = []
    for name in ("driver", "firewall"):
        folder = workshop / f"two-tier-{0 if request.param else 1}" / name
        folder.mkdir(parents=True, exist_ok=True)
        text = (EXAMPLE / f"{name}.yaml").read_text()
        assert name != "firewall" or OWN_KERNEL in text
        (folder / "netvm.yaml").write_text(text if request.param else text.replace(OWN_KERNEL, ""))
        lock = workshop / loading.LOCK_NAME
        (folder / loading.LOCK_NAME).write_bytes(lock.read_bytes())
        made.append(pipeline.build(loading.load(folder / "netvm.yaml"), folder / "image", tell))
    assert image.kernel.exists()
    return made[0], made[1]


@pytest.fixture
def command(qemu: Qemu, short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "builder"))

    def call(*argv: str, program: Path = qemu.path) -> subprocess.CompletedProcess[str]:
        if argv[0] == "run":
            argv = (*argv, "--accel", "tcg", "--qemu", str(program))
        line = [sys.executable, "-m", "netvm_build", *argv]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    yield call
    for record in registry.running():
        stop(record, now=True)


class Peer:
    """A client on its network's socket: frames as QEMU's stream netdev has them, each behind its length."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.settimeout(0.2)
        self._data = b""

    def send(self, packet: Packet) -> None:
        frame = bytes(packet)
        self._socket.sendall(len(frame).to_bytes(4, "big") + frame)

    def frames(self) -> Iterator[Packet]:
        try:
            self._data += self._socket.recv(65536)
        except TimeoutError:
            return
        while len(self._data) >= 4 and len(self._data) >= (end := 4 + int.from_bytes(self._data[:4], "big")):
            yield Ether(self._data[4:end])
            self._data = self._data[end:]

    def ask(self, host: str, packet: Packet, answered: Callable[[Packet], bool]) -> Packet:
        """Send a packet every second until it is answered; say who we are to the router that asks by ARP."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.send(Ether(src=CLIENT_MAC, dst=ROUTER_MAC) / IP(src=CLIENT, dst=host) / packet)
            again = time.monotonic() + 1.0
            while time.monotonic() < again:
                for frame in self.frames():
                    if frame.haslayer(ARP) and frame[ARP].op == 1 and frame[ARP].pdst == CLIENT:
                        told = ARP(op=2, hwsrc=CLIENT_MAC, psrc=CLIENT, hwdst=frame[ARP].hwsrc, pdst=frame[ARP].psrc)
                        self.send(Ether(src=CLIENT_MAC, dst=frame.src) / told)
                    elif answered(frame):
                        return frame
        raise AssertionError(f"nothing answered {packet.summary()} to {host}")

    def close(self) -> None:
        self._socket.close()


def own_address() -> str:
    """The address of this host's card; clients don't reach its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        any_socket.connect(("192.0.2.1", 9))  # sends nothing
        return str(any_socket.getsockname()[0])


@contextmanager
def echo_server(address: str) -> Iterator[int]:
    """A UDP server of this host's; its port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 0))

    def serve() -> None:
        while (got := server.recvfrom(2048))[0] != b"end":
            server.sendto(got[0], got[1])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", server.getsockname())
        thread.join()
        server.close()


def ping(peer: Peer, number: int) -> None:
    packet = ICMP(id=77, seq=number) / b"through both"
    peer.ask(HOST, packet, lambda one: bool(one.haslayer(ICMP)) and one[IP].src == HOST and one[ICMP].type == 0)


def test_clients_reach_the_outside_through_both(command: Command, images: tuple[Image, Image]) -> None:
    driver, firewall = images
    started = command("run", str(firewall.folder), "--behind", str(driver.folder), "-d", *BY_SLIRP)
    assert (started.returncode, started.stdout) == (0, "firewall\n"), started.stderr
    assert command("events", "firewall", "--until", "ready", "--timeout", "120").returncode == 0
    peer = Peer(registry.find("firewall").clients[0].socket)
    try:
        assert command("events", "driver", "--until", "ready", "--timeout", "120").returncode == 0
        ping(peer, 1)
        host = own_address()
        with echo_server(host) as port:
            datagram = UDP(sport=4000, dport=port) / b"an echo"
            back = peer.ask(host, datagram, lambda one: bool(one.haslayer(UDP)) and one[UDP].sport == port)
            assert (back[Raw].load, back[IP].src, back[IP].dst) == (b"an echo", host, CLIENT)
        now = json.loads(command("status", "driver", "--json").stdout)
        assert [(one["name"], one["client"]) for one in now["clients"]] == [("firewall", "100.64.0.1")]
        refused = {drop["reason"]: drop["packets"] for drop in now["drops"] if drop["packets"]}
        assert "spoofed" not in refused  # the driver VM never sees a client's own address
        now = json.loads(command("status", "firewall", "--json").stdout)
        assert [(one["address"], one["gateway"]) for one in now["uplinks"]] == [("100.64.0.1/31", "100.64.0.0")]

        # The driver VM is started anew, as after a crash; the firewall VM stays, and its uplink joins again.
        stopped = command("stop", "driver")
        assert stopped.returncode == 0
        assert "firewall is behind driver: until driver runs again" in stopped.stderr
        assert command("run", str(driver.folder), "-d", *BY_SLIRP).returncode == 0
        assert command("events", "driver", "--until", "ready", "--timeout", "120").returncode == 0
        ping(peer, 2)
    finally:
        peer.close()

    again = command("run", str(firewall.folder), "--name", "other", "--uplink", "router:driver", "-d")
    assert again.returncode == 7
    assert "firewall is on driver's client network firewall already" in again.stderr
    assert [command("stop", name).returncode for name in ("firewall", "driver")] == [0, 0]
    assert registry.running() == ()


def test_a_firewall_that_does_not_start_leaves_no_driver(
    command: Command, images: tuple[Image, Image], qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that the driver has is refused before it starts; a QEMU that fails is not, and the driver goes again."""
    driver, firewall = images
    behind = ("run", str(firewall.folder), "--behind", str(driver.folder), "-d")
    taken = command(*behind, "--name", "driver")
    assert taken.returncode != 0
    assert "both routers are named driver" in taken.stderr
    assert "driver is running" not in taken.stderr
    program = tmp_path / "qemu"
    program.write_text(f'#!/bin/sh\ncase "$*" in *guest=firewall*) exit 1;; esac\nexec {qemu.path} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv(UNCONFINED, "1")  # another user may not run what is in our folder
    failed = command(*behind, program=program)
    assert failed.returncode != 0
    assert "driver is running" in failed.stderr
    assert "driver is off" in failed.stderr
    assert registry.running() == ()
