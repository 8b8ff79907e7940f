# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The second QMP connection of a running VM's QEMU, for commands that change it.  One at a time can use it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from netvm_build.util.errors import QmpLost
from netvm_build.util.interrupts import run_in
from netvm_build.vmm.interface import Refused, Release
from netvm_build.vmm.qemu.devices import nic_id
from netvm_build.vmm.qemu.opened import listening
from netvm_build.vmm.qemu.pcie import PciSlot
from netvm_build.vmm.qemu.qmp import ANSWER_S, PLUG_S, UNPLUG_S, Qmp

CONNECT_S = 5.0
_PERIPHERAL = "/machine/peripheral"  # of QEMU's object model: the devices that have an id

T = TypeVar("T")


def slots_in(reply: Any) -> frozenset[PciSlot]:
    """The slots that something sits in, by QEMU's reply to query-pci.  Raises QmpLost where that is not its shape."""
    try:
        return frozenset(
            slot
            for bus in reply
            for device in bus["devices"]
            for inner in device.get("pci_bridge", {}).get("devices", ())
            for slot in (PciSlot(device["qdev_id"]), PciSlot(device["qdev_id"], f"{inner['slot']:#x}"))
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise QmpLost(
            "QEMU's reply to query-pci makes no sense", hint="is this a QEMU of version 7.2 or later?"
        ) from error


def plugging(nic: str, mac: str, slot: str) -> str:
    """The commands that plug in a client's NIC, in words."""
    return f"QMP: netdev_add {nic}, device_add {nic_id(nic)} {mac} in {slot}"


def unplugging(nic: str) -> str:
    """The commands that unplug it, in words."""
    return f"QMP: device_del {nic_id(nic)}, netdev_del {nic}"


class Monitor:
    """A connection; use it in a `with`.  Raises QmpLost if QEMU has ended, or someone else has the monitor."""

    def __init__(self, path: Path, connect_s: float = CONNECT_S) -> None:
        self._path = path
        self._connect_s = connect_s
        self._runner = asyncio.Runner()
        self._qmp = Qmp("the router's QEMU")

    def __enter__(self) -> Monitor:
        try:
            self._run(self._connect())
        except TimeoutError as error:
            self._runner.close()
            hint = "only one can use it at a time: leave it there, then try again"
            message = f"{self._path}: the QMP monitor does not answer: someone else uses it, or QEMU hangs"
            raise QmpLost(message, hint=hint) from error
        except OSError as error:
            self._runner.close()
            raise QmpLost(f"{self._path}: QEMU's monitor does not answer: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._qmp.close())
        self._runner.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """One command.  Raises Refused, or QmpLost."""
        return self._run(self._qmp.execute(command, deadline_s=ANSWER_S, **arguments))

    def give(self, name: str, descriptor: int) -> None:
        """Hand over an open file, for a later command to name.  Raises Refused, or QmpLost."""
        self._run(self._qmp.give(name, descriptor))

    def take_back(self, name: str) -> None:
        """Close a file that was handed over.  Raises Refused, or QmpLost."""
        self.execute("closefd", fdname=name)

    def add_socket(self, network: str, path: str) -> None:
        """A network that another QEMU joins, by a socket made here.  Raises Refused, or QmpLost.

        QEMU listens in a thread, which knows no names of files, only numbers (net/stream.c; monitor_cur).
        """
        try:
            with listening(Path(path)) as made:
                number = self._run(self._qmp.give_by_number(made.fileno()))
        except OSError as error:
            raise Refused(f"no socket can be made at {path}: {error.strerror}") from error
        self.execute("netdev_add", id=network, type="stream", server=True, addr={"type": "fd", "str": str(number)})

    def add_tap(self, network: str, name: str) -> None:
        """A network through a tap that was handed over under this name.  Raises Refused, or QmpLost."""
        self.execute("netdev_add", id=network, type="tap", fd=name)

    def remove_network(self, network: str) -> None:
        """Remove a network that no NIC uses.  Raises Refused, or QmpLost."""
        self.execute("netdev_del", id=network)

    def plug(self, properties: Mapping[str, str | int | bool]) -> None:
        """Plug in a device.  Raises Refused, or QmpLost."""
        self._run(self._qmp.execute("device_add", deadline_s=PLUG_S, **properties))

    def unplug(self, device: str, deadline_s: float = UNPLUG_S) -> Release:
        """Ask the guest to release a device, and wait for its answer.  Raises Refused, or QmpLost."""
        return self._run(self._qmp.unplug(device, deadline_s))

    def devices(self) -> tuple[str, ...]:
        """The ids of the devices that it has, and of the ports they sit in.  Raises QmpLost."""
        try:
            return tuple(sorted(str(entry["name"]) for entry in self.execute("qom-list", path=_PERIPHERAL)))
        except (Refused, TypeError, KeyError) as error:
            raise QmpLost("QEMU does not say which devices it has") from error

    def in_use(self) -> frozenset[PciSlot]:
        """The slots that something sits in.  Raises QmpLost."""
        return slots_in(self.execute("query-pci"))

    async def _connect(self) -> None:
        await self._qmp.connect(self._path, self._connect_s)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return run_in(self._runner, work)
