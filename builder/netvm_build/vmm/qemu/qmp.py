# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A QMP connection to a QEMU: its commands, its events, and the devices that it takes out.

QEMU's docs/interop/qmp-spec.rst and qmp-ref have the protocol.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from netvm_build.util.errors import QmpLost
from netvm_build.vmm.interface import Refused, Release

ANSWER_S = 10.0
PLUG_S = 60.0  # a NIC among hundreds, or a card of this machine, takes QEMU longer than other commands
UNPLUG_S = 15.0  # native PCIe waits 5 s, as its button asks
CLOSE_S = 2.0

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # what it would log, it also raises


class Qmp:
    """One connection.  `peer` is what messages call the other side.  Raises Refused where QEMU says no."""

    def __init__(self, peer: str = "QEMU") -> None:
        self._peer = peer
        self._client = QMPClient("netvm-build")
        self._client.events.event_filter = lambda _: False  # else it keeps every event of QEMU's until it is closed

    async def connect(self, end: socket.socket | Path, deadline_s: float) -> None:
        """Connect, and negotiate capabilities.  Raises TimeoutError, or ConnectionError with QEMU's reason."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._client.connect(str(end) if isinstance(end, Path) else end)
        except QMPError as error:
            raise ConnectionError(str(error)) from error

    async def execute(self, command: str, *, deadline_s: float | None = ANSWER_S, **arguments: object) -> Any:
        """QEMU's answer to one command.  Raises Refused, or QmpLost where QEMU has ended or is silent."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._client.execute(command, arguments or None)
        except ExecuteError as error:
            raise Refused(str(error)) from error
        except (QMPError, TimeoutError, EOFError, OSError, ValueError, RecursionError) as error:
            # The last two: a line that is too long, or nested too deeply, for the library's own reader.
            why = "did not answer" if isinstance(error, TimeoutError) else "has ended"
            raise QmpLost(f"{self._peer} {why} at {command}") from error

    def events(self, *names: str) -> AbstractContextManager[Any]:
        """A context in which events of these names queue up, to be taken with `get()`."""
        return self._client.listener(names)

    async def give(self, name: str, descriptor: int) -> None:
        """Hand over an open file, for a later command to name.  Raises Refused, or QmpLost."""
        self._send(descriptor)
        await self.execute("getfd", fdname=name)

    async def give_by_number(self, descriptor: int) -> int:
        """Hand over an open file; the number it has in QEMU.  Raises Refused, or QmpLost.

        The command that uses the number closes it.  QEMU's list of such files keeps it: remove-fd would close the file
        that has it by then, and so would QEMU before 9.1 if nobody had a connection to it.
        """
        self._send(descriptor)
        added = await self.execute("add-fd")
        try:
            return int(added["fd"])
        except (TypeError, KeyError, ValueError) as error:
            raise QmpLost(f"{self._peer} doesn't say which number a file has") from error

    def _send(self, descriptor: int) -> None:
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as error:
            raise QmpLost(f"{self._peer} has ended") from error

    async def unplug(self, device: str, deadline_s: float | None = UNPLUG_S) -> Release:
        """Ask the guest to release a device, and wait for its answer.  A device that doesn't exist counts as released.

        Without a deadline the caller sets one.  Raises Refused, or QmpLost.
        """
        with self.events("DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR") as events:
            try:
                await self.execute("device_del", id=device)
            except Refused as error:
                if "not found" in str(error):
                    return Release.DONE
                if "in the process of unplug" not in str(error):
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    async for event in events:
                        # The names of a device's parts come too, without an id.
                        if event["data"].get("device") == device:
                            return Release.DONE if event["event"] == "DEVICE_DELETED" else Release.REFUSED
        return Release.LATE

    async def close(self) -> None:
        """Close the connection; waits no longer than CLOSE_S for QEMU."""
        with suppress(QMPError, EOFError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._client.disconnect()
