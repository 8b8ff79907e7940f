# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a user needs to use a card without root: the group's device file, and memory that may be locked.

VFIO pins all memory of a VM, since a card may write to any of it at any time, and counts it against RLIMIT_MEMLOCK
(getrlimit(2)); a process with CAP_IPC_LOCK is not counted.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from netvm_build.host.pci import Bus, Device
from netvm_build.util.errors import HostError

RULES_FILE = "/etc/udev/rules.d/80-netvm-vfio.rules"
LIMITS_FILE = "/etc/security/limits.d/80-netvm-vfio.conf"
UDEV_S = 3.0
BESIDE_MEMORY_MIB = 32  # the firmware's and the cards' own, with some room
_CAP_IPC_LOCK = 14  # capabilities(7)


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


def check_memory(memory_mib: int) -> None:
    """Let a VM of this size be pinned, raising the soft limit where the hard one allows.  Raises HostError."""
    needed = (memory_mib + BESIDE_MEMORY_MIB) << 20
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if _may_lock() or soft == resource.RLIM_INFINITY or soft >= needed:
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


def _may_lock(status: Path = Path("/proc/self/status")) -> bool:
    capabilities = next(
        (line for line in status.read_text(errors="replace").splitlines() if line.startswith("CapEff:")), "CapEff: 0"
    )
    return bool(int(capabilities.split()[1], 16) >> _CAP_IPC_LOCK & 1)


def _user() -> str:
    return os.environ.get("USER") or str(os.geteuid())
