"""One port and one console of a VM, shared by any number of local readers over unix sockets.

The event port has one reader at a time, and a console too.  The VM's keeper is that reader; here it hands on what it
hears, and every reader gets what was said before it came.  Nothing that a guest or a reader does makes it grow without
bound: lines, history and queues have limits, and what does not fit is dropped and counted, never waited for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.console import MAX_LINE, MAX_REPLY, GuestEvent, Lines, Reply, parse

MAX_READERS = 64
MAX_QUEUED_BYTES = 4 << 20  # for one reader that does not read
MAX_TO_GUEST_BYTES = 256 << 10
MAX_PENDING = 16  # requests of one reader that are not answered yet
PENDING_S = 60.0
HEAD_LINES = 300  # the boot, which is kept for good
TAIL_LINES = 1000
HISTORY_BYTES = 1 << 20  # of each of the two
SCROLLBACK_BYTES = 64 << 10
READ_BYTES = 64 << 10

SYNC = "sync"  # a reader's request that the keeper answers: the history ends here

OnEvent = Callable[[GuestEvent], None]


class History:
    """The first lines and the latest, with a count of those between that are not kept."""

    def __init__(self, head: int = HEAD_LINES, tail: int = TAIL_LINES, max_bytes: int = HISTORY_BYTES) -> None:
        self._max_head, self._max_tail, self._max_bytes = head, tail, max_bytes
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_bytes = self._tail_bytes = 0
        self.dropped = 0

    def add(self, line: bytes) -> None:
        if not self._tail and len(self._head) < self._max_head and self._head_bytes + len(line) <= self._max_bytes:
            self._head.append(line)
            self._head_bytes += len(line)
            return
        self._tail.append(line)
        self._tail_bytes += len(line)
        while len(self._tail) > self._max_tail or self._tail_bytes > self._max_bytes:
            self._tail_bytes -= len(self._tail.popleft())
            self.dropped += 1

    def lines(self) -> list[bytes]:
        """All that is kept, in order; a note stands where lines are missing."""
        gap = [note(f"{self.dropped} lines are not kept")] if self.dropped else []
        return [*self._head, *gap, *self._tail]


def note(text: str) -> bytes:
    """A line of our own among the guest's: a `log` event of the source `host`, at no time of the guest's."""
    return json.dumps({"v": 1, "t": 0.0, "event": "log", "source": "host", "text": text}).encode() + b"\n"


class Reader:
    """One connection; `put` never waits."""

    def __init__(self, writer: asyncio.StreamWriter, *, lines: bool) -> None:
        self.pending = 0
        self._writer = writer
        self._lines = lines
        self._dropped = 0

    def put(self, data: bytes) -> None:
        """Send, or drop and count, when the reader is too far behind."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(data) > MAX_QUEUED_BYTES:
            self._dropped += 1
            return
        if self._dropped:
            text = f"{self._dropped} lines were dropped: they were not read"
            self._dropped = 0
            transport.write(note(text) if self._lines else f"\r\n({text})\r\n".encode())
        transport.write(data)

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class _Asked:
    """A request under way: who asked, under which id, and when."""

    reader: Reader
    id: object
    at: float


