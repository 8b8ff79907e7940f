# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The keeper: the process that owns a VM's QEMU, and shares its console and its event port.

QEMU's ends are inherited socket pairs; what others connect to are sockets of ours in the VM's folder.  QEMU dies with
the keeper, whatever ends it, and the folder's lock goes with the keeper too: the next command cleans up.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import signal
import socket
import traceback
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from netvm_build.guest import Firewall, GuestEvent, escape
from netvm_build.util import interrupts
from netvm_build.util.errors import BootError, LaunchError, QmpLost
from netvm_build.vm import registry
from netvm_build.vm.broker import ConsoleBroker, EventBroker, open_socket
from netvm_build.vm.console_log import ConsoleLog
from netvm_build.vm.launch import Launch, describe, start_qemu, trim
from netvm_build.vm.notify import notify, of_event
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.trunk import Trunks

POWER_DOWN_S = 10.0  # for the guest to end, when a person at the terminal waits
STOP_S = 120.0  # when SIGTERM came: whoever sent it knows how long to wait, and kills us then
CONNECT_S = 30.0
FIREWALL_S = 60.0
HUNG = "PID 1 hung: the watchdog resets the machine, which ends it"
HUNG_HINT = "the end of the console is what it did last; a host that is too busy needs a larger machine.watchdog_s"
LAST_WORDS_S = 0.1
TRIM_S = 1.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # what it would log, it also raises

OnUp = Callable[[registry.VmState], None]


