# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A small PCI bus in a folder, and a kernel that answers writes to it as Linux does (drivers/pci/pci-driver.c)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.host.pci import VFIO, Bus, Device
from netvm_build.host.steps import Host
from netvm_build.util.errors import CommandError

PCI_IDS = """# A few lines as pci.ids(5) has them.
8086  Intel Corporation
\t10d3  82574L Gigabit Network Connection
\t\t8086 a01f  EXPI9301CT
\t10c9  82576 Gigabit Network Connection
10ec  Realtek Semiconductor Co., Ltd.
\t8168  RTL8111/8168/8411 PCI Express Gigabit Ethernet Controller
C 02  Network controller
\t00  Ethernet controller
"""

DRIVERS = {(0x8086, 0x10D3): "e1000e", (0x8086, 0x10C9): "igb", (0x10EC, 0x8168): "r8169", (0x8086, 0x2922): "ahci"}


class FakeMachine:
    """The tree below `root`; `before` and `after` are called with the number of each write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bus = Bus(root)
        self.refuse: dict[str, OSError] = {}
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None
        self.writes = 0
        (root / "sys/bus/pci/devices").mkdir(parents=True)
        (root / "sys/bus/pci/drivers").mkdir()
        (root / "sys/bus/pci/drivers_probe").touch()
        (root / "sys/kernel/iommu_groups").mkdir(parents=True)
        (root / "sys/class/net").mkdir(parents=True)
        (root / "proc/net").mkdir(parents=True)
        (root / "dev/vfio").mkdir(parents=True)
        (root / "usr/share/misc").mkdir(parents=True)
        (root / "usr/share/misc/pci.ids").write_text(PCI_IDS)
        self.route()
        for driver in {*DRIVERS.values(), "pcieport", VFIO}:
            self.driver(driver)

    def driver(self, name: str) -> Path:
        folder = self.bus.driver_folder(name)
        folder.mkdir()
        for file in ("bind", "unbind"):
            (folder / file).touch()
        return folder

    def add(self, address: str, vendor: int, device: int, *, group: int | None = None, **more: str | int) -> None:
        """A device; `more` may hold `class_code`, `driver`, `net` and `reset`."""
        folder = self.bus.folder(address)
        folder.mkdir()
        files = {"vendor": f"{vendor:#06x}", "device": f"{device:#06x}", "driver_override": "(null)"}
        files |= {
            "class": f"{more.get('class_code', 0x020000):#08x}",
            "reset_method": str(more.get("reset", "flr bus")),
        }
        for name, text in files.items():
            (folder / name).write_text(text + "\n")
        if group is not None:
            members = self.root / f"sys/kernel/iommu_groups/{group}/devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(folder)
            (folder / "iommu_group").symlink_to(members.parent)
        if more.get("net"):
            (folder / "card").write_text(str(more["net"]))
        driver = more.get("driver", DRIVERS.get((vendor, device)))
        if driver:
            self._bind(address, str(driver))

    def route(self, *interfaces: str, ipv6: str | None = None) -> None:
        """Let default routes go by these interfaces."""
        head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        lines = [f"{name}\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" for name in interfaces]
        lines.append("lan0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n")
        (self.root / "proc/net/route").write_text(head + "".join(lines))
        zero = "0" * 32
        other = f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
        mine = f"{zero} 00 {zero} 00 fe80{zero[4:]} 00000400 00000001 00000000 00000003 {ipv6:>8}\n" if ipv6 else ""
        (self.root / "proc/net/ipv6_route").write_text(other + mine)

    @property
    def host(self) -> Host:
        return Host(self.bus, self.write, self.modprobe)

    def state(self) -> dict[str, object]:
        """All that a user would want back as it was."""
        devices = {
            path.name: (one.driver, one.override, one.interfaces)
            for path in sorted(self.bus.devices_folder.iterdir())
            if (one := self.bus.device(path.name)) is not None
        }
        return {**devices, "drivers": sorted(path.name for path in self.bus.drivers_folder.iterdir())}

    def modprobe(self, *arguments: str) -> None:
        def work() -> None:
            name = arguments[-1]
            if name in self.refuse:
                raise CommandError(f"modprobe: {name} not found")
            folder = self.bus.driver_folder(name)
            if arguments[0] == "-r":
                shutil.rmtree(folder)
            elif not folder.exists():
                self.driver(name)

        self._counted(work)

    def write(self, path: Path, value: str) -> None:
        if path.name in self.refuse:
            raise self.refuse[path.name]
        self._counted(lambda: self._write(path, value))

    def _counted(self, work: Callable[[], None]) -> None:
        self.writes += 1
        number = self.writes
        self.before(number)
        work()
        self.after(number)

    def _write(self, path: Path, value: str) -> None:
        if not path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        if path.name == "driver_override":
            path.write_text((value.strip() or "(null)") + "\n")
            return
        folder = self.bus.folder(value)
        if not folder.exists():
            raise OSError(19, "No such device", str(path))
        device = self.bus.device(value) or pytest.fail(f"{value} has no vendor")
        if path.name == "unbind":
            if device.driver != path.parent.name:
                raise OSError(19, "No such device", str(path))
            self._unbind(device)
        elif path.name == "drivers_probe":
            wanted = device.override or DRIVERS.get((device.vendor, device.device), "")
            if device.driver is None and self.bus.driver_folder(wanted).is_dir():
                self._bind(value, wanted)
        elif path.name == "bind":
            if device.driver is not None or device.override not in ("", path.parent.name):
                raise OSError(19, "No such device", str(path))
            self._bind(value, path.parent.name)

    def _unbind(self, device: Device) -> None:
        folder = self.bus.folder(device.address)
        (folder / "driver").unlink()
        (self.bus.driver_folder(str(device.driver)) / device.address).unlink()
        shutil.rmtree(folder / "net", ignore_errors=True)
        if device.driver == VFIO:
            (self.root / f"dev/vfio/{device.group}").unlink(missing_ok=True)

    def _bind(self, address: str, driver: str) -> None:
        folder = self.bus.folder(address)
        (folder / "driver").symlink_to(self.bus.driver_folder(driver))
        (self.bus.driver_folder(driver) / address).symlink_to(folder)
        device = self.bus.device(address)
        assert device is not None
        if driver == VFIO:
            (self.root / f"dev/vfio/{device.group}").touch()
        elif (folder / "card").exists():
            (folder / "net" / (folder / "card").read_text()).mkdir(parents=True)


def standard(root: Path) -> FakeMachine:
    """Five cards: one in its own group, two that share one, one beside a disk controller, one that cannot be reset."""
    root.mkdir(exist_ok=True)
    machine = FakeMachine(root)
    machine.add("0000:00:01.0", 0x8086, 0x3420, group=2, class_code=0x060400, driver="pcieport")
    machine.add("0000:01:00.0", 0x8086, 0x10D3, group=2, net="eth0")
    machine.add("0000:02:00.0", 0x8086, 0x10C9, group=3, net="lan0")
    machine.add("0000:02:00.1", 0x8086, 0x10C9, group=3, net="lan1")
    machine.add("0000:03:00.0", 0x10EC, 0x8168, group=4, net="eth3")
    machine.add("0000:03:00.1", 0x8086, 0x2922, group=4, class_code=0x010601)
    machine.add("0000:04:00.0", 0x10EC, 0x8168, group=5, net="eth4", reset="")
    machine.add("0000:05:00.0", 0x1234, 0x5678, group=6, class_code=0x028000)
    machine.add("0000:05:00.1", 0x1234, 0x5679, group=6, class_code=0x0C0330)
    return machine


def gone(pid: int) -> int:
    """Wait for a child; its status as a shell has it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
