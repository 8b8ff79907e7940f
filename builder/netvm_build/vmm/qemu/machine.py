# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a VM is made of and connected to, and the router as its manifest wants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu.datapath import PLAIN, Datapath
from netvm_build.vmm.qemu.networks import DEFAULT, UserNetwork, user_networks
from netvm_build.vmm.qemu.pcie import Plan, plan

EVENTS_PORT = "netvm.events"
UPLINK_MAC = "52:54:00:12:34:56"


@dataclass(frozen=True)
class ClientNic:
    """A virtio NIC for a client's network.  `netdev` is the rest of a -netdev option, such as
    ``stream,server=off,addr.type=fd,addr.str=7``.  `socket` is the path in it of a socket on which QEMU listens.
    `path` is for one on a tap; a socket has one queue, and no offloads.
    """

    id: str
    mac: str
    netdev: str
    socket: Path | None = None
    path: Datapath = PLAIN


@dataclass(frozen=True)
class Trunk:
    """Where the frames of an uplink's card go in the place of a user network, and whence those of each user network
    behind it come: the rest of -netdev options, the latter by the number of the user network.
    """

    card: str
    networks: Mapping[int, str]


@dataclass(frozen=True)
class Served:
    """A user network that another process serves: the socket on which QEMU waits for it, and -netdev without an id."""

    socket: Path
    netdev: str


@dataclass(frozen=True)
class Channels:
    """What a VM is connected to on this host beside its networks; without more, its console is this terminal.

    `console`, `qmp`, `monitor` (a second QMP) and `port` (with the name that the guest sees) are chardevs without an
    id.  `secrets` is a -fw_cfg option that names an inherited descriptor.  `sets` are inherited descriptors, and what
    each is: /dev/fdset/1 and so on.  With `halted` its CPUs wait for `cont`.
    """

    console: str = "stdio,mux=on"
    qmp: str | None = None
    monitor: str | None = None
    port: tuple[str, str] | None = None
    secrets: str | None = None
    sets: tuple[tuple[int, str], ...] = ()
    halted: bool = False


TERMINAL = Channels()


@dataclass(frozen=True)
class VirtualMachine:
    """All that a VM is made of.

    With `watchdog` there is one that resets the machine, and since QEMU is told not to reboot, ends it.

    `uplink` is a NIC model; there is one such card for each of `uplink_macs`, on the one of `networks` (those of all
    uplinks) whose place is in `uplink_networks`, or, by the card's number, on one of `trunks`.  The first is on
    `uplink_net`, a -netdev without an id, if there is one, and has what `uplink_path` says; a virtio card is told
    `uplink_mtu`, in bytes.  `cards` are PCI addresses of this machine, bound to vfio-pci.  Those of `networks` with a
    place in `served` aren't QEMU's own.  The guest is told to close those in `closed` to its clients.

    Client NICs sit where each can be unplugged, and `spare_ports` more can be plugged in; with `plug_later` none is
    there yet.  `capture` takes the first 96 bytes of every packet on the first uplink, in pcap format.
    """

    name: str
    kernel: Path
    rootfs: Path
    cmdline: str
    accelerator: str
    memory_mib: int
    cpus: int = 1
    uplink: str | None = None
    cards: tuple[str, ...] = ()
    uplink_net: str | None = None
    uplink_mtu: int | None = None
    uplink_path: Datapath = PLAIN
    uplink_macs: tuple[str, ...] = (UPLINK_MAC,)
    uplink_networks: tuple[int, ...] = (0,)
    networks: tuple[UserNetwork, ...] = (DEFAULT,)
    served: Mapping[int, Served] = field(default_factory=dict)
    closed: tuple[UserNetwork, ...] = ()
    trunks: Mapping[int, Trunk] = field(default_factory=dict)
    capture: Path | None = None
    nics: tuple[ClientNic, ...] = ()
    spare_ports: int = 0
    plug_later: bool = False
    disks: tuple[Path, ...] = ()
    watchdog: bool = False
    initrd: Path | None = None

    @property
    def has_user_network(self) -> bool:
        """Whether QEMU itself sends on the host's network: it does for uplinks that lead nowhere else."""
        elsewhere = self.uplink_net is not None and len(self.uplink_macs) == 1
        return self.uplink is not None and not self.served and not elsewhere

    @property
    def slots(self) -> Plan:
        """Where the client NICs sit.  Raises LaunchError if they do not fit."""
        return plan(tuple(nic.id for nic in self.nics), self.spare_ports, self.cpus)


def router(image: Image, accelerator: str, *, nic: str | None = None, memory_mib: int | None = None) -> VirtualMachine:
    """The router VM as its manifest wants it, with no client yet."""
    wanted = image.manifest.machine
    return VirtualMachine(
        name=image.manifest.name,
        kernel=image.kernel,
        rootfs=image.rootfs,
        cmdline=image.manifest.cmdline,
        accelerator=accelerator,
        memory_mib=memory_mib or wanted.memory_mib,
        cpus=wanted.cpus,
        uplink=nic or wanted.nic,
        uplink_macs=image.manifest.uplink_macs or (UPLINK_MAC,),
        uplink_networks=tuple(min(card.vlans) for card in image.manifest.cards),
        networks=user_networks(image.manifest),
        watchdog=wanted.watchdog_s > 0,
        initrd=image.initrd,
    )
