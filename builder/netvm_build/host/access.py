# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a user needs to use a card without root: the group's device file, and memory that may be locked.

VFIO pins all memory of a VM, since a card may write to any of it at any time, and counts it against RLIMIT_MEMLOCK
(getrlimit(2)).  QEMU has no capability that would lift that limit (CAP_IPC_LOCK), nor root's right to open the files.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netvm_build.host.pci import Bus, Device
from netvm_build.util.errors import HostError

RULES_FILE = "/etc/udev/rules.d/80-netvm-vfio.rules"
LIMITS_FILE = "/etc/security/limits.d/80-netvm-vfio.conf"
UDEV_S = 3.0
BESIDE_MEMORY_MIB = 32  # the firmware's and the cards' own, with some room
_CAP_SYS_RESOURCE = 24  # capabilities(7)


def udev_rules(user: str, devices: tuple[Device, ...]) -> str:
    """Rules that let a user hand over and use these cards: a card at a time, and the groups that VFIO makes."""
    lines = [f'SUBSYSTEM=="vfio", OWNER="{user}", MODE="0600"']
    for device in devices:
        mine = f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{device.address}"'
        lines.append(f'{mine}, RUN+="/bin/chown {user} /sys%p/driver_override"')
    drivers = sorted({"vfio-pci", *(device.driver for device in devices if device.driver)})
    for driver in drivers:
        files = f"/sys/bus/pci/drivers/{driver}/bind /sys/bus/pci/drivers/{driver}/unbind"
        lines.append(f'ACTION=="add", SUBSYSTEM=="drivers", KERNEL=="{driver}", RUN+="/bin/chown {user} {files}"')
    lines.append(f'ACTION=="add", SUBSYSTEM=="pci", RUN+="/bin/chown {user} /sys/bus/pci/drivers_probe"')
    return "\n".join(lines)


def shut(bus: Bus, devices: tuple[Device, ...]) -> tuple[Path, ...]:
    """Those of the files that handing these cards over writes to that this user may not write to."""
    files = [bus.root / "sys/bus/pci/drivers_probe"]
    for device in devices:
        files.append(bus.folder(device.address) / "driver_override")
        if device.driver is not None:
            files.append(bus.driver_folder(device.driver) / "unbind")
    return tuple(file for file in files if not os.access(file, os.W_OK))


def memory_limit(user: str, memory_mib: int) -> str:
    """A line of limits.conf(5) under which a VM of so much memory can have a card."""
    return f"{user} - memlock {(memory_mib + BESIDE_MEMORY_MIB) * 1024}"


def lockable(memory_mib: int) -> int:
    """The bytes that a VM of this size with a card locks."""
    return (memory_mib + BESIDE_MEMORY_MIB) << 20


def check_memory(memory_mib: int) -> None:
    """Let a VM of this size be pinned, raising the soft limit where the hard one allows.  Raises HostError.

    Nothing is changed for a process that may raise the hard one: QEMU's own is raised as it starts.
    """
    needed = lockable(memory_mib)
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if _may_raise() or soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (needed, hard))
        return
    raise HostError(
        f"this user may lock {hard >> 20} MiB of memory; a VM of {memory_mib} MiB with a card needs {needed >> 20}",
        hint=f"put `{memory_limit(_user(), memory_mib)}` into {LIMITS_FILE} and log in again; a service: LimitMEMLOCK=",
    )


def check_file(bus: Bus, device: Device, patience_s: float = UDEV_S) -> None:
    """Whether this user may open the device's group, once udev has seen to it.  Raises HostError."""
    file = bus.root / f"dev/vfio/{device.group}"
    end = time.monotonic() + patience_s
    while not os.access(file, os.R_OK | os.W_OK):
        if time.monotonic() > end:
            there = "is not open to this user" if file.exists() else "is not there"
            hint = "run it as root, or let this user do it: netvm-build doctor prints udev rules"
            raise HostError(f"{device.address}: {file} {there}", hint=hint)
        time.sleep(0.05)


def files(bus: Bus, devices: Iterable[Device]) -> tuple[str, ...]:
    """The files of the groups that cards are in."""
    return tuple(str(bus.root / f"dev/vfio/{group}") for group in sorted({str(one.group) for one in devices}))


@contextmanager
def given_back(paths: Iterable[str]) -> Iterator[None]:
    """Files whose owner changes meanwhile have the owner of now again afterwards, if they still exist."""
    owners = {}
    for path in paths:
        with suppress(OSError):
            found = os.stat(path)  # noqa: PTH116
            owners[path] = (found.st_uid, found.st_gid)
    try:
        yield
    finally:
        for path, owner in owners.items():
            with suppress(OSError):
                os.chown(path, *owner)


def give(pid: int, paths: Iterable[str], memory_mib: int) -> None:
    """As root, let a QEMU that runs use files of cards, and lock its memory for them.  Raises HostError.

    Another user may give nothing, and needn't: QEMU is that user.
    """
    if os.geteuid() != 0:
        return
    needed = lockable(memory_mib)
    try:
        owner = Path(f"/proc/{pid}").stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)
        if memory_limit_of(pid) < needed:
            resource.prlimit(pid, resource.RLIMIT_MEMLOCK, (needed, needed))
    except FileNotFoundError:
        return  # QEMU has ended, or has no such file: who plugs the card in is told
    except (OSError, ValueError) as error:
        hint = f"a VM of {memory_mib} MiB with a card locks {needed >> 20} MiB: see RLIMIT_MEMLOCK of getrlimit(2)"
        raise HostError(f"QEMU can't be given a card: {error}", hint=hint) from error


def memory_limit_of(pid: int) -> int:
    """The bytes that a process may lock (proc_pid_limits(5)).  Raises OSError."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max locked memory"):
            soft = line.removeprefix("Max locked memory").split()[0]
            return sys.maxsize if soft == "unlimited" else int(soft)
    return 0


def make_folder(bus: Bus) -> None:
    """As root, make the folder that cards' files will be in, which QEMU must know from its start."""
    if os.geteuid() == 0 and bus.has_iommu:
        with suppress(OSError):
            (bus.root / "dev/vfio").mkdir(exist_ok=True)


def _may_raise(status: Path = Path("/proc/self/status")) -> bool:
    capabilities = next(
        (line for line in status.read_text(errors="replace").splitlines() if line.startswith("CapEff:")), "CapEff: 0"
    )
    return bool(int(capabilities.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)


def _user() -> str:
    return os.environ.get("USER") or str(os.geteuid())