class EventHub:
    """The event port's lines to every reader; each reader's requests to the guest, and the answers to whom they are."""

    def __init__(self, port: socket.socket, on_event: OnEvent) -> None:
        self.history = History()
        self._port = port
        self._on_event = on_event
        self._to_guest: asyncio.StreamWriter | None = None
        self._readers: set[Reader] = set()
        self._asked: dict[int, _Asked] = {}
        self._numbers = itertools.count(1)

    async def listen(self) -> None:
        """Take in what the guest says until its port closes."""
        from_guest, self._to_guest = await asyncio.open_connection(sock=self._port)
        lines = Lines(MAX_REPLY)
        with suppress(ConnectionError):
            while data := await from_guest.read(READ_BYTES):
                for line in lines.feed(data):
                    self.heard(line)
                await asyncio.sleep(0)  # a flood must not keep the others from their turn

    def heard(self, text: str) -> None:
        """One line of the guest.  What is no event of the protocol goes no further."""
        event = parse(text)
        if event is None:
            return
        if isinstance(event, Reply):
            self._answer(event)
            return
        if len(text) > MAX_LINE:
            return
        line = text.encode(errors="replace") + b"\n"
        self.history.add(line)
        for reader in self._readers:
            reader.put(line)
        self._on_event(event)

    def tell(self, text: str) -> None:
        """Tell every reader something of our own."""
        line = note(text)
        self.history.add(line)
        for reader in self._readers:
            reader.put(line)

    def _answer(self, reply: Reply) -> None:
        asked = self._asked.pop(reply.id, None)
        if asked is None:
            return
        asked.reader.pending -= 1
        head = {"v": 1, "t": reply.t, "event": "reply", "id": asked.id}
        asked.reader.put(json.dumps(head | dict(reply.body or {})).encode() + b"\n")

    async def serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One reader, from its coming to its going."""
        reader = Reader(writer, lines=True)
        try:
            if len(self._readers) >= MAX_READERS:
                reader.put(note(f"there are {MAX_READERS} readers already"))
                return
            for line in self.history.lines():
                reader.put(line)
            self._readers.add(reader)
            lines = Lines(MAX_LINE)
            while data := await stream.read(READ_BYTES):
                for text in lines.feed(data):
                    self._ask(reader, text)
        except ConnectionError:
            pass
        finally:
            self._readers.discard(reader)
            self._asked = {number: asked for number, asked in self._asked.items() if asked.reader is not reader}
            reader.close()

    def close(self) -> None:
        """Let every reader go, once it has what is queued for it."""
        for reader in list(self._readers):
            reader.close()

    def _ask(self, reader: Reader, text: str) -> None:
        """Hand a request on under a number of ours, or say why not."""
        try:
            request = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(request, dict) or isinstance(request.get("id"), dict | list):
            return
        if request.get("request") == SYNC:  # ours to answer: all that was said before is on its way
            reader.put(json.dumps({"v": 1, "t": 0.0, "event": "reply", "id": request.get("id")}).encode() + b"\n")
            return
        problem = self._why_not(reader)
        if problem:
            reply = {"v": 1, "t": 0.0, "event": "reply", "id": request.get("id"), "error": problem}
            reader.put(json.dumps(reply).encode() + b"\n")
            return
        number = next(self._numbers)
        self._asked[number] = _Asked(reader, request.get("id"), time.monotonic())
        reader.pending += 1
        if self._to_guest is not None:
            self._to_guest.write(json.dumps(request | {"id": number}).encode() + b"\n")

    def _why_not(self, reader: Reader) -> str:
        now = time.monotonic()
        for number, asked in list(self._asked.items()):
            if now - asked.at > PENDING_S:
                del self._asked[number]
                asked.reader.pending -= 1
        if reader.pending >= MAX_PENDING:
            return f"{MAX_PENDING} requests wait for an answer already"
        if self._to_guest is None or self._to_guest.transport.is_closing():
            return "the router has no event port"
        if self._to_guest.transport.get_write_buffer_size() > MAX_TO_GUEST_BYTES:
            return "the router does not read its event port"
        return ""


class ConsoleHub:
    """The console's bytes to every reader and to our own ears; what readers type to the guest."""

    def __init__(self, console: socket.socket, on_data: Callable[[bytes], None]) -> None:
        self._console = console
        self._on_data = on_data
        self._to_guest: asyncio.StreamWriter | None = None
        self._readers: set[Reader] = set()
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
                await asyncio.sleep(0)

    async def serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One reader, from its coming to its going."""
        reader = Reader(writer, lines=False)
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

    def close(self) -> None:
        """Let every reader go, once it has what is queued for it."""
        for reader in list(self._readers):
            reader.close()

    def type(self, data: bytes) -> None:
        """Keys for the guest; dropped when it takes none."""
        guest = self._to_guest
        if guest is not None and guest.transport.get_write_buffer_size() < MAX_TO_GUEST_BYTES:
            guest.write(data)


async def open_socket(path: Path, hub: EventHub | ConsoleHub) -> asyncio.Server:
    """A socket that only we may connect to."""
    server = await asyncio.start_unix_server(hub.serve, str(path))
    path.chmod(0o600)
    return server
