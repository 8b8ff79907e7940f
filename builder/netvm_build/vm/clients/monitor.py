# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router's QEMU, asked by QMP over the monitor that `run` leaves to others.  One at a time may use it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from qemu.qmp import ExecuteError, QMPClient, QMPError

from netvm_build.util.errors import QmpLost
from netvm_build.util.interrupts import run_in
from netvm_build.vmm.qemu.pcie import PciSlot

CONNECT_S = 5.0
ANSWER_S = 10.0
LEAVE_S = 2.0
UNPLUG_S = 15.0  # native PCIe waits 5 s, as its button asks

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # what it would log, it also raises


T = TypeVar("T")


def seats_in(reply: Any) -> frozenset[PciSlot]:
    """The seats that something sits in, by QEMU's reply to query-pci.  Raises QmpLost where that is not its shape."""
    try:
        return frozenset(
            seat
            for bus in reply
            for device in bus["devices"]
            for inner in device.get("pci_bridge", {}).get("devices", ())
            for seat in (PciSlot(device["qdev_id"]), PciSlot(device["qdev_id"], f"{inner['slot']:#x}"))
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise QmpLost(
            "QEMU's reply to query-pci makes no sense", hint="is this a QEMU of version 7.2 or later?"
        ) from error


class Refused(Exception):
    """QEMU says no; the text says why."""


class Monitor:
    """A connection; use it in a `with`.  Raises QmpLost if QEMU is gone, or someone else has the monitor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runner = asyncio.Runner()
        self._client = QMPClient("netvm-build client")

    def __enter__(self) -> Monitor:
        try:
            self._run(self._connect())
        except TimeoutError as error:
            self._runner.close()
            hint = "only one can use it at a time: leave it there, then try again"
            message = f"{self._path}: the QMP monitor does not answer: someone else uses it, or QEMU hangs"
            raise QmpLost(message, hint=hint) from error
        except (QMPError, OSError) as error:
            self._runner.close()
            raise QmpLost(f"{self._path}: QEMU's monitor does not answer: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(QMPError, OSError, EOFError, TimeoutError):
            self._run(self._disconnect())
        self._runner.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """One command.  Raises Refused, or QmpLost."""
        return self._run(self._execute(command, arguments))

    def give(self, name: str, descriptor: int) -> None:
        """Hand over an open file, for a later command to name.  Raises Refused, or QmpLost."""
        self._run(self._give(name, descriptor))

    def unplug(self, device: str) -> bool:
        """Take a device out; False if the guest does not let go of it in time.  What is not there is out already."""
        return self._run(self._unplug(device))

    def in_use(self) -> frozenset[PciSlot]:
        """The seats that something sits in.  Raises QmpLost."""
        return seats_in(self.execute("query-pci"))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return run_in(self._runner, work)

    async def _connect(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            await self._client.connect(str(self._path))

    async def _disconnect(self) -> None:
        async with asyncio.timeout(LEAVE_S):
            await self._client.disconnect()

    async def _execute(self, command: str, arguments: Mapping[str, object]) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._client.execute(command, dict(arguments) or None)
        except ExecuteError as error:
            raise Refused(str(error)) from error
        except (QMPError, TimeoutError, EOFError, OSError) as error:
            why = "did not answer" if isinstance(error, TimeoutError) else "is gone"
            raise QmpLost(f"the router's QEMU {why} at {command}") from error

    async def _give(self, name: str, descriptor: int) -> None:
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as error:
            raise QmpLost("the router's QEMU is gone") from error
        await self._execute("getfd", {"fdname": name})

    async def _unplug(self, device: str) -> bool:
        with self._client.listener("DEVICE_DELETED") as deleted:
            try:
                await self._execute("device_del", {"id": device})
            except Refused as error:
                if "not found" in str(error):
                    return True
                if "in the process of unplug" not in str(error):
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(UNPLUG_S):
                    async for event in deleted:
                        data: Any = event["data"]  # the names of a device's parts come too, without an id
                        if data.get("device") == device:
                            return True
        return False
