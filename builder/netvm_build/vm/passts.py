# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The passts of a running VM: one for each user network, started again when it ends or this host's resolver changes.

QEMU listens on a socket for the program that serves a network, so another passt can take the place of one that ended:
the guest keeps its link and its lease, and loses its open connections.  A passt ends when its connection does: QEMU
holds the other end, and QEMU dies with the keeper.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from subprocess import Popen

from netvm_build.util import interrupts, process
from netvm_build.util.errors import LaunchError, NetvmError
from netvm_build.vm.registry import Helper
from netvm_build.vmm.qemu import passt, resolver
from netvm_build.vmm.qemu.program import how_it_ended

AGAIN_S, LONGEST_S = 0.2, 30.0
"""How long to wait before one is started again: twice as long each time, unless it has run for LONGEST_S."""

RESOLVER_S = 2.0
GONE_S = 0.5  # for QEMU's own end to be seen, which ends them
NOBODY = (ConnectionError, FileNotFoundError)
"""What connecting to QEMU's socket raises once QEMU has ended."""


@dataclass(frozen=True)
class Network:
    """One to be served: the socket on which QEMU waits, and what the router sees."""

    socket: Path
    side: passt.GuestSide


class Passts:
    """`tell` gets a line for the readers of the VM's events, `changed` is called when `helpers` has changed.

    `changed` may raise OSError.
    """

    def __init__(
        self, program: passt.Passt, networks: tuple[Network, ...], log: Path, tell: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._program = program
        self._networks = networks
        self._log = log
        self._tell = tell
        self._changed = changed
        self._resolver = resolver.host_resolver()
        self._running: dict[int, Popen[bytes]] = {}
        self._replaced: set[int] = set()
        self._closed = False

    @property
    def helpers(self) -> tuple[Helper, ...]:
        """Those that run."""
        children = [child for child in self._running.values() if child.poll() is None]
        return tuple(Helper(child.pid, process.started(child.pid)) for child in children)

    def start(self) -> None:
        """Start them all, once QEMU waits for them.  Raises LaunchError, CommandError, or NOBODY if QEMU has ended."""
        for number in range(len(self._networks)):
            self._start(number)

    def _start(self, number: int) -> Popen[bytes]:
        network = self._networks[number]
        try:
            with socket.socket(socket.AF_UNIX) as joined, self._log.open("ab") as log:  # appended to: it is emptied
                joined.connect(str(network.socket))
                child = passt.serve(self._program, network.side, joined, log, self._resolver)
        except NOBODY:
            raise
        except OSError as error:
            raise LaunchError(f"{error.filename or 'passt'}: {error.strerror or error}") from error
        self._running[number] = child
        self._replaced.discard(number)
        return child

    async def keep(self) -> None:
        """Keep them running until we are cancelled, or QEMU has ended."""
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._follow_resolver())
            try:
                async with asyncio.TaskGroup() as keepers:
                    for number in self._running:
                        keepers.create_task(self._keep(number))
            finally:
                watch.cancel()

    async def _keep(self, number: int) -> None:
        loop, pause = asyncio.get_running_loop(), AGAIN_S
        while True:
            began = loop.time()
            status = await interrupts.exited(self._running[number])
            if self._closed:
                return
            if loop.time() - began >= LONGEST_S:
                pause = AGAIN_S
            asked = number in self._replaced
            self._replaced.discard(number)
            await asyncio.sleep(0.0 if asked else max(pause, GONE_S))
            if not asked:
                pause = min(2 * pause, LONGEST_S)
            if not await self._again(number, "" if asked else f"passt {how_it_ended(status)}"):
                return

    async def _again(self, number: int, why: str) -> bool:
        """Start one again, however long it takes; False once QEMU is gone.  `why` is told."""
        pause = AGAIN_S
        while not self._closed:
            try:
                self._start(number)
            except NOBODY:
                return False
            except NetvmError as error:
                self._tell(f"{why or 'passt'}; it can't be started again: {error.message}")
                pause = min(2 * pause, LONGEST_S)
                await asyncio.sleep(pause)
                continue
            if why:
                self._tell(f"{why}: started again; connections that were open are lost")
            try:
                self._changed()
            except OSError as error:  # it runs all the same
                self._tell(f"who serves the user network can't be recorded: {error.strerror or error}")
            return True
        return False

    async def _follow_resolver(self) -> None:
        """Start them again when this host's resolver has changed: they read it only when they start."""
        while True:
            await asyncio.sleep(RESOLVER_S)
            found = resolver.host_resolver()
            if found not in (None, self._resolver):
                self._follow(found)

    def _follow(self, found: IPv4Address | None) -> None:
        self._resolver = found
        self._tell(f"this host's resolver is now {found}: passt is started again; connections that were open are lost")
        for number, child in self._running.items():
            if child.poll() is None:  # else its number may be another process's by now
                self._replaced.add(number)
                process.signal_group(child, signal.SIGTERM)

    async def close(self) -> None:
        """End them, and start none again.  May be called twice."""
        self._closed = True
        for child in self._running.values():
            with suppress(ProcessLookupError):
                await interrupts.end_group(child, grace_s=1.0)
        self._running.clear()
