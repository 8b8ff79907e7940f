# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Boot protocol 1: events to the host, requests from it.  docs/reference/boot-protocol.md defines it."""

from __future__ import annotations

import time

from init.core.jsontext import decode_object, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.bounded_writer import BoundedWriter

VERSION = 1
PORT_NAME = "netvm.events"
CONSOLE_PREFIX = b"netvm: "
MAX_REQUEST_BYTES = 64 * 1024


def boot_time() -> float:
    """Seconds since the kernel started, suspend included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def event_line(name: str, at: float, fields: dict[str, object]) -> bytes:
    """One event as a line of JSON with its newline."""
    return (encode({"v": VERSION, "t": at, "event": name} | fields) + "\n").encode()


class EventWriter:
    """Writes events to the console, with a prefix, and to the host's port once there is one.

    Until the port appears its lines are kept (the queue is the port's own bound), so that a host which connects late
    still reads the boot from its start.  Replies go only to the port.
    """

    def __init__(self, console: BoundedWriter | None) -> None:
        self.console = console
        self.port: BoundedWriter | None = None
        self._early: list[bytes] = []

    def emit(self, event: str, **fields: object) -> None:
        """Write an event.  Fields are JSON-able; their order is kept."""
        line = event_line(event, boot_time(), fields)
        if self.console is not None:
            self.console.put(CONSOLE_PREFIX + line)
        self._to_port(line)

    def reply(self, number: object, answer: dict[str, object]) -> None:
        """Answer a request on the port."""
        self._to_port(event_line("reply", boot_time(), {"id": number} | answer))

    def connect(self, port: BoundedWriter) -> None:
        """From now on lines also go to this port, beginning with those written before."""
        self.port = port
        for line in self._early:
            port.put(line)
        self._early.clear()

    def disconnect(self) -> None:
        """The port was removed; lines are kept again until another appears."""
        self.port = None

    def drain(self, seconds: float) -> None:
        """Write what is queued, waiting at most so long for each reader."""
        for writer in (self.console, self.port):
            if writer is not None and not writer.broken:
                writer.drain(seconds)

    def _to_port(self, line: bytes) -> None:
        if self.port is None:
            if len(self._early) < 256:
                self._early.append(line)
            return
        if self.port.dropped:
            lost, self.port.dropped = self.port.dropped, 0
            fields: dict[str, object] = {"source": "init", "text": f"{lost} lines were dropped: nobody read the port"}
            self.port.put(event_line("log", boot_time(), fields))
        self.port.put(line)


class LineReader:
    """Cuts a stream of bytes into lines; a line longer than the limit is dropped whole."""

    def __init__(self, limit: int = MAX_REQUEST_BYTES) -> None:
        self._limit = limit
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete, without their newlines."""
        *complete, rest = (self._rest + data).split(b"\n")
        if complete and self._skipping:
            self._skipping = False
            del complete[0]
        if len(rest) > self._limit:
            self._skipping = True
        self._rest = b"" if self._skipping else rest
        return [line for line in complete if len(line) <= self._limit]


class Request:
    """A request of the host: `number` is its id (any JSON value, sent back as it came)."""

    __slots__ = ("fields", "name", "number")

    def __init__(self, number: object, name: str, fields: dict[str, object]) -> None:
        self.number = number
        self.name = name
        self.fields = fields


class BadRequest(ValueError):
    """A line that is no request; `number` is its id where that could be read."""

    def __init__(self, text: str, number: object = None) -> None:
        super().__init__(text)
        self.number = number


def parse_request(line: bytes) -> Request:
    """A request from one line.  Raises BadRequest, whatever the line may hold."""
    try:
        fields = decode_object(line.decode())
    except ValueError as error:
        raise BadRequest(f"not a request: {error}"[:200]) from None
    number = fields.get("id")
    if isinstance(number, (dict, list)) or (isinstance(number, str) and len(number) > 64):
        number = None
    if isinstance(number, float):
        number = int(number) if abs(number) < 2**53 else None
    if fields.get("v") != VERSION:
        raise BadRequest(f"this guest speaks version {VERSION} only", number)
    name = fields.get("request")
    if not isinstance(name, str):
        raise BadRequest("'request' must be the name of a request", number)
    return Request(number, name, fields)
