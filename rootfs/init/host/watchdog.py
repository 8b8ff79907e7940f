# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The hardware watchdog: it resets the machine when PID 1 stops writing to it.

PID 1 writes from its loop and nowhere else, so that a loop that hangs is caught.  With the kernel's WATCHDOG_NOWAYOUT
it is a promise for good: closing the device does not disarm it (Documentation/watchdog/watchdog-api.rst of Linux).
"""

from __future__ import annotations

from init.core import native
from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.loop import Loop

DEVICE = "/dev/watchdog"
SHARE = 4
"""How often it is written to in its time."""


class Watchdog:
    """The device, once it is armed; `timeout_s` is None as long as it is not."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._descriptor = -1
        self.timeout_s: int | None = None

    def arm(self, timeout_s: int, path: str = DEVICE) -> None:
        """Begin, unless the time is 0 or the machine has no such device: then there is no watchdog.

        Raises OSError for a device that cannot be set to that time.
        """
        if not timeout_s:
            return
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        native.set_watchdog(self._descriptor, timeout_s)
        self.timeout_s = timeout_s
        self._pet()

    def _pet(self) -> None:
        os.write(self._descriptor, b"\0")
        self._loop.later((self.timeout_s or SHARE) / SHARE, self._pet)
