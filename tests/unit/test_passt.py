# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""passt in QEMU's place for user networks: when it is chosen, how it is started, and what QEMU gets instead."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from init.net import host_networks
from netvm_build.image.manifest import Image
from netvm_build.model import Router, Uplink
from netvm_build.util import process
from netvm_build.util.errors import LaunchError
from netvm_build.vm import registry, user_network
from netvm_build.vm.uplink import parse
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import passt, passt_trial
from netvm_build.vmm.qemu.machine import Served, Trunk
from netvm_build.vmm.qemu.resolver import host_resolver

from tests.unit.test_qemu import IMAGE, PROGRAM

HOST = IPv4Address("127.0.0.53")
CABLE = Uplink(name="cable", mac="52:54:00:00:00:01")
BACKUP = Uplink(name="backup", mac="52:54:00:00:00:02")
TAGGED = replace(CABLE, name="tagged", vlan=7)
STATIC = Uplink(
    dhcp=False,
    address=IPv4Interface("192.168.1.2/24"),
    gateway=IPv4Address("192.168.1.1"),
    nameservers=(IPv4Address("192.168.1.1"),),
)


def image(*uplinks: Uplink) -> Image:
    return replace(IMAGE, manifest=replace(IMAGE.manifest, router=Router(uplinks=uplinks)))


def test_passt_maps_nothing_of_this_host_but_its_resolver() -> None:
    (side,) = passt.guest_sides(image(Uplink()).manifest)
    line = passt.argv(passt.Passt(Path("/bin/passt")), side, 7, HOST)
    assert line[:6] == ["/bin/passt", "--foreground", "--quiet", "--fd", "7", "--ipv4-only"]
    given = dict(zip(line[6::2], line[7::2], strict=True))
    assert given == {
        "--interface": "lo",
        "--address": "10.0.2.15",
        "--netmask": "24",
        "--gateway": "10.0.2.2",
        "--mac-addr": "52:55:0a:00:02:02",
        "--mtu": "1500",
        "--map-host-loopback": "none",
        "--map-guest-addr": "none",
        "--tcp-ports": "none",
        "--udp-ports": "none",
        "--search": "none",
        "--dns": "10.0.2.3",
        "--dns-forward": "10.0.2.3",
        "--dns-host": "127.0.0.53",
    }
    assert "--dns-host" not in passt.argv(passt.Passt(Path("/bin/passt")), side, 7, None)


def test_each_uplink_has_the_network_that_it_would_have_of_qemu() -> None:
    sides = passt.guest_sides(image(CABLE, BACKUP, STATIC).manifest)
    assert [(str(one.address), str(one.gateway), str(one.resolver)) for one in sides] == [
        ("10.0.2.15/24", "10.0.2.2", "10.0.2.3"),
        ("10.0.3.15/24", "10.0.3.2", "10.0.3.3"),
        ("192.168.1.2/24", "192.168.1.1", "192.168.1.1"),
    ]


@pytest.mark.parametrize(
    ("text", "resolver"),
    [
        ("# nameserver 1.1.1.1\nsearch x\nnameserver 127.0.0.53\nnameserver 9.9.9.9\n", "127.0.0.53"),
        ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 9.9.9.9", "9.9.9.9"),
        ("nameserver 0.0.0.0\n", "127.0.0.1"),  # resolv.conf(5): the local machine
        ("nameserver\nnameserver 300.1.1.1\n\xff\x00nameserver 1.1.1.1", None),
        ("", None),
    ],
)
def test_the_host_s_resolver(tmp_path: Path, text: str, resolver: str | None) -> None:
    (tmp_path / "resolv.conf").write_bytes(text.encode("latin-1"))
    found = host_resolver(tmp_path / "resolv.conf")
    assert found == (None if resolver is None else IPv4Address(resolver))
    assert host_resolver(tmp_path / "none") is None


def test_without_passt_qemu_serves_and_the_router_closes_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = user_network.choose("user", image(Uplink()))
    assert found == user_network.Backend("slirp", "passt is not installed")
    said = user_network.told(found)
    assert said.startswith("user network: by slirp, passt is not installed; the router closes this host's loopback")
    assert said.endswith("and reaches it itself: --uplink passt says how to prevent that")
    with pytest.raises(LaunchError, match="--uplink passt: passt is not installed") as raised:
        user_network.choose("passt", image(Uplink()))
    assert "apt-get install passt" in str(raised.value.hint)
    asked = user_network.choose("slirp", image(Uplink()))
    assert asked == user_network.Backend("slirp", "asked for")
    assert user_network.told(asked).endswith(": --uplink user prevents that")


def test_a_passt_that_does_not_work_here_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "passt"
    program.write_text("#!/bin/sh\necho \"passt: unrecognized option '--dns-host'\" >&2; echo Usage: >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NETVM_QEMU_UNCONFINED", "1")  # no other user may look into this folder
    found = user_network.choose("user", image(Uplink()))
    assert found is not None
    assert found.kind == "slirp"
    assert found.reason == f"{program} doesn't work here: passt: unrecognized option '--dns-host'"
    with pytest.raises(LaunchError) as raised:
        user_network.choose("passt", image(Uplink()))
    assert "of 2025-05-03 or later" in str(raised.value.hint)


