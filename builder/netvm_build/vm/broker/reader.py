# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A connection of one local reader: what it does not read is dropped and counted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from netvm_build.guest import MAX_REPLY, note

MAX_READERS = 32
MAX_QUEUED_BYTES = 3 << 20  # for one reader that does not read: more than the whole history
MAX_ANSWER_BYTES = 2 * MAX_REPLY  # beside that, for what it asked
READ_BYTES = 64 << 10

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ReaderConnection:
    """One connection; `put` never waits.  One that is `muted` gets answers only."""

    def __init__(self, writer: asyncio.StreamWriter, *, lines: bool) -> None:
        self.muted = False
        self._writer = writer
        self._lines = lines
        self._dropped = 0

    def put(self, data: bytes) -> None:
        """Send, or drop and count, when the reader is too far behind."""
        if not self.muted:
            self._put(data, MAX_QUEUED_BYTES)

    def answer(self, data: bytes) -> None:
        """Send what was asked for: it has room of its own behind events that are not read."""
        self._put(data, MAX_QUEUED_BYTES + MAX_ANSWER_BYTES)

    def _put(self, data: bytes, most: int) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(data) > most:
            self._dropped += 1
            return
        if self._dropped:
            text = f"{self._dropped} lines were dropped: they were not read"
            self._dropped = 0
            transport.write(note(text) if self._lines else f"\r\n({text})\r\n".encode())
        transport.write(data)

    def close(self) -> None:
        self._writer.close()


async def open_socket(path: Path, serve: Serve) -> asyncio.Server:
    """A socket that only we may connect to."""

    async def served(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # asyncio 3.11 prints a traceback for a handler that ends cancelled
            await serve(stream, writer)

    return await asyncio.start_unix_server(served, sock=_bound(path))


def _bound(path: Path) -> socket.socket:
    """A socket at this path, which nobody can connect to before it is only ours."""
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except OSError:
        bound.close()
        raise
    return bound
