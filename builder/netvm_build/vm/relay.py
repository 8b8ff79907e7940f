# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The way from a router's uplink to another router: its frames, passed on by the keeper.

Both QEMUs listen, on a socket each, and connect to nothing.  So that of the router behind may make no socket, and the
router in front may be started again: the keeper connects to it anew.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

AGAIN_S = 1.0
BYTES = 1 << 18


class Relay:
    """Between `theirs`, the other router's socket, and `ours`, on which our QEMU listens."""

    def __init__(self, theirs: Path, ours: Path) -> None:
        self._theirs = theirs
        self._ours = ours

    async def keep(self) -> None:
        """Connect both, and connect them again whenever one has ended, until we are cancelled."""
        while True:
            with ExitStack() as stack, suppress(OSError):  # one of them has ended, or isn't there yet
                ends = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
                loop = asyncio.get_running_loop()
                for end, path in zip(ends, (self._theirs, self._ours), strict=True):
                    end.setblocking(False)
                    await loop.sock_connect(end, str(path))
                    end.setblocking(True)
                await _joined(*ends)
            await asyncio.sleep(AGAIN_S)


async def _joined(one: socket.socket, other: socket.socket) -> None:
    """Pass on what comes, both ways, until either end has ended.  The work is done in threads."""
    ways = [asyncio.create_task(asyncio.to_thread(_copy, *ends)) for ends in ((one, other), (other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in (one, other):  # wakes the threads
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        await asyncio.gather(*ways, return_exceptions=True)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what a socket receives until it ends.  Raises OSError where the other one has ended."""
    buffer = memoryview(bytearray(BYTES))
    while count := source.recv_into(buffer):
        sink.sendall(buffer[:count])
