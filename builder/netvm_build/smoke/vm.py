# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The lifetime of one VM: QEMU, its QMP connection, its console and its port.

Everything between us and QEMU is an inherited socket pair: there is no socket file to leave behind, and an end of file
tells at once that QEMU is gone.
"""

from __future__ import annotations

import asyncio
import io
import logging
import shlex
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from subprocess import Popen
from types import TracebackType
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from netvm_build.guest import MAX_LINE, Lines, escape
from netvm_build.util import interrupts
from netvm_build.util.errors import LaunchError, QmpLost
from netvm_build.util.process import spawn
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.credentials import Credentials

CONSOLE_MAX_BYTES = 4 << 20
TAIL_LINES = 30
CONSOLE_LINES = 200
"""A panic's call trace may have a hundred lines, and what the program said before it is the cause."""
QUIT_S = 2.0
CONNECT_S = 20.0
_SAID = "# what QEMU said:"

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # what it would log, it also raises

OnLine = Callable[[str], None]


class Vm:
    """One QEMU.  `machine` comes without chardevs: they are ours to make.

    `on_console` and `on_port` get each line as it comes; `folder` gets console.log and qemu.log (names after `name`).
    """

    def __init__(
        self,
        program: qemu.Qemu,
        machine: qemu.Machine,
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
    ) -> None:
        self.program = program
        self.machine = machine
        self.console_log = folder / f"{prefix}console.log"
        self.qemu_log = folder / f"{prefix}qemu.log"
        self.console_tail: deque[str] = deque(maxlen=CONSOLE_LINES)
        self.ended = asyncio.Event()
        self.barked = False
        self.powered_at = 0.0
        self.unwritten: OSError | None = None
        self._listeners: Mapping[str, OnLine] = {"console": on_console, "port": on_port}
        self._port_name = port_name
        self._max_line = max_line
        self._inherited = tuple(inherited)
        self._secrets = secrets
        self._by_hand = tuple(by_hand)
        self._child: Popen[bytes] | None = None
        self._qmp = QMPClient("netvm-build")
        self._tasks: list[asyncio.Task[None]] = []
        self._ours: dict[str, socket.socket] = {}
        self._argv: list[str] = []
        self._closing = False

    async def __aenter__(self) -> Vm:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def elapsed_s(self) -> float:
        """Seconds since power-on."""
        return time.monotonic() - self.powered_at if self.powered_at else 0.0

    async def _start(self) -> None:
        names = ["qmp", "console"] + (["port"] if self._port_name else [])
        theirs: dict[str, socket.socket] = {}
        try:
            for name in names:
                self._ours[name], theirs[name] = socket.socketpair()
            chardevs = {name: f"socket,fd={end.fileno()}" for name, end in theirs.items()}
            machine = replace(self.machine, console=chardevs["console"], qmp=chardevs["qmp"], paused=True)
            if self._secrets:
                machine = replace(machine, secrets=self._secrets.option)
            if self._port_name:
                machine = replace(machine, port=(self._port_name, chardevs["port"]))
            self._argv = qemu.argv(self.program, machine)
            self._write_head()
            with self.qemu_log.open("ab") as log:
                inherited = [one if isinstance(one, int) else one.fileno() for one in self._inherited]
                fds = [*(end.fileno() for end in theirs.values()), *inherited]
                fds += [self._secrets.descriptor] if self._secrets else []
                self._child = spawn(self._argv, stdout=log, stderr=log, pass_fds=fds, orphaned=SIGKILL)
        finally:
            for end in theirs.values():
                end.close()
        for name in names[1:]:
            self._tasks.append(asyncio.create_task(self._read(name, self._ours[name])))
        self._tasks.append(asyncio.create_task(self._watch(self._child)))
        await self._connect(CONNECT_S)
        self._tasks.append(asyncio.create_task(self._hear_watchdog()))

    async def _hear_watchdog(self) -> None:
        with self.listen("WATCHDOG") as barks:
            await barks.get()
            self.barked = True

    def _write_head(self) -> None:
        lines = ["# as it was started:", shlex.join(self._argv)]
        if self._by_hand:
            lines += ["# the same by hand, console here (leave with Ctrl-A X):", shlex.join(self._by_hand)]
        self.qemu_log.write_text("\n".join([*lines, _SAID, ""]))

    async def _connect(self, deadline_s: float) -> None:
        connecting = asyncio.create_task(self._qmp.connect(self._ours.pop("qmp")))
        ended = asyncio.create_task(self.ended.wait())
        try:
            await asyncio.wait({connecting, ended}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and connecting.exception() is None:
                return
            if connecting.done():
                await asyncio.wait({ended}, timeout=QUIT_S)
            raise self._launch_error(deadline_s)
        finally:
            await interrupts.ended(connecting, ended)

    def _launch_error(self, deadline_s: float) -> LaunchError:
        said = self.said()
        status = self._child.poll() if self._child else None
        if status is None:
            message = f"QEMU runs but did not answer on QMP within {deadline_s:g} s"
        elif status < 0:
            message = f"QEMU was killed by signal {-status} before it answered"
        else:
            message = f"QEMU exited with status {status} before it answered"
        return LaunchError(
            message,
            hint=f"the whole log is {self.qemu_log}",
            details="\n".join([shlex.join(self._argv), *(said or ["(it printed nothing)"])]),
        )

    def said(self) -> list[str]:
        """The last lines that QEMU itself printed, safe to show."""
        try:
            text = self.qemu_log.read_text(errors="replace")
        except OSError:
            return []
        return [escape(line) for line in text.partition(_SAID)[2].splitlines() if line][-TAIL_LINES:]

    def died(self) -> str | None:
        """How QEMU itself ended, where that was neither its guest's doing (status 0) nor ours."""
        status = None if self._child is None or self._closing else self._child.poll()
        if not status:
            return None
        return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"

    async def power_on(self) -> None:
        """Let the CPUs run; the clock of the boot starts here."""
        self.powered_at = time.monotonic()
        await self.execute("cont")

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, deadline_s: float = 10.0
    ) -> Any:
        """One QMP command with its arguments.  Raises QmpLost if QEMU is gone or silent, ExecuteError if it says no."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._qmp.execute(command, dict(arguments) if arguments else None)
        except ExecuteError:
            raise
        except (QMPError, TimeoutError, EOFError, OSError) as error:
            why = "did not answer" if isinstance(error, TimeoutError) else "is gone"
            raise QmpLost(
                f"QEMU {why} at {command}",
                hint=f"its log is {self.qemu_log}",
                details="\n".join(self.said()) or None,
            ) from error

    def listen(self, name: str) -> Any:
        """A context in which QMP events of this name queue up, to be taken with `get()`."""
        return self._qmp.listener(name)

    async def send(self, line: str) -> None:
        """One line to the port."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._ours["port"], line.encode() + b"\n")
        except OSError as error:
            raise QmpLost("QEMU is gone", details="\n".join(self.said()) or None) from error

    async def _read(self, name: str, channel: socket.socket) -> None:
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

    async def _watch(self, child: Popen[bytes]) -> None:
        await interrupts.exited(child)
        self.ended.set()

    async def close(self) -> None:
        """End QEMU, which takes SIGTERM as its order to quit, and close all that is ours.  May be called twice."""
        self._closing = True
        if self._child is not None:
            await interrupts.end_group(self._child, grace_s=1.0)
        await interrupts.ended(*self._tasks)
        with suppress(QMPError, EOFError, OSError, TimeoutError):
            async with asyncio.timeout(QUIT_S):
                await self._qmp.disconnect()
        for end in self._ours.values():
            end.close()
        self._ours.clear()
