# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Clients of this host on a router that runs, in a host made up of namespaces: what is killed leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu
from scapy.layers.l2 import ARP, Ether

from tests.support.host.host_world import Namespace, eventually, need_namespaces

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    need_namespaces()
    with Namespace() as made:
        yield made


@pytest.fixture
def router(host: Namespace, image: Image, qemu: Qemu) -> Iterator[str]:
    """A router that has booted, with a client's network by a socket and ports for four more."""
    host.build("run", str(image.folder), "--detach", "--accel", "tcg", "--qemu", str(qemu.path))
    host.build("events", "--until", "ready", "--timeout", "120")
    yield "netvm"
    host.build("stop", "--now", check=False)
    host.build("client", "list")
    assert host.links() == []


@pytest.mark.parametrize(
    ("what", "name", "transport"),
    [
        pytest.param("attach", "client", "tap", id="attach, a network since the boot", marks=pytest.mark.long),
        pytest.param("detach", "client", "tap", id="detach, a network since the boot", marks=pytest.mark.long),
        pytest.param("attach", "-", "tap", id="attach"),
        pytest.param("attach", "-", "socket", id="attach by a socket"),
    ],
)
def test_killed_at_each_step(what: str, name: str, transport: str, host: Namespace, router: str) -> None:
    script = Path(__file__).parents[1] / "support" / "host" / "kill_steps.py"
    done = host.run(sys.executable, str(script), what, name, transport)
    table = json.loads(done.stdout)
    print("\n".join(table["steps"]))
    assert len(table["steps"]) >= {"tap": 15, "socket": 4}[transport]
    assert table["wrong"] == []


def test_four_at_once_and_names_that_are_taken(host: Namespace, router: str, image: Image, qemu: Qemu) -> None:
    dry = host.build("client", "attach", "--dry-run").stdout.splitlines()
    assert dry[0].startswith("ip link add name nv735c02b ")
    assert dry[-1] == "QMP: netdev_add t735c02, device_add nic-t735c02 0A:B3:EC:73:5C:02 in bus=port-spare0"
    assert host.links() == []
    host.run("ip", "tuntap", "add", "dev", "nv735c04c", "mode", "tap")  # somebody else's
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: host.build("client", "attach", "--json"), range(4)))
    made = sorted((json.loads(done.stdout)["client"] for done in results), key=lambda one: str(one["address"]))
    assert [one["address"] for one in made] == [f"100.115.92.{last}/31" for last in (3, 5, 7, 9)]
    assert [one["tap"] for one in made] == ["nv735c02c", "nv735c04c1", "nv735c06c", "nv735c08c"]
    full = host.build("client", "attach", check=False)
    assert (full.returncode, "netvm has no free port for a client: it has 4" in full.stderr) == (1, True)
    second = ("--name", "second", "--clients", "0")
    host.build("run", str(image.folder), "--detach", "--accel", "tcg", "--qemu", str(qemu.path), *second)
    other = json.loads(host.build("client", "attach", "second", "--address", "100.115.92.2", "--json").stdout)["client"]
    assert (other["vm"], other["tap"], other["bridge"]) == ("second", "nv735c02c1", "nv735c02b1")
    before = host.links()
    host.build("client", "detach", "netvm", "--all")
    assert host.links() == ["nv735c02b1", "nv735c02c1", "nv735c02r1", "nv735c04c"]
    host.build("stop", "second")
    assert host.links() == ["nv735c04c"]
    assert len(before) == 5 * 3 + 1
    host.run("ip", "link", "del", "nv735c04c")


def test_a_socket_that_a_running_router_was_given_is_listened_on(host: Namespace, router: str) -> None:
    """One that is attached, and one since the boot that another client had in its place."""
    attached = json.loads(host.build("client", "attach", "--socket", "--json").stdout)["client"]
    assert_answered(host, attached["socket"], attached["gateway"])
    host.build("client", "attach", "--name", "client")
    host.build("client", "detach", "--name", "client")
    record = json.loads(host.build("status", "--networks", "--json").stdout)
    since_boot = next(one for one in record["clients"] if one["name"] == "client")
    assert_answered(host, since_boot["socket"], since_boot["router"])
    host.build("client", "detach", "netvm", "--all")
    host.build("client", "attach", "--socket")  # the place is free again


def assert_answered(host: Namespace, path: str, router: str) -> None:
    """Who joins a client's socket, of the host's folders, gets the router's answer by ARP."""
    high = router.rpartition(".")[0] + f".{int(router.rpartition('.')[2]) + 1}"
    mac = "0A:B3:EC:" + ":".join(f"{int(part):02X}" for part in high.split(".")[1:])
    asked = bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=mac, psrc=high, pdst=router))

    with socket.socket(socket.AF_UNIX) as joined:
        joined.settimeout(5)
        joined.connect(f"/proc/{host.pid}/root{path}")
        received = bytearray()

        def asked_again() -> bool:
            joined.sendall(struct.pack(">I", len(asked)) + asked)
            try:
                received.extend(joined.recv(65536))
            except TimeoutError:
                return False
            return bytes(map(int, router.split("."))) in received and b"\x08\x06" in received

        eventually(asked_again)


@pytest.mark.parametrize("whom", ["pid", "qemu_pid"])
def test_a_router_that_is_killed_leaves_nothing(whom: str, host: Namespace, router: str) -> None:
    host.build("client", "attach", "--name", "client")
    host.build("client", "attach", "--socket")
    assert host.links() == ["nv735c00b", "nv735c00c", "nv735c00r"]
    record = json.loads(host.build("status", "--networks", "--json").stdout)
    os.kill(record[whom], signal.SIGKILL)
    if whom == "qemu_pid":  # `run` sees it end, and gives back what it may
        eventually(lambda: host.links() == [])
    else:
        eventually(lambda: host.links() == ["nv735c00b", "nv735c00c"])  # QEMU and its tap go with `run`
        listed = host.build("client", "list")
        assert "removed what was left of client (netvm)" in listed.stderr
        assert host.links() == []
    assert "client1" not in host.build("client", "list").stdout


@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.long)])
def test_what_is_ended_at_once_leaves_nothing_to_tell(times: int, host: Namespace, image: Image, qemu: Qemu) -> None:
    """QEMU's tap goes with it, a moment after the keeper: cleaning up doesn't report it."""
    for _ in range(times):
        options = ("--detach", "--accel", "tcg", "--qemu", str(qemu.path), "--clients", "0")
        host.build("run", str(image.folder), *options)
        host.build("events", "--until", "firewall", "--timeout", "120")
        host.build("client", "attach", "--name", "client")
        stopped = host.build("stop", "--now")
        said = ["removed what was left of client (netvm)", "netvm is ended"]
        assert (stopped.stderr.splitlines(), host.links()) == (said, [])


def test_a_router_that_does_not_answer(host: Namespace, router: str) -> None:
    """Its QEMU stops: nothing is half made, and who looks at it is not held up for ever."""
    record = json.loads(host.build("status", "--networks", "--json").stdout)
    os.kill(record["qemu_pid"], signal.SIGSTOP)
    try:
        refused = host.build("client", "attach", check=False)
        assert refused.returncode == 7
        assert "the QMP monitor" in refused.stderr
        assert host.links() == []
    finally:
        os.kill(record["qemu_pid"], signal.SIGCONT)
    host.build("client", "attach")
    assert len(host.links()) == 3
