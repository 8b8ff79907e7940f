# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What QEMU would open by a path, opened for it: disks, kernel, sockets that it listens on, KVM's device.

So QEMU, which may be another user and see no more of the file system than its program, needs no path to any of them.

Sources: qemu(1), -add-fd, -accel kvm,device=, -chardev socket,fd=, -netdev stream; memfd_create(2); unix(7).
"""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from netvm_build.util.files import open_plain
from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.confinement import LARGEST_CAPTURE, Access
from netvm_build.vmm.qemu.machine import ClientNic, Served, VirtualMachine
from netvm_build.vmm.qemu.program import Qemu

KVM, KVM_FILE = "kvm", Path("/dev/kvm")
KVM_BY_DESCRIPTOR = (8, 2)
"""The first QEMU with ``-accel kvm,device=``."""


@dataclass(frozen=True)
class Opened:
    """The machine, which names descriptors; those that QEMU inherits; and what more it may use.

    `sets` are descriptors with the path of each: the first is QEMU's /dev/fdset/1.
    """

    machine: VirtualMachine
    descriptors: tuple[int, ...]
    sets: tuple[tuple[int, str], ...]
    access: Access


class Opener:
    """Opens things for one QEMU; the stack closes our copies once it has them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.descriptors: list[int] = []
        self.sets: list[tuple[int, str]] = []
        self.read_only: list[int] = []
        self.writes: list[int] = []

    def inherited(self, descriptor: int) -> int:
        """A descriptor that QEMU gets, and that we close."""
        self._stack.callback(_close, descriptor)
        self.descriptors.append(descriptor)
        return descriptor

    def in_set(self, path: Path) -> Path:
        """A file that QEMU gets as a descriptor, so that its user needs no right to open it.  Raises OSError."""
        return self.add(open_plain(path), str(path))

    def add(self, descriptor: int, what: str) -> Path:
        """An open file that QEMU uses by its descriptor."""
        self.sets.append((self.inherited(descriptor), what))
        return Path(f"/dev/fdset/{len(self.sets)}")

    def read(self, path: Path) -> Path:
        """A file that QEMU opens itself, by our descriptor: a copy in memory if its user couldn't.  Raises OSError."""
        descriptor = open_plain(path)
        if os.geteuid() == 0 and not os.fstat(descriptor).st_mode & 0o004:
            with open(descriptor, "rb") as original:
                descriptor = os.memfd_create(path.name)
                with open(descriptor, "wb", closefd=False) as copy:
                    shutil.copyfileobj(original, copy)
        self.read_only.append(self.inherited(descriptor))
        return by_descriptor(descriptor)

    def write(self, path: Path) -> Path:
        """A file that QEMU writes, made here.  Raises OSError."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        self.writes.append(self.inherited(descriptor))
        return by_descriptor(descriptor)

    def listener(self, path: Path) -> int:
        """A socket at a path, only for us, on which QEMU listens.  Raises OSError."""
        return self.inherited(listening(path).detach())

    def served(self, network: Served) -> Served:
        """A user network that joins our descriptor.  Raises OSError."""
        return replace(network, netdev=backends.accepting(self.listener(network.socket)))

    def nic(self, nic: ClientNic) -> ClientNic:
        """A client's NIC whose network, if it is a socket, is our descriptor.  Raises OSError."""
        if nic.socket is None:
            return nic
        return replace(nic, netdev=backends.accepting(self.listener(nic.socket)))


def by_descriptor(descriptor: int) -> Path:
    """The path by which the process that has this descriptor opens its file again."""
    return Path(f"/proc/self/fd/{descriptor}")


def listening(path: Path) -> socket.socket:
    """A socket of ours at a path, in the place of whatever is there.  Raises OSError."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        made.close()
        raise
    return made


def open_for(program: Qemu, machine: VirtualMachine, wanted: Access, opener: Opener) -> Opened:
    """Open all that a machine names by a path.  Raises OSError."""
    accelerator, devices, groups = kvm(program, machine.accelerator, opener)
    named = replace(
        machine,
        accelerator=accelerator,
        kernel=opener.read(machine.kernel),
        initrd=None if machine.initrd is None else opener.read(machine.initrd),
        rootfs=opener.in_set(machine.rootfs),
        disks=tuple(opener.in_set(disk) for disk in machine.disks),
        capture=None if machine.capture is None else opener.write(machine.capture),
        nics=tuple(opener.nic(nic) for nic in machine.nics),
        served={place: opener.served(network) for place, network in machine.served.items()},
    )
    access = replace(
        wanted,
        network=machine.has_user_network,
        cards=wanted.cards or bool(machine.cards),
        devices=(*wanted.devices, *devices),
        groups=(*wanted.groups, *groups),
        largest_file=wanted.largest_file if machine.capture is None else LARGEST_CAPTURE,
        read_only=(*wanted.read_only, *opener.read_only),
        writes=(*wanted.writes, *opener.writes),
    )
    return Opened(named, tuple(opener.descriptors), tuple(opener.sets), access)


def kvm(program: Qemu, accelerator: str, opener: Opener) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
    """(-accel's value, files of devices, their groups): KVM by an open device, or for an older QEMU by its file."""
    if accelerator != KVM:
        return accelerator, (), ()
    with suppress(OSError):
        if program.release >= KVM_BY_DESCRIPTOR:
            return f"{KVM},device={opener.add(os.open(KVM_FILE, os.O_RDWR | os.O_CLOEXEC), str(KVM_FILE))}", (), ()
        return KVM, (str(KVM_FILE),), (KVM_FILE.stat().st_gid,)
    return accelerator, (), ()  # QEMU says what is wrong


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
