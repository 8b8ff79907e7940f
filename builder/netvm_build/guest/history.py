# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A bounded memory of lines: the first ones, which are the boot, and the latest."""

from __future__ import annotations

import json
from collections import deque

HEAD_LINES = 300  # the boot, which is kept for good
TAIL_LINES = 1000
HISTORY_BYTES = 1 << 20  # of each of the two
KEPT_NOTES = 16
HOST = "host"
"""The source of events that are ours.  A guest can't use it: the keeper drops its `log` events of that source."""


class History:
    """The first lines and the latest, with a count of those between that are not kept.

    Lines that are `ours` outlast a flood of the guest's: the last few are kept in the gap.
    """

    def __init__(self, head: int = HEAD_LINES, tail: int = TAIL_LINES, max_bytes: int = HISTORY_BYTES) -> None:
        self._max_head, self._max_tail, self._max_bytes = head, tail, max_bytes
        self._head: list[bytes] = []
        self._tail: deque[tuple[bytes, bool]] = deque()
        self._ours: deque[bytes] = deque(maxlen=KEPT_NOTES)
        self._head_bytes = self._tail_bytes = 0
        self.dropped = 0

    def add(self, line: bytes, *, ours: bool = False) -> None:
        if not self._tail and len(self._head) < self._max_head and self._head_bytes + len(line) <= self._max_bytes:
            self._head.append(line)
            self._head_bytes += len(line)
            return
        self._tail.append((line, ours))
        self._tail_bytes += len(line)
        while len(self._tail) > self._max_tail or self._tail_bytes > self._max_bytes:
            oldest, was_ours = self._tail.popleft()
            self._tail_bytes -= len(oldest)
            if was_ours:
                self._ours.append(oldest)
            else:
                self.dropped += 1

    def lines(self) -> list[bytes]:
        """All that is kept, in order; a note stands where lines are missing."""
        gap = [note(f"{self.dropped} lines are not kept")] if self.dropped else []
        return [*self._head, *gap, *self._ours, *(line for line, _ in self._tail)]


def note(text: str) -> bytes:
    """A line of our own among the guest's: a `log` event of the source `host`, at no time of the guest's."""
    return json.dumps({"v": 1, "t": 0.0, "event": "log", "source": HOST, "text": text}).encode() + b"\n"
