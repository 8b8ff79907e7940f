# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The virtio-serial port `netvm.events`: finding it, and serving it without ever waiting for the host."""

from __future__ import annotations

from init.core.bounded_writer import BoundedWriter
from init.core.loop import EDGE, READ, WRITE
from init.core.native import os
from init.core.protocol import PORT_NAME, LineReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop
    from init.core.protocol import EventWriter

    OnLine = Callable[[bytes], None]

SYSFS = "/sys/class/virtio-ports"
READ_BYTES = 16384
MAX_READS = 16


def find(name: str = PORT_NAME, sysfs: str = SYSFS) -> str | None:
    """The device node of the port of that name, such as ``/dev/vport1p1``, or None."""
    try:
        ports = os.listdir(sysfs)
    except OSError:
        return None
    for port in ports:
        try:
            with open(f"{sysfs}/{port}/name", errors="replace") as file:
                if file.read().strip() == name:
                    return f"/dev/{port}"
        except OSError:  # a port without a name, or one that has just gone
            continue
    return None


class EventPort:
    """The port while it is open.  Edge-triggered: with no host at the other end it would be ready to read for ever."""

    def __init__(self, loop: Loop, events: EventWriter, on_line: OnLine) -> None:
        self._loop = loop
        self._events = events
        self._on_line = on_line
        self._writer: BoundedWriter | None = None
        self._reader = LineReader()

    def look(self) -> None:
        """Open the port if it is there and not open yet."""
        path = find() if self._writer is None else None
        if path is None:
            return
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        self.serve(descriptor)

    def serve(self, descriptor: int) -> None:
        """Serve an open, non-blocking descriptor as the port."""
        self._reader = LineReader()
        self._writer = BoundedWriter(descriptor)
        self._loop.watch(descriptor, self._ready, READ | WRITE | EDGE)
        self._events.connect(self._writer)

    def _ready(self) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.flush()
        for _ in range(MAX_READS):
            try:
                data = os.read(writer.descriptor, READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                writer.broken = True
                break
            if not data:  # no host is connected; an edge tells when one is
                break
            for line in self._reader.feed(data):
                self._on_line(line)
        else:
            self._loop.later(0, self._ready)  # more waits than is fair in one turn, and no edge would tell
        if writer.broken:
            self._close(writer)

    def _close(self, writer: BoundedWriter) -> None:
        self._loop.unwatch(writer.descriptor)
        os.close(writer.descriptor)
        self._writer = None
        self._events.disconnect()
