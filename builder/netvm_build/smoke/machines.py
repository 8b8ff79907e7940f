# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a smoke boot needs: its servers, the router and its clients in a QEMU each, and the wires between them."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from netvm_build import guest as console
from netvm_build.image.manifest import Image
from netvm_build.model.address import AddressError, Pair, allocate
from netvm_build.smoke import clients
from netvm_build.smoke.cards import Card
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.clients import ClientVm
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.lab import Check, Lab
from netvm_build.smoke.upstream import Upstream
from netvm_build.smoke.vm import Vm
from netvm_build.util.events import Sink
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends, credentials
from netvm_build.vmm.qemu.accelerator import Accelerator
from netvm_build.vmm.qemu.confinement import Access
from netvm_build.vmm.qemu.secret_sources import Sources
from netvm_build.vmm.qemu.trunk import Trunks

AGENT = Path(__file__).with_name("client_agent.py")
CAPTURE = "uplink.pcap"


@dataclass(frozen=True)
class RunSettings:
    """What all boots of a run share.  There are fewer clients where the pool has no room for so many."""

    image: Image
    program: qemu.Qemu
    accelerator: Accelerator
    out: Path
    sink: Sink
    checks: tuple[Check, ...] = CHECKS
    clients: int = 2
    card: Card | None = None
    secrets: Sources = field(default_factory=Sources)


async def set_up(settings: RunSettings, nic: str, folder: Path, stack: AsyncExitStack) -> Lab:
    """The servers, and all VMs with their CPUs still halted; the stack ends them."""
    pairs = _pairs(settings)
    script = folder / "client.img"
    script.write_bytes(clients.disk(AGENT.read_bytes()))
    servers = await stack.enter_async_context(Upstream())
    wires = [_wire(stack) for _ in pairs]
    nics = tuple(
        qemu.ClientNic(f"c{number}", pair.router_mac, backends.connected(here.fileno()))
        for number, (pair, (here, _)) in enumerate(zip(pairs, wires, strict=True), 1)
    )
    trunks = await stack.enter_async_context(Trunks(settings.image.manifest))
    machine = replace(_machine(settings, nic, folder), nics=nics, trunks=trunks.described)
    guest = Guest()
    secrets = credentials.wifi(settings.image, settings.secrets)
    if secrets is not None:
        stack.callback(secrets.close)
    router = Vm(
        settings.program,
        machine,
        folder,
        on_console=guest.on_console,
        on_port=guest.on_port,
        port_name=qemu.EVENTS_PORT,
        max_line=console.MAX_REPLY,
        inherited=[*(here for here, _ in wires), *trunks.inherited],
        secrets=secrets,
        by_hand=qemu.by_hand(
            settings.image, settings.program, nic, pairs, settings.card.address if settings.card else None
        ),
        access=Access() if settings.card is None else Access(own=settings.card.files, memlock=settings.card.memlock),
    )
    await stack.enter_async_context(router)
    others = []
    for pair, (_, there) in zip(pairs, wires, strict=True):
        client = ClientVm(settings.image, settings.program, pair, settings.accelerator.kind, folder, script, there)
        await stack.enter_async_context(client.vm)
        others.append(client)
    return Lab(
        settings.image,
        settings.accelerator,
        router,
        guest,
        tuple(others),
        nics,
        servers,
        folder / CAPTURE,
        machine.networks,
        str(machine.networks[0].host),
    )


def _pairs(settings: RunSettings) -> tuple[Pair, ...]:
    """The clients' addresses."""
    pool = settings.image.manifest.pool
    try:
        return allocate(pool, (), settings.clients)
    except AddressError:
        return allocate(pool, (), 1)


def _wire(stack: AsyncExitStack) -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        stack.callback(end.close)
    return ends


def _machine(settings: RunSettings, nic: str, folder: Path) -> qemu.VirtualMachine:
    """The router's, but for its clients; what passes its emulated card is captured."""
    machine = qemu.router(settings.image, settings.accelerator.kind, nic=nic)
    machine = replace(machine, cmdline=audible(settings.image.manifest.cmdline))
    if settings.card is not None:
        return replace(machine, uplink=None, cards=(settings.card.address,))
    capture = folder / CAPTURE
    capture.unlink(missing_ok=True)
    return replace(machine, capture=capture)


def audible(cmdline: str) -> str:
    """The image's command line, with the kernel's warnings let through to the console even where it is told `quiet`."""
    kernel, dashes, init = cmdline.partition(" -- ")
    return f"{kernel} loglevel=5{dashes}{init}"