ANSWERS = """#!{python} -ISB
import socket, sys
wire = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
while True:
    frame = wire.recv(int.from_bytes(wire.recv(4, socket.MSG_WAITALL), "big"), socket.MSG_WAITALL)
    if frame[12:14] != bytes.fromhex("0806"):
        {at_a_connection}
    answer = frame[6:12] + bytes(6) + frame[12:20] + bytes.fromhex("0002") + bytes(6) + frame[38:42] + frame[22:32]
    wire.sendall(len(answer).to_bytes(4, "big") + answer)
"""


@pytest.mark.parametrize("at_a_connection", ["sys.exit(print('passt: ASSERTION FAILED', file=sys.stderr))", "continue"])
def test_a_passt_that_ends_at_a_connection_has_shown_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_a_connection: str
) -> None:
    program = tmp_path / "passt"
    program.write_text(ANSWERS.format(python=sys.executable, at_a_connection=at_a_connection))
    program.chmod(0o755)
    monkeypatch.setenv("NETVM_QEMU_UNCONFINED", "1")
    if at_a_connection == "continue":
        passt_trial.trial(passt.Passt(program), passt.BY_DHCP)
        return
    with pytest.raises(LaunchError, match="doesn't work here: passt: ASSERTION FAILED"):
        passt_trial.trial(passt.Passt(program), passt.BY_DHCP)


def test_a_host_without_a_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "passt"
    program.write_text(ANSWERS.format(python=sys.executable, at_a_connection="continue"))
    program.chmod(0o755)
    monkeypatch.setenv("NETVM_QEMU_UNCONFINED", "1")
    monkeypatch.setattr(passt_trial, "LOOPBACK", IPv4Address("192.0.2.1"))  # no address of this host
    with pytest.raises(LaunchError, match=r"passt can't be tried: 192\.0\.2\.1: Cannot assign requested address"):
        passt_trial.trial(passt.Passt(program), passt.BY_DHCP)


def test_other_uplinks_than_the_first_have_user_networks_too(tmp_path: Path) -> None:
    several = image(CABLE, TAGGED, BACKUP)
    backend = user_network.Backend("passt", "", passt.Passt(Path("/bin/passt")))
    assert sorted(user_network.served(backend, several, tmp_path, first_elsewhere=False)) == [0, 1, 2]
    assert sorted(user_network.served(backend, several, tmp_path, first_elsewhere=True)) == [2]
    assert user_network.choose("bridge", image(CABLE)) is None
    assert user_network.served(user_network.Backend("slirp", ""), several, tmp_path, first_elsewhere=False) == {}


def test_qemu_has_no_network_of_its_own_where_passt_serves(tmp_path: Path) -> None:
    several = image(CABLE, TAGGED, BACKUP)
    backend = user_network.Backend("passt", "", passt.Passt(Path("/bin/passt")))
    plain = qemu.router(several, "tcg")
    assert plain.has_user_network
    trunk = Trunk("stream,near", {0: "stream,far0", 1: "stream,far1"})
    served = {
        place: Served(one.socket, f"stream,server=on,addr.type=fd,addr.str={place}")
        for place, one in user_network.served(backend, several, tmp_path, first_elsewhere=False).items()
    }
    machine = replace(plain, served=served, trunks={0: trunk})
    assert not machine.has_user_network
    line = qemu.argv(PROGRAM, machine)
    netdevs = [line[at + 1] for at, word in enumerate(line) if word == "-netdev"]
    assert not any(one.startswith("user") for one in netdevs)
    assert [one for one in netdevs if "server=on" in one] == [
        "stream,id=uplink-user0,server=on,addr.type=fd,addr.str=0",
        "stream,id=uplink-user1,server=on,addr.type=fd,addr.str=1",
        "stream,id=uplink1,server=on,addr.type=fd,addr.str=2",
    ]


def test_qemu_tells_the_router_of_the_networks_that_it_serves_itself() -> None:
    several = image(CABLE, TAGGED, BACKUP)
    slirp = user_network.Backend("slirp", "")
    served = user_network.Backend("passt", "", passt.Passt(Path("/bin/passt")))
    every = [f"10.0.{number}.0/24,10.0.{number}.3" for number in (2, 3, 4)]
    for backend, elsewhere, expected in ((slirp, False, every), (slirp, True, every[2:]), (served, False, [])):
        closed = user_network.closed(backend, several, first_elsewhere=elsewhere)
        line = qemu.argv(PROGRAM, replace(qemu.router(several, "tcg"), closed=closed))
        assert [one.text for one in host_networks.parse(line[line.index("-append") + 1])] == expected


def test_passt_and_slirp_are_asked_for_by_name() -> None:
    assert [parse(one).kind for one in ("user", "passt", "slirp")] == ["user", "passt", "slirp"]
    for wrong in ("passt:x", "slirp:", "Passt"):
        with pytest.raises(ValueError, match="none of user, passt, slirp, tap:NAME"):
            parse(wrong)


def test_a_helper_of_a_killed_keeper_is_ended_by_the_next_command(short_runtime: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as helper, subprocess.Popen(["sleep", "60"]) as machine:
        place = registry.claim("router")
        one, other = ((child.pid, process.started(child.pid)) for child in (helper, machine))
        record = registry.VmState(
            "router", 1, *other, "", "", "", "", "", 96, detached=True, events="", console="", monitor="",
            backend="passt", helpers=(registry.Helper(*one),),
        )  # fmt: skip
        place.publish(record)
        assert registry.running()[0].helpers == record.helpers
        os.close(place.descriptor)  # as the kernel does when a keeper is killed
        assert registry.running() == ()
        assert helper.wait(5) == -9
        assert machine.wait(5) == -9
