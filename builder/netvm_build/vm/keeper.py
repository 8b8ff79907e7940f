# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The keeper: the process that owns a VM's QEMU, and shares its console and its event port.

QEMU's ends are inherited socket pairs; what others connect to are our sockets in the VM's folder.  QEMU dies with
the keeper, whatever ends it, and the folder's lock goes with the keeper too: the next command cleans up.
"""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from netvm_build.guest import Firewall, GuestEvent, escape
from netvm_build.util import interrupts
from netvm_build.util.errors import BootError, LaunchError, QmpLost
from netvm_build.vm import registry, user_network
from netvm_build.vm.broker import ConsoleBroker, EventBroker, open_socket
from netvm_build.vm.console_log import ConsoleLog
from netvm_build.vm.launch import Launch, describe, log_of, passt_log_of, start, trim, vmm
from netvm_build.vm.notify import notify, of_event
from netvm_build.vm.passts import NOBODY, Passts
from netvm_build.vm.relay import Relay
from netvm_build.vm.uplink import SOCKET
from netvm_build.vmm.interface import Refused, Vmm
from netvm_build.vmm.qemu.program import how_it_ended
from netvm_build.vmm.qemu.trunk import Trunks

POWER_DOWN_S = 10.0  # for the guest to end, when a person at the terminal waits
STOP_S = 120.0  # after SIGTERM: its sender knows how long to wait, and kills us then
FIREWALL_S = 60.0
HUNG = "PID 1 hung: the watchdog resets the machine, which ends it"
HUNG_HINT = "the end of the console is what it did last; a host that is too busy needs a larger machine.watchdog_s"
LAST_WORDS_S = 0.1
TRIM_S = 1.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

OnUp = Callable[[registry.VmState], None]


class Keeper:
    """One VM from its start to its end."""

    def __init__(self, launch: Launch, on_up: OnUp) -> None:
        self._launch = launch
        self._on_up = on_up
        self._vm: Vmm | None = None
        self._stop = asyncio.Event()
        self._firewall = asyncio.Event()
        self._signal = 0
        self._quit = False
        self._loop = asyncio.get_running_loop()
        self._log = ConsoleLog(launch.log)
        self._tasks: list[asyncio.Task[None]] = []
        self._brokers: dict[str, EventBroker | ConsoleBroker] = {}
        self._passts: Passts | None = None
        self._record: registry.VmState  # once QEMU runs
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
                vm = await self._start(stack)
                await self._until_the_end(vm)
            finally:
                await self._close()
        if self._quit:
            return 0
        if vm.hung.is_set():
            seconds = self._launch.image.manifest.machine.watchdog_s
            raise BootError(
                f"PID 1 gave no sign of life for {seconds} s, and the watchdog ended the VM", hint=HUNG_HINT
            )
        return 128 + self._signal if self._signal else _verdict(await vm.wait())

    def _signalled(self, number: int) -> None:
        if self._signal and self._vm is not None:  # asked twice: no more patience
            self._vm.kill()
        self._signal = self._signal or number
        self._stop.set()

    async def _start(self, stack: ExitStack) -> Vmm:
        launch = self._launch
        trunks = await self._lasting.enter_async_context(Trunks(launch.image.manifest))
        vm = self._vm = vmm(launch, trunks)
        if not await self._started(vm):
            return vm
        self._tasks.append(asyncio.create_task(self._trim(vm, log_of(launch), passt_log_of(launch))))
        events = EventBroker(vm.port, self._heard)
        console = ConsoleBroker(vm.console, lambda data: self._printed(data, events))
        self._brokers = {registry.EVENTS: events, registry.CONSOLE: console}
        self._attend("the event port", events.listen(), events.fail)
        self._attend("the console", console.listen(), events.tell)
        for name, serve in ((registry.EVENTS, events.serve), (registry.CONSOLE, console.serve)):
            stack.callback((await open_socket(launch.place.folder / name, serve)).close)
        self._attend("the watchdog", self._hear_watchdog(vm, events), events.tell)
        self._record = describe(launch, vm)
        self._serve(events)
        self._on_up(self._publish())
        with suppress(QmpLost):  # its end is seen elsewhere
            await vm.resume()
        if launch.uplink.socket:
            relay = Relay(Path(launch.uplink.socket), launch.place.folder / SOCKET)
            self._attend("the way to the router in front", relay.keep(), events.tell)
        if launch.machine.slots.bridged:
            self._attend("clients to plug in", self._plug(vm, events), events.tell)
        return vm

    def _publish(self, **changes: Any) -> registry.VmState:
        """Tell everyone what runs here, with what has changed."""
        self._record = replace(self._record, **changes)
        self._launch.place.publish(self._record)
        return self._record

    def _serve(self, events: EventBroker) -> None:
        """Start what serves the VM's user networks.  Raises LaunchError or CommandError."""
        launch = self._launch
        if launch.backend is None or launch.backend.program is None:
            return

        def changed() -> None:
            self._publish(helpers=passts.helpers)

        networks, log = launch.user_networks, passt_log_of(launch)
        passts = self._passts = Passts(launch.backend.program, networks, log, events.tell, changed)
        with suppress(*NOBODY):  # QEMU has ended, which is seen elsewhere
            passts.start()
        self._attend("the user network", passts.keep(), events.tell)
        changed()

    async def _started(self, vm: Vmm) -> bool:
        """Start QEMU; False if we are told to stop before it answers.  Raises LaunchError or CommandError."""
        starting, stopping = asyncio.create_task(start(self._launch, vm)), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            return starting.done()
        finally:
            await interrupts.ended(starting, stopping)

    def _attend(self, what: str, work: Coroutine[Any, Any, None], tell: Callable[[str], None]) -> None:
        """Do some work concurrently.  If a bug ends it, tell readers, and write the traceback to the log."""

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

    async def _trim(self, vm: Vmm, *said: Path) -> None:
        while not vm.ended.is_set():
            for log in said:
                trim(log)
            with suppress(TimeoutError):
                await asyncio.wait_for(vm.ended.wait(), TRIM_S)

    async def _hear_watchdog(self, vm: Vmm, events: EventBroker) -> None:
        await vm.hung.wait()
        events.tell(HUNG)
        self._log.write(f"{HUNG}\n".encode())

    def _heard(self, event: GuestEvent) -> None:
        if isinstance(event, Firewall) and not self._firewall.is_set():
            self._firewall.set()
            self._hear_closed(event.host_networks)
        if (message := of_event(event)) is not None:
            notify(message)

    def _hear_closed(self, networks: tuple[str, ...]) -> None:
        """Which networks the router has closed to its clients: an old image knows nothing of it."""
        told = {one.closed for one in self._launch.machine.closed}
        if told:
            closed = told <= set(networks)
            self._publish(loopback=user_network.BY_ROUTER if closed else user_network.OPEN)
            if not closed:
                self._brokers[registry.EVENTS].tell(f"warning: {user_network.TOO_OLD}")
                self._log.write(f"warning: {user_network.TOO_OLD}\n".encode())

    async def _plug(self, vm: Vmm, events: EventBroker) -> None:
        """Plug in many clients once the router can take them.

        Each step of a boot that touches a PCI device costs QEMU more with every other one; a running router takes a
        new one three times as fast as a booting one.
        """
        with suppress(TimeoutError):  # a router that can't answer may still power off
            async with asyncio.timeout(FIREWALL_S):
                await self._firewall.wait()
        for nic in self._launch.machine.nics:
            try:
                await vm.plug(nic.id)
            except Refused as error:
                events.tell(f"{nic.id} could not be plugged in: {error}")
            except QmpLost:
                await asyncio.sleep(LAST_WORDS_S)
                if not vm.ended.is_set():
                    raise
                return  # its end is seen elsewhere

    async def _until_the_end(self, vm: Vmm) -> None:
        waits = [asyncio.create_task(vm.ended.wait()), asyncio.create_task(self._stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await interrupts.ended(*waits)
        if not vm.ended.is_set() and not self._quit:
            await self._power_down(vm)
        for broker in self._brokers.values():
            broker.hurry()
        if vm.ended.is_set():  # what it printed last is still on its way to the readers
            await asyncio.sleep(LAST_WORDS_S)

    async def _power_down(self, vm: Vmm) -> None:
        """Press the power button, and give the guest a while to end."""
        with suppress(QmpLost, TimeoutError):
            async with asyncio.timeout(STOP_S if self._signal == signal.SIGTERM else POWER_DOWN_S):
                await vm.power_down()
                await vm.wait()

    async def _close(self) -> None:
        if self._vm is not None:
            await self._vm.stop()
        if self._passts is not None:
            await self._passts.close()
        for broker in self._brokers.values():
            broker.close()
        await interrupts.ended(*self._tasks)
        if self._vm is not None:
            await self._vm.close()
        await self._lasting.aclose()
        self._log.close()


def _verdict(status: int) -> int:
    """What QEMU's end means, unless we ended it.  Ctrl-A X and a guest that powers off are 0."""
    if status < 0:
        raise QmpLost(f"QEMU {how_it_ended(status)}", hint="the host may have run out of memory: see dmesg")
    if status > 0:
        raise LaunchError(f"QEMU {how_it_ended(status)}", hint="what it said is in its log; or try --accel tcg")
    return status
