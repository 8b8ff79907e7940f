# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Taking a running router's memory from it, by the balloon that every virtio guest has: pages that it may not touch."""

from __future__ import annotations

from tests.support.booted.on_wires import Router


class Balloon:
    """How much of its memory the guest has.  It never makes the guest kill a program: it takes what is free, and
    what can be read again.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        router.device("balloon", "virtio-balloon-pci", router.free.pop(0))
        self.whole = self.left()

    def left(self) -> int:
        """Bytes that are the guest's."""
        return int(self._router.command("query-balloon")["actual"])

    def leave(self, size: int) -> None:
        """Take, or give back, until it has so many bytes, as far as it has them to give."""
        self._router.command("balloon", value=size)
