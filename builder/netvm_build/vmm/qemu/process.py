# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""One QEMU: started, watched and ended.

Everything between us and QEMU is an inherited socket pair: there is no socket file to leave behind, and an end of file
tells at once that QEMU has ended.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from netvm_build.guest import escape
from netvm_build.util import interrupts
from netvm_build.util.errors import LaunchError, QmpLost
from netvm_build.vmm.interface import Release
from netvm_build.vmm.qemu.command import argv
from netvm_build.vmm.qemu.confinement import NOTHING_MORE, Access, Started, hint_for, start
from netvm_build.vmm.qemu.credentials import Credentials
from netvm_build.vmm.qemu.devices import nic_id, nic_properties
from netvm_build.vmm.qemu.machine import Channels, VirtualMachine
from netvm_build.vmm.qemu.networks import uplink_nic_id
from netvm_build.vmm.qemu.opened import Opened, Opener, open_for
from netvm_build.vmm.qemu.program import Qemu, how_it_ended
from netvm_build.vmm.qemu.qmp import ANSWER_S, CLOSE_S, PLUG_S, Qmp

CONNECT_S = 30.0
TAIL_LINES = 30
_PRINTED = "# what QEMU said:"


@dataclass(frozen=True)
class Wiring:
    """What a QEMU gets from us beside its machine.

    `port` is the name of the guest's event port, `monitor` where a second QMP server listens.  `inherited` are
    descriptors that the machine names.  `by_hand` is a command line for a reader of the log.  `access` is what QEMU
    needs that the machine doesn't tell.
    """

    port: str | None = None
    monitor: Path | None = None
    inherited: tuple[int, ...] = ()
    secrets: Credentials | None = None
    by_hand: tuple[str, ...] = ()
    access: Access = NOTHING_MORE


