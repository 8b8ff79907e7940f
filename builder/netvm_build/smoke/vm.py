# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A QEMU of a smoke boot: its console and event port are read line by line, and its console goes to a file."""

from __future__ import annotations

import asyncio
import io
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType

from netvm_build.guest import MAX_LINE, Lines
from netvm_build.util.errors import QmpLost
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.confinement import NOTHING_MORE, Access
from netvm_build.vmm.qemu.credentials import Credentials
from netvm_build.vmm.qemu.process import QemuVm, Wiring

CONSOLE_MAX_BYTES = 4 << 20
CONSOLE_LINES = 200
"""A panic's call trace may have a hundred lines, and what the program said before it is the cause."""

OnLine = Callable[[str], None]


class Vm(QemuVm):
    """A VM from the start to the end of a `with`.

    `on_console` and `on_port` get each line as it comes; `folder` gets console.log and qemu.log (names after `prefix`).
    """

    def __init__(
        self,
        program: qemu.Qemu,
        machine: qemu.VirtualMachine,
        folder: Path,
        *,
        on_console: OnLine,
        on_port: OnLine,
        port_name: str | None,
        max_line: int = MAX_LINE,
        inherited: Sequence[socket.socket | int] = (),
        secrets: Credentials | None = None,
        by_hand: Sequence[str] = (),
        prefix: str = "",
        access: Access = NOTHING_MORE,
    ) -> None:
        descriptors = tuple(one if isinstance(one, int) else one.fileno() for one in inherited)
        wiring = Wiring(port=port_name, inherited=descriptors, secrets=secrets, by_hand=tuple(by_hand), access=access)
        super().__init__(program, machine, folder / f"{prefix}qemu.log", wiring)
        self.console_log = folder / f"{prefix}console.log"
        self.console_tail: deque[str] = deque(maxlen=CONSOLE_LINES)
        self.powered_at = 0.0
        self.unwritten: OSError | None = None
        self._listeners: Mapping[str, OnLine] = {"console": on_console} | ({"port": on_port} if port_name else {})
        self._max_line = max_line

    async def __aenter__(self) -> Vm:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        self._tasks += [asyncio.create_task(self._read(name)) for name in self._listeners]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def elapsed_s(self) -> float:
        """Seconds since power-on."""
        return time.monotonic() - self.powered_at if self.powered_at else 0.0

    async def power_on(self) -> None:
        """Let the CPUs run; the clock of the boot starts here."""
        self.powered_at = time.monotonic()
        await self.resume()

    async def send(self, line: bytes) -> None:
        """One line to the port.  Raises QmpLost."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self.port, line)
        except OSError as error:
            raise QmpLost("QEMU has ended", details="\n".join(self.printed()) or None) from error

    async def _read(self, name: str) -> None:
        channel = self._channels[name]
        channel.setblocking(False)
        lines, written = Lines(self._max_line), 0
        loop, listener = asyncio.get_running_loop(), self._listeners[name]
        # Unbuffered: what a full disk refuses is told at once, and not again as the file is closed.
        with self.console_log.open("wb", buffering=0) if name == "console" else nullcontext() as log:
            while data := await self._receive(loop, channel):
                if log is not None and written < CONSOLE_MAX_BYTES and self.unwritten is None:
                    written += self._record(log, data[: CONSOLE_MAX_BYTES - written])
                for line in lines.feed(data):
                    if log is not None:
                        self.console_tail.append(line)
                    listener(line)
        if log is not None and lines.rest():
            self.console_tail.append(lines.rest())

    def _record(self, log: io.RawIOBase, data: bytes) -> int:
        """Write to the console's log.  A full disk must not keep us from hearing the guest; it is told at the end."""
        try:
            log.write(data)
        except OSError as error:
            self.unwritten = error
        return len(data)

    @staticmethod
    async def _receive(loop: asyncio.AbstractEventLoop, channel: socket.socket) -> bytes:
        try:
            return await loop.sock_recv(channel, 65536)
        except OSError:
            return b""
