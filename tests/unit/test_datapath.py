# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""vhost, queues, offloads and ring of a virtio uplink: what is chosen by what the host has, and QEMU's arguments."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build import spec
from netvm_build.util.errors import LaunchError, SpecError
from netvm_build.vm import uplink
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.datapath import PLAIN, Datapath, Way, Wish, choose, queues
from netvm_build.vmm.qemu.machine import ClientNic, VirtualMachine
from netvm_build.vmm.qemu.pcie import PciSlot

from tests.unit.test_qemu import IMAGE

VIRTIO = "virtio-net-pci"
TAP = Way()


@pytest.fixture
def vhost(tmp_path: Path) -> Path:
    """A device that may be opened."""
    file = tmp_path / "vhost-net"
    file.touch()
    return file


def chosen(path: Datapath) -> dict[str, tuple[str, str]]:
    path.close()
    return {choice.name: (choice.value, choice.why) for choice in path.choices}


# What the host has (by the name of a file), what is asked, the card, the accelerator, where it leads → vhost, and why.
HOSTS: dict[str, tuple[str, str, str, str, Way, str, str]] = {
    "all there": ("here", "auto", VIRTIO, "kvm", TAP, "on", "{device} is there"),
    "asked for": ("here", "on", VIRTIO, "kvm", TAP, "on", "machine.vhost asks for it"),
    "asked for under TCG": ("here", "on", VIRTIO, "tcg", TAP, "on", "machine.vhost asks for it"),
    "not wanted": ("here", "off", VIRTIO, "kvm", TAP, "off", "machine.vhost asks for it"),
    "no such file": ("none", "auto", VIRTIO, "kvm", TAP, "off", "{device}: No such file or directory"),
    "a folder": ("folder", "auto", VIRTIO, "kvm", TAP, "off", "{device}: Is a directory"),
    "under TCG": ("here", "auto", VIRTIO, "tcg", TAP, "off", "TCG emulates the card's interrupts in QEMU anyway"),
    "another card": ("here", "auto", "e1000e", "kvm", TAP, "off", "e1000e isn't a virtio card"),
    "no tap": ("here", "auto", VIRTIO, "kvm", Way("the uplink is a socket"), "off", "the uplink is a socket"),
}


@pytest.mark.parametrize("case", HOSTS)
def test_vhost_by_what_the_host_has(case: str, vhost: Path, tmp_path: Path) -> None:
    there, asked, nic, accelerator, way, value, why = HOSTS[case]
    device = {"here": vhost, "none": tmp_path / "none", "folder": tmp_path}[there]
    before = set(Path("/proc/self/fd").iterdir())
    path = choose(Wish(vhost=asked), nic, accelerator, way, 1, device)
    assert len(path.vhost) == (value == "on")
    assert chosen(path)["vhost"] == (value, why.format(device=device))
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    ("there", "nic", "way", "said", "hint"),
    [
        (False, VIRTIO, TAP, "No such file or directory", "sudo modprobe vhost_net"),
        (True, "e1000e", TAP, "e1000e isn't a virtio card", "--nic virtio-net-pci"),
        (True, VIRTIO, Way("the uplink is on a user network"), "a user network", "--uplink bridge:NAME"),
    ],
)
def test_vhost_that_is_asked_for_and_can_not_be_had_is_refused(
    there: bool, nic: str, way: Way, said: str, hint: str, vhost: Path, tmp_path: Path
) -> None:
    with pytest.raises(LaunchError, match=f"machine.vhost is on: .*{said}") as caught:
        choose(Wish(vhost="on"), nic, "kvm", way, 1, vhost if there else tmp_path / "none")
    assert hint in str(caught.value.hint)


def test_a_device_that_may_not_be_opened_names_its_group(vhost: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LaunchError, match="Permission denied") as caught:
        choose(Wish(vhost="on"), VIRTIO, "kvm", TAP, 1, vhost)
    assert "ls -l /dev/vhost-net" in str(caught.value.hint)


def test_queues_are_as_many_as_cpus_where_the_tap_can() -> None:
    assert queues(Wish(cpus=4), VIRTIO, TAP) == (4, "one for each of machine.cpus")
    assert queues(Wish(cpus=4, queues=2), VIRTIO, TAP) == (2, "machine.queues asks for it")
    assert queues(Wish(cpus=4), "e1000e", TAP) == (1, "e1000e has one")
    single = "the tap t0 was made without multi_queue"
    assert queues(Wish(cpus=4), VIRTIO, Way(single=single)) == (1, single)


def line(path: Datapath, release: tuple[int, ...] = (10, 0), nic: str = VIRTIO) -> list[str]:
    """The uplink's part of a command line."""
    machine = VirtualMachine("r", Path("k"), Path("r"), "", "tcg", 96)
    machine = replace(machine, uplink=nic, uplink_net="tap,fd=9", uplink_path=path)
    argv = qemu.argv(qemu.Qemu(Path("qemu"), ".".join(map(str, release))), machine)
    at = next(number for number, word in enumerate(argv) if "id=uplink-nic" in word)
    return argv[at].partition("romfile=")[2].split(",")[1:]


