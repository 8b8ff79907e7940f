# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Lines to a descriptor that may be slow, or that nobody reads: a bounded queue that never blocks PID 1."""

from __future__ import annotations

import select
import time

from init.core.native import os

MAX_LINES = 512
MAX_BYTES = 256 * 1024


class BoundedWriter:
    """Whole lines on their way to a non-blocking descriptor.

    When the queue is full its oldest lines are dropped and counted in `dropped`; a line half written is kept.
    A descriptor that fails (unplugged, closed) swallows everything.
    """

    def __init__(self, descriptor: int, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        self.descriptor = descriptor
        self.dropped = 0
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._lines: list[bytes] = []
        self._bytes = 0
        self._begun = False
        self.broken = False

    @property
    def pending(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._lines)

    def put(self, line: bytes) -> None:
        """Queue one line (with its newline) and write what can be written now."""
        if self.broken:
            return
        self._lines.append(line)
        self._bytes += len(line)
        oldest = 1 if self._begun else 0
        while len(self._lines) > oldest + 1 and (len(self._lines) > self._max_lines or self._bytes > self._max_bytes):
            self._bytes -= len(self._lines.pop(oldest))
            self.dropped += 1
        self.flush()

    def flush(self) -> None:
        """Write as much as the descriptor takes without blocking."""
        while self._lines:
            line = self._lines[0]
            try:
                count = os.write(self.descriptor, line)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.broken = True
                self._lines.clear()
                return
            self._bytes -= count
            self._begun = count < len(line)
            if self._begun:
                self._lines[0] = line[count:]
            else:
                del self._lines[0]

    def drain(self, seconds: float) -> None:
        """Write what is queued, waiting at most so long: for the last words before power-off."""
        end = time.monotonic() + seconds
        poller = select.poll()
        poller.register(self.descriptor, select.POLLOUT)
        self.flush()
        while self._lines and (left := end - time.monotonic()) > 0:
            if not poller.poll(left * 1000):
                return
            before = self._bytes
            self.flush()
            if self._bytes == before:
                time.sleep(0.01)  # nobody is connected: a virtio port then reports hang-up at once, for ever
