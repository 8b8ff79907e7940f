# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Routers between two wires: booted, halted while another one is measured, and asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from netvm_build import guest
from netvm_build.measure.dhcp import SERVER, Dhcp
from netvm_build.measure.wires import Wire
from netvm_build.model.address import Pair, allocate
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.vm import Vm
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends

from bench import boot
from bench.values import Subject, Unmeasured

T = TypeVar("T")
UPLINK_NIC = "virtio-net-pci"
"""The quickest, so that the router's own work weighs most."""


@dataclass(frozen=True)
class Shape:
    """How many clients a router has, of which the first one, or the last, is on the wire; the others' cables end
    nowhere.

    Its memory is what its manifest wants unless it is given.  More than a few clients are plugged in once the firewall
    stands, as `netvm-build run` does it; with `at_boot` all are there from the start, with `plug_later` none is there
    yet.  All of them are there by the deadline, or the router isn't measured.
    """

    clients: int = 1
    memory_mib: int | None = None
    last: bool = False
    plug_later: bool = False
    at_boot: bool = False
    deadline_s: float = boot.DEADLINE_S


class Routed:
    """A router that runs, with its wires, as an asynchronous context.  Its CPUs are halted but inside `measure`."""

    def __init__(self, subject: Subject, shape: Shape, folder: Path) -> None:
        self.subject, self.shape, self.folder = subject, shape, folder
        if not subject.image.manifest.uses_dhcp:
            raise Unmeasured("the spec's uplink takes no lease, and these wires have no other network")
        self.pairs = allocate(subject.image.manifest.pool, (), shape.clients)
        self._stack = AsyncExitStack()
        self.guest = Guest()

    @property
    def pair(self) -> Pair:
        """The addresses of the client on the wire."""
        return self.pairs[self._wired]

    @property
    def _wired(self) -> int:
        return len(self.pairs) - 1 if self.shape.last else 0

    async def __aenter__(self) -> Routed:
        self.folder.mkdir()
        try:
            await self._boot()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _boot(self) -> None:
        own, gateway = f"{self.pair.client}/31", str(self.pair.router)
        self.upstream = self._stack.enter_context(Wire(f"{SERVER}/24"))
        self.client = self._stack.enter_context(Wire(own, gateway))
        self._stack.enter_context(Dhcp(self.upstream))
        machine = replace(
            qemu.router(
                self.subject.image,
                self.subject.accelerator.kind,
                nic=UPLINK_NIC,
                memory_mib=self.shape.memory_mib,
            ),
            uplink_net=backends.tap(self.upstream.tap),
            nics=tuple(self._nic(number, pair) for number, pair in enumerate(self.pairs)),
        )
        many = machine.slots.bridged and not self.shape.at_boot
        self.machine = replace(machine, plug_later=self.shape.plug_later or many)
        self.vm = Vm(
            self.subject.qemu,
            self.machine,
            self.folder,
            on_console=self.guest.on_console,
            on_port=self.guest.on_port,
            port_name=qemu.EVENTS_PORT,
            max_line=guest.MAX_REPLY,
            inherited=(self.upstream.tap, self.client.tap),
        )
        await self._stack.enter_async_context(self.vm)
        await self.vm.power_on()
        arriving = asyncio.create_task(self._arrive(many))
        await boot.until(self.vm, arriving, self.guest.lost, deadline_s=self.shape.deadline_s)
        if not arriving.done() or arriving.cancelled():
            raise Unmeasured(f"the router does not boot with all its clients{boot.last_words(self.vm)}")
        arriving.result()
        wanted = (guest.Ready, guest.ClientEvent)
        last = max(heard.at for heard in self.guest.heard if isinstance(heard.event, wanted))
        self.ready_s = last - self.vm.powered_at
        """From power-on until the host has read that it is ready, and of the last client."""
        await self.halt()

    async def _arrive(self, many: bool) -> None:
        """All is there: the router, and the clients it is to boot with."""
        if many:
            await self.guest.wait(guest.Firewall)
            for nic in self.machine.nics:
                await self.vm.plug(nic.id)
        await self.guest.wait(guest.Ready)
        if not self.shape.plug_later:
            there: set[str] = set()
            while len(there) < len(self.pairs):
                event = await self.guest.wait(guest.ClientEvent, lambda event: event.client not in there)
                there.add(event.client)

    def _nic(self, number: int, pair: Pair) -> qemu.ClientNic:
        """One client's is the wire; the others' are hubs with nobody else at them."""
        netdev = backends.tap(self.client.tap) if number == self._wired else f"hubport,hubid={number}"
        return qemu.ClientNic(f"c{number}", str(pair.router_mac), netdev)

    async def halt(self) -> None:
        """Stop the CPUs, and with them the guest's clock."""
        await self.vm.execute("stop")

    async def go_on(self) -> None:
        """Let the CPUs run."""
        await self.vm.resume()

    async def measure(self, work: Callable[[Wire, Wire], T]) -> T:
        """Let it run while `work` sends from the client's wire to the uplink's, in a thread of its own."""
        await self.go_on()
        try:
            return await asyncio.to_thread(work, self.client, self.upstream)
        finally:
            await self.halt()

    async def ask(self, request: str) -> Mapping[str, Any]:
        """An answer of the router itself; it runs meanwhile."""
        await self.go_on()
        try:
            return await self.guest.ask(self.vm.send, request, 10.0)
        finally:
            await self.halt()