def test_the_card_has_two_vectors_a_queue_and_two_more() -> None:
    assert line(PLAIN) == []
    assert line(replace(PLAIN, queues=2)) == ["mq=on", "vectors=6"]
    assert line(replace(PLAIN, queues=4, rx_queue_size=1024)) == ["mq=on", "vectors=10", "rx_queue_size=1024"]
    assert line(replace(PLAIN, queues=4, rx_queue_size=1024), nic="igb") == []


def test_offloads_are_switched_off_by_the_names_that_this_qemu_knows() -> None:
    off = line(replace(PLAIN, offloads=False))
    assert {"csum=off", "guest_csum=off", "host_tso4=off", "guest_tso4=off", "guest_uso4=off"} <= set(off)
    assert [word for word in line(replace(PLAIN, offloads=False), (7, 2)) if "uso" in word] == []


def test_a_tap_is_given_by_its_queues_and_a_vhost_for_each() -> None:
    assert backends.tap(7) == "tap,fd=7"
    assert backends.tap(7, vhost=(9,)) == "tap,fd=7,vhost=on,vhostfd=9"
    assert backends.tap(7, 8, vhost=(9, 10)) == "tap,fds=7:8,vhost=on,vhostfds=9:10"


def test_a_client_on_a_tap_has_queues_and_one_on_a_socket_has_none() -> None:
    slot = PciSlot("port-c0")
    assert "mq" not in qemu.nic_properties(ClientNic("c0", "0A:B3:EC:40:00:00", "stream"), slot)
    on_tap = ClientNic("c0", "0A:B3:EC:40:00:00", "tap", path=replace(PLAIN, queues=2))
    assert qemu.nic_properties(on_tap, slot)["vectors"] == 6


# ---- what `check` says


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        spec.parse(f"version: 1\nmachine: {{{text}}}\n", "netvm.yaml", Path("/"))
    return "".join(f"{problem} ({problem.hint})\n" for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("vhost: yes", "machine.vhost: 'yes' is not a use of vhost", "write auto, on or off"),
        ("vhost: on", "machine.vhost: machine.nic is e1000e, and only virtio cards have it", "virtio-net-pci"),
        ("queues: 2, nic: virtio-net-pci", "2 queues, but machine.cpus is 1", "raise machine.cpus to 2"),
        ("queues: 2, cpus: 2", "machine.queues: machine.nic is e1000e", "virtio-net-pci"),
        ("queues: 17", "17 is not a whole number from 0 to 16", "the most 16"),
        ("rx_queue_size: 300, nic: virtio-net-pci", "QEMU has no receive queue of 300", "256, 512 or 1024"),
        ("rx_queue_size: 512", "machine.rx_queue_size: machine.nic is e1000e", "virtio-net-pci"),
        ("offloads: maybe", "machine.offloads", ""),
    ],
)
def test_check_says_what_does_not_fit(text: str, said: str, hint: str) -> None:
    found = problems(text)
    assert said in found
    assert hint in found


@pytest.mark.parametrize(
    ("where", "nic", "said"),
    [
        ("user", VIRTIO, "the uplink is on a user network"),
        ("slirp", VIRTIO, "the uplink is on a user network"),
        ("router:front", VIRTIO, "the uplink is a socket of another router"),
        ("user", "e1000e", "the uplink is on a user network"),
        ("bridge:br0", "e1000e", "e1000e .*virtio card"),
    ],
)
def test_vhost_that_is_asked_for_is_judged_before_a_build(where: str, nic: str, said: str) -> None:
    machine = replace(IMAGE.manifest.machine, nic=VIRTIO, vhost="on")
    image = replace(IMAGE, manifest=replace(IMAGE.manifest, machine=machine))
    with pytest.raises(LaunchError, match=f"machine.vhost is on: {said}"):
        uplink.check(uplink.parse(where), image, nic)


def test_the_keys_are_read_and_shown_again() -> None:
    keys = "nic: virtio-net-pci, cpus: 2, vhost: on, queues: 2, offloads: no, rx_queue_size: 1024"
    text = f"version: 1\nmachine: {{{keys}}}\n"
    loaded = spec.parse(text, "netvm.yaml", Path("/"))
    machine = loaded.router.machine
    assert (machine.vhost, machine.queues, machine.offloads, machine.rx_queue_size) == ("on", 2, False, 1024)
    assert spec.parse(spec.show(loaded), "netvm.yaml", Path("/")).router == loaded.router


@pytest.mark.parametrize(
    ("accelerator", "cpus", "said"),
    [
        ("tcg", 1, "tcg"),
        ("tcg", 2, "tcg,thread=single"),
        ("kvm", 2, "kvm"),
        ("kvm,device=/dev/fdset/1", 2, "kvm,device=/dev/fdset/1"),
    ],
)
def test_several_cpus_under_tcg_share_a_thread(accelerator: str, cpus: int, said: str) -> None:
    machine = VirtualMachine("r", Path("k"), Path("r"), "", accelerator, 96, cpus)
    argv = qemu.argv(qemu.Qemu(Path("qemu"), "10.0"), machine)
    assert argv[argv.index("-accel") + 1] == said
