# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How packets get from a tap of this host to a virtio card of the router: what is chosen, and why.

vhost    The host's kernel moves packets between tap and guest, not QEMU.  QEMU gets /dev/vhost-net by descriptor, one
         for each queue, since its own user may open nothing.
queues   Pairs of rings, so that each CPU of the router has its own.  The tap must be a multi_queue one.
offloads Checksums and segments of up to 64 KiB are left to a physical card, or its driver.
ring     How many packets the router's card may have waiting (rx_queue_size).  tx_queue_size stays 256, because
         QEMU takes more only with vhost-user and vDPA (virtio_net_max_tx_queue_size of hw/net/virtio-net.c).

Sources: qemu(1), -netdev tap; virtio 1.2, 5.1; the kernel's Documentation/networking/tuntap.rst, 3.3.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from netvm_build.image.manifest import Image
from netvm_build.util.errors import LaunchError
from netvm_build.vmm.qemu.options import VIRTIO_NET

VHOST = Path("/dev/vhost-net")
AUTO, ON, OFF = "auto", "on", "off"

RING = 256
"""QEMU's own rx_queue_size and tx_queue_size."""

OFFLOADS = (
    *("csum", "guest_csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo"),
    *("guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"),
)
USO = ("host_uso", "guest_uso4", "guest_uso6")
"""UDP segmentation, since QEMU 8.1 (its changelog)."""
USO_SINCE = (8, 1)


@dataclass(frozen=True)
class Choice:
    """A choice: vhost, queues, offloads or rx_queue_size, with its value and the reason."""

    name: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value}, {self.why}"


@dataclass(frozen=True)
class Wish:
    """What the spec asks for (`machine.…`).  0 queues: as many as CPUs; a ring of 0: QEMU's own."""

    vhost: str = AUTO
    queues: int = 0
    offloads: bool = True
    rx_queue_size: int = 0
    cpus: int = 1


@dataclass(frozen=True)
class Way:
    """Where the card leads: `tap` is empty for a tap of this host, else says what it is; `single` says why that tap has
    one queue, empty where it can have several.
    """

    tap: str = ""
    single: str = ""


@dataclass(frozen=True)
class Datapath:
    """What was chosen; `vhost` are open descriptors of /dev/vhost-net, one for each queue."""

    queues: int = 1
    offloads: bool = True
    rx_queue_size: int = RING
    vhost: tuple[int, ...] = ()
    choices: tuple[Choice, ...] = ()

    def close(self) -> None:
        """Close what was opened."""
        for descriptor in self.vhost:
            os.close(descriptor)

    def properties(self, nic: str, release: tuple[int, ...]) -> dict[str, str | int | bool]:
        """What -device gets beside the card's own."""
        if not nic.startswith(VIRTIO_NET):
            return {}
        found: dict[str, str | int | bool] = {}
        if self.queues > 1:
            # A vector for each ring, one for the control queue and one that announces changes.
            found |= {"mq": True, "vectors": 2 * self.queues + 2}
        if self.rx_queue_size != RING:
            found["rx_queue_size"] = self.rx_queue_size
        if not self.offloads:
            found |= dict.fromkeys(OFFLOADS + (USO if release >= USO_SINCE else ()), False)
        return found


PLAIN = Datapath()


def wished(image: Image) -> Wish:
    """What an image's spec asks for."""
    machine = image.manifest.machine
    return Wish(machine.vhost, machine.queues, machine.offloads, machine.rx_queue_size, machine.cpus)


def queues(wish: Wish, nic: str, way: Way) -> tuple[int, str]:
    """How many queues, and why."""
    if not nic.startswith(VIRTIO_NET):
        return 1, f"{nic} has one"
    if way.tap or way.single:
        return 1, way.tap or way.single
    if wish.queues:
        return wish.queues, "machine.queues asks for it"
    return wish.cpus, "one for each of machine.cpus"


def choose(wish: Wish, nic: str, accelerator: str, way: Way, count: int, device: Path = VHOST) -> Datapath:
    """What a card of `count` queues gets.  Opens /dev/vhost-net.  Raises LaunchError if the spec's vhost can't be."""
    number, why = queues(wish, nic, way)
    descriptors, vhost_why = _vhost(wish, nic, accelerator, way, count, device)
    virtio = nic.startswith(VIRTIO_NET)
    offloads = virtio and wish.offloads and not way.tap
    ring = wish.rx_queue_size if virtio and wish.rx_queue_size else RING
    told = "machine.offloads asks for it" if virtio and not way.tap else way.tap or f"{nic} is left as QEMU makes it"
    choices = (
        Choice("vhost", ON if descriptors else OFF, vhost_why),
        Choice("queues", str(count), why if number == count else f"the tap was made for {count}"),
        Choice("offloads", ON if offloads else OFF, told),
        Choice("rx_queue_size", str(ring), "machine.rx_queue_size asks for it" if ring != RING else "QEMU's own"),
    )
    return Datapath(count, wish.offloads, ring, descriptors, choices)


def _vhost(wish: Wish, nic: str, accelerator: str, way: Way, count: int, device: Path) -> tuple[tuple[int, ...], str]:
    """Descriptors of /dev/vhost-net, none where it isn't used, and why."""
    if wish.vhost == OFF:
        return (), "machine.vhost asks for it"
    obstacle = way.tap or ("" if nic.startswith(VIRTIO_NET) else f"{nic} isn't a virtio card")
    if not obstacle and wish.vhost == AUTO and not accelerator.startswith("kvm"):
        obstacle = f"{accelerator.upper()} emulates the card's interrupts in QEMU anyway"
    if not obstacle:
        try:
            return open_vhost(count, device), "machine.vhost asks for it" if wish.vhost == ON else f"{device} is there"
        except OSError as error:
            obstacle = f"{device}: {error.strerror}"
    if wish.vhost == ON:
        raise LaunchError(f"machine.vhost is on: {obstacle}", hint=_hint(obstacle))
    return (), obstacle


def _hint(obstacle: str) -> str:
    if os.strerror(2) in obstacle:
        return "sudo modprobe vhost_net; or write `vhost: auto` below `machine` and build again"
    if os.strerror(13) in obstacle:
        return f"join the group that owns it (ls -l {VHOST}), such as kvm; or write `vhost: auto` below `machine`"
    return "use --uplink bridge:NAME with --nic virtio-net-pci; or write `vhost: auto` below `machine` and build again"


def open_vhost(count: int, device: Path = VHOST) -> tuple[int, ...]:
    """Open /dev/vhost-net `count` times.  Raises OSError, with nothing left open."""
    opened: list[int] = []
    try:
        for _ in range(count):
            opened.append(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return tuple(opened)
