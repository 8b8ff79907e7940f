# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A VM's console: its bytes to every reader, and their keys to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from netvm_build.vm.broker.pace import Pace
from netvm_build.vm.broker.reader import MAX_READERS, READ_BYTES, ReaderConnection

SCROLLBACK_BYTES = 64 << 10
MAX_TO_GUEST_BYTES = 256 << 10


class ConsoleBroker:
    """The console's bytes to every reader and to the keeper; what readers type to the guest."""

    def __init__(self, console: socket.socket, on_data: Callable[[bytes], None]) -> None:
        self._console = console
        self._on_data = on_data
        self._pace = Pace()
        self._to_guest: asyncio.StreamWriter | None = None
        self._readers: set[ReaderConnection] = set()
        self._scrollback = b""

    async def listen(self) -> None:
        """Take in what the guest prints until its console closes."""
        from_guest, self._to_guest = await asyncio.open_connection(sock=self._console)
        with suppress(ConnectionError):
            while data := await from_guest.read(READ_BYTES):
                self._scrollback = (self._scrollback + data)[-SCROLLBACK_BYTES:]
                self._on_data(data)
                for reader in self._readers:
                    reader.put(data)
                await self._pace.hold(len(data), data.count(b"\n"))

    async def serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One reader, from its coming to its going."""
        reader = ReaderConnection(writer, lines=False)
        try:
            if len(self._readers) >= MAX_READERS:
                return
            reader.put(self._scrollback)
            self._readers.add(reader)
            while data := await stream.read(READ_BYTES):
                self.type(data)
        except ConnectionError:
            pass
        finally:
            self._readers.discard(reader)
            reader.close()

    def tell(self, text: str) -> None:
        """Tell every reader something of our own."""
        for reader in self._readers:
            reader.put(f"\r\n({text})\r\n".encode())

    def hurry(self) -> None:
        """Take in what is left: the VM has ended."""
        self._pace.hurry()

    def close(self) -> None:
        """Let every reader go, once it has what is queued for it."""
        for reader in list(self._readers):
            reader.close()

    def type(self, data: bytes) -> None:
        """Keys for the guest; dropped when it takes none."""
        guest = self._to_guest
        if guest is not None and guest.transport.get_write_buffer_size() < MAX_TO_GUEST_BYTES:
            guest.write(data)
