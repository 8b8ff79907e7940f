# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Taking a running router's memory from it, by the balloon that every virtio guest has: pages that it may not touch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.booted.on_wires import PATIENCE_S, Router

STEP = 4 << 20
SETTLED_S = 0.7
"""A guest that has no page to give tries again after 0.2 s (Linux, drivers/virtio/virtio_balloon.c)."""


class Balloon:
    """How much of its memory the guest has."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.whole = self.left()

    def left(self) -> int:
        """Bytes that are the guest's."""
        return int(self._router.command("query-balloon")["actual"])

    def leave(self, size: int) -> None:
        """Take, or give back, until it has so many bytes, as far as it has them to give."""
        self._router.command("balloon", value=size)

    def take_all(self) -> int:
        """Take what can be had without ending anything, and no more of what comes free later; the bytes that are left.

        The balloon never makes the guest kill a program: it takes free pages, and those that can be read again.
        """
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            wanted = self.left() - STEP
            self.leave(wanted)
            left = self._settled(end)
            if left > wanted:
                self.leave(left)
                return left
        raise AssertionError(f"there is always more to take: {self.left()} bytes are left")

    def _settled(self, end: float) -> int:
        left, before = self.left(), -1
        while left != before and time.monotonic() < end:
            time.sleep(SETTLED_S)
            before, left = left, self.left()
        return left


@contextmanager
def balloon(router: Router) -> Iterator[Balloon]:
    """A balloon, plugged in for a while; taken out, it gives back all it took."""
    slot = router.free.pop(0)
    router.device("balloon", "virtio-balloon-pci", slot)
    made = Balloon(router)
    yield made
    made.leave(made.whole)
    router.remove("balloon")
    router.free.append(slot)
