# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Client VMs: the router's own kernel and root under another PID 1, each with a real TCP/IP stack of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netvm_build.guest import escape, read_object
from netvm_build.guest.conversation import Conversation
from netvm_build.image.manifest import Image
from netvm_build.model.address import Pair
from netvm_build.smoke.guest import reply_to
from netvm_build.smoke.vm import Vm
from netvm_build.util import interrupts
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends

PORT_NAME = "netvm.client"
INTERPRETER = "/usr/bin/python3"
DISK = "/dev/vdb"
MEMORY_MIB = 96
_SECTOR = 512


class ClientError(Exception):
    """A client VM did not do what it was asked; the text says why."""


def disk(script: bytes) -> bytes:
    """A program as the content of a disk: newlines up to the next sector, which Python does not mind."""
    return script + b"\n" * (-len(script) % _SECTOR)


def cmdline(router: str) -> str:
    """The router's kernel command line with another PID 1, whose arguments follow the ``--`` (bootparam(7))."""
    return f"{router.partition(' -- ')[0].strip()} init={INTERPRETER} -- -ISB {DISK}"


def machine(image: Image, pair: Pair, accelerator: str, script: Path, end: socket.socket) -> qemu.VirtualMachine:
    """The client VM of one /31."""
    return qemu.VirtualMachine(
        name=f"client-{pair.client}",
        kernel=image.kernel,
        rootfs=image.rootfs,
        cmdline=cmdline(image.manifest.cmdline),
        accelerator=accelerator,
        memory_mib=max(MEMORY_MIB, image.manifest.machine.memory_mib),
        nics=(qemu.ClientNic("net", pair.client_mac, backends.connected(end.fileno())),),
        disks=(script,),
        initrd=image.initrd,
    )


class ClientVm:
    """One client VM and the talk with its agent."""

    def __init__(
        self,
        image: Image,
        program: qemu.Qemu,
        pair: Pair,
        accelerator: str,
        folder: Path,
        script: Path,
        end: socket.socket,
    ) -> None:
        self.pair = pair
        self.address = str(pair.client)
        self._hello = asyncio.Event()
        self._talk = Conversation[Mapping[str, Any]]()
        self.vm = Vm(
            program,
            machine(image, pair, accelerator, script, end),
            folder,
            on_console=lambda _: None,
            on_port=self._on_port,
            port_name=PORT_NAME,
            inherited=(end,),
            prefix=f"client-{pair.client}-",
        )

    def _on_port(self, line: str) -> None:
        answer = read_object(line)
        if answer is None:
            return
        if answer.get("hello") == 1:
            self._hello.set()
        self._talk.replied(answer.get("id"), answer)

    async def up(self) -> None:
        """Power on, and have the agent configure its NIC.  Raises ClientError."""
        await self.vm.power_on()
        hello, ended = asyncio.create_task(self._hello.wait()), asyncio.create_task(self.vm.ended.wait())
        try:
            await asyncio.wait({hello, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await interrupts.ended(hello, ended)
        if not self._hello.is_set():
            last = escape(self.vm.console_tail[-1]) if self.vm.console_tail else "nothing"
            raise ClientError(f"client VM {self.address} stopped before it answered; its last line: {last}")
        said = await self.ask("configure")
        if said.get("address") != self.address:
            raise ClientError(f"client VM {self.address} took the address {escape(str(said.get('address')))}")

    async def ask(self, request: str, deadline_s: float = 60.0, **fields: Any) -> Mapping[str, Any]:
        """One request to the agent.  Raises ClientError if it fails there, or there is no answer."""
        try:
            answer = await reply_to({"request": request, **fields}, self._talk, self.vm.send, deadline_s)
        except TimeoutError:
            raise ClientError(f"client VM {self.address} did not answer {request}") from None
        if "error" in answer and "data" not in answer and "connected" not in answer:
            raise ClientError(escape(str(answer["error"])))
        return answer
