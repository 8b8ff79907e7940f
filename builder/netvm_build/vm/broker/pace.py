# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How much is read of a guest in a second, so that its flood costs the host a few percent of one processor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

BYTES_A_SECOND = 1 << 20
LINES_A_SECOND = 2000
BURST_S = 8.0  # a boot of 465 clients says 100 KiB at once
LONGEST_S = 1.0
REMEMBERED_S = 30.0


class Pace:
    """Says how long to wait before more is read.  Up to `burst_s` seconds' worth may come at once.

    What is not read fills the socket between QEMU and us; then QEMU takes no more from the guest, which keeps the rest,
    or drops and counts it.
    """

    def __init__(self, burst_s: float = BURST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst_s = burst_s
        self._clock = clock
        self._at = clock()
        self._debt_s = 0.0
        self._slowed_at = float("-inf")
        self._hurried = asyncio.Event()

    async def hold(self, read_bytes: int, lines: int) -> None:
        """Give others their turn, and wait as long as it takes after so much was read."""
        wait_s = self.wait_s(read_bytes, lines)
        if not wait_s or self._hurried.is_set():
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._hurried.wait()

    def hurry(self) -> None:
        """Read what is left without a wait: nothing more follows it."""
        self._hurried.set()

    def wait_s(self, read_bytes: int, lines: int) -> float:
        """The seconds to wait after so much was read; 0 for a guest that keeps to its share."""
        now = self._clock()
        cost_s = max(read_bytes / BYTES_A_SECOND, lines / LINES_A_SECOND)
        debt_s = max(0.0, self._debt_s - (now - self._at)) + cost_s
        self._debt_s = min(debt_s, self._burst_s + LONGEST_S)
        self._at = now
        if self._debt_s <= self._burst_s:
            return 0.0
        self._slowed_at = now
        return self._debt_s - self._burst_s

    @property
    def slowed(self) -> bool:
        """Whether the guest has lately been read more slowly than it speaks."""
        return self._clock() - self._slowed_at < REMEMBERED_S
