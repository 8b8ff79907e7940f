# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Our end of `peers`: both taps, and what is asked of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Any

import netvm_build
from netvm_build.measure import peers
from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.model.address import Pair
from netvm_build.util import interrupts
from netvm_build.util.process import spawn

OURS = str(Path(netvm_build.__file__).parents[1])
MAX_LINE = 1 << 20


class Endpoints:
    """The client of a /31 and the upstream, as an asynchronous context.  Raises Unmeasured where there can be none.

    `upstream` and `client` are the descriptors of each tap's queues, which are the caller's to hand on, not to close.
    """

    def __init__(self, pair: Pair, queues: int = 1, *, offloads: bool = False) -> None:
        self._pair = pair
        self._queues, self._offloads = queues, offloads
        self._child: Popen[bytes] | None = None
        self._channel, self._theirs = socket.socketpair()
        self._taps: list[int] = []
        self._rest = b""

    @property
    def upstream(self) -> list[int]:
        return self._taps[: self._queues]

    @property
    def client(self) -> list[int]:
        return self._taps[self._queues :]

    async def __aenter__(self) -> Endpoints:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        with self._theirs as theirs:
            self._child = spawn(
                [
                    *(sys.executable, "-P", "-m", peers.__name__, str(theirs.fileno())),
                    *(str(self._pair.client), str(self._pair.router), str(self._queues), str(int(self._offloads))),
                ],
                env={"PYTHONPATH": os.pathsep.join(filter(None, (OURS, os.environ.get("PYTHONPATH"))))},
                stderr=None,
                pass_fds=(theirs.fileno(),),
                orphaned=signal.SIGKILL,
            )
        self._channel.setblocking(False)
        _refuse(await self._receive(self._first))

    def _first(self) -> bytes:
        """The first bytes, and the taps that come with them."""
        data, descriptors, _, _ = socket.recv_fds(self._channel, 65536, 2 * self._queues)
        self._taps += descriptors
        return data

    async def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Have something sent through the router, and what came of it.  Raises Unmeasured."""
        await asyncio.get_running_loop().sock_sendall(self._channel, peers.line({"do": do, **arguments}))
        return _refuse(await self._receive(lambda: self._channel.recv(65536)))

    async def _receive(self, read: Callable[[], bytes]) -> dict[str, Any]:
        """The next line."""
        while b"\n" not in self._rest:
            await readable(self._channel)
            data = read()
            self._rest += data
            if not data or len(self._rest) > MAX_LINE:
                raise Unmeasured("the program that plays client and upstream has ended")
        whole, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(whole)
        return answer

    async def close(self) -> None:
        """End the program, and with it both namespaces.  May be called twice."""
        self._channel.close()
        self._theirs.close()
        for tap in self._taps:
            os.close(tap)
        self._taps.clear()
        if self._child is not None:
            await interrupts.end_group(self._child, grace_s=1.0)


def _refuse(answer: dict[str, Any]) -> dict[str, Any]:
    if "unmeasured" in answer:
        raise Unmeasured(str(answer["unmeasured"]))
    return answer


async def readable(channel: socket.socket) -> None:
    """Wait until there is something to read."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(channel, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(channel)