class Keeper:
    """One VM from its start to its end."""

    def __init__(self, launch: Launch, on_up: OnUp) -> None:
        self._launch = launch
        self._on_up = on_up
        self._child: Popen[bytes] | None = None
        self._qmp = QMPClient("netvm-build run")
        self._qmp.events.event_filter = lambda _: False  # else it keeps every event of QEMU's until the VM ends
        self._ended = asyncio.Event()
        self._stop = asyncio.Event()
        self._firewall = asyncio.Event()
        self._signal = 0
        self._quit = False
        self._hung = False
        self._loop = asyncio.get_running_loop()
        self._log = ConsoleLog(launch.log)
        self._tasks: list[asyncio.Task[None]] = []
        self._hubs: dict[str, EventBroker | ConsoleBroker] = {}
        self._lasting = AsyncExitStack()

    def leave(self) -> None:
        """End the VM at once.  May be called from any thread."""
        self._quit = True
        self._loop.call_soon_threadsafe(self._stop.set)

    async def keep(self) -> int:
        """See the VM to its end; 0, or 128 and the signal that made us press the power button.

        Raises LaunchError if QEMU does not start or fails, QmpLost if it is killed, CommandError if it cannot be run.
        """
        with ExitStack() as stack:
            for number in _STOPPING:
                self._loop.add_signal_handler(number, self._signalled, number)
                stack.callback(self._loop.remove_signal_handler, number)
            try:
                await self._start(stack)
                await self._until_the_end()
            finally:
                await self._close()
        if self._quit:
            return 0
        if self._hung:
            seconds = self._launch.image.manifest.machine.watchdog_s
            raise BootError(
                f"PID 1 gave no sign of life for {seconds} s, and the watchdog ended the VM", hint=HUNG_HINT
            )
        return 128 + self._signal if self._signal else _verdict(self._child)

    def _signalled(self, number: int) -> None:
        if self._signal:  # asked twice: no more patience
            self._quit_now()
        self._signal = self._signal or number
        self._stop.set()

    def _quit_now(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.kill()

    async def _start(self, stack: ExitStack) -> None:
        launch = self._launch
        trunks = await self._lasting.enter_async_context(Trunks(launch.image.manifest))
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        for name in ("port", "console", "qmp"):
            ours[name], theirs[name] = (stack.enter_context(end) for end in socket.socketpair())
        ends = {name: f"socket,fd={end.fileno()}" for name, end in theirs.items()}
        monitor = qemu.quote(str(launch.place.folder / registry.MONITOR))
        machine = replace(
            launch.machine,
            console=ends["console"],
            qmp=ends["qmp"],
            port=(qemu.EVENTS_PORT, ends["port"]),
            monitor=f"socket,server=on,wait=off,path={monitor}",
            secrets=None if launch.secrets is None else launch.secrets.option,
            trunks=trunks.described,
            plug_later=launch.machine.seats.bridged,
            paused=True,
        )
        argv = qemu.argv(launch.program, machine)
        said = launch.place.folder / "qemu.log"
        self._child = start_qemu(launch, argv, said, [*theirs.values(), *trunks.inherited])
        for end in theirs.values():
            end.close()
        self._tasks += [asyncio.create_task(self._watch(self._child)), asyncio.create_task(self._trim(said))]
        events = EventBroker(ours["port"], self._heard)
        console = ConsoleBroker(ours["console"], lambda data: self._printed(data, events))
        self._hubs = {registry.EVENTS: events, registry.CONSOLE: console}
        self._attend("the event port", events.listen(), events.fail)
        self._attend("the console", console.listen(), events.tell)
        for name, serve in ((registry.EVENTS, events.serve), (registry.CONSOLE, console.serve)):
            stack.callback((await open_socket(launch.place.folder / name, serve)).close)
        await self._connect(ours["qmp"], argv, said)
        if launch.secrets is not None:  # QEMU has read them
            launch.secrets.close()
        self._attend("the watchdog", self._hear_watchdog(events), events.tell)
        record = describe(launch, self._child.pid)
        launch.place.publish(record)
        self._on_up(record)
        with suppress(QMPError):  # its end is seen elsewhere
            await self._qmp.execute("cont")
        if machine.plug_later:
            self._attend("clients to plug in", self._plug(machine, events), events.tell)

    def _attend(self, what: str, work: Coroutine[Any, Any, None], tell: Callable[[str], None]) -> None:
        """Do some work beside all else.  If a mistake of ours ends it, say so to readers, and where in the log."""

        async def attended() -> None:
            try:
                await work
            except Exception as error:
                why = f"the keeper no longer attends to {what}: {type(error).__name__}: {error}"
                tell(escape(why))
                self._log.write(f"{why}\n{traceback.format_exc()}".encode(errors="replace"))

        self._tasks.append(asyncio.create_task(attended()))

    def _printed(self, data: bytes, events: EventBroker) -> None:
        """Bytes of the console, for its log."""
        had_problem = self._log.problem
        self._log.write(data)
        if self._log.problem and not had_problem:
            events.tell(self._log.problem)

    async def _connect(self, end: socket.socket, argv: list[str], said: Path) -> None:
        """Wait until QEMU answers.  Raises LaunchError."""
        connecting = asyncio.create_task(self._qmp.connect(end))
        waits = {connecting, asyncio.create_task(self._ended.wait()), asyncio.create_task(self._stop.wait())}
        try:
            await asyncio.wait(waits, timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set() or (connecting.done() and connecting.exception() is None):
                return
            with suppress(TimeoutError):  # QEMU hangs up before it ends
                async with asyncio.timeout(2.0):
                    await self._ended.wait()
        finally:
            await interrupts.ended(*waits)
        raise self._launch_error(argv, said)

    def _launch_error(self, argv: list[str], said: Path) -> LaunchError:
        status = self._child.poll() if self._child else None
        ended = f"does not answer within {CONNECT_S:g} s" if status is None else f"ended with status {status}"
        printed = said.read_text(errors="replace").splitlines()[-20:]
        details = "\n".join([shlex.join(argv), *(escape(line) for line in printed)])
        return LaunchError(f"QEMU {ended} at its start", details=details)

    async def _watch(self, child: Popen[bytes]) -> None:
        await interrupts.exited(child)
        self._ended.set()

    async def _trim(self, said: Path) -> None:
        while not self._ended.is_set():
            trim(said)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), TRIM_S)

    async def _hear_watchdog(self, events: EventBroker) -> None:
        with self._qmp.listener("WATCHDOG") as barks:
            await barks.get()
            self._hung = True
            events.tell(HUNG)
            self._log.write(f"{HUNG}\n".encode())

    def _heard(self, event: GuestEvent) -> None:
        if isinstance(event, Firewall):
            self._firewall.set()
        if (message := of_event(event)) is not None:
            notify(message)

    async def _plug(self, machine: qemu.Machine, events: EventBroker) -> None:
        """Plug in many clients once the router can take them.

        Each step of a boot that touches a PCI device costs QEMU more with every other one; a running router takes a
        new one three times as fast as a booting one.
        """
        with suppress(TimeoutError):  # a router that cannot say so may be able to all the same
            async with asyncio.timeout(FIREWALL_S):
                await self._firewall.wait()
        for nic, seat in zip(machine.nics, machine.seats.seats, strict=True):
            try:
                await self._qmp.execute("device_add", dict(qemu.nic_properties(nic, seat)))
            except ExecuteError as error:
                events.tell(f"{nic.id} could not be plugged in: {error}")
            except QMPError:  # QEMU has ended, which is seen elsewhere
                return

    async def _until_the_end(self) -> None:
        waits = [asyncio.create_task(self._ended.wait()), asyncio.create_task(self._stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await interrupts.ended(*waits)
        if not self._ended.is_set() and not self._quit:
            await self._power_down()
        for hub in self._hubs.values():
            hub.hurry()
        if self._ended.is_set():  # what it printed last is still on its way to the readers
            await asyncio.sleep(LAST_WORDS_S)

    async def _power_down(self) -> None:
        """Press the power button, and give the guest a while to end."""
        with suppress(QMPError, OSError, TimeoutError, EOFError):
            async with asyncio.timeout(STOP_S if self._signal == signal.SIGTERM else POWER_DOWN_S):
                await self._qmp.execute("system_powerdown")
                await self._ended.wait()

    async def _close(self) -> None:
        if self._child is not None:
            await interrupts.end_group(self._child, grace_s=1.0)
        for hub in self._hubs.values():
            hub.close()
        await interrupts.ended(*self._tasks)
        with suppress(QMPError, EOFError, OSError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._qmp.disconnect()
        await self._lasting.aclose()
        self._log.close()


def _verdict(child: Popen[bytes] | None) -> int:
    """What QEMU's end means, unless we ended it.  Ctrl-A X and a guest that powers off are 0."""
    status = child.returncode if child else 1
    if status < 0:
        raise QmpLost(f"QEMU was killed by signal {-status}", hint="it was often short of memory then: see dmesg")
    if status > 0:
        raise LaunchError(f"QEMU exited with status {status}", hint="what it said is in its log; or try --accel tcg")
    return status