class QemuVm:
    """A `Vmm` that is a QEMU.

    `log` gets QEMU's command line and what it prints; messages name it if it `lasts` longer than the VM.
    """

    def __init__(
        self, program: Qemu, machine: VirtualMachine, log: Path, wiring: Wiring = Wiring(), *, lasts: bool = True
    ) -> None:
        self.program = program
        self.machine = machine
        self.log = log
        self.ended = asyncio.Event()
        self.hung = asyncio.Event()
        self._wiring = wiring
        self._lasts = lasts
        self._landlock = 0
        self._child: Popen[bytes] | None = None
        self._started: Started | None = None
        self._qmp = Qmp()
        self._tasks: list[asyncio.Task[None]] = []
        self._channels: dict[str, socket.socket] = {}
        self._argv: list[str] = []
        self._given = ExitStack()
        self._stopping = False

    # ---- what it is

    @property
    def console(self) -> socket.socket:
        return self._channels["console"]

    @property
    def port(self) -> socket.socket:
        return self._channels["port"]

    @property
    def capture(self) -> Path | None:
        return self.machine.capture

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    @property
    def landlock(self) -> int:
        """The version of Landlock's ABI that restricts QEMU; 0 without."""
        return self._landlock

    @property
    def status(self) -> int | None:
        """The exit status, or minus the signal that killed it; None while it runs."""
        return None if self._child is None else self._child.poll()

    def died(self) -> str | None:
        """How QEMU itself ended, where that was neither its guest's doing (status 0) nor ours."""
        status = None if self._stopping else self.status
        return how_it_ended(status) if status else None

    def printed(self) -> list[str]:
        """The last lines that QEMU itself printed, safe to show."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return []
        head, mark, rest = text.partition(_PRINTED)  # a log that became too long was emptied, with its head
        return [escape(line) for line in (rest if mark else head).splitlines() if line][-TAIL_LINES:]

    # ---- start

    async def start(self) -> None:
        """Start it with its CPUs halted.  Raises LaunchError, or CommandError if the program can't be run."""
        names = ["qmp", "console"] + (["port"] if self._wiring.port else [])
        with ExitStack() as stack:
            theirs: dict[str, socket.socket] = {}
            for name in names:
                self._channels[name], theirs[name] = socket.socketpair()
                stack.callback(theirs[name].close)
            opened, monitor = self._open(Opener(stack))
            self._argv = argv(self.program, opened.machine, self._wired(theirs, opened, monitor))
            self.log.write_text(self._head())
            descriptors = [*(end.fileno() for end in theirs.values()), *self._wiring.inherited, *opened.descriptors]
            if self._wiring.secrets is not None:
                descriptors.append(self._wiring.secrets.descriptor)
            with self.log.open("ab") as log:  # appended to, so that it can be emptied while QEMU runs
                self._started = start(self._argv, log, log, descriptors, opened.access)
                self._child = self._started.child
        self._tasks.append(asyncio.create_task(self._watch(self._child)))
        await self._connect()
        self._landlock = self._started.report().landlock
        self._tasks.append(asyncio.create_task(self._hear_watchdog()))

    def _open(self, opener: Opener) -> tuple[Opened, str | None]:
        """What the machine names by a path, and where the second QMP server listens.  Raises LaunchError."""
        try:
            path = self._wiring.monitor
            monitor = None if path is None else f"socket,fd={opener.listener(path)},server=on,wait=off"
            opened = open_for(self.program, self.machine, self._wiring.access, opener)
            for descriptor in opener.writes if os.geteuid() == 0 else ():  # as root they are given to QEMU's user
                self._given.callback(_take_back, os.dup(descriptor))
        except OSError as error:
            what = error.filename or self._wiring.monitor
            raise LaunchError(f"QEMU can't be given {what}: {error.strerror}") from error
        return opened, monitor

    def _wired(self, theirs: Mapping[str, socket.socket], opened: Opened, monitor: str | None) -> Channels:
        """What it is connected to: its ends of our sockets, and what was asked for."""
        wiring = self._wiring
        chardevs = {name: f"socket,fd={end.fileno()}" for name, end in theirs.items()}
        return Channels(
            console=chardevs["console"],
            qmp=chardevs["qmp"],
            port=None if wiring.port is None else (wiring.port, chardevs["port"]),
            monitor=monitor,
            secrets=None if wiring.secrets is None else wiring.secrets.option,
            sets=opened.sets,
            halted=True,
        )

    def _head(self) -> str:
        lines = ["# as it was started:", shlex.join(self._argv)]
        if self._wiring.by_hand:
            lines += ["# the same by hand, console here (leave with Ctrl-A X):", shlex.join(self._wiring.by_hand)]
        return "\n".join([*lines, _PRINTED, ""])

    async def _connect(self) -> None:
        """Wait until QEMU answers.  Raises LaunchError."""
        connecting = asyncio.create_task(self._qmp.connect(self._channels.pop("qmp"), CONNECT_S))
        ended = asyncio.create_task(self.ended.wait())
        try:
            await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and connecting.exception() is None:
                return
            if connecting.done():  # QEMU hangs up before it ends
                await asyncio.wait({ended}, timeout=CLOSE_S)
            raise self._launch_error()
        finally:
            await interrupts.ended(connecting, ended)

    def _launch_error(self) -> LaunchError:
        status = self.status
        failed = "" if self._started is None or status is None else self._started.report().error
        if failed:
            message = f"QEMU was not started: {failed}"
        elif status is None:
            message = f"QEMU runs but did not answer on QMP within {CONNECT_S:g} s"
        else:
            message = f"QEMU {how_it_ended(status)} before it answered"
        return LaunchError(
            message,
            hint=hint_for(failed) if failed else f"the whole log is {self.log}" if self._lasts else None,
            details="\n".join([shlex.join(self._argv), *(self.printed() or ["(it printed nothing)"])]),
        )

    # ---- while it runs

    async def execute(self, command: str, *, deadline_s: float | None = ANSWER_S, **arguments: object) -> Any:
        """One QMP command with its arguments.  Raises QmpLost if QEMU has ended or is silent, Refused if it says no."""
        try:
            return await self._qmp.execute(command, deadline_s=deadline_s, **arguments)
        except QmpLost as error:
            hint = f"its log is {self.log}" if self._lasts else None
            raise QmpLost(error.message, hint=hint, details="\n".join(self.printed()) or None) from error

    async def resume(self) -> None:
        """Let the CPUs run.  Raises QmpLost."""
        await self.execute("cont")

    async def power_down(self) -> None:
        """Press the power button, however long QEMU takes to answer.  Raises QmpLost."""
        await self.execute("system_powerdown", deadline_s=None)

    async def plug(self, nic: str) -> None:
        """Plug in a client NIC of the machine.  Raises Refused, or QmpLost."""
        nics = zip(self.machine.nics, self.machine.slots.slots, strict=True)
        found = next(pair for pair in nics if pair[0].id == nic)
        await self.execute("device_add", deadline_s=PLUG_S, **nic_properties(*found, self.program.release))

    async def unplug(self, nic: str, deadline_s: float | None) -> Release:
        """Ask the guest to let go of a client NIC, and wait for its answer.  Raises Refused, or QmpLost."""
        return await self._qmp.unplug(nic_id(nic), deadline_s)

    async def set_cable(self, card: int, *, plugged: bool) -> None:
        """Pull the cable of an emulated uplink card, by its number, or put it back.  Raises Refused, or QmpLost."""
        await self.execute("set_link", name=uplink_nic_id(card), up=plugged)

    async def uplink_pci_id(self) -> str | None:
        """Vendor and device of the first emulated uplink card; None if it isn't on a PCI bus.  Raises QmpLost."""
        devices = [device for bus in await self.execute("query-pci") for device in bus["devices"]]
        found = (device["id"] for device in devices if device.get("qdev_id") == uplink_nic_id(0))
        return next((f"{one['vendor']:04x}:{one['device']:04x}" for one in found), None)

    async def wait(self) -> int:
        """Wait until QEMU has ended; its exit status."""
        await self.ended.wait()
        return self.status or 0

    async def _watch(self, child: Popen[bytes]) -> None:
        await interrupts.exited(child)
        self.ended.set()

    async def _hear_watchdog(self) -> None:
        with self._qmp.events("WATCHDOG") as events:
            await events.get()
            self.hung.set()

    def kill(self) -> None:
        """End QEMU at once."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()

    async def stop(self) -> None:
        """End QEMU, which takes SIGTERM as its order to quit.  May be called twice."""
        self._stopping = True
        if self._child is not None:
            await interrupts.end_group(self._child, grace_s=1.0)

    async def close(self) -> None:
        """`stop` it, and close all that is ours.  May be called twice."""
        await self.stop()
        await interrupts.ended(*self._tasks)
        await self._qmp.close()
        for end in self._channels.values():
            end.close()
        self._channels.clear()
        if self._started is not None:
            self._started.close()
        self._given.close()


def _take_back(descriptor: int) -> None:
    """Make a file of QEMU's user root's again, and close it."""
    with suppress(OSError):
        os.fchown(descriptor, 0, 0)
    os.close(descriptor)
