# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The host's PCI devices as sysfs shows them: drivers, IOMMU groups, resets.  Reads below a root path, changes nothing.

Sources: the kernel's Documentation/ABI/testing/sysfs-bus-pci and Documentation/driver-api/vfio.rst; pci.ids(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

VFIO = "vfio-pci"
NETWORK, BRIDGE = 0x02, 0x06  # base classes of the PCI Code and ID Assignment Specification
NAMES = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")
ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


@dataclass(frozen=True)
class Device:
    """One function of a PCI device.  `address` is as in sysfs, ``0000:03:00.0``; `class_code` has 24 bits.

    `group` is its IOMMU group, None where there is no IOMMU.  `resets` are the kernel's methods, in its order.
    """

    address: str
    vendor: int
    device: int
    class_code: int
    driver: str | None = None
    override: str = ""
    group: int | None = None
    interfaces: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()
    name: str = ""

    @property
    def is_network(self) -> bool:
        return self.class_code >> 16 == NETWORK

    @property
    def is_bridge(self) -> bool:
        """Bridges stay with the host: VFIO lets a group be used in which a bridge has its own driver."""
        return self.class_code >> 16 == BRIDGE

    @property
    def pci_id(self) -> str:
        return f"{self.vendor:04x}:{self.device:04x}"

    def __str__(self) -> str:
        return f"{self.address} ({self.name or self.pci_id})"


@dataclass(frozen=True)
class Bus:
    """The PCI devices of the machine whose root file system is at `root`."""

    root: Path = Path("/")

    @property
    def devices_folder(self) -> Path:
        return self.root / "sys/bus/pci/devices"

    @property
    def drivers_folder(self) -> Path:
        return self.root / "sys/bus/pci/drivers"

    def folder(self, address: str) -> Path:
        return self.devices_folder / address

    def driver_folder(self, driver: str) -> Path:
        return self.drivers_folder / driver

    @property
    def has_iommu(self) -> bool:
        groups = self.root / "sys/kernel/iommu_groups"
        return groups.is_dir() and any(groups.iterdir())

    def device(self, address: str) -> Device | None:
        """A device as it is now; None if it is not there."""
        folder = self.folder(address)
        if not (folder / "vendor").exists():
            return None
        group = _link_name(folder / "iommu_group")
        vendor, device = _hex(folder / "vendor"), _hex(folder / "device")
        return Device(
            address=address,
            vendor=vendor,
            device=device,
            class_code=_hex(folder / "class"),
            driver=_link_name(folder / "driver"),
            override=_text(folder / "driver_override").replace("(null)", ""),
            group=int(group) if group is not None and group.isdecimal() else None,
            interfaces=_interfaces(folder),
            resets=_resets(folder),
        )

    def network(self) -> tuple[Device, ...]:
        """Every network device, with its name, in the order of addresses."""
        if not self.devices_folder.is_dir():
            return ()
        found = [
            device
            for path in sorted(self.devices_folder.iterdir())
            if _hex(path / "class") >> 16 == NETWORK and (device := self.device(path.name)) is not None
        ]
        return self.named(tuple(found))

    def members(self, group: int) -> tuple[Device, ...]:
        """All devices of an IOMMU group, with their names."""
        folder = self.root / f"sys/kernel/iommu_groups/{group}/devices"
        addresses = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return self.named(tuple(device for address in addresses if (device := self.device(address)) is not None))

    def named(self, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        """The same devices with their names out of pci.ids, where the machine has that file."""
        names = _names(self.root, {(one.vendor, one.device) for one in devices})
        return tuple(replace(one, name=names.get((one.vendor, one.device), "")) for one in devices)


def full_address(text: str) -> str | None:
    """An address as sysfs writes it, its domain 0000 where that is left out; None if it is none."""
    match = ADDRESS.fullmatch(text.lower())
    return None if match is None else f"{match[1] or '0000'}:{match[2]}:{match[3]}.{match[4]}"


def _interfaces(folder: Path) -> tuple[str, ...]:
    """A card's interfaces in this network namespace; a virtio card has its own device in between."""
    nets = [folder / "net", *(path / "net" for path in folder.glob("virtio*"))]
    return tuple(sorted(path.name for net in nets if net.is_dir() for path in net.iterdir()))


def _resets(folder: Path) -> tuple[str, ...]:
    """Its reset methods; before Linux 5.15 it is only said that there is one."""
    if (folder / "reset_method").exists():
        return tuple(_text(folder / "reset_method").split())
    return ("reset",) if (folder / "reset").exists() else ()


def _names(root: Path, wanted: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Vendor and device → "Vendor Device", for those that are wanted and known."""
    file = next((root / name for name in NAMES if (root / name).is_file()), None)
    found: dict[tuple[int, int], str] = {}
    if file is None or not wanted:
        return found
    vendor, maker = -1, ""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := re.match(r"([0-9a-f]{4})  (.*)", line):
                vendor, maker = int(match[1], 16), match[2].strip()
            elif line.startswith("C "):  # classes follow, whose lines look alike
                break
            elif (match := re.match(r"\t([0-9a-f]{4})  (.*)", line)) and (vendor, int(match[1], 16)) in wanted:
                found[vendor, int(match[1], 16)] = f"{maker} {match[2].strip()}"
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def _hex(file: Path) -> int:
    try:
        return int(_text(file) or "0", 16)
    except ValueError:
        return 0


def _link_name(link: Path) -> str | None:
    return link.readlink().name if link.is_symlink() else None
