# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""All that a VM is started from, its start, and its record."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from netvm_build.host import access, capabilities
from netvm_build.host.pci import Bus
from netvm_build.image.manifest import Image
from netvm_build.util import process
from netvm_build.util.errors import LaunchError
from netvm_build.vm import registry
from netvm_build.vm.networks import OfferedNetwork
from netvm_build.vm.passts import Network
from netvm_build.vm.uplink import ON_USER_NETWORK, Plugged
from netvm_build.vm.user_network import CLOSED, Backend
from netvm_build.vmm import qemu
from netvm_build.vmm.interface import Vmm
from netvm_build.vmm.qemu.accelerator import Accelerator
from netvm_build.vmm.qemu.confinement import Access, User
from netvm_build.vmm.qemu.credentials import Credentials
from netvm_build.vmm.qemu.passt import guest_sides
from netvm_build.vmm.qemu.process import QemuVm, Wiring
from netvm_build.vmm.qemu.trunk import Trunks

SAID_BYTES = 1 << 20


@dataclass(frozen=True)
class Launch:
    """All that a VM is started from.  `log` takes the console's lines, escaped; None keeps them nowhere."""

    image: Image
    program: qemu.Qemu
    accelerator: Accelerator
    machine: qemu.VirtualMachine
    offered: tuple[OfferedNetwork, ...]
    place: registry.RuntimeDir
    log: Path | None = None
    uplink: Plugged = ON_USER_NETWORK
    secrets: Credentials | None = None
    user: User | None = None
    backend: Backend | None = None

    @property
    def user_networks(self) -> tuple[Network, ...]:
        """Those that passt serves."""
        sides = guest_sides(self.image.manifest)
        return tuple(Network(one.socket, sides[place]) for place, one in self.machine.served.items())


def vmm(launch: Launch, trunks: Trunks) -> Vmm:
    """The VM, with what it inherits: a tap, secrets, ends of trunks."""
    machine = replace(launch.machine, trunks=trunks.described, plug_later=launch.machine.slots.bridged)
    wiring = Wiring(
        port=qemu.EVENTS_PORT,
        monitor=launch.place.folder / registry.MONITOR,
        inherited=(*launch.uplink.descriptors, *(end.fileno() for end in trunks.inherited)),
        secrets=launch.secrets,
        access=_access(launch),
    )
    return QemuVm(launch.program, machine, log_of(launch), wiring, lasts=False)


def qemu_user(name: str) -> User:
    """The user that QEMU becomes.  Raises LaunchError for one that is not there, is root, or that we can't become."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        hint = f"make it: sudo useradd --system --shell /usr/sbin/nologin {name}; or leave out --user"
        raise LaunchError(f"--user: there is no user named {name}", hint=hint) from None
    if os.geteuid() != 0:
        raise LaunchError("--user: only root can become another user", hint="leave it out: QEMU runs as you")
    if found.pw_uid == 0:
        hint = "leave out --user: QEMU then is a user that nothing else is"
        raise LaunchError("--user: QEMU is never run as root", hint=hint)
    return User(found.pw_uid, found.pw_gid, tuple(os.getgrouplist(name, found.pw_gid)))


def _access(launch: Launch) -> Access:
    """What QEMU needs of this host.  Cards may be plugged in later wherever a port is free."""
    bus, machine = Bus(), launch.machine
    cards = [device for address in machine.cards if (device := bus.device(address)) is not None]
    return Access(
        cards=bool(cards or machine.slots.spare),
        own=access.files(bus, cards),
        memlock=access.lockable(machine.memory_mib) if cards else 0,
        user=launch.user,
    )


async def start(launch: Launch, vm: Vmm) -> None:
    """Start the VM without any of our rights; what only it needs is closed here.  Raises as `Vmm.start` does."""
    capabilities.drop_capability()
    try:
        await vm.start()
    finally:
        for descriptor in launch.uplink.descriptors:
            os.close(descriptor)
        if launch.secrets is not None:  # QEMU has read them
            launch.secrets.close()


def log_of(launch: Launch) -> Path:
    """What QEMU itself prints, as long as the VM runs."""
    return launch.place.folder / "qemu.log"


def passt_log_of(launch: Launch) -> Path:
    """What its passts print, as long as the VM runs."""
    return launch.place.folder / "passt.log"


def trim(said: Path) -> None:
    """Empty QEMU's or passt's log once it is long: a guest can make them warn without end, and it is in memory."""
    with suppress(OSError):
        if said.stat().st_size > SAID_BYTES:
            os.truncate(said, 0)


def describe(launch: Launch, vm: Vmm) -> registry.VmState:
    """The record of a VM that has just been started."""
    folder, qemu_pid = launch.place.folder, vm.pid
    return registry.VmState(
        name=launch.place.name,
        pid=os.getpid(),
        qemu_pid=qemu_pid,
        qemu_started=process.started(qemu_pid),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        image=str(launch.image.folder.absolute()),
        accelerator=launch.accelerator.kind,
        accelerator_reason=launch.accelerator.why,
        qemu=f"{launch.program.path} {launch.program.version}",
        memory_mib=launch.machine.memory_mib,
        detached=launch.log is not None,
        events=str(folder / registry.EVENTS),
        console=str(folder / registry.CONSOLE),
        monitor=str(folder / registry.MONITOR),
        log=str(launch.log or ""),
        clients=tuple(
            registry.ClientNetwork(
                name=network.name,
                router=str(network.pair.router),
                client=str(network.pair.client),
                client_mac=network.pair.client_mac,
                port=str(slot),
                socket=str(network.socket),
            )
            for network, slot in zip(launch.offered, launch.machine.slots.slots, strict=True)
        ),
        ports=tuple(str(slot) for slot in launch.machine.slots.spare),
        image_id=launch.image.identity,
        behind=launch.uplink.socket,
        landlock=vm.landlock,
        path=launch.uplink.path.choices,
        backend="" if launch.backend is None else launch.backend.kind,
        backend_reason="" if launch.backend is None else launch.backend.reason,
        loopback=CLOSED if launch.user_networks else "",
    )
